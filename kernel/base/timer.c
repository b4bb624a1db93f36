/*
 * Timers (kernel/time.h).
 *
 * Each CPU has a tree of timers ordered by expiry, with its leftmost node at hand, in front of its one-shot interrupt. The
 * interrupt is programmed for the leftmost timer and moved only to earlier times: a cancelled timer costs at most one
 * interrupt that finds nothing due. The hardware is written after the lock is dropped, with interrupts off: only the own CPU
 * programs it, and that write is slow (and where emulated CPUs take turns it ends the turn: a waiter would never see the
 * lock free).
 *
 * A timer has a home CPU (state) whose lock protects it, armed (cpu == home) or not (cpu == -1). Starting it on another CPU
 * moves the home first, under the old home's lock, then goes on under the new one: whoever looks in between finds a
 * consistent idle timer. While the handler runs the home does not move (the timer is queued where it runs), so that
 * ktimer_cancel_sync can see from the home alone whether the handler still runs.
 */
#include <kernel/cpumask.h>
#include <kernel/irq.h>
#include <kernel/printk.h>
#include <kernel/spinlock.h>
#include <kernel/time.h>
#include <lib/assert.h>
#include <x86/mce.h>

struct timer_base {
	spinlock_t lock;
	struct rb_root_cached tree; /* (lock) */
	struct ktimer *running; /* (lock) whose handler runs now */
	u64 programmed; /* (own CPU, irqs off) what the hardware is set to; 0: nothing */
};
static DEFINE_PER_CPU(struct timer_base, timer_base);
DEFINE_PER_CPU(struct pt_regs *, irq_regs);

void ktimer_cpu_init(void)
{
	struct timer_base *b = this_cpu_ptr(&timer_base);

	spin_lock_init(&b->lock);
	b->tree = RB_ROOT_CACHED;
	b->programmed = 0;
}

void ktimer_init(struct ktimer *t, void (*func)(struct ktimer *))
{
	t->func = func;
	t->cpu = -1;
	t->state = 0;
	t->expires = 0;
}

/* Locks the base of the timer's home. => irqs off */
static struct timer_base *lock_home(struct ktimer *t)
{
	for (;;) {
		u32 home = READ_ONCE(t->state);
		struct timer_base *b = per_cpu_ptr(&timer_base, home);

		spin_lock(&b->lock);
		if (likely(t->state == home))
			return b;
		spin_unlock(&b->lock);
	}
}

static void dequeue(struct timer_base *b, struct ktimer *t)
{
	rb_erase_cached(&t->node, &b->tree);
	t->cpu = -1;
}

/* True when @t became the first of the tree. */
static bool enqueue(struct timer_base *b, struct ktimer *t)
{
	struct rb_node **link = &b->tree.rb_root.rb_node, *parent = NULL;
	bool first = true;

	while (*link) {
		parent = *link;
		if (t->expires < rb_entry(parent, struct ktimer, node)->expires) {
			link = &parent->rb_left;
		} else {
			link = &parent->rb_right;
			first = false;
		}
	}
	rb_link_node(&t->node, parent, link);
	rb_insert_color_cached(&t->node, &b->tree, first);
	t->cpu = (s32)t->state;
	return first;
}

static void program(struct timer_base *b, u64 ns)
{
	if (b->programmed && b->programmed <= ns)
		return;
	b->programmed = ns;
	clock_event_program(ns);
}

void ktimer_start(struct ktimer *t, u64 expires_ns)
{
	u64 flags = local_irq_save();
	struct timer_base *b, *mine = this_cpu_ptr(&timer_base);

	for (;;) {
		b = lock_home(t);
		if (t->cpu >= 0)
			dequeue(b, t);
		if (b == mine || b->running == t)
			break;
		WRITE_ONCE(t->state, (u32)smp_processor_id());
		spin_unlock(&b->lock);
	}
	t->expires = expires_ns;
	/* on another CPU the handler runs: that CPU looks at its tree again when it returns */
	bool first = enqueue(b, t) && b == mine && !b->running;
	spin_unlock(&b->lock);
	if (first)
		program(b, expires_ns);
	local_irq_restore(flags);
}

/* @running: whether the handler runs somewhere. */
static bool cancel(struct ktimer *t, bool *running)
{
	u64 flags = local_irq_save();
	struct timer_base *b = lock_home(t);
	bool armed = t->cpu >= 0;

	if (armed)
		dequeue(b, t);
	*running = b->running == t;
	spin_unlock_irqrestore(&b->lock, flags);
	return armed;
}

bool ktimer_cancel(struct ktimer *t)
{
	bool running;

	return cancel(t, &running);
}

bool ktimer_cancel_sync(struct ktimer *t)
{
	bool running, armed = cancel(t, &running);

	ASSERT(!running || !in_interrupt());
	while (running) {
		spin_poll();
		armed |= cancel(t, &running);
	}
	return armed;
}

void ktimer_interrupt(void)
{
	struct timer_base *b = this_cpu_ptr(&timer_base);
	u64 now = ktime_ns(), next = 0;

	spin_lock(&b->lock);
	b->programmed = 0;
	for (;;) {
		struct rb_node *n = rb_first_cached(&b->tree);
		struct ktimer *t = rb_entry_safe(n, struct ktimer, node);

		if (!t)
			break;
		if (t->expires > now) {
			now = ktime_ns(); /* handlers took time */
			if (t->expires > now) {
				next = t->expires;
				break;
			}
		}
		dequeue(b, t);
		b->running = t;
		spin_unlock(&b->lock);
		t->func(t);
		spin_lock(&b->lock);
		b->running = NULL;
	}
	spin_unlock(&b->lock);
	if (next)
		program(b, next);
	printk_tick();
	mce_tick();
}
