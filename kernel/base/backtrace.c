/*
 * Symbols and backtraces.
 *
 * The image carries a table of its functions (kernel/base/mksyms): offsets from the image base, ascending, and names. All
 * code is compiled with frame pointers, so a stack is a chain of (saved RBP, return address) pairs; each link is checked
 * against the page tables before it is read and must lie above the last one, so a corrupt chain ends instead of faulting
 * or looping.
 */
#include <kernel/printk.h>
#include <lib/printf.h>
#include <x86/layout.h>
#include <x86/pgtable.h>
#include <x86/ptregs.h>

extern const u32 ksym_count, ksym_offsets[], ksym_name_offsets[];
extern const char ksym_names[];

#define MAX_FRAMES 40

/* Index of the function that holds @off, -1 when before the first. */
static int find_symbol(u32 off)
{
	u32 lo = 0, hi = ksym_count;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (ksym_offsets[mid] <= off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return (int)lo - 1;
}

int ksym_format(char *buf, size_t n, u64 addr)
{
	u64 base = KIMAGE_LINK_BASE + kimage_slide, off = addr - base;
	int i;

	if (addr < base || off > U32_MAX || !ksym_count)
		return 0;
	i = find_symbol((u32)off);
	/* the last function has no end in the table: anything far behind it is not code */
	if (i < 0 || (i == (int)ksym_count - 1 && off - ksym_offsets[i] > 0x10000))
		return 0;
	if (i == (int)ksym_count - 1)
		return scnprintf(buf, n, "%s+0x%llx", ksym_names + ksym_name_offsets[i], off - ksym_offsets[i]);
	return scnprintf(buf, n, "%s+0x%llx/0x%x", ksym_names + ksym_name_offsets[i], off - ksym_offsets[i],
			 ksym_offsets[i + 1] - ksym_offsets[i]);
}

static bool readable(u64 va, u64 len)
{
	return va >= kernel_half && va <= U64_MAX - len && kva_to_phys(va) != ~0ull &&
	       kva_to_phys(va + len - 1) != ~0ull;
}

static void print_address(u64 ip, const char *mark)
{
	char name[128];

	if (ksym_format(name, sizeof(name), ip))
		printk(LOG_EMERG, "  %s%s", mark, name);
	else
		printk(LOG_EMERG, "  %s0x%016llx", mark, ip);
}

u32 backtrace_waiting(u64 low, u64 top, u64 ksp, u64 *ips, u32 max)
{
	u32 n = 0;
	u64 fp;

	/* arch_switch_to left R15 to RBX, RBP and its return address */
	if (!low || ksp < low || ksp > top - 64)
		return 0;
	fp = READ_ONCE(((u64 *)ksp)[5]);
	ips[n++] = READ_ONCE(((u64 *)ksp)[6]);
	while (n < max && !(fp & 7) && fp >= low && fp <= top - 16) {
		u64 ip = READ_ONCE(((u64 *)fp)[1]), next = READ_ONCE(((u64 *)fp)[0]);

		if (!ip || next <= fp)
			break;
		ips[n++] = ip;
		fp = next;
	}
	return n;
}

/* Return addresses of the frames from @fp on. Returns how many. */
static unsigned walk(u64 fp, u64 *ip, unsigned max)
{
	unsigned n = 0;

	while (n < max && !(fp & 7) && readable(fp, 16)) {
		u64 next = ((u64 *)fp)[0];

		if (!((u64 *)fp)[1])
			break;
		ip[n++] = ((u64 *)fp)[1];
		if (next <= fp)
			break;
		fp = next;
	}
	return n;
}

unsigned backtrace_save(u64 *ip, unsigned max)
{
	unsigned n = walk((u64)__builtin_frame_address(0), ip, max);

	if (n < max)
		ip[n] = 0;
	return n;
}

void backtrace(const struct pt_regs *regs)
{
	u64 ip[MAX_FRAMES];
	unsigned n;

	printk(LOG_EMERG, " call trace:");
	if (regs && user_mode(regs)) {
		printk(LOG_EMERG, "  (user mode)");
		return;
	}
	if (regs)
		print_address(regs->rip, "");
	n = walk(regs ? regs->rbp : (u64)__builtin_frame_address(0), ip, MAX_FRAMES);
	for (unsigned i = 0; i < n; i++)
		print_address(ip[i] - 1, ""); /* the return address stands behind the call: step back for the name */
}
