/*
 * movable.c - which memory is zone Movable (pure, but for reading the command line).
 *
 * Each node has one boundary: its frames from there on are Movable, so that they hold only what can be moved away.
 *
 *	kernelcore=SIZE|N%	so much memory at least is not Movable; the rest is
 *	movablecore=SIZE|N%	so much is Movable; with both words the larger kernel part counts
 *	movable_node		memory that the SRAT calls hot-pluggable is Movable, and the words above are not looked at
 *	kernelcore=mirror	refused: the hand-off does not say which memory is mirrored
 *
 * Sizes are spread over the nodes in proportion to their memory.  Whatever is asked for, KERNEL_LEAST (or half of a smaller
 * machine) stays for the kernel, and no boundary lies in the first two sections (256 MiB).
 */
#include <mm/section.h>

#include <kernel/cmdline.h>
#include <kernel/printk.h>
#include <lib/math64.h>
#include <lib/string.h>

#define KERNEL_LEAST	((64ull << 20) >> PAGE_SHIFT)

u64 node_movable_start[MAX_NODES];
static u64 hotplug_start[MAX_NODES];	/* frame + 1; 0: the node has no hot-pluggable memory */

void node_mark_hotplug(int node, u64 base)
{
	u64 pfn = base >> PAGE_SHIFT;

	if (node >= 0 && node < MAX_NODES && (!hotplug_start[node] || pfn < hotplug_start[node] - 1))
		hotplug_start[node] = pfn + 1;
}

static u64 boundary(u64 pfn)
{
	return ALIGN(max(pfn, DMA_END_PFN + SECTION_PAGES), SECTION_PAGES);
}

/* Pages that the word asks for, of so many; 0: it is not there. */
static u64 amount(const char *word, u64 total)
{
	char v[24];
	int n = cmdline_get(word, v, sizeof(v));
	u64 percent = 0;

	if (n > 0 && streq(v, "mirror")) {
		pr_warn("mm: %s=mirror refused: the firmware's map does not come with what is mirrored\n", word);
		return 0;
	}
	if (n <= 1 || v[n - 1] != '%')
		return min(cmdline_u64(word, 0) >> PAGE_SHIFT, total);
	for (int i = 0; i < n - 1; i++) {
		if (v[i] < '0' || v[i] > '9' || percent > 100) {
			pr_warn("mm: %s=%s is no share of memory\n", word, v);
			return 0;
		}
		percent = percent * 10 + (u64)(v[i] - '0');
	}
	return total * min(percent, 100ull) / 100;
}

/* Pages that shall be Movable by the two sizes. */
static u64 pages_wanted(u64 total)
{
	u64 movable = amount("movablecore", total), kernel = amount("kernelcore", total);

	if (!movable && !kernel)
		return 0;
	if (movable)
		kernel = max(kernel, total - movable);
	kernel = max(kernel, min(total / 2, KERNEL_LEAST));
	return total - min(kernel, total);
}

/* False: it would leave the kernel nothing, or there is none. */
static bool by_hotplug(const u64 *present, const u64 *top)
{
	bool any = false, kernel_left = false;

	for (int n = 0; n < MAX_NODES; n++) {
		if (!present[n])
			continue;
		if (hotplug_start[n] && boundary(hotplug_start[n] - 1) < top[n]) {
			any = true;
			/* what lies below in this node, in frames: it has at most as many of memory */
			kernel_left |= present[n] > top[n] - (hotplug_start[n] - 1) + KERNEL_LEAST;
		} else {
			kernel_left = true;
		}
	}
	if (any && !kernel_left)
		pr_warn("mm: movable_node: all memory is hot-pluggable, none is made Movable\n");
	if (!any || !kernel_left)
		return false;
	for (int n = 0; n < MAX_NODES; n++)
		if (present[n] && hotplug_start[n])
			node_movable_start[n] = boundary(hotplug_start[n] - 1);
	return true;
}

bool movable_plan(const u64 *present, const u64 *top)
{
	u64 total = 0, want;

	if (cmdline_has("movable_node"))
		return by_hotplug(present, top);
	for (int n = 0; n < MAX_NODES; n++)
		total += present[n];
	want = pages_wanted(total);
	if (!want)
		return false;
	for (int n = 0; n < MAX_NODES; n++)
		if (present[n])
			node_movable_start[n] = boundary(top[n] - mul_u64_u64_div_u64(want, present[n], total));
	return true;
}
