/* Any bytes as ELF program, ELF kernel, cpio archive and script: no crash, ranges in bounds. */
// SOURCES: loader/elf.c loader/cpio.c loader/script.c
// RUNS: 50000
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <loader/cpio.h>
#include <loader/elf.h>
#include <loader/script.h>

#define LIMIT 0x800000000000ull

static void need(bool cond)
{
	if (!cond)
		abort();
}

static void fuzz_program(const uint8_t *data, size_t size)
{
	struct elf_image img;
	struct elf_segment seg;
	uint32_t i = 0, n = 0;

	if (elf_parse_header(data, size, &img) || img.phoff > size ||
	    img.phnum * ELF_PHDR_SIZE > size - img.phoff)
		return;
	if (elf_parse_segments(data + img.phoff, LIMIT, &img))
		return;
	for (; elf_next_load(&img, &i, &seg); n++) {
		need(seg.memsz && seg.filesz <= seg.memsz);
		need(seg.vaddr >= img.start && seg.vaddr + seg.memsz <= img.end);
		need(img.end <= LIMIT);
	}
	need(n == img.nr_loads && n);
}

static void fuzz_kernel(const uint8_t *data, size_t size)
{
	struct elf_image img;
	struct elf_segment seg;
	uint32_t i = 0, bad;
	uint8_t *copy;

	if (elf_parse_kernel(data, size, &img) || img.end - img.start > 1 << 20)
		return;
	copy = calloc(1, img.end - img.start);
	while (elf_next_load(&img, &i, &seg))
		memcpy(copy + (seg.vaddr - img.start), data + seg.offset, seg.filesz);
	elf_relocate(&img, copy, 0x200000, &bad);
	free(copy);
}

static void fuzz_cpio(const uint8_t *data, size_t size)
{
	static volatile uint8_t sum;
	struct cpio_reader r;
	struct cpio_entry e;

	cpio_init(&r, data, size);
	while (cpio_next(&r, &e) == CPIO_ENTRY) {
		need(e.name_len && !e.name[e.name_len]);
		if (e.data_len)
			sum += e.data[0] + e.data[e.data_len - 1];
	}
	need(r.pos <= size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script_line line;

	fuzz_program(data, size);
	fuzz_kernel(data, size);
	fuzz_cpio(data, size);
	if (script_parse(data, size, &line))
		need(line.path_len && line.path_len < SCRIPT_LINE_MAX);
	return 0;
}
