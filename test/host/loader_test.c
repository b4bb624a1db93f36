/*
 * The pure format parsers of loader/: ELF headers built by hand with one field wrong at a time,
 * "#!" lines beside what Linux makes of them, cpio archives with every kind of damage, and the
 * initial stack checked by walking it as a C library would.
 */
// SOURCES: loader/elf.c loader/cpio.c loader/script.c loader/ustack.c
#include <stddef.h>
#include <loader/cpio.h>
#include <loader/elf.h>
#include <loader/script.h>
#include <loader/ustack.h>
#include "check.h"
#include "test_elf.h"

#define BASE 0x200000ull

#define LIMIT 0x800000000000ull

/* ---- ELF ---- */

static enum elf_error parse_program(struct test_elf *e, struct elf_image *img)
{
	enum elf_error err = elf_parse_header(e, sizeof(*e), img);

	return err ? err : elf_parse_segments((uint8_t *)e + img->phoff, LIMIT, img);
}

static void elf_good_program(void)
{
	static struct test_elf e;
	struct elf_image img;
	struct elf_segment seg;
	uint32_t i = 0;

	make_elf(&e, BASE);
	CHECK_EQ(parse_program(&e, &img), ELF_OK);
	CHECK(img.pie && !img.exec_stack && !img.has_interp);
	CHECK_EQ(img.nr_loads, 3);
	CHECK_EQ(img.start, BASE);
	CHECK_EQ(img.brk, BASE + 0x4345);
	CHECK_EQ(img.end, BASE + 0x5000);
	CHECK_EQ(img.phdr_vaddr, BASE + 64);
	CHECK_EQ(img.code_start, BASE + 0x1000);
	CHECK_EQ(img.code_end, BASE + 0x1800);
	CHECK_EQ(img.data_start, BASE + 0x2000);
	CHECK_EQ(img.data_end, BASE + 0x3000);
	CHECK(elf_next_load(&img, &i, &seg) && seg.flags == ELF_R);
	CHECK(elf_next_load(&img, &i, &seg) && seg.flags == (ELF_R | ELF_X));
	CHECK(elf_next_load(&img, &i, &seg) && seg.memsz == 0x2345);
	CHECK(!elf_next_load(&img, &i, &seg));
	e.ph[4].flags |= ELF_X;
	e.ph[3] = (struct test_phdr){ 3, ELF_R, 0x300, BASE + 0x300, 0, 28, 28, 1 };
	CHECK_EQ(parse_program(&e, &img), ELF_OK);
	CHECK(img.exec_stack && img.has_interp && img.interp_offset == 0x300 && img.interp_len == 28);
}

static void elf_bad_headers(void)
{
	static struct test_elf e;
	struct elf_image img;

#define BROKEN(change, want) do {				\
		make_elf(&e, BASE);					\
		change;						\
		CHECK_EQ(parse_program(&e, &img), want);	\
	} while (0)
	BROKEN(e.ident[0] = 0, ELF_BAD_MAGIC);
	BROKEN(e.ident[4] = 1, ELF_BAD_CLASS);
	BROKEN(e.ident[5] = 2, ELF_BAD_CLASS);
	BROKEN(e.type = 1, ELF_BAD_TYPE);
	BROKEN(e.machine = 3, ELF_BAD_MACHINE);
	BROKEN(e.phentsize = 32, ELF_BAD_PHDRS);
	BROKEN(e.phnum = 0, ELF_BAD_PHDRS);
	BROKEN(e.phnum = 2000, ELF_BAD_PHDRS);
	BROKEN(e.phoff = UINT64_MAX - 10, ELF_BAD_PHDRS);
	BROKEN(e.ph[2].filesz = 0x5000, ELF_BAD_SEGMENT);
	BROKEN(e.ph[2].memsz = UINT64_MAX - 5, ELF_BAD_SEGMENT);
	BROKEN(e.ph[2].vaddr = LIMIT - 0x1000, ELF_BAD_SEGMENT);
	BROKEN(e.ph[2].vaddr += 8, ELF_BAD_SEGMENT);
	BROKEN(e.ph[2].offset = UINT64_MAX - 0xfff, ELF_BAD_SEGMENT);
	BROKEN(e.ph[2].align = 3, ELF_BAD_SEGMENT);
	BROKEN((e.ph[4].type = 3, e.ph[4].filesz = 1), ELF_BAD_INTERP);
	BROKEN((e.ph[4].type = 3, e.ph[4].filesz = 4097), ELF_BAD_INTERP);
	BROKEN((e.ph[0].type = 0, e.ph[1].type = 0, e.ph[2].type = 0), ELF_NO_SEGMENTS);
#undef BROKEN
	make_elf(&e, BASE);
	CHECK_EQ(elf_parse_header(&e, 63, &img), ELF_TRUNCATED);
	CHECK_EQ(elf_parse_header(&e, 3, &img), ELF_TRUNCATED);
	CHECK_EQ(elf_parse_header("#!/bin/sh\n", 10, &img), ELF_BAD_MAGIC);
}

static enum elf_error relocate(struct test_elf *e, uint8_t *copy, uint32_t *bad)
{
	struct elf_image img;
	struct elf_segment seg;
	enum elf_error err = elf_parse_kernel(e, sizeof(*e), &img);
	uint32_t i = 0;

	if (err)
		return err;
	memset(copy, 0, img.end - img.start);
	while (elf_next_load(&img, &i, &seg))
		memcpy(copy + (seg.vaddr - img.start), (uint8_t *)e + seg.offset, seg.filesz);
	return elf_relocate(&img, copy, 0x600000, bad);
}

static void elf_kernel(void)
{
	static struct test_elf e;
	static uint8_t copy[0x5000];
	struct elf_image img;
	uint32_t bad;
	uint64_t v, *dyn = (uint64_t *)((uint8_t *)&e + 0x2000);

	make_elf(&e, BASE);
	CHECK_EQ(relocate(&e, copy, &bad), ELF_OK);
	memcpy(&v, copy + 0x2200, 8);
	CHECK_EQ(v, BASE + 0x1010 + 0x600000);
	memcpy(&v, copy + 0x4340, 8);
	CHECK_EQ(v, BASE + 0x600000);
#define BROKEN(change, want) do {				\
		make_elf(&e, BASE);					\
		change;						\
		CHECK_EQ(relocate(&e, copy, &bad), want);	\
	} while (0)
	BROKEN(e.type = 2, ELF_BAD_TYPE);
	BROKEN(e.ph[2].offset = 0x3000, ELF_TRUNCATED);
	BROKEN(e.ph[2].vaddr = BASE + 0x1000, ELF_OVERLAP);
	BROKEN(e.ph[1].flags |= ELF_W, ELF_NOT_WX);
	BROKEN(e.entry = BASE + 0x2000, ELF_BAD_ENTRY);
	BROKEN((e.ph[4].type = 3, e.ph[4].filesz = 20), ELF_NEEDS_LIBRARY);
	BROKEN(e.ph[3].vaddr = BASE + 0x2004, ELF_BAD_DYNAMIC);
	BROKEN(e.ph[3].type = 0, ELF_BAD_DYNAMIC);
	BROKEN(e.ph[3].memsz = 0x9000, ELF_BAD_DYNAMIC);
	BROKEN(dyn[4] = 1, ELF_NEEDS_LIBRARY);
	BROKEN(dyn[4] = 35, ELF_BAD_DYNAMIC);
	BROKEN(dyn[3] = 47, ELF_BAD_DYNAMIC);
	BROKEN(dyn[1] = BASE + 0x5000, ELF_BAD_DYNAMIC);
	BROKEN(dyn[0x100 / 8 + 1] = 6, ELF_BAD_RELOC);
	CHECK_EQ(bad, 6);
	BROKEN(dyn[0x100 / 8] = BASE + 0x4ffc, ELF_BAD_RELOC);
	BROKEN(dyn[0x100 / 8] = BASE - 8, ELF_BAD_RELOC);
#undef BROKEN
	make_elf(&e, BASE);
	for (v = 0; v < 0x3000; v += 7)
		CHECK(elf_parse_kernel(&e, v, &img) != ELF_OK);
}

/* ---- scripts ---- */

static void check_script(const char *line, const char *path, const char *arg)
{
	struct script_line s;
	char got[SCRIPT_LINE_MAX];

	if (!script_parse(line, strlen(line), &s)) {
		CHECK(!path);
		return;
	}
	CHECK_OR_RETURN(path);
	snprintf(got, sizeof(got), "%.*s", (int)s.path_len, s.path);
	CHECK_STR(got, path);
	snprintf(got, sizeof(got), "%.*s", (int)s.arg_len, s.arg ? s.arg : "");
	CHECK_STR(got, arg ? arg : "");
	CHECK_EQ(!!s.arg, !!arg);
}

static void script_lines(void)
{
	char big[400];

	check_script("#!/bin/sh\necho", "/bin/sh", NULL);
	check_script("#!/bin/sh", "/bin/sh", NULL);
	check_script("#! \t /bin/sh  \n", "/bin/sh", NULL);
	check_script("#!/usr/bin/env  python3 -u \t\nx", "/usr/bin/env", "python3 -u");
	check_script("#!\n/bin/sh\n", NULL, NULL);
	check_script("#!   \n", NULL, NULL);
	check_script("#!", NULL, NULL);
	check_script("#", NULL, NULL);
	check_script("# /bin/sh\n", NULL, NULL);
	/* A path that may have been cut off is refused, a cut argument is not. */
	memset(big, 'a', sizeof(big));
	memcpy(big, "#!/", 3);
	big[399] = 0;
	check_script(big, NULL, NULL);
	big[200] = ' ';
	{
		struct script_line s;

		CHECK(script_parse(big, 399, &s));
		CHECK_EQ(s.path_len, 198);
		CHECK_EQ(s.arg_len, 255 - 201);
	}
	big[200] = 'a';
	big[254] = '\n';
	{
		struct script_line s;

		CHECK(script_parse(big, 399, &s));
		CHECK_EQ(s.path_len, 252);
		CHECK(!s.arg);
	}
}

/* ---- cpio ---- */

static size_t add_entry(char *buf, size_t at, size_t base, const char *name, const char *data,
			unsigned mode, unsigned ino)
{
	size_t dlen = data ? strlen(data) : 0;

	at += (size_t)sprintf(buf + at, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
			      ino, mode, 10, 20, 1, 12345, (unsigned)dlen, 8, 1, 5, 6,
			      (unsigned)strlen(name) + 1, 0);
	strcpy(buf + at, name);
	at += strlen(name) + 1;
	while ((at - base) & 3)
		buf[at++] = 0;
	if (dlen)
		memcpy(buf + at, data, dlen);
	at += dlen;
	while ((at - base) & 3)
		buf[at++] = 0;
	return at;
}

static void cpio_archives(void)
{
	static char buf[4096];
	struct cpio_reader r;
	struct cpio_entry e;
	size_t at = 0, base;

	at = add_entry(buf, at, 0, "dir", NULL, 040755, 1);
	at = add_entry(buf, at, 0, "dir/file", "hello", 0100644, 2);
	at = add_entry(buf, at, 0, "TRAILER!!!", NULL, 0, 0);
	memset(buf + at, 0, 102);	/* not a multiple of 4: the next base decides alignment */
	at += 102;
	base = at;
	at = add_entry(buf, at, base, "second", "abcdefg", 0100755, 3);
	at = add_entry(buf, at, base, "TRAILER!!!", NULL, 0, 0);
	cpio_init(&r, buf, at);
	CHECK_EQ(cpio_next(&r, &e), CPIO_ENTRY);
	CHECK_STR(e.name, "dir");
	CHECK_EQ(e.mode, 040755);
	CHECK_EQ(cpio_next(&r, &e), CPIO_ENTRY);
	CHECK(e.data_len == 5 && !memcmp(e.data, "hello", 5));
	CHECK(e.uid == 10 && e.gid == 20 && e.mtime == 12345 && e.ino == 2);
	CHECK(e.dev_major == 8 && e.dev_minor == 1 && e.rdev_major == 5 && e.rdev_minor == 6);
	CHECK_EQ(cpio_next(&r, &e), CPIO_ENTRY);
	CHECK_STR(e.name, "second");
	CHECK(e.data_len == 7 && !memcmp(e.data, "abcdefg", 7));
	CHECK_EQ(cpio_next(&r, &e), CPIO_END);
	CHECK_EQ(cpio_next(&r, &e), CPIO_END);
	/* Something else after the first archive is for the caller to look at. */
	memcpy(buf + base, "\x1f\x8b\x08\0\0\0", 6);
	cpio_init(&r, buf, at);
	CHECK_EQ(cpio_next(&r, &e), CPIO_ENTRY);
	CHECK_EQ(cpio_next(&r, &e), CPIO_ENTRY);
	CHECK_EQ(cpio_next(&r, &e), CPIO_FOREIGN);
	CHECK_EQ(r.pos, base);
	cpio_init(&r, buf, 0);
	CHECK_EQ(cpio_next(&r, &e), CPIO_END);
}

static void cpio_damage(void)
{
	static char buf[4096];
	struct cpio_reader r;
	struct cpio_entry e;
	enum cpio_status st;
	size_t at, n, first;

	first = add_entry(buf, 0, 0, "a", "xyz", 0100644, 1);
	at = add_entry(buf, first, 0, "b", "uvw", 0100644, 1);
	for (n = 7; n < at - 1; n++) {
		char *copy = malloc(n);

		memcpy(copy, buf, n);
		cpio_init(&r, copy, n);
		while ((st = cpio_next(&r, &e)) == CPIO_ENTRY)
			;
		CHECK_EQ(st, CPIO_OVERRUN);
		free(copy);
	}
	buf[first] = 'X';
	cpio_init(&r, buf, at);
	CHECK_EQ(cpio_next(&r, &e), CPIO_ENTRY);
	CHECK_EQ(cpio_next(&r, &e), CPIO_BAD_MAGIC);
	CHECK_EQ(r.pos, first);
	buf[first] = '0';
	buf[20] = 'g';
	cpio_init(&r, buf, at);
	CHECK_EQ(cpio_next(&r, &e), CPIO_BAD_FIELD);
	buf[20] = '0';
	memcpy(buf + 6 + 11 * 8, "ffffffff", 8);
	cpio_init(&r, buf, at);
	CHECK_EQ(cpio_next(&r, &e), CPIO_OVERRUN);
	memcpy(buf + 6 + 11 * 8, "00000001", 8);
	cpio_init(&r, buf, at);
	CHECK_EQ(cpio_next(&r, &e), CPIO_BAD_FIELD);
}

/* ---- initial stack ---- */

static uint64_t word(const uint8_t *stack, const struct ustack_plan *plan, uint64_t addr)
{
	uint64_t v;

	memcpy(&v, stack + (addr - plan->sp), 8);
	return v;
}

static const char *string(const uint8_t *stack, const struct ustack_plan *plan, uint64_t addr)
{
	return (const char *)stack + (addr - plan->sp);
}

static void walk_stack(const struct ustack *us, const uint8_t *stack,
		       const struct ustack_plan *plan)
{
	uint64_t p = plan->sp, i;
	const char *s;

	CHECK_EQ(plan->sp % 16, 0);
	CHECK_EQ(word(stack, plan, p), us->argc);
	p += 8;
	CHECK_EQ(p, plan->argv);
	for (i = 0, s = us->args; i < us->argc; i++, p += 8, s += strlen(s) + 1)
		CHECK_STR(string(stack, plan, word(stack, plan, p)), s);
	CHECK_EQ(word(stack, plan, p), 0);
	p += 8;
	CHECK_EQ(p, plan->envp);
	for (i = 0, s = us->envs; i < us->envc; i++, p += 8, s += strlen(s) + 1)
		CHECK_STR(string(stack, plan, word(stack, plan, p)), s);
	CHECK_EQ(word(stack, plan, p), 0);
	p += 8;
	CHECK_EQ(p, plan->auxv);
	CHECK_EQ(word(stack, plan, p), 6);
	CHECK_EQ(word(stack, plan, p + 8), 4096);
	p += 16;
	CHECK_EQ(word(stack, plan, p), USTACK_AT_RANDOM);
	CHECK(!memcmp(string(stack, plan, word(stack, plan, p + 8)), us->random, 16));
	CHECK_EQ(word(stack, plan, p + 16), USTACK_AT_EXECFN);
	CHECK_STR(string(stack, plan, word(stack, plan, p + 24)), us->execfn);
	CHECK_EQ(word(stack, plan, p + 32), USTACK_AT_PLATFORM);
	CHECK_STR(string(stack, plan, word(stack, plan, p + 40)), us->platform);
	CHECK_EQ(word(stack, plan, p + 48), USTACK_AT_NULL);
	CHECK_EQ(plan->auxv_len, 80);
	CHECK_EQ(word(stack, plan, us->top - 8), 0);
}

static void ustack_layouts(void)
{
	static const struct ustack_aux aux[] = { { 6, 4096 } };
	static const char args[] = "prog\0-x\0\0last", envs[] = "A=1\0PATH=/bin:/usr/bin";
	struct ustack us = {
		.top = 0x7ffffffff000, .room = 0x20000, .platform = "x86_64", .aux = aux,
		.nr_aux = 1, .execfn = "/bin/prog",
		.random = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 },
	};
	struct ustack_plan plan;
	uint8_t *stack;
	int i;

	for (i = 0; i < 64; i++) {
		us.argc = i & 1 ? 4 : 0;
		us.args = args;
		us.args_len = us.argc ? sizeof(args) : 0;
		us.envc = i & 2 ? 2 : 0;
		us.envs = envs;
		us.envs_len = us.envc ? sizeof(envs) : 0;
		us.jitter = (uint64_t)i * 3;
		us.room = 0x20000;
		CHECK_OR_RETURN(ustack_plan(&us, &plan));
		stack = malloc(plan.size);
		memset(stack, 0xa5, plan.size);
		ustack_write(&us, &plan, stack);
		walk_stack(&us, stack, &plan);
		free(stack);
		us.room = plan.size;
		CHECK(ustack_plan(&us, &plan));
		us.room = plan.size - 1;
		CHECK(!ustack_plan(&us, &plan));
	}
	us.room = us.top + 1;
	CHECK(!ustack_plan(&us, &plan));
	us.room = 0x20000;
	us.argc = UINT64_MAX;
	CHECK(!ustack_plan(&us, &plan));
}

int main(void)
{
	RUN(elf_good_program);
	RUN(elf_bad_headers);
	RUN(elf_kernel);
	RUN(script_lines);
	RUN(cpio_archives);
	RUN(cpio_damage);
	RUN(ustack_layouts);
	return check_done();
}
