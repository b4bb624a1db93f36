/*
 * ELF64 header, segment and relocation checks. See loader/elf.h for who uses what.
 *
 * Theory: a file is bytes from somebody else. Fields are read with get16/32/64 (no alignment is
 * assumed), and a value is used only after a check that leaves no arithmetic to overflow: a range
 * is checked as "size <= limit and start <= limit - size", never as "start + size <= limit".
 * Program headers are not copied into an array of ours: their number is bounded only by
 * ELF_PHDRS_MAX, and walking the caller's bytes again costs less than a table.
 *
 * Layout: System V gABI chapter 4 and 5; x86-64 psABI 4.4 for relocations.
 */
#include <loader/elf.h>

#define PAGE		4096ull
#define ET_EXEC		2
#define ET_DYN		3
#define EM_X86_64	62

#define PT_LOAD		1u
#define PT_DYNAMIC	2u
#define PT_INTERP	3u
#define PT_PHDR		6u
#define PT_TLS		7u
#define PT_GNU_STACK	0x6474e551u

#define DT_NULL		0
#define DT_NEEDED	1
#define DT_PLTRELSZ	2
#define DT_RELA		7
#define DT_RELASZ	8
#define DT_RELAENT	9
#define DT_RELSZ	18
#define DT_TEXTREL	22
#define DT_RELRSZ	35

#define RELA_SIZE	24u
#define R_RELATIVE	8u

struct phdr {
	uint32_t type, flags;
	uint64_t offset, vaddr, filesz, memsz, align;
};

static uint16_t get16(const uint8_t *p)
{
	uint16_t v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

/* Is [start, start + size) inside [0, limit)? */
static bool inside(uint64_t start, uint64_t size, uint64_t limit)
{
	return size <= limit && start <= limit - size;
}

static uint64_t page_down(uint64_t addr)
{
	return addr & ~(PAGE - 1);
}

static uint64_t page_up(uint64_t addr)
{
	return (addr + PAGE - 1) & ~(PAGE - 1);
}

static void get_phdr(const struct elf_image *img, uint32_t i, struct phdr *ph)
{
	const uint8_t *p = img->phdrs + (uint64_t)i * ELF_PHDR_SIZE;

	ph->type = get32(p);
	ph->flags = get32(p + 4);
	ph->offset = get64(p + 8);
	ph->vaddr = get64(p + 16);
	ph->filesz = get64(p + 32);
	ph->memsz = get64(p + 40);
	ph->align = get64(p + 48);
}

enum elf_error elf_parse_header(const void *buf, uint64_t len, struct elf_image *img)
{
	const uint8_t *e = buf;
	uint16_t type;

	__builtin_memset(img, 0, sizeof(*img));
	if (len < 4)
		return ELF_TRUNCATED;
	if (e[0] != 0x7f || e[1] != 'E' || e[2] != 'L' || e[3] != 'F')
		return ELF_BAD_MAGIC;
	if (len < ELF_EHDR_SIZE)
		return ELF_TRUNCATED;
	if (e[4] != 2 || e[5] != 1)
		return ELF_BAD_CLASS;
	type = get16(e + 16);
	if (type != ET_EXEC && type != ET_DYN)
		return ELF_BAD_TYPE;
	if (get16(e + 18) != EM_X86_64)
		return ELF_BAD_MACHINE;
	if (get16(e + 54) != ELF_PHDR_SIZE)
		return ELF_BAD_PHDRS;
	img->pie = type == ET_DYN;
	img->entry = get64(e + 24);
	img->phoff = get64(e + 32);
	img->phnum = get16(e + 56);
	/* The offset must survive being added to and being an off_t. */
	if (!img->phnum || img->phnum * ELF_PHDR_SIZE > ELF_PHDRS_MAX ||
	    !inside(img->phoff, img->phnum * ELF_PHDR_SIZE, INT64_MAX))
		return ELF_BAD_PHDRS;
	return ELF_OK;
}

/* Check one PT_LOAD and widen the image's bounds by it. */
static enum elf_error take_load(struct elf_image *img, const struct phdr *ph, uint64_t limit)
{
	uint64_t end, phsize = img->phnum * ELF_PHDR_SIZE;

	if (ph->filesz > ph->memsz || !inside(ph->vaddr, ph->memsz, limit) ||
	    !inside(ph->offset, ph->filesz, INT64_MAX))
		return ELF_BAD_SEGMENT;
	if ((ph->vaddr ^ ph->offset) & (PAGE - 1))
		return ELF_BAD_SEGMENT;
	if (ph->align & (ph->align - 1))
		return ELF_BAD_SEGMENT;
	if (!ph->memsz)
		return ELF_OK;
	end = ph->vaddr + ph->memsz;
	if (page_up(end) < end)
		return ELF_BAD_SEGMENT;
	if (!img->nr_loads || page_down(ph->vaddr) < img->start)
		img->start = page_down(ph->vaddr);
	if (end > img->brk)
		img->brk = end;
	img->end = page_up(img->brk);
	if (ph->align > img->align)
		img->align = ph->align;
	if (ph->flags & ELF_X) {
		if (!img->code_end || ph->vaddr < img->code_start)
			img->code_start = ph->vaddr;
		if (ph->vaddr + ph->filesz > img->code_end)
			img->code_end = ph->vaddr + ph->filesz;
	}
	if (ph->vaddr > img->data_start)
		img->data_start = ph->vaddr;
	if (ph->vaddr + ph->filesz > img->data_end)
		img->data_end = ph->vaddr + ph->filesz;
	/* The headers are mapped when a segment's file part covers them. */
	if (ph->offset <= img->phoff && inside(img->phoff - ph->offset, phsize, ph->filesz))
		img->phdr_vaddr = ph->vaddr + (img->phoff - ph->offset);
	img->nr_loads++;
	return ELF_OK;
}

static enum elf_error take_interp(struct elf_image *img, const struct phdr *ph)
{
	/* A second one is ignored by Linux; accepting what nobody produces buys nothing. */
	if (img->has_interp || ph->filesz < 2 || ph->filesz > ELF_INTERP_MAX ||
	    !inside(ph->offset, ph->filesz, INT64_MAX))
		return ELF_BAD_INTERP;
	img->has_interp = true;
	img->interp_offset = ph->offset;
	img->interp_len = ph->filesz;
	return ELF_OK;
}

static enum elf_error take_phdr(struct elf_image *img, const struct phdr *ph, uint64_t limit)
{
	switch (ph->type) {
	case PT_LOAD:
		return take_load(img, ph, limit);
	case PT_INTERP:
		return take_interp(img, ph);
	case PT_GNU_STACK:
		img->exec_stack = ph->flags & ELF_X;
		return ELF_OK;
	case PT_TLS:
		img->tls_vaddr = ph->vaddr;
		img->tls_filesz = ph->filesz;
		img->tls_memsz = ph->memsz;
		img->tls_align = ph->align;
		return ELF_OK;
	case PT_DYNAMIC:
		img->dynamic_vaddr = ph->vaddr;
		img->dynamic_size = ph->memsz;
		return ELF_OK;
	default:
		return ELF_OK;
	}
}

enum elf_error elf_parse_segments(const void *phdrs, uint64_t limit, struct elf_image *img)
{
	enum elf_error err;
	struct phdr ph;
	uint32_t i;

	img->phdrs = phdrs;
	img->align = PAGE;
	for (i = 0; i < img->phnum; i++) {
		get_phdr(img, i, &ph);
		err = take_phdr(img, &ph, limit);
		if (err)
			return err;
	}
	/* An entry point in no segment is the program's own business: it faults, as on Linux. */
	return img->nr_loads ? ELF_OK : ELF_NO_SEGMENTS;
}

bool elf_next_load(const struct elf_image *img, uint32_t *index, struct elf_segment *seg)
{
	struct phdr ph;

	while (*index < img->phnum) {
		get_phdr(img, (*index)++, &ph);
		if (ph.type != PT_LOAD || !ph.memsz)
			continue;
		seg->vaddr = ph.vaddr;
		seg->memsz = ph.memsz;
		seg->offset = ph.offset;
		seg->filesz = ph.filesz;
		seg->flags = ph.flags & (ELF_R | ELF_W | ELF_X);
		return true;
	}
	return false;
}

enum elf_error elf_parse_kernel(const void *file, uint64_t len, struct elf_image *img)
{
	enum elf_error err = elf_parse_header(file, len, img);
	struct elf_segment seg;
	uint64_t last = 0;
	bool entry_ok = false;
	uint32_t i = 0;

	if (err)
		return err;
	if (!img->pie)
		return ELF_BAD_TYPE;
	if (!inside(img->phoff, img->phnum * ELF_PHDR_SIZE, len))
		return ELF_TRUNCATED;
	err = elf_parse_segments((const uint8_t *)file + img->phoff, UINT64_MAX, img);
	if (err)
		return err;
	if (img->has_interp)
		return ELF_NEEDS_LIBRARY;
	while (elf_next_load(img, &i, &seg)) {
		if (!inside(seg.offset, seg.filesz, len))
			return ELF_TRUNCATED;
		if (page_down(seg.vaddr) < last)
			return ELF_OVERLAP;
		last = page_up(seg.vaddr + seg.memsz);
		if ((seg.flags & ELF_W) && (seg.flags & ELF_X))
			return ELF_NOT_WX;
		entry_ok |= (seg.flags & ELF_X) && img->entry - seg.vaddr < seg.filesz;
	}
	if (!entry_ok)
		return ELF_BAD_ENTRY;
	/* Inside the image and 8-aligned, so that the copy can be walked in place. */
	if (!img->dynamic_size || (img->dynamic_vaddr & 7) || img->dynamic_vaddr < img->start ||
	    !inside(img->dynamic_vaddr - img->start, img->dynamic_size, img->end - img->start))
		return ELF_BAD_DYNAMIC;
	return ELF_OK;
}

struct dynamic {
	uint64_t rela, relasz, relaent;
};

/* Read the tags that matter; refuse those that would need more than relative relocations. */
static enum elf_error read_dynamic(const struct elf_image *img, const uint8_t *copy,
				   struct dynamic *dyn)
{
	const uint8_t *p = copy + (img->dynamic_vaddr - img->start);
	uint64_t i, value;

	*dyn = (struct dynamic){ .relaent = RELA_SIZE };
	for (i = 0; i + 16 <= img->dynamic_size; i += 16) {
		value = get64(p + i + 8);
		switch (get64(p + i)) {
		case DT_NULL:
			return ELF_OK;
		case DT_NEEDED:
			return ELF_NEEDS_LIBRARY;
		case DT_RELA:
			dyn->rela = value;
			break;
		case DT_RELASZ:
			dyn->relasz = value;
			break;
		case DT_RELAENT:
			dyn->relaent = value;
			break;
		case DT_TEXTREL:
			return ELF_BAD_DYNAMIC;
		case DT_PLTRELSZ:
		case DT_RELSZ:
		case DT_RELRSZ:
			if (value)
				return ELF_BAD_DYNAMIC;
			break;
		}
	}
	return ELF_OK;
}

enum elf_error elf_relocate(const struct elf_image *img, void *copy, uint64_t slide,
			    uint32_t *bad_type)
{
	uint64_t size = img->end - img->start, i, place, value;
	enum elf_error err;
	struct dynamic dyn;
	const uint8_t *rela;

	*bad_type = R_RELATIVE;
	err = read_dynamic(img, copy, &dyn);
	if (err)
		return err;
	if (!dyn.relasz)
		return ELF_OK;
	if (dyn.relaent != RELA_SIZE || dyn.relasz % RELA_SIZE || dyn.rela < img->start ||
	    !inside(dyn.rela - img->start, dyn.relasz, size))
		return ELF_BAD_DYNAMIC;
	rela = (const uint8_t *)copy + (dyn.rela - img->start);
	for (i = 0; i < dyn.relasz; i += RELA_SIZE) {
		*bad_type = get32(rela + i + 8);
		if (*bad_type != R_RELATIVE || get32(rela + i + 12))
			return ELF_BAD_RELOC;
		place = get64(rela + i);
		if (place < img->start || !inside(place - img->start, 8, size))
			return ELF_BAD_RELOC;
		value = get64(rela + i + 16) + slide;
		__builtin_memcpy((uint8_t *)copy + (place - img->start), &value, sizeof(value));
	}
	return ELF_OK;
}

const char *elf_error_text(enum elf_error err)
{
	static const char *const text[] = {
		[ELF_OK] = "no error",
		[ELF_TRUNCATED] = "truncated file",
		[ELF_BAD_MAGIC] = "not an ELF file",
		[ELF_BAD_CLASS] = "not a 64-bit little-endian ELF file",
		[ELF_BAD_MACHINE] = "not for x86-64",
		[ELF_BAD_TYPE] = "wrong ELF type",
		[ELF_BAD_PHDRS] = "bad program header table",
		[ELF_BAD_SEGMENT] = "bad segment",
		[ELF_BAD_INTERP] = "bad interpreter path",
		[ELF_NO_SEGMENTS] = "nothing to load",
		[ELF_BAD_ENTRY] = "entry point outside the code",
		[ELF_OVERLAP] = "segments overlap",
		[ELF_NOT_WX] = "a segment is both writable and executable",
		[ELF_NEEDS_LIBRARY] = "not statically linked",
		[ELF_BAD_DYNAMIC] = "bad dynamic section",
		[ELF_BAD_RELOC] = "unsupported relocation",
	};

	return (uint32_t)err < sizeof(text) / sizeof(text[0]) ? text[err] : "unknown error";
}
