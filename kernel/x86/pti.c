/*
 * Page-table isolation.
 *
 * A CPU with the Meltdown fault lets user code read, through the cache, whatever the tables in CR3 map, whether the
 * entry says U or not. So in user mode CR3 points to a twin of the root (mm->user_root): the same user half, entry by
 * entry (mm/ptwalk.c copies each change of a root entry; everything below is shared), and of the kernel half only
 *
 *   the entry code (.text.entry), read and execute        the IDT, read
 *   of each CPU the per-CPU section ..percpu.entry        its IST stacks
 *
 * at the addresses they have anyway. That section holds the GDT, both TSSs, the words below and a stack of 512 bytes, to which an
 * exception from user mode switches; the entry code loads the kernel's CR3 and copies the frame to the thread's stack.
 *
 * No cost when off: the plain entry code has no test for it. pti_patch() overwrites the first five bytes of eight places
 * (entry_pti.S) by jumps to the isolating forms, once, before any user code has run.
 *
 * Global pages would stay visible in the TLB across CR3, so PGE is off. With PCIDs the twin of PCID n is n | 0x800, and neither
 * switch flushes: the words pti_kernel_cr3 and pti_user_cr3 carry bit 63. A flush of the user half that cannot reach the twin's
 * PCID by INVPCID takes the bit out of pti_user_cr3, and the exit that uses the word puts it back from pti_user_keep (tlb.c).
 * Without PCIDs every switch flushes by itself.
 *
 * NMI, #MC, #DB and #DF may hit between an entry and its switch of CR3: they save what CR3 is, load pti_kernel_cr3, and put back.
 * That word always names tables that map the whole kernel, and it is written before CR3 is, so it cannot name freed ones.
 *
 * There is no LDT, no vsyscall page and no port bitmap to map. Kernel copies of user root entries have NX: even without
 * SMEP the kernel cannot be made to run user code.
 *
 * References: Intel SDM vol. 3A 4.10.1 (PCID, bit 63 of MOV to CR3), 6.12 (stack switch); vol. 4 IA32_ARCH_CAPABILITIES.
 */
#include <kernel/cmdline.h>
#include <kernel/cpumask.h>
#include <kernel/printk.h>
#include <lib/string.h>
#include <mm/alloc.h>
#include <mm/check.h>
#include <uapi/errno.h>
#include <lib/assert.h>
#include <x86/bugs.h>
#include <x86/machine.h>
#include <x86/pti.h>

#define PTI_STACK_SIZE 512

DEFINE_PER_CPU_ENTRY(u64, pti_kernel_cr3);
DEFINE_PER_CPU_ENTRY(u64, pti_user_cr3);
DEFINE_PER_CPU_ENTRY(u64, pti_user_keep);
DEFINE_PER_CPU_ENTRY(struct cpu_tss, pti_tss) __aligned(64);
static DEFINE_PER_CPU_ENTRY(char, pti_stack[PTI_STACK_SIZE]) __aligned(64);

extern char __entry_text_start[], __entry_text_end[], __percpu_start[], __percpu_entry_end[];
extern const struct pti_site { s32 from, to; } __pti_sites_start[], __pti_sites_end[];

static pgd_t *twin; /* the upper half every user twin gets; immutable after smp_init */
static void *ist_of[MAX_CPUS];

void pti_choose(void)
{
	struct cpu_features *f = &cpu_features;
	char word[8] = "auto";

	cmdline_get("pti", word, sizeof(word));
	if (cmdline_has("nopti") || !strcmp(word, "off"))
		f->pti = false;
	else if (!strcmp(word, "on"))
		f->pti = true;
	else
		f->pti = cpu_bug(BUG_MELTDOWN) && !mitigations_off();
	if (f->pti)
		f->pge = false;
}

void pti_patch(void)
{
	if (!cpu_has(pti))
		return;
	for (const struct pti_site *s = __pti_sites_start; s < __pti_sites_end; s++) {
		u64 from = (u64)&s->from + (u64)(s64)s->from, to = (u64)&s->to + (u64)(s64)s->to;
		u8 *p = phys_to_virt(kimage_to_phys((void *)from));
		s32 distance = (s32)(to - (from + 5));

		p[0] = 0xe9;
		memcpy(p + 1, &distance, 4);
	}
	u32 r[4];
	cpuid(0, 0, r); /* serialises, as in smap_patch */
}

static int map_into_twin(u64 va, u64 end, u64 prot)
{
	int err = 0;

	for (; va < end && !err; va += PAGE_SIZE)
		err = pgtable_map_in(twin, va, kva_to_phys(va), PAGE_SIZE, prot, false);
	return err;
}

#define ENTRY_RO (PTE_P | PTE_A | PTE_D | PTE_NX)
#define ENTRY_RX (PTE_P | PTE_A | PTE_D)
#define ENTRY_RW (PTE_P | PTE_A | PTE_D | PTE_W | PTE_NX)

int pti_map_cpu(int cpu, void *ist)
{
	u64 first = (u64)__percpu_start + percpu_delta[cpu], end = (u64)__percpu_entry_end + percpu_delta[cpu];

	if (!cpu_has(pti))
		return 0;
	ist_of[cpu] = ist;
	int err = map_into_twin(first, end, ENTRY_RW);
	return err ?: map_into_twin((u64)ist, (u64)ist + NR_IST * IST_STACK_SIZE, ENTRY_RW);
}

u64 pti_stack_top(void)
{
	return cpu_has(pti) ? (u64)this_cpu_ptr(&pti_stack) + PTI_STACK_SIZE : 0;
}

void pti_fill_root(pgd_t *root)
{
	memcpy(root + PTRS / 2, twin + PTRS / 2, PAGE_SIZE / 2);
}

/* --- the checker: the twin maps the entry area and nothing else --- */

static bool in_range(u64 va, const void *start, const void *end)
{
	return va >= (u64)start && va < (u64)end;
}

static bool allowed(u64 va)
{
	if (in_range(va, __entry_text_start, __entry_text_end) || va == idt_address())
		return true;
	for (int cpu = 0; cpu < MAX_CPUS; cpu++)
		if (ist_of[cpu] && (in_range(va - percpu_delta[cpu], __percpu_start, __percpu_entry_end) ||
				    in_range(va, ist_of[cpu], (char *)ist_of[cpu] + NR_IST * IST_STACK_SIZE)))
			return true;
	return false;
}

static u64 check_leaf(u64 va, pte_t e, int level, void *arg)
{
	u64 *pages = arg;

	(*pages)++;
	if (level || e.v & PTE_U || (pte_write(e) && !(e.v & PTE_NX)) || !allowed(va) || pte_pa(e) != kva_to_phys(va)) {
		pr_err("pti: user tables map %#llx, entry %#llx\n", va, e.v);
		return 1;
	}
	return 0;
}

static u64 pti_check(void)
{
	u64 pages = 0, bad = pgtable_for_leaves(twin, check_leaf, &pages);

	if (pages < 3) {
		pr_err("pti: the entry area has %llu pages only\n", pages);
		bad++;
	}
	return bad;
}

u64 pti_check_root(const pgd_t *root)
{
	u64 bad = 0;

	for (int i = PTRS / 2; i < PTRS; i++)
		if (root[i].v != twin[i].v) {
			pr_err("pti: entry %d of the user root at %p is %#llx, not %#llx\n", i, root, root[i].v, twin[i].v);
			bad++;
		}
	return bad;
}

void pti_init(void)
{
	if (!cpu_has(pti))
		return;
	struct page *p = page_table_alloc(NULL, GFP_KERNEL);
	VERIFY(p);
	twin = page_address(p);
	u64 idt = idt_address();
	__pcp(pti_kernel_cr3) = virt_to_phys(kernel_pgd); /* an NMI may come before any process does */
	if (map_into_twin((u64)__entry_text_start, (u64)__entry_text_end, ENTRY_RX) ||
	    map_into_twin(idt, idt + PAGE_SIZE, ENTRY_RO) || pti_map_cpu(0, (void *)ist_stack_base(1)))
		panic("pti: no memory for the entry area");
	check_register("pti", pti_check);
	pr_info("pti: user mode runs on tables of its own\n");
}
