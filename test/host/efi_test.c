/*
 * The EFI application against a fake firmware: a good boot looked at from the kernel's side, every
 * quirk of docs/design/boot.md that belongs to the loader, and every failure with its sentence.
 */
// SOURCES: test/host/fake_efi.c efi/main.c efi/console.c efi/pages.c efi/file.c efi/cmdline.c
// SOURCES: efi/tables.c efi/graphics.c efi/entropy.c efi/kernel.c efi/memmap.c efi/paging.c
// SOURCES: efi/exit.c loader/elf.c
// CFLAGS: -DGNU_EFI_USE_MS_ABI -fshort-wchar -mms-bitfields
// CFLAGS: -isystem /usr/include/efi -isystem /usr/include/efi/x86_64
#include "efi_check.h"

/* ---- good boots ---- */

static void plain_boot(void)
{
	struct handoff *h;

	setup();
	boot_good();
	h = find_handoff();
	CHECK_EQ(h->initrd_len, sizeof(initrd));
	CHECK(!memcmp((void *)h->initrd, initrd, sizeof(initrd)));
	CHECK_EQ(h->cmdline_len, 0);
	CHECK_EQ(h->kaslr_flags, HANDOFF_KASLR_IMAGE | HANDOFF_KASLR_DIRECT);
	CHECK_EQ(h->kaslr_off_reason, 0);
	CHECK_EQ(h->entropy_good, 64);
	CHECK_EQ(h->entropy_sources, HANDOFF_ENTROPY_RDRAND | HANDOFF_ENTROPY_TSC);
	CHECK_EQ(h->efi_map_stride, 48);
	CHECK_EQ(h->trampoline, 0x9d000);
	CHECK_EQ(type_of(h->trampoline), HANDOFF_MEM_RESERVED);
	CHECK(region_of(h->trampoline)->flags & HANDOFF_REGION_DIRECT);
	CHECK_EQ(type_of(0x9f000), HANDOFF_MEM_RESERVED);
	CHECK_EQ(type_of(0x800000), HANDOFF_MEM_ACPI_RECLAIM);
	CHECK_EQ(type_of(0xffc00000), HANDOFF_MEM_MMIO);
	CHECK(!h->rsdp && !h->smbios && !h->fb.base);
	fake.console[fake.console_len] = 0;
	CHECK_STR(fake.console, "Quoin loader: kernel 20 KiB, initrd 2.3 MiB, memory to 288 MiB, "
		  "KASLR on\n");
}

static void kaslr_moves(void)
{
	uint64_t slides[8], bases[8];
	uint32_t i, k, same = 0;

	for (i = 0; i < 8; i++) {
		setup();
		boot_good();
		slides[i] = find_handoff()->kernel_slide;
		bases[i] = find_handoff()->direct_virt;
		for (k = 0; k < i; k++)
			same += slides[k] == slides[i] || bases[k] == bases[i];
	}
	CHECK(same < 3);
}

static void no_kaslr(void)
{
	struct handoff *h;

	setup();
	fake.options = u"quiet nokaslr";
	fake.options_size = 28;
	boot_good();
	h = find_handoff();
	CHECK_EQ(h->kernel_slide, 0);
	CHECK_EQ(h->direct_virt, LAYOUT_DIRECT_START);
	CHECK_EQ(h->kaslr_flags, 0);
	CHECK_EQ(h->kaslr_off_reason, HANDOFF_KASLR_OFF_CMDLINE);
	/* Without randomness the reason is another one. */
	setup();
	fake.rdrand = false;
	boot_good();
	h = find_handoff();
	CHECK_EQ(h->kernel_slide, 0);
	CHECK_EQ(h->kaslr_off_reason, HANDOFF_KASLR_OFF_ENTROPY);
	CHECK_EQ(h->entropy_good, 0);
}

static void check_cmdline(const void *options, uint32_t size, const char *file, const char *want)
{
	setup();
	fake.options = options;
	fake.options_size = size;
	if (file)
		fake.files[fake.nr_files++] = (struct fake_file){
			.path = APP_CMDLINE_PATH, .data = file, .len = strlen(file),
			.info_size = strlen(file),
		};
	boot_good();
	CHECK_STR((const char *)find_handoff()->cmdline, want);
	CHECK_EQ(find_handoff()->cmdline_len, strlen(want));
}

static void command_lines(void)
{
	static const uint8_t guid[16] = { 0x4e, 0xac, 0x08, 0x81, 0x11, 0x9f, 0x59, 0x4d,
					  0x85, 0x0e, 0xe2, 0x1a, 0x52, 0x2c, 0x59, 0xb2 };
	static CHAR16 odd[9] = u"a=1 b=2";

	check_cmdline(NULL, 0, NULL, "");
	check_cmdline(NULL, 0, "root=1 \r\nquiet\n", "root=1   quiet");
	check_cmdline(NULL, 0, "\xef\xbb\xbf" "quiet", "quiet");
	check_cmdline(NULL, 0, "", "");
	check_cmdline(u"a=1", 8, "file", "a=1");
	check_cmdline(u"a=1", 6, "file", "a=1");		/* no NUL */
	check_cmdline(u"  \t", 8, "file", "file");
	check_cmdline(guid, 16, "file", "file");		/* the firmware's own entry */
	check_cmdline(odd, 7, "file", "file");			/* odd size */
	check_cmdline((uint8_t *)odd + 1, 14, "file", "file");	/* not text, not aligned */
	check_cmdline(u"FS0:\\BOOTX64.EFI a b", 42, "file", "a b");
	check_cmdline(u"BOOTX64.EFI", 24, "file", "file");
}

/* ---- quirks, by their row in docs/design/boot.md ---- */

static void quirk_1_stale_map_key(void)
{
	uint32_t n;

	for (n = 1; n <= 20; n++) {
		setup();
		fake.stale_exits = n;
		boot_good();
		CHECK_EQ(fake.exit_tries, n + 1);
		CHECK_EQ(fake.page_allocs_in_exit, 0);
	}
	setup();
	fake.exit_error = EFI_INVALID_PARAMETER;
	boot_bad(EFI_INVALID_PARAMETER, "cannot leave boot services after 64 tries: invalid");
	setup();
	fake.exit_error = EFI_ACCESS_DENIED;
	boot_bad(EFI_ACCESS_DENIED, "cannot leave boot services");
}

static void quirk_2_map_grows(void)
{
	setup();
	fake.grow = 40;
	boot_good();
	CHECK_EQ(fake.page_allocs_in_exit, 0);
	setup();
	fake.stale_exits = 4;
	fake.grow_in_exit = 40;
	boot_good();
	CHECK(fake.page_allocs_in_exit > 0);
}

static void quirk_3_descriptor_size(void)
{
	static const uint64_t strides[] = { 40, 48, 56, 64, 104 };
	uint32_t i;

	for (i = 0; i < 5; i++) {
		setup();
		fake.stride = strides[i];
		boot_good();
		CHECK_EQ(find_handoff()->efi_map_stride, strides[i]);
		CHECK_EQ(type_of(0x800000), HANDOFF_MEM_ACPI_RECLAIM);
	}
	setup();
	fake.stride = 32;
	boot_bad(EFI_INCOMPATIBLE_VERSION, "cannot get the memory map");
}

/* 4 (memory types) and 6 (no fixed addresses) are rules the fake checks in every boot. */

static void quirk_5_four_hundred_entries(void)
{
	struct handoff *h;
	uint32_t i;

	setup();
	for (i = 0; i < 400; i++)
		fake_memory(i % 3 ? EfiConventionalMemory : EfiBootServicesData,
			    0x100000000ull + (399 - i) * 0x200000ull, 1 + i % 500, WB);
	boot_good();
	h = find_handoff();
	CHECK(h->nr_regions > 400);
	CHECK_EQ(type_of(0x100000000ull + 398 * 0x200000ull), HANDOFF_MEM_USABLE);
	CHECK_EQ(type_of(0x100000000ull + 399 * 0x200000ull), HANDOFF_MEM_BOOT_SERVICES);
}

static void quirk_5_overlaps(void)
{
	const uint64_t at = 0x100000000ull, page = 4096;

	setup();
	fake_memory(EfiConventionalMemory, at, 100, WB);
	fake_memory(EfiReservedMemoryType, at + 10 * page, 10, WB);		/* nested */
	fake_memory(EfiRuntimeServicesData, at + 15 * page, 10, WB);		/* overlapping that */
	fake_memory(EfiConventionalMemory, at + 90 * page, 20, WB);		/* overlapping twice */
	fake_memory(EfiUnusableMemory, at + 50 * page, 0, WB);			/* empty */
	fake_memory(EfiUnusableMemory, at + 60 * page, 1, WB);
	fake_memory(EfiConventionalMemory, at + 60 * page, 1, WB);		/* same again */
	fake_memory(EfiConventionalMemory, at + 120 * page + 100, 3, WB);	/* not aligned */
	fake_memory(EfiReservedMemoryType, at + 130 * page + 100, 1, WB);
	fake_memory(EfiConventionalMemory, at + 129 * page, 5, WB);
	fake_memory(EfiReservedMemoryType, UINT64_MAX - 4095, 5, WB);		/* wraps */
	fake_memory(EfiReservedMemoryType, 1ull << 51, UINT64_MAX, WB);
	fake_memory(0x80000001, at + 70 * page, 1, WB);				/* firmware's own */
	fake_memory(EfiConventionalMemory, at + 80 * page, 1, EFI_MEMORY_UC);
	fake_memory(EfiConventionalMemory, at + 140 * page, 2, EFI_MEMORY_UC);	/* not cacheable */
	fake_memory(EfiConventionalMemory, at + 150 * page, 2, 0);		/* says nothing */
	fake_memory(EfiConventionalMemory, at + 160 * page, 2, WB | EFI_MEMORY_RUNTIME);
	boot_good();
	CHECK_EQ(type_of(at + 9 * page), HANDOFF_MEM_USABLE);
	CHECK_EQ(type_of(at + 10 * page), HANDOFF_MEM_RESERVED);
	CHECK_EQ(type_of(at + 19 * page), HANDOFF_MEM_RESERVED);
	CHECK_EQ(type_of(at + 20 * page), HANDOFF_MEM_RUNTIME_DATA);
	CHECK_EQ(type_of(at + 25 * page), HANDOFF_MEM_USABLE);
	CHECK_EQ(type_of(at + 50 * page), HANDOFF_MEM_USABLE);
	CHECK_EQ(type_of(at + 60 * page), HANDOFF_MEM_UNUSABLE);
	CHECK_EQ(type_of(at + 70 * page), HANDOFF_MEM_RESERVED);
	CHECK_EQ(type_of(at + 80 * page), HANDOFF_MEM_RESERVED);
	CHECK_EQ(type_of(at + 109 * page), HANDOFF_MEM_USABLE);
	CHECK_EQ(type_of(at + 110 * page), 0);
	CHECK_EQ(type_of(at + 120 * page), 0);			/* usable memory rounds inwards */
	CHECK_EQ(type_of(at + 122 * page), HANDOFF_MEM_USABLE);
	CHECK_EQ(type_of(at + 123 * page), 0);
	CHECK_EQ(type_of(at + 131 * page), HANDOFF_MEM_RESERVED);	/* the rest outwards */
	CHECK_EQ(type_of(at + 132 * page), HANDOFF_MEM_USABLE);
	CHECK_EQ(type_of(at + 140 * page), HANDOFF_MEM_RESERVED);
	CHECK_EQ(type_of(at + 150 * page), HANDOFF_MEM_USABLE);
	CHECK_EQ(type_of(at + 160 * page), HANDOFF_MEM_RUNTIME_DATA);
}

static void quirk_6_address_zero(void)
{
	setup();
	fake.zero_page = true;
	boot_good();
}

static void large_memory(void)
{
	struct handoff *h;
	uint64_t entry;

	setup();
	fake_memory(EfiConventionalMemory, 0x100000000ull, 0x200000, WB);	/* 4..12 GiB */
	fake_memory(EfiConventionalMemory, 0x100000000000ull - 0x200000, 0x400, WB); /* over 16 TiB */
	boot_good();
	h = find_handoff();
	CHECK_EQ(h->direct_len, LAYOUT_DIRECT_MAX);
	CHECK_EQ(type_of(0x100000000000ull), HANDOFF_MEM_RESERVED);
	CHECK_EQ(walk(h->direct_virt + 0x140001234ull, &entry), 0x140001234ull);
	CHECK(entry & 0x80);
	CHECK(walk(h->direct_virt + 0x140000000ull + (1 << 29), &entry) && (entry & 0x80));
	/* The same without 1 GiB pages: the next level is a table of 2 MiB pages. */
	setup();
	fake.no_gib = true;
	fake_memory(EfiConventionalMemory, 0x100000000ull, 0x200000, WB);
	boot_good();
	CHECK_EQ(walk(find_handoff()->direct_virt + 0x140201234ull, &entry), 0x140201234ull);
	CHECK(entry & 0x80);
}

static void quirk_7_no_low_memory(void)
{
	setup();
	fake.extra[0].Type = EfiReservedMemoryType;
	boot_good();
	CHECK(strstr(fake.console, "the other CPUs cannot be started"));
	CHECK_EQ(find_handoff()->trampoline, 0);
	/* One page is not two, page 0 is none. */
	setup();
	fake.extra[0].NumberOfPages = 2;
	boot_good();
	CHECK_EQ(find_handoff()->trampoline, 0);
	/* Boot-services memory serves when there is no other. */
	setup();
	fake.extra[0].Type = EfiBootServicesData;
	boot_good();
	CHECK_EQ(find_handoff()->trampoline, 0x9d000);
}

static void quirk_8_file_reads(void)
{
	static const uint64_t sizes[] = { 0, 1, 4096, 5000, sizeof(initrd) * 3, UINT64_MAX };
	uint32_t i;

	setup();
	fake.max_read = 1 << 20;
	boot_good();
	setup();
	fake.short_read = 4097;
	boot_good();
	CHECK(!memcmp((void *)find_handoff()->initrd, initrd, sizeof(initrd)));
	/* Whatever the firmware says the size is. */
	for (i = 0; i < 6; i++) {
		setup();
		fake.files[0].info_size = sizes[i];
		fake.files[1].info_size = sizes[i];
		boot_good();
		CHECK_EQ(find_handoff()->initrd_len, sizeof(initrd));
		CHECK(!memcmp((void *)find_handoff()->initrd, initrd, sizeof(initrd)));
	}
	setup();
	fake.files[1].no_info = true;
	boot_good();
	/* A length that is a whole number of pages. */
	setup();
	fake.files[1].len = fake.files[1].info_size = 1 << 20;
	boot_good();
	CHECK_EQ(find_handoff()->initrd_len, 1 << 20);
}

/* 9: check_good_boot looks at watchdog_first. 10 (sections, NX_COMPAT) is pe_test.c. */

static void set_cmdline(const char *text)
{
	fake.files[fake.nr_files++] = (struct fake_file){ .path = APP_CMDLINE_PATH, .data = (void *)text,
							  .len = strlen(text), .info_size = strlen(text) };
}

/* 5 levels: as the firmware has it, or as the command line says where the CPU can. */
static void five_levels(void)
{
	uint64_t entry;

	setup();
	fake.la57 = true;
	boot_good();
	CHECK(fake.jump.la57 && !fake.jump.switch_page);
	CHECK(((uint64_t *)fake.jump.root)[511] & 1);	/* image */
	CHECK(walk(find_handoff()->kernel_virt, &entry));
	setup();
	fake.can_la57 = true;
	set_cmdline("quiet la57");
	boot_good();
	CHECK(fake.jump.la57 && fake.jump.switch_page && fake.jump.root < 1ull << 32);
	CHECK_EQ(walk(fake.jump.switch_page, &entry), fake.jump.switch_page);
	CHECK(executable(entry) && !writable(entry));
	setup();
	fake.can_la57 = true;
	boot_good();
	CHECK(!fake.jump.la57);
	setup();
	set_cmdline("la57");
	boot_good();
	CHECK(!fake.jump.la57);	/* the CPU cannot */
	setup();
	fake.can_la57 = true;
	set_cmdline("la57 no5lvl");
	boot_good();
	CHECK(!fake.jump.la57 && !fake.jump.switch_page);
}

static void quirk_18_la57(void)
{
	uint64_t entry;

	setup();
	fake.la57 = true;
	set_cmdline("nola57");
	boot_good();
	CHECK(!fake.jump.la57);
	CHECK(fake.jump.switch_page && fake.jump.switch_page + 8192 <= 1ull << 32);
	CHECK(fake.jump.root < 1ull << 32);
	CHECK_EQ(walk(fake.jump.switch_page, &entry), fake.jump.switch_page);
	CHECK(executable(entry) && !writable(entry));
	CHECK_EQ(walk(fake.jump.switch_page + 4096, &entry), fake.jump.switch_page + 4096);
	CHECK(writable(entry) && !executable(entry));
}

/* ---- failures ---- */

static void failures_of_files(void)
{
	setup();
	fake.nr_files = 0;
	boot_bad(EFI_NOT_FOUND, "cannot read \\EFI\\quoin\\kernel.elf: not found (EFI status 14)");
	setup();
	fake.nr_files = 1;
	boot_bad(EFI_NOT_FOUND, "no initrd: neither \\EFI\\quoin\\initrd.img nor the LoadFile2");
	setup();
	fake.no_volume = true;
	boot_bad(EFI_NOT_FOUND, "the device we were loaded from has no file system");
	setup();
	fake.files[0].len = fake.files[0].info_size = 0;
	boot_bad(EFI_LOAD_ERROR, "\\EFI\\quoin\\kernel.elf is empty");
	setup();
	fake.files[1].len = 0;
	boot_bad(EFI_LOAD_ERROR, "the initrd is empty");
	setup();
	fake.files[0].directory = true;
	boot_bad(EFI_NOT_FOUND, "kernel.elf");
	setup();
	fake.files[1].read_error_at = 1 << 20;
	boot_bad(EFI_DEVICE_ERROR, "cannot read \\EFI\\quoin\\initrd.img: device error");
	setup();
	fake.files[0].read_error_at = 1;
	boot_bad(EFI_DEVICE_ERROR, "cannot read \\EFI\\quoin\\kernel.elf: device error");
	setup();
	fake.no_image_protocol = true;
	boot_bad(EFI_UNSUPPORTED, "loaded image protocol");
}

static void failures_of_the_kernel(void)
{
	static char long_line[5000];
	uint64_t n;

	for (n = 1; n < sizeof(kernel); n += 97) {
		setup();
		fake.files[0].len = fake.files[0].info_size = n;
		boot_bad(EFI_LOAD_ERROR, n < 4 ? "truncated" : "\\EFI\\quoin\\kernel.elf: ");
	}
	setup();
	memcpy(&kernel, "MZ\0\0", 4);
	boot_bad(EFI_LOAD_ERROR, "kernel.elf: not an ELF file");
	setup();
	kernel.ph[1].flags |= ELF_W;
	boot_bad(EFI_LOAD_ERROR, "a segment is both writable and executable");
	setup();
	((uint64_t *)&kernel)[0x2108 / 8] = 1;
	boot_bad(EFI_LOAD_ERROR, "unsupported relocation (type 1)");
	setup();
	make_elf(&kernel, 0x200000);
	boot_bad(EFI_LOAD_ERROR, "is linked at 0x200000, not in the kernel's window");
	setup();
	fake.no_nx = true;
	boot_bad(EFI_UNSUPPORTED, "this CPU has no NX");
	setup();
	memset(long_line, 'x', 4999);
	fake.files[fake.nr_files++] = (struct fake_file){ .path = APP_CMDLINE_PATH,
							  .data = long_line, .len = 4999 };
	boot_bad(EFI_BAD_BUFFER_SIZE, "cmdline.txt is longer than 4095 bytes");
}

static void initrd_by_protocol(void)
{
	setup();
	fake.nr_files = 1;
	fake.load_file2 = initrd;
	fake.load_file2_len = 1234567;
	boot_good();
	CHECK_EQ(find_handoff()->initrd_len, 1234567);
	CHECK(!memcmp((void *)find_handoff()->initrd, initrd, 1234567));
	/* The file wins. */
	setup();
	fake.load_file2 = initrd;
	fake.load_file2_len = 1000;
	boot_good();
	CHECK_EQ(find_handoff()->initrd_len, sizeof(initrd));
	setup();
	fake.nr_files = 1;
	fake.load_file2 = initrd;
	boot_bad(EFI_OUT_OF_RESOURCES, "LoadFile2");
}

static void no_console(void)
{
	setup();
	fake.no_console = true;
	boot_good();
	setup();
	fake.no_console = true;
	fake.nr_files = 0;
	CHECK_EQ(fake_boot(), EFI_NOT_FOUND);
	CHECK_EQ(fake_pages_held(), 0);
}

/* Each allocation in turn fails: the boot goes on without what was optional, or ends cleanly. */
static void every_allocation_fails(void)
{
	uint32_t n, failures = 0;
	EFI_STATUS status;

	for (n = 1; n < 200; n++) {
		setup();
		fake.la57 = n & 1;	/* and nola57: it has to change */
		fake.files[1].info_size = 0;
		fake.files[fake.nr_files++] = (struct fake_file){ .path = APP_CMDLINE_PATH,
								  .data = "quiet nola57", .len = 12 };
		add_gop(PixelRedGreenBlueReserved8BitPerColor, 0xc0000000, 800, 600, 800);
		fake.fail_at = n;
		status = fake_boot();
		fake.console[fake.console_len] = 0;
		if (status == EFI_SUCCESS) {
			check_good_boot();
			if (fake.allocations < n)
				break;
			continue;
		}
		failures++;
		CHECK(strstr(fake.console, "Quoin loader: "));
		CHECK_EQ(fake_pages_held(), 0);
		CHECK_EQ(fake.open_files, 0);
		CHECK_EQ(fake.pools, 0);
		CHECK(!fake.jumped);
	}
	CHECK(n < 200 && failures > 8);
}

/* Random maps: the regions must hold the rules of check_regions whatever comes. */
static void random_maps(void)
{
	uint32_t round, i, n;

	for (round = 0; round < 60; round++) {
		setup();
		n = (uint32_t)check_rand_below(120);
		for (i = 0; i < n; i++)
			fake_memory((uint32_t)check_rand_below(18),
				    0x100000000ull + check_rand_below(4000) * 4096 +
				    (check_rand_below(10) ? 0 : check_rand_below(4096)),
				    check_rand_below(40), check_rand_below(8) ? WB : check_rand() & 15);
		fake.stale_exits = (uint32_t)check_rand_below(3);
		boot_good();
	}
}

int main(void)
{
	RUN(plain_boot);
	RUN(kaslr_moves);
	RUN(no_kaslr);
	RUN(command_lines);
	RUN(quirk_1_stale_map_key);
	RUN(quirk_2_map_grows);
	RUN(quirk_3_descriptor_size);
	RUN(quirk_5_four_hundred_entries);
	RUN(quirk_5_overlaps);
	RUN(quirk_6_address_zero);
	RUN(large_memory);
	RUN(quirk_7_no_low_memory);
	RUN(quirk_8_file_reads);
	RUN(five_levels);
	RUN(quirk_18_la57);
	RUN(failures_of_files);
	RUN(failures_of_the_kernel);
	RUN(initrd_by_protocol);
	RUN(no_console);
	RUN(every_allocation_fails);
	RUN(random_maps);
	return check_done();
}
