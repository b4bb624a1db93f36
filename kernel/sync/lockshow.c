/*
 * /proc/quoin/locks, in debug builds: what the lock-order checker knows.
 *
 *	class NAME FILE rank R taken N contended N [irq] [irqs-on]
 *	edge NAME FILE > NAME FILE count N
 *	complaints N planted N
 *
 * Writing "cycle", "irq", "unlock" or "left" makes the named mistake with locks that nobody else uses: the checker must see it.
 */
#include "lockgraph.h"

#ifdef LOCKCHECK
#include <kernel/mutex.h>
#include <lib/seq_buf.h>
#include <lib/string.h>

typedef unsigned long long ull;
extern u64 lock_complaints_real, lock_complaints_planted;

static void show_class(struct seq_buf *s, const struct lock_info *c)
{
	seq_printf(s, "class %s %s rank %u taken %llu contended %llu%s%s\n", c->name, *c->file ? c->file : "-", c->rank,
		   (ull)c->taken, (ull)c->contended, c->met & (1u << MET_IRQ | 1u << MET_IRQ_SHARED) ? " irq" : "",
		   c->met & (1u << MET_IRQS_ON | 1u << MET_IRQS_ON_SHARED) ? " irqs-on" : "");
}

static void show_edge(struct seq_buf *s, const struct lock_edge *e)
{
	const struct lock_info *a = &lock_infos[e->from], *b = &lock_infos[e->to];

	seq_printf(s, "edge %s %s > %s %s count %u\n", a->name, *a->file ? a->file : "-", b->name,
		   *b->file ? b->file : "-", e->count);
}

void lock_show(struct seq_buf *s, void *arg)
{
	u32 classes = smp_load_acquire(&lock_classes), edges = smp_load_acquire(&lock_edges_nr);

	(void)arg;
	for (u32 i = 1; i < classes; i++)
		show_class(s, &lock_infos[i]);
	for (u32 i = 1; i < edges; i++)
		show_edge(s, &lock_edges[i]);
	seq_printf(s, "complaints %llu planted %llu\n", (ull)READ_ONCE(lock_complaints_real),
		   (ull)READ_ONCE(lock_complaints_planted));
}

static DEFINE_SPINLOCK(planted_a);
static DEFINE_SPINLOCK(planted_b);
static DEFINE_MUTEX(planted_mutex);

static void in_order(spinlock_t *first, spinlock_t *second)
{
	u64 flags;

	spin_lock_irqsave(first, flags);
	spin_lock(second);
	spin_unlock(second);
	spin_unlock_irqrestore(first, flags);
}

/* As an interrupt handler would: the context is what counts. */
static void in_interrupt_context(spinlock_t *l)
{
	u64 flags = local_irq_save();

	this_cpu_add(preempt_count, HARDIRQ_OFFSET);
	spin_lock(l);
	spin_unlock(l);
	this_cpu_sub(preempt_count, HARDIRQ_OFFSET);
	local_irq_restore(flags);
}

int lock_plant(const char *text, u64 n, void *arg)
{
	(void)arg;
	if (str_has_prefix(text, "cycle")) {
		in_order(&planted_a, &planted_b);
		in_order(&planted_b, &planted_a);
	} else if (str_has_prefix(text, "irq")) {
		in_interrupt_context(&planted_a);
		spin_lock(&planted_a);
		spin_unlock(&planted_a);
	} else if (str_has_prefix(text, "unlock")) {
		preempt_disable();
		spin_unlock(&planted_a);
	} else if (str_has_prefix(text, "left")) {
		mutex_lock(&planted_mutex);
		lock_assert_none();
		mutex_unlock(&planted_mutex);
	} else {
		return -EINVAL;
	}
	return 0;
}

#endif
