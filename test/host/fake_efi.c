/*
 * The fake firmware; see fake_efi.h. Services the application does not use stay NULL: calling one
 * is a crash that names itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "fake_efi.h"

struct fake fake;

static EFI_SYSTEM_TABLE st;
static EFI_BOOT_SERVICES bs;
static EFI_LOADED_IMAGE self;
static SIMPLE_TEXT_OUTPUT_INTERFACE con;
static EFI_FILE_IO_INTERFACE volume;
static EFI_RNG_PROTOCOL rng;
static uint8_t switch_code[4096] __attribute__((aligned(4096)));

/* Handles are addresses of these. */
static char image_handle, device_handle, initrd_handle;

/* EFI_LOAD_FILE2_PROTOCOL, which gnu-efi lacks. */
static struct {
	EFI_STATUS (EFIAPI *load)(void *self, EFI_DEVICE_PATH *path, BOOLEAN policy, UINTN *size,
				  void *buf);
} load_file2;

struct open_file {
	EFI_FILE file;
	const struct fake_file *from;	/* NULL: the volume's root */
	uint64_t at;
};

/* Every service begins here. */
static void called(bool memory_service)
{
	fake.calls++;
	if (fake.exits)
		fake.broken_rule = "a boot service was called after ExitBootServices";
	else if (fake.exit_tries && !memory_service && !fake.broken_rule)
		fake.broken_rule = "a service was called between two tries of ExitBootServices";
}

/* Shall this allocation fail? */
static bool starve(void)
{
	return ++fake.allocations == fake.fail_at;
}

/* ---- memory ---- */

static void set_type(uint64_t addr, uint64_t n, uint8_t type)
{
	memset(fake.page_type + (addr - FAKE_ARENA) / 4096, type, n);
	fake.map_key++;
}

/* Highest run of n free pages that ends at or below `limit`; 0 when there is none. */
static uint64_t find_pages(uint64_t n, uint64_t limit)
{
	uint64_t run = 0, i = FAKE_ARENA_PAGES;

	while (i-- > 0) {
		run = fake.page_type[i] == EfiConventionalMemory &&
		      FAKE_ARENA + (i + 1) * 4096 <= limit ? run + 1 : 0;
		if (run == n)
			return FAKE_ARENA + i * 4096;
	}
	return 0;
}

static EFI_STATUS EFIAPI allocate_pages(EFI_ALLOCATE_TYPE how, EFI_MEMORY_TYPE type, UINTN n,
					EFI_PHYSICAL_ADDRESS *addr)
{
	uint64_t found;

	called(true);
	if (fake.exit_tries)
		fake.page_allocs_in_exit++;
	if (how == AllocateAddress)
		fake.broken_rule = "a fixed address was asked for";
	if (type != EfiLoaderData && type != EfiLoaderCode)
		fake.broken_rule = "a memory type that is not the loader's";
	if (starve())
		return EFI_OUT_OF_RESOURCES;
	if (fake.zero_page) {
		fake.zero_page = false;
		*addr = 0;
		return EFI_SUCCESS;
	}
	found = find_pages(n, how == AllocateMaxAddress ? *addr + 1 : UINT64_MAX);
	if (!found || !n)
		return EFI_OUT_OF_RESOURCES;
	set_type(found, n, (uint8_t)type);
	memset((void *)found, 0xa5, n * 4096);
	*addr = found;
	return EFI_SUCCESS;
}

static EFI_STATUS EFIAPI free_pages(EFI_PHYSICAL_ADDRESS addr, UINTN n)
{
	uint64_t i;

	called(true);
	if (!addr)
		return EFI_SUCCESS;
	for (i = 0; i < n; i++)
		if (fake.page_type[(addr - FAKE_ARENA) / 4096 + i] != EfiLoaderData)
			fake.broken_rule = "pages were freed that were not allocated";
	set_type(addr, n, EfiConventionalMemory);
	return EFI_SUCCESS;
}

void fake_memory(uint32_t type, uint64_t start, uint64_t npages, uint64_t attribute)
{
	if (fake.nr_extra == FAKE_MAX_EXTRA)
		abort();
	fake.extra[fake.nr_extra++] = (EFI_MEMORY_DESCRIPTOR){
		.Type = type, .PhysicalStart = start, .NumberOfPages = npages,
		.Attribute = attribute,
	};
	fake.map_key++;
}

static void grow_map(uint32_t n)
{
	while (n--)
		fake_memory(EfiBootServicesData, 0x400000000ull + fake.nr_extra * 0x10000ull, 1, 15);
}

/* Describe the arena as runs of equal type. */
static uint32_t describe(EFI_MEMORY_DESCRIPTOR *out)
{
	uint32_t n = fake.nr_extra, i, k;

	memcpy(out, fake.extra, n * sizeof(*out));
	for (i = 0; i < FAKE_ARENA_PAGES; i = k) {
		for (k = i; k < FAKE_ARENA_PAGES && fake.page_type[k] == fake.page_type[i]; k++)
			;
		out[n++] = (EFI_MEMORY_DESCRIPTOR){
			.Type = fake.page_type[i], .PhysicalStart = FAKE_ARENA + i * 4096ull,
			.NumberOfPages = k - i, .Attribute = 15,
		};
	}
	return n;
}

static EFI_STATUS EFIAPI get_memory_map(UINTN *size, EFI_MEMORY_DESCRIPTOR *map, UINTN *key,
					UINTN *stride, UINT32 *version)
{
	static EFI_MEMORY_DESCRIPTOR all[FAKE_MAX_EXTRA + FAKE_ARENA_PAGES];
	uint32_t n, i;
	UINTN need;

	called(true);
	grow_map(fake.grow);
	n = describe(all);
	need = n * fake.stride;
	*stride = fake.stride;
	*version = 1;
	if (*size < need || !map) {
		*size = need;
		return EFI_BUFFER_TOO_SMALL;
	}
	*size = need;
	*key = fake.map_key;
	memset(map, 0xee, need);
	for (i = 0; i < n; i++)
		memcpy((uint8_t *)map + i * fake.stride, &all[i],
		       fake.stride < sizeof(all[i]) ? fake.stride : sizeof(all[i]));
	return EFI_SUCCESS;
}

static EFI_STATUS EFIAPI exit_boot(EFI_HANDLE handle, UINTN key)
{
	called(true);
	fake.exit_tries++;
	if (handle != &image_handle)
		return EFI_INVALID_PARAMETER;
	if (fake.exit_error)
		return fake.exit_error;
	if (fake.stale_exits) {
		fake.stale_exits--;
		grow_map(fake.grow_in_exit);
		fake.map_key++;
	}
	if (key != fake.map_key)
		return EFI_INVALID_PARAMETER;
	fake.exits++;
	return EFI_SUCCESS;
}

static EFI_STATUS EFIAPI free_pool(void *p)
{
	called(false);
	fake.pools--;
	free(p);
	return EFI_SUCCESS;
}

/* ---- files ---- */

static EFI_STATUS EFIAPI file_close(EFI_FILE *f)
{
	called(false);
	fake.open_files--;
	free(f);
	return EFI_SUCCESS;
}

static EFI_STATUS EFIAPI file_read_data(EFI_FILE *f, UINTN *size, void *buf)
{
	struct open_file *of = (struct open_file *)f;
	const struct fake_file *from = of->from;
	uint64_t n = *size;

	called(false);
	if (fake.max_read && n > fake.max_read)
		return EFI_DEVICE_ERROR;
	if (from->read_error_at && of->at + n > from->read_error_at)
		return EFI_DEVICE_ERROR;
	if (fake.short_read && n > fake.short_read)
		n = fake.short_read;
	if (n > from->len - of->at)
		n = from->len - of->at;
	memcpy(buf, (const uint8_t *)from->data + of->at, n);
	of->at += n;
	*size = n;
	return EFI_SUCCESS;
}

static EFI_STATUS EFIAPI file_info(EFI_FILE *f, EFI_GUID *guid, UINTN *size, void *buf)
{
	struct open_file *of = (struct open_file *)f;
	EFI_FILE_INFO *info = buf;

	called(false);
	(void)guid;
	if (of->from->no_info)
		return EFI_UNSUPPORTED;
	if (*size < sizeof(*info) + 40)
		return EFI_BUFFER_TOO_SMALL;
	info->FileSize = of->from->info_size;
	info->Attribute = of->from->directory ? EFI_FILE_DIRECTORY : 0;
	return EFI_SUCCESS;
}

static bool same_path(const CHAR16 *a, const CHAR16 *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

static EFI_STATUS EFIAPI file_open(EFI_FILE *f, EFI_FILE **out, CHAR16 *path, UINT64 mode,
				   UINT64 attributes)
{
	struct open_file *of;
	uint32_t i;

	called(false);
	(void)f;
	(void)attributes;
	if (mode != EFI_FILE_MODE_READ)
		fake.broken_rule = "a file was opened for writing";
	for (i = 0; i < fake.nr_files; i++)
		if (same_path(path, fake.files[i].path))
			break;
	if (i == fake.nr_files)
		return EFI_NOT_FOUND;
	if (starve())
		return EFI_OUT_OF_RESOURCES;
	of = calloc(1, sizeof(*of));
	of->file.Close = file_close;
	of->file.Read = file_read_data;
	of->file.GetInfo = file_info;
	of->from = &fake.files[i];
	fake.open_files++;
	*out = &of->file;
	return EFI_SUCCESS;
}

static EFI_STATUS EFIAPI open_volume(EFI_FILE_IO_INTERFACE *v, EFI_FILE **root)
{
	struct open_file *of;

	called(false);
	(void)v;
	if (starve())
		return EFI_OUT_OF_RESOURCES;
	of = calloc(1, sizeof(*of));
	of->file.Open = file_open;
	of->file.Close = file_close;
	fake.open_files++;
	*root = &of->file;
	return EFI_SUCCESS;
}

static EFI_STATUS EFIAPI load_initrd(void *lf, EFI_DEVICE_PATH *path, BOOLEAN policy, UINTN *size,
				     void *buf)
{
	uint64_t have = *size;

	called(false);
	(void)lf;
	(void)policy;
	if (path->Type != 0x7f)
		fake.broken_rule = "LoadFile2 with a path that is not the remaining one";
	*size = fake.load_file2_len;
	if (!buf || have < fake.load_file2_len)
		return EFI_BUFFER_TOO_SMALL;
	memcpy(buf, fake.load_file2, fake.load_file2_len);
	return EFI_SUCCESS;
}

/* ---- protocols ---- */

static bool is(const EFI_GUID *a, EFI_GUID b)
{
	return !memcmp(a, &b, sizeof(b));
}

#define CONSOLE_DEVICE ((EFI_GUID){ 0xd3b36f2c, 0xd551, 0x11d4, \
				    { 0x9a, 0x46, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d } })
#define LOAD_FILE2 ((EFI_GUID){ 0x4006c0c1, 0xfcb3, 0x403e, \
				{ 0x99, 0x6d, 0x4a, 0x6c, 0x87, 0x24, 0xe0, 0x6d } })

static EFI_STATUS EFIAPI handle_protocol(EFI_HANDLE h, EFI_GUID *guid, void **out)
{
	struct fake_gop *g = h;

	called(false);
	*out = NULL;
	if (h == &image_handle && is(guid, (EFI_GUID)EFI_LOADED_IMAGE_PROTOCOL_GUID))
		*out = fake.no_image_protocol ? NULL : &self;
	else if (h == &device_handle && is(guid, (EFI_GUID)EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID))
		*out = fake.no_volume ? NULL : &volume;
	else if (h == &initrd_handle && is(guid, LOAD_FILE2))
		*out = &load_file2;
	else if (g >= fake.gops && g < fake.gops + fake.nr_gops) {
		if (is(guid, (EFI_GUID)EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID))
			*out = &g->gop;
		else if (is(guid, CONSOLE_DEVICE) && g->console_device)
			*out = g;
	}
	return *out ? EFI_SUCCESS : EFI_UNSUPPORTED;
}

static EFI_STATUS EFIAPI locate_device_path(EFI_GUID *guid, EFI_DEVICE_PATH **path, EFI_HANDLE *h)
{
	called(false);
	if (!is(guid, LOAD_FILE2) || !fake.load_file2)
		return EFI_NOT_FOUND;
	/* One vendor media node, then the end. */
	if ((*path)->Type != 4 || (*path)->SubType != 3)
		return EFI_NOT_FOUND;
	*path = (EFI_DEVICE_PATH *)((uint8_t *)*path + (*path)->Length[0]);
	*h = &initrd_handle;
	return EFI_SUCCESS;
}

static EFI_STATUS EFIAPI locate_handle_buffer(EFI_LOCATE_SEARCH_TYPE type, EFI_GUID *guid, void *key,
					      UINTN *n, EFI_HANDLE **out)
{
	uint32_t i;

	called(false);
	(void)type;
	(void)key;
	if (!is(guid, (EFI_GUID)EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID) || !fake.nr_gops)
		return EFI_NOT_FOUND;
	if (starve())
		return EFI_OUT_OF_RESOURCES;
	*out = calloc(fake.nr_gops, sizeof(**out));
	for (i = 0; i < fake.nr_gops; i++)
		(*out)[i] = &fake.gops[i];
	*n = fake.nr_gops;
	fake.pools++;
	return EFI_SUCCESS;
}

static EFI_STATUS EFIAPI get_rng(EFI_RNG_PROTOCOL *r, EFI_GUID *algorithm, UINTN len, UINT8 *out)
{
	called(false);
	(void)r;
	(void)algorithm;
	if (fake.rng_fails)
		return EFI_DEVICE_ERROR;
	while (len--)
		*out++ = (uint8_t)(len * 37 + 5);
	return EFI_SUCCESS;
}

static EFI_STATUS EFIAPI locate_protocol(EFI_GUID *guid, void *registration, void **out)
{
	called(false);
	(void)registration;
	if (!is(guid, (EFI_GUID)EFI_RNG_PROTOCOL_GUID) || !fake.rng)
		return EFI_NOT_FOUND;
	*out = &rng;
	return EFI_SUCCESS;
}

/* ---- the rest ---- */

static EFI_STATUS EFIAPI output_string(SIMPLE_TEXT_OUTPUT_INTERFACE *c, CHAR16 *s)
{
	called(false);
	(void)c;
	for (; *s; s++)
		if (*s != '\r' && fake.console_len + 1 < sizeof(fake.console))
			fake.console[fake.console_len++] = (char)*s;
	return EFI_SUCCESS;
}

static EFI_STATUS EFIAPI set_watchdog(UINTN timeout, UINT64 code, UINTN len, CHAR16 *data)
{
	(void)code;
	(void)len;
	(void)data;
	fake.watchdog_first = !fake.calls && !timeout;
	called(false);
	return EFI_SUCCESS;
}

static EFI_STATUS EFIAPI stall(UINTN us)
{
	called(false);
	(void)us;
	return EFI_SUCCESS;
}

/* ---- what arch.c and jump.S do on a machine ---- */

uint64_t arch_tsc(void)
{
	static uint64_t t = 1000;

	return t += 12345;
}

void arch_cpuid(uint32_t leaf, uint32_t sub, uint32_t regs[4])
{
	(void)sub;
	memset(regs, 0, 4 * sizeof(regs[0]));
	if (leaf == 0)
		regs[0] = 7;
	else if (leaf == 1)
		regs[2] = fake.rdrand ? 1u << 30 : 0;
	else if (leaf == 7)
		regs[2] = fake.la57 || fake.can_la57 ? 1u << 16 : 0;
	else if (leaf == 0x80000000)
		regs[0] = 0x80000008;
	else if (leaf == 0x80000001)
		regs[3] = (fake.no_nx ? 0 : 1u << 20) | (fake.no_gib ? 0 : 1u << 26);
}

bool arch_rdrand(uint64_t *v)
{
	static uint64_t x = 88172645463325252ull;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*v = fake.rdrand_stuck ? UINT64_MAX : x;
	return true;
}

bool arch_rdseed(uint64_t *v)
{
	*v = 0;
	return false;
}

bool arch_la57_on(void)
{
	return fake.la57;
}

void arch_irq_off(void)
{
	fake.irq_off = true;
}

uint64_t arch_switch_code(void)
{
	return (uint64_t)switch_code + 100;
}

void arch_jump(const struct arch_jump *j)
{
	fake.jump = *j;
	fake.jumped = true;
}

/* ---- set up ---- */

static void map_arena(void)
{
	static bool done;

	if (!done && mmap((void *)FAKE_ARENA, FAKE_ARENA_PAGES * 4096ull, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) ==
			     MAP_FAILED) {
		perror("mmap of the arena");
		exit(1);
	}
	done = true;
}

void fake_init(const void *kernel, uint64_t kernel_len, const void *initrd, uint64_t initrd_len)
{
	map_arena();
	memset(&fake, 0, sizeof(fake));
	memset(fake.page_type, EfiConventionalMemory, sizeof(fake.page_type));
	fake.files[0] = (struct fake_file){ .path = APP_KERNEL_PATH, .data = kernel,
					    .len = kernel_len, .info_size = kernel_len };
	fake.files[1] = (struct fake_file){ .path = APP_INITRD_PATH, .data = initrd,
					    .len = initrd_len, .info_size = initrd_len };
	fake.nr_files = 2;
	fake.stride = 48;
	fake.rdrand = true;
	fake_memory(EfiConventionalMemory, 0, 0x9f, 15);
	fake_memory(EfiReservedMemoryType, 0x9f000, 1, 15);
	fake_memory(EfiConventionalMemory, 0x100000, 0x700, 15);
	fake_memory(EfiACPIReclaimMemory, 0x800000, 16, 15);
	fake_memory(EfiMemoryMappedIO, 0xffc00000, 0x400, EFI_MEMORY_RUNTIME | 1);
}

static void fill_tables(void)
{
	memset(&bs, 0, sizeof(bs));
	bs.AllocatePages = allocate_pages;
	bs.FreePages = free_pages;
	bs.GetMemoryMap = get_memory_map;
	bs.FreePool = free_pool;
	bs.HandleProtocol = handle_protocol;
	bs.LocateDevicePath = locate_device_path;
	bs.LocateHandleBuffer = locate_handle_buffer;
	bs.LocateProtocol = locate_protocol;
	bs.ExitBootServices = exit_boot;
	bs.SetWatchdogTimer = set_watchdog;
	bs.Stall = stall;
	memset(&st, 0, sizeof(st));
	st.BootServices = &bs;
	st.ConOut = fake.no_console ? NULL : &con;
	st.ConsoleOutHandle = &fake.gops[1];
	st.ConfigurationTable = fake.tables;
	st.NumberOfTableEntries = fake.nr_tables;
	con.OutputString = output_string;
	volume.OpenVolume = open_volume;
	load_file2.load = load_initrd;
	rng.GetRNG = get_rng;
	memset(&self, 0, sizeof(self));
	self.DeviceHandle = &device_handle;
	self.LoadOptions = (void *)fake.options;
	self.LoadOptionsSize = fake.options_size;
}

EFI_STATUS fake_boot(void)
{
	fill_tables();
	return efi_main(&image_handle, &st);
}

uint32_t fake_pages_held(void)
{
	uint32_t i, n = 0;

	for (i = 0; i < FAKE_ARENA_PAGES; i++)
		n += fake.page_type[i] == EfiLoaderData;
	return n;
}
