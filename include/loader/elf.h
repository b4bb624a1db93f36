/*
 * ELF64 for x86-64: checks a file's headers and says what is to be mapped where.
 *
 * Pure: no allocation, no locks, no state; the caller owns every buffer, and everything read from
 * a file is checked before it is believed. Two users with two needs:
 *
 *   exec      reads the first bytes of a file -> elf_parse_header says where the program headers
 *             are -> the caller reads them -> elf_parse_segments fills struct elf_image ->
 *             elf_next_load iterates over what must be mapped.
 *   the EFI   has the whole file in memory -> elf_parse_kernel (stricter) -> copies segments ->
 *   loader    elf_relocate applies the relative relocations to the copy.
 *
 * Addresses of struct elf_image are link addresses: add the load bias.
 */
#ifndef QUOIN_LOADER_ELF_H
#define QUOIN_LOADER_ELF_H

#include <stdbool.h>
#include <stdint.h>

/* What is wrong with a file. The kernel answers ENOEXEC for all of them. */
enum elf_error {
	ELF_OK = 0,
	ELF_TRUNCATED,		/* shorter than its own headers say */
	ELF_BAD_MAGIC,		/* not an ELF file at all */
	ELF_BAD_CLASS,		/* not 64-bit little-endian version 1 */
	ELF_BAD_MACHINE,	/* not x86-64 */
	ELF_BAD_TYPE,		/* neither EXEC nor DYN (for the kernel: not DYN) */
	ELF_BAD_PHDRS,		/* program header size, count or place */
	ELF_BAD_SEGMENT,	/* a segment's sizes, alignment or address range */
	ELF_BAD_INTERP,		/* interpreter path length, or more than one */
	ELF_NO_SEGMENTS,
	ELF_BAD_ENTRY,		/* entry point outside every executable segment */
	ELF_OVERLAP,		/* kernel: segments unsorted or sharing a page */
	ELF_NOT_WX,		/* kernel: a segment both writable and executable */
	ELF_NEEDS_LIBRARY,	/* kernel: interpreter or shared library wanted */
	ELF_BAD_DYNAMIC,	/* kernel: no usable dynamic section */
	ELF_BAD_RELOC,		/* kernel: a relocation that is not R_X86_64_RELATIVE, or its
				 * place is outside the image */
};

#define ELF_EHDR_SIZE	64u
#define ELF_PHDR_SIZE	56u
#define ELF_PHDRS_MAX	65536u		/* bytes of program headers, Linux's limit too */
#define ELF_INTERP_MAX	4096u		/* with the NUL */

/* elf_segment.flags, the values of p_flags */
#define ELF_X		1u
#define ELF_W		2u
#define ELF_R		4u

/* One PT_LOAD, unrounded: vaddr and offset agree modulo the page size. */
struct elf_segment {
	uint64_t vaddr;
	uint64_t memsz;			/* never 0 */
	uint64_t offset;
	uint64_t filesz;		/* <= memsz; the rest is zero */
	uint32_t flags;			/* ELF_R | ELF_W | ELF_X */
};

struct elf_image {
	uint64_t entry;
	uint64_t phoff;			/* file offset and number of program headers */
	uint32_t phnum;
	uint32_t nr_loads;		/* non-empty PT_LOADs */
	bool pie;			/* ET_DYN: may be placed anywhere */
	bool exec_stack;		/* PT_GNU_STACK with PF_X */
	bool has_interp;
	uint64_t interp_offset;		/* path in the file, interp_len bytes with its NUL */
	uint64_t interp_len;		/* 2 .. ELF_INTERP_MAX */
	uint64_t start;			/* lowest segment address, rounded down to a page */
	uint64_t end;			/* highest segment end, rounded up to a page */
	uint64_t align;			/* greatest p_align of a PT_LOAD, at least a page */
	uint64_t brk;			/* highest segment end, not rounded */
	uint64_t code_start, code_end;	/* executable segments, /proc/PID/stat's idea of text */
	uint64_t data_start, data_end;	/* the last segment's start, greatest file-backed end */
	uint64_t phdr_vaddr;		/* program headers in memory for AT_PHDR, 0 when unmapped */
	uint64_t tls_vaddr, tls_filesz, tls_memsz, tls_align;
	uint64_t dynamic_vaddr, dynamic_size;
	const uint8_t *phdrs;		/* the caller's buffer: elf_next_load reads it */
};

/*
 * Check the 64-byte file header in `buf` and fill entry, phoff, phnum, pie.
 * => len may be less than ELF_EHDR_SIZE: ELF_TRUNCATED, or ELF_BAD_MAGIC when already clear
 */
enum elf_error elf_parse_header(const void *buf, uint64_t len, struct elf_image *img);

/*
 * Check the phnum program headers in `phdrs` and fill the rest of `img`.
 * => elf_parse_header succeeded on img; phdrs holds phnum * ELF_PHDR_SIZE bytes and stays valid
 *    while elf_next_load is used
 * => every segment end is below `limit` (the end of user space)
 */
enum elf_error elf_parse_segments(const void *phdrs, uint64_t limit, struct elf_image *img);

/*
 * The next non-empty PT_LOAD at or after program header *index; advances *index past it.
 * => returns false when there is none left
 */
bool elf_next_load(const struct elf_image *img, uint32_t *index, struct elf_segment *seg);

/*
 * Check a whole static-PIE kernel in memory: everything above, plus segments sorted, on pages of
 * their own, inside the file and W^X; a dynamic section; no interpreter.
 */
enum elf_error elf_parse_kernel(const void *file, uint64_t len, struct elf_image *img);

/*
 * Apply the kernel's relative relocations to its loaded copy.
 * => `copy` holds img->end - img->start bytes, laid out from img->start on, .bss zeroed
 * => on an error the copy is spoiled; *bad_type is the type met for ELF_BAD_RELOC
 */
enum elf_error elf_relocate(const struct elf_image *img, void *copy, uint64_t slide,
			    uint32_t *bad_type);

/* A short reason for people: "not an ELF file". */
const char *elf_error_text(enum elf_error err);

#endif
