/*
 * The machine layer on the running machine: exception table, page tables, cross-CPU requests, clock.
 * The tests run in a kernel thread without an address space, so that every user address faults for good.
 */
#include <kernel/cpumask.h>
#include <kernel/irq.h>
#include <kernel/ktest.h>
#include <kernel/kthread.h>
#include <kernel/time.h>
#include <kernel/wait.h>
#include <lib/string.h>
#include <mm/alloc.h>
#include <mm/vmalloc.h>
#include <x86/apic.h>
#include <x86/cpu.h>
#include <x86/io.h>
#include <x86/pgtable.h>
#include <x86/tlb.h>
#include <x86/uaccess.h>

#define NOWHERE ((void *)0x400000)

KTEST(x86_user_copies_report_faults)
{
	static const u64 sizes[] = { 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 64, 255, 511, 512, 4095, 8192, 10000 };
	char *buf = vmalloc(16384);
	u64 v = 5;
	u32 old;

	KCHECK(buf);
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		memset(buf, 0x55, 16384);
		KCHECK_EQ(copy_to_user(NOWHERE, buf, sizes[i]), sizes[i]);
		KCHECK_EQ(copy_from_user(buf, NOWHERE, sizes[i]), sizes[i]);
		KCHECK(!memchr_inv(buf, 0, sizes[i])); /* what did not come is zero */
		KCHECK_EQ((u8)buf[sizes[i]], 0x55);
		KCHECK_EQ(clear_user(NOWHERE, sizes[i]), sizes[i]);
	}
	vfree(buf);
	KCHECK_EQ(get_user(v, (u64 *)NOWHERE), -EFAULT);
	KCHECK_EQ(put_user(v, (u8 *)NOWHERE), -EFAULT);
	KCHECK_EQ(user_cmpxchg_u32(NOWHERE, 1, 2, &old), -EFAULT);
	KCHECK_EQ(user_atomic_op_u32(NOWHERE, 1, 2, &old), -EFAULT);
	KCHECK_EQ(strnlen_user(NOWHERE, 10), 0);
}

KTEST(x86_user_copies_know_the_end_of_user_space)
{
	char buf[16];

	KCHECK(access_ok((void *)(TASK_SIZE_MAX - 16), 16));
	KCHECK(!access_ok((void *)(TASK_SIZE_MAX - 15), 16));
	KCHECK(!access_ok((void *)~0ull, 2));
	KCHECK(!access_ok(NULL, ~0ull));
	/* a kernel address is refused even though it is mapped */
	KCHECK_EQ(copy_from_user(buf, buf, sizeof(buf)), sizeof(buf));
	KCHECK_EQ(copy_to_user(buf, "x", 1), 1);
	KCHECK_EQ(strncpy_from_user(buf, (void *)(TASK_SIZE_MAX + 5), 4), -EFAULT);
	u64 v;
	KCHECK_EQ(__get_user_8(&v, (void *)(TASK_SIZE_MAX - 7)), -EFAULT);
	KCHECK_EQ(__get_user_8(&v, kernel_pgd), -EFAULT);
}

/* Memory of the kernel's own, mapped and writable, given as a user's: refused by every way, and untouched. */
KTEST(x86_user_copies_refuse_kernel_memory)
{
	static const u64 sizes[] = { 1, 8, 100, 512, 4096, 10000 };
	char *mine = vmalloc(16384), *other = vmalloc(16384);
	u32 word = 7, old = 0;

	KCHECK(mine && other);
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		memset(mine, 0x11, 16384);
		memset(other, 0x22, 16384);
		KCHECK_EQ(copy_to_user(other, mine, sizes[i]), sizes[i]);
		KCHECK_EQ(clear_user(other, sizes[i]), sizes[i]);
		KCHECK(!memchr_inv(other, 0x22, 16384));
		KCHECK_EQ(copy_from_user(mine, other, sizes[i]), sizes[i]);
		KCHECK(!memchr_inv(mine, 0, sizes[i]));
	}
	vfree(mine);
	vfree(other);
	KCHECK_EQ(user_cmpxchg_u32(&word, 7, 8, &old), -EFAULT);
	for (int op = 0; op < 5; op++)
		KCHECK_EQ(user_atomic_op_u32(&word, op, 1, &old), -EFAULT);
	KCHECK_EQ(__put_user_4(9, &word), -EFAULT);
	KCHECK_EQ(word, 7);
	KCHECK_EQ(strnlen_user((void *)&word, 8), 0);
	KCHECK_EQ(user_cmpxchg_u32(NOWHERE + 2, 7, 8, &old), -EFAULT);
}

KTEST(x86_page_operations)
{
	u8 *a = get_free_pages(GFP_KERNEL, 0), *b = get_free_pages(GFP_KERNEL, 0);

	KCHECK(a && b);
	for (unsigned i = 0; i < PAGE_SIZE; i++)
		a[i] = (u8)(i * 7 + (i >> 8));
	copy_page(b, a);
	KCHECK(!memcmp(a, b, PAGE_SIZE));
	clear_page(a);
	KCHECK(!memchr_inv(a, 0, PAGE_SIZE));
	KCHECK_EQ(b[4095], (u8)(4095 * 7 + 15));
	put_free_page(a);
	put_free_page(b);
}

KTEST(x86_nothing_is_writable_and_executable)
{
	KCHECK_EQ(pgtable_audit_wx(), 0);
}

KTEST(x86_map_split_protect_unmap)
{
	struct page *p = alloc_pages(GFP_KERNEL, 9);
	u64 va = vmalloc_reserve(2 * PMD_SIZE, PMD_SIZE);

	KCHECK(p && va);
	u64 pa = page_to_phys(p);
	KCHECK_EQ(kmap_range(va, pa, PMD_SIZE, PROT_KERNEL, true), 0);
	KCHECK_EQ(kva_to_phys(va + 0x12345), pa + 0x12345);
	*(volatile u64 *)(va + 0x5000) = 42;
	KCHECK_EQ(*(u64 *)(page_address(p) + 0x5000), 42);
	/* one page in the middle goes read-only: the large page is split, its neighbours are as before */
	KCHECK_EQ(kprotect_range(va + 0x5000, PAGE_SIZE, PROT_KERNEL & ~PTE_W), 0);
	KCHECK_EQ(*(volatile u64 *)(va + 0x5000), 42);
	*(volatile u64 *)(va + 0x4ff8) = 1;
	*(volatile u64 *)(va + 0x6000) = 2;
	KCHECK_EQ(kva_to_phys(va + PMD_SIZE - 1), pa + PMD_SIZE - 1);
	kunmap_range(va + 0x4000, PAGE_SIZE, false);
	KCHECK_EQ(kva_to_phys(va + 0x4000), ~0ull);
	KCHECK_EQ(kva_to_phys(va + 0x3fff), pa + 0x3fff);
	kunmap_range(va, PMD_SIZE, true);
	KCHECK_EQ(kva_to_phys(va), ~0ull);
	vmalloc_release(va);
	free_pages(p, 9);
}

/* One page of address space points to one of two frames in turn; every CPU must see the change at once. */
static u64 *volatile seen_at;
static u64 wrong;

static void look(void *want)
{
	if (*(volatile u64 *)seen_at != (u64)want)
		__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
}

KTEST(x86_kernel_mappings_change_on_all_cpus)
{
	u64 *frame[2] = { get_zeroed_page(GFP_KERNEL), get_zeroed_page(GFP_KERNEL) };
	u64 va = vmalloc_reserve(PAGE_SIZE, PAGE_SIZE);

	KCHECK(frame[0] && frame[1] && va);
	wrong = 0;
	seen_at = (u64 *)va;
	*frame[0] = 100;
	*frame[1] = 101;
	for (u64 i = 0; i < 50; i++) {
		KCHECK_EQ(kmap_range(va, virt_to_phys(frame[i & 1]), PAGE_SIZE, PROT_KERNEL, false), 0);
		preempt_disable();
		look((void *)(100 + (i & 1)));
		smp_call_mask(~0ull, look, (void *)(100 + (i & 1)), true);
		preempt_enable();
		kunmap_range(va, PAGE_SIZE, false);
	}
	KCHECK_EQ(wrong, 0);
	vmalloc_release(va);
	put_free_page(frame[0]);
	put_free_page(frame[1]);
}

static u64 called[MAX_CPUS];
static void count_call(void *arg)
{
	(void)arg;
	called[smp_processor_id()]++;
}

KTEST(x86_calls_reach_every_cpu_once)
{
	int cpu, me;

	memset(called, 0, sizeof(called));
	preempt_disable();
	me = smp_processor_id();
	for (int i = 0; i < 20; i++)
		smp_call_mask(~0ull, count_call, NULL, true);
	for_each_online_cpu(cpu)
		KCHECK_EQ(called[cpu], cpu == me ? 0 : 20);
	smp_call_mask(~0ull, count_call, NULL, false);
	smp_call_mask(~0ull, count_call, NULL, true); /* waits for the one before too */
	preempt_enable();
	for_each_online_cpu(cpu)
		KCHECK_EQ(called[cpu], cpu == me ? 0 : 22);
}

static u64 clock_seen, clock_went_back;
static void read_clock(void *arg)
{
	u64 now = ktime_ns();

	(void)arg;
	if (now < __atomic_exchange_n(&clock_seen, now, __ATOMIC_SEQ_CST))
		clock_went_back++;
}

KTEST(x86_clock_never_goes_back_between_cpus)
{
	int cpu;

	clock_seen = clock_went_back = 0;
	preempt_disable();
	for (int i = 0; i < 50; i++)
		for_each_online_cpu(cpu) {
			smp_call_mask(cpumask_of(cpu), read_clock, NULL, true);
			read_clock(NULL);
		}
	preempt_enable();
	KCHECK_EQ(clock_went_back, 0);
}

KTEST(x86_delays_last_as_long_as_they_say)
{
	u64 start = ktime_ns();

	udelay(2000);
	u64 took = ktime_ns() - start;
	KCHECK(took >= 1990000);
}

/* --- device interrupts: the RTC's, 1,024 a second --- */

static u32 rtc_hits[MAX_CPUS];

static void msleep(u64 ms)
{
	set_current_state(TASK_UNINTERRUPTIBLE);
	schedule_until(ktime_ns() + ms * NSEC_PER_MSEC);
}

static u8 cmos(u8 reg)
{
	outb(0x70, reg);
	return inb(0x71);
}

static void rtc_interrupt(void *arg)
{
	cmos(0x0c); /* the next one comes only when this was read */
	__atomic_fetch_add(&rtc_hits[smp_processor_id()], 1, __ATOMIC_RELAXED);
}

static unsigned vector_of(const char *name)
{
	for (unsigned v = VECTOR_DEVICE; v < VECTOR_DEVICE_END; v++)
		if (irq_name(v) && !strcmp(irq_name(v), name))
			return v;
	return 0;
}

KTEST(x86_device_interrupts_go_where_they_are_sent)
{
	int cpu;

	KCHECK_EQ(irq_request_isa(8, rtc_interrupt, NULL, "rtc test"), 0);
	unsigned v = vector_of("rtc test");
	u8 b = cmos(0x0b);
	KCHECK(v);
	outb(0x70, 0x0b);
	outb(0x71, b | 0x40); /* periodic interrupts on */
	cmos(0x0c);
	for_each_online_cpu(cpu) {
		KCHECK_EQ(irq_set_affinity(v, cpumask_of(cpu)), 0);
		msleep(5); /* what is on its way to the old place */
		u32 before[MAX_CPUS];
		memcpy(before, rtc_hits, sizeof(before));
		for (int i = 0; i < 100 && READ_ONCE(rtc_hits[cpu]) < before[cpu] + 3; i++)
			msleep(10);
		for (int c = 0; c < nr_cpus; c++)
			KCHECK(c == cpu ? rtc_hits[c] > before[c] : rtc_hits[c] == before[c]);
	}
	outb(0x70, 0x0b);
	outb(0x71, b);
	KCHECK_EQ(irq_set_affinity(v, 0), -EINVAL);
	KCHECK_EQ(irq_set_affinity(VECTOR_TIMER, 1), -EIO);
}

KTEST(x86_messages_are_spread_over_cpus)
{
	u64 addr, targets = 0;
	u32 data;

	for (int i = 0; i < nr_cpus; i++) {
		KCHECK_EQ(irq_request_msi(rtc_interrupt, NULL, "message test", &addr, &data), 0);
		targets |= 1ull << (addr >> 12 & 63);
	}
	KCHECK_EQ(__builtin_popcountll(targets), nr_cpus);
}

extern const struct ex_pair { s32 from, to; } __ex_table_start[], __ex_table_end[];
extern char __uaccess_text_start[], __uaccess_text_end[], __text_start[], __text_end[];

/* Whatever may fault on a user address lies where the page-fault handler looks for it, and goes on in kernel code. */
KTEST(x86_exception_table_is_sound)
{
	unsigned n = 0, user = 0;

	for (const struct ex_pair *e = __ex_table_start; e < __ex_table_end; e++, n++) {
		u64 from = (u64)&e->from + (u64)(s64)e->from, to = (u64)&e->to + (u64)(s64)e->to;

		user += from >= (u64)__uaccess_text_start && from < (u64)__uaccess_text_end;
		KCHECK(from >= (u64)__text_start && from < (u64)__text_end);
		KCHECK(to >= (u64)__text_start && to < (u64)__text_end && to != from);
	}
	KCHECK(user > 30 && n < 1000);
}
