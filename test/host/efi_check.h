/*
 * efi_check.h - what the tests of the EFI application share: a machine that boots, the look at a
 * finished boot from the kernel's side (by walking the page tables it was given), the look at a
 * failed one.
 */
#ifndef TEST_HOST_EFI_CHECK_H
#define TEST_HOST_EFI_CHECK_H

#include <boot/layout.h>
#include "check.h"
#include "test_elf.h"
#include "fake_efi.h"

#define LINK	LAYOUT_IMAGE_START
#define WB	15ull

static struct test_elf kernel;
static uint8_t initrd[2500000];

static inline void setup(void)
{
	uint32_t i;

	make_elf(&kernel, LINK);
	for (i = 0; i < sizeof(initrd); i++)
		initrd[i] = (uint8_t)(i * 7 + i / 251);
	fake_init(&kernel, sizeof(kernel), initrd, sizeof(initrd));
}

/* ---- the kernel's view ---- */

/* Walk the tables: physical address of virt, *entry the last entry; 0 when not mapped. */
static inline uint64_t walk(uint64_t virt, uint64_t *entry)
{
	uint64_t table = fake.jump.root, e = 0, shift;

	for (shift = fake.jump.la57 ? 48 : 39; shift >= 12; shift -= 9) {
		e = ((uint64_t *)table)[virt >> shift & 511];
		*entry = e;
		if (!(e & 1))
			return 0;
		if (shift == 12 || (e & 0x80))
			return (e & 0x000ffffffffff000ull & ~((1ull << shift) - 1)) |
			       (virt & ((1ull << shift) - 1));
		table = e & 0x000ffffffffff000ull;
	}
	return 0;
}

static inline bool writable(uint64_t entry)
{
	return entry & 2;
}

static inline bool executable(uint64_t entry)
{
	return !(entry >> 63);
}

static inline struct handoff *find_handoff(void)
{
	uint64_t entry;

	return (struct handoff *)walk(fake.jump.handoff, &entry);
}

/* The region that holds addr, or NULL. */
static inline const struct handoff_region *region_of(uint64_t addr)
{
	struct handoff *h = find_handoff();
	const struct handoff_region *r = (void *)h->regions;
	uint32_t i;

	for (i = 0; i < h->nr_regions; i++)
		if (addr >= r[i].base && addr - r[i].base < r[i].npages * 4096)
			return &r[i];
	return NULL;
}

static inline uint32_t type_of(uint64_t addr)
{
	const struct handoff_region *r = region_of(addr);

	return r ? r->type : 0;
}

static inline void check_regions(const struct handoff *h)
{
	const struct handoff_region *r = (void *)h->regions;
	uint64_t last = 0, entry, probe;
	uint32_t i;

	for (i = 0; i < h->nr_regions; i++) {
		CHECK(r[i].npages && !(r[i].base & 4095));
		CHECK(r[i].base >= last);
		CHECK(r[i].type >= HANDOFF_MEM_USABLE && r[i].type < HANDOFF_MEM_NR);
		if (i && r[i].base == last)
			CHECK(r[i].type != r[i - 1].type || r[i].flags != r[i - 1].flags);
		last = r[i].base + r[i].npages * 4096;
		if (r[i].flags & HANDOFF_REGION_DIRECT) {
			for (probe = r[i].base; probe < last; probe += (r[i].npages / 7 + 1) * 4096) {
				CHECK_EQ(walk(h->direct_virt + probe, &entry), probe);
				CHECK(writable(entry) && !executable(entry));
			}
			CHECK_EQ(walk(h->direct_virt + last - 1, &entry), last - 1);
			CHECK(last <= h->direct_len);
		}
		if (r[i].type <= HANDOFF_MEM_BOOT_SERVICES)
			CHECK(r[i].flags & HANDOFF_REGION_DIRECT);
	}
	CHECK_EQ(type_of((uint64_t)h), HANDOFF_MEM_LOADER);
	CHECK_EQ(type_of(h->initrd), HANDOFF_MEM_LOADER);
	CHECK_EQ(type_of(h->initrd + h->initrd_len - 1), HANDOFF_MEM_LOADER);
	CHECK_EQ(type_of(h->regions), HANDOFF_MEM_LOADER);
	CHECK_EQ(type_of(h->efi_map), HANDOFF_MEM_LOADER);
	CHECK_EQ(type_of(h->cmdline), HANDOFF_MEM_LOADER);
	CHECK_EQ(type_of(h->stack), HANDOFF_MEM_LOADER);
	CHECK_EQ(type_of(h->kernel_phys), HANDOFF_MEM_KERNEL);
	CHECK_EQ(type_of(h->kernel_phys + h->kernel_size - 1), HANDOFF_MEM_KERNEL);
	CHECK_EQ(type_of(h->root_pt_phys), HANDOFF_MEM_PAGE_TABLES);
	CHECK(type_of(0) != HANDOFF_MEM_USABLE);
}

static inline void check_image(const struct handoff *h)
{
	uint64_t entry, v;

	CHECK_EQ(h->kernel_virt, LINK + h->kernel_slide);
	CHECK_EQ(h->kernel_slide % LAYOUT_IMAGE_STEP, 0);
	CHECK(h->kernel_virt + h->kernel_size <= LAYOUT_IMAGE_END);
	CHECK_EQ(h->kernel_phys % LAYOUT_IMAGE_STEP, 0);
	CHECK_EQ(fake.jump.entry, LINK + 0x1010 + h->kernel_slide);
	CHECK_EQ(walk(fake.jump.entry, &entry), h->kernel_phys + 0x1010);
	CHECK(executable(entry) && !writable(entry));
	CHECK_EQ(walk(h->kernel_virt, &entry), h->kernel_phys);
	CHECK(!executable(entry) && !writable(entry));
	CHECK_EQ(walk(h->kernel_virt + 0x4340, &entry), h->kernel_phys + 0x4340);
	CHECK(!executable(entry) && writable(entry));
	CHECK(!walk(h->kernel_virt + h->kernel_size, &entry));
	memcpy(&v, (void *)(h->kernel_phys + 0x2200), 8);
	CHECK_EQ(v, LINK + 0x1010 + h->kernel_slide);
	memcpy(&v, (void *)(h->kernel_phys + 0x4338), 8);
	CHECK_EQ(v, 0);
	CHECK_EQ(walk(arch_switch_code(), &entry), arch_switch_code());
	CHECK(executable(entry) && !writable(entry));
}

/* What must hold after every successful boot. */
static inline void check_good_boot(void)
{
	struct handoff *h;
	uint64_t entry;

	CHECK(!fake.broken_rule);
	if (fake.broken_rule)
		printf("  %s\n", fake.broken_rule);
	CHECK(fake.jumped && fake.exits == 1 && fake.irq_off && fake.watchdog_first);
	CHECK(!fake.open_files && !fake.pools);
	CHECK_OR_RETURN(fake.jumped);
	h = find_handoff();
	CHECK_OR_RETURN(h);
	CHECK_EQ(h->magic, HANDOFF_MAGIC);
	CHECK_EQ(h->version, HANDOFF_VERSION);
	CHECK_EQ(h->size, sizeof(*h));
	CHECK_EQ(fake.jump.handoff, h->direct_virt + (uint64_t)h);
	CHECK_EQ(fake.jump.root, h->root_pt_phys);
	CHECK_EQ(fake.jump.stack, h->direct_virt + h->stack + h->stack_len);
	CHECK_EQ(fake.jump.stack % 16, 0);
	CHECK_EQ(walk(fake.jump.stack - 8, &entry), h->stack + h->stack_len - 8);
	CHECK_EQ(h->direct_virt % LAYOUT_DIRECT_STEP, 0);
	CHECK_EQ(h->paging_levels, fake.jump.la57 ? 5 : 4);
	CHECK_EQ(!fake.jump.switch_page, (bool)fake.jump.la57 == fake.la57);
	CHECK(h->direct_virt >= (fake.jump.la57 ? LAYOUT_DIRECT5_START : LAYOUT_DIRECT_START));
	CHECK(h->direct_virt + h->direct_len <= (fake.jump.la57 ? LAYOUT_DIRECT5_END : LAYOUT_DIRECT_END));
	CHECK(h->tsc_entry < h->tsc_exit && h->tsc_exit < h->tsc_jump);
	check_regions(h);
	check_image(h);
}

static inline void boot_good(void)
{
	CHECK_EQ(fake_boot(), EFI_SUCCESS);
	check_good_boot();
}

/* Boot fails with `status`, says `sentence`, and everything is given back. */
static inline void boot_bad(EFI_STATUS status, const char *sentence)
{
	EFI_STATUS got = fake_boot();

	fake.console[fake.console_len] = 0;
	CHECK_EQ(got, status);
	CHECK(!fake.jumped && !fake.exits);
	CHECK(strstr(fake.console, "Quoin loader: "));
	if (!strstr(fake.console, sentence))
		CHECK_STR(fake.console, sentence);
	CHECK_EQ(fake_pages_held(), 0);
	CHECK_EQ(fake.open_files, 0);
	CHECK_EQ(fake.pools, 0);
}

/* A graphics device with a framebuffer of its mode's size. */
static inline void add_gop(uint32_t format, uint64_t base, uint32_t width, uint32_t height, uint32_t scan)
{
	struct fake_gop *g = &fake.gops[fake.nr_gops++];

	g->info = (EFI_GRAPHICS_OUTPUT_MODE_INFORMATION){
		.HorizontalResolution = width, .VerticalResolution = height,
		.PixelFormat = format, .PixelsPerScanLine = scan,
	};
	g->mode = (EFI_GRAPHICS_OUTPUT_PROTOCOL_MODE){
		.Info = &g->info, .FrameBufferBase = base, .FrameBufferSize = scan * height * 4ull,
	};
	g->gop.Mode = &g->mode;
}

#endif
