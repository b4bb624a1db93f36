/*
 * test_elf.h - a small static-PIE ELF file as a C structure: loader_test breaks it field by field,
 * efi_test boots it.
 */
#ifndef TEST_HOST_TEST_ELF_H
#define TEST_HOST_TEST_ELF_H

#include <stdint.h>
#include <string.h>
#include <loader/elf.h>

struct test_phdr {
	uint32_t type, flags;
	uint64_t offset, vaddr, paddr, filesz, memsz, align;
};

struct test_elf {
	uint8_t ident[16];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, phoff, shoff;
	uint32_t flags;
	uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
	struct test_phdr ph[5];
	uint8_t pad[0x3000 - 64 - 5 * 56];
};

_Static_assert(sizeof(struct test_elf) == 0x3000, "layout of the test file");

/* Text with the headers, data with a dynamic section and .bss, an NX stack. */
static inline void make_elf(struct test_elf *e, uint64_t base)
{
	uint64_t *dyn;

	memset(e, 0, sizeof(*e));
	memcpy(e->ident, "\177ELF\2\1\1", 7);
	e->type = 3;
	e->machine = 62;
	e->version = 1;
	e->entry = base + 0x1010;
	e->phoff = 64;
	e->ehsize = 64;
	e->phentsize = 56;
	e->phnum = 5;
	e->ph[0] = (struct test_phdr){ 1, ELF_R, 0, base, 0, 0x400, 0x400, 4096 };
	e->ph[1] = (struct test_phdr){ 1, ELF_R | ELF_X, 0x1000, base + 0x1000, 0, 0x800, 0x800, 4096 };
	e->ph[2] = (struct test_phdr){ 1, ELF_R | ELF_W, 0x2000, base + 0x2000, 0, 0x1000, 0x2345, 4096 };
	e->ph[3] = (struct test_phdr){ 2, ELF_R | ELF_W, 0x2000, base + 0x2000, 0, 0x40, 0x40, 8 };
	e->ph[4] = (struct test_phdr){ .type = 0x6474e551, .flags = ELF_R | ELF_W };
	dyn = (uint64_t *)((uint8_t *)e + 0x2000);
	dyn[0] = 7;				/* DT_RELA */
	dyn[1] = base + 0x2100;
	dyn[2] = 8;				/* DT_RELASZ: two entries */
	dyn[3] = 48;
	dyn[4] = 9;				/* DT_RELAENT */
	dyn[5] = 24;
	dyn = (uint64_t *)((uint8_t *)e + 0x2100);
	dyn[0] = base + 0x2200;
	dyn[1] = 8;
	dyn[2] = base + 0x1010;
	dyn[3] = base + 0x4340;			/* in .bss */
	dyn[4] = 8;
	dyn[5] = base;
}

#endif
