/*
 * The lock-order checker (kernel/lockcheck.h): what is held, and the questions asked at each acquisition.
 *
 * A deadlock needs two CPUs at the wrong moment; the order that makes it possible needs only be seen once, anywhere. So the
 * checker keeps, for each class of locks, which classes were ever taken while one of it was held (edges), and complains when
 * an edge closes a cycle, although nothing has hung. It asks:
 *
 *   cycle       an edge A -> B where B -> ... -> A is known.  A lock got by trying adds no edge towards itself.
 *   same class  two locks of one class, unless its rank gives a rule (by address, or one of its own).
 *   rank        an edge against the list in docs/locking.md, though no cycle is known yet.
 *   interrupts  a class taken by interrupt handlers, and a class held with interrupts on that is the same or is taken under it:
 *               the handler may come while the second is held, on the CPU that must let it go. Readers of a rwlock may meet readers.
 *   owner       who releases holds: the thread (sleeping locks), the CPU (spinning locks).
 *   left        nothing is held when an interrupt finds user mode, and at the end of a thread.
 *   sleep       no spinning lock is held at schedule(); might_sleep() asks the same where sleeping is only possible.
 *
 * Held locks are kept in two stacks. Sleeping locks belong to the thread. Spinning locks belong to the CPU: preemption is off
 * while one is held, and the run queue's lock, which the leaving thread takes and the arriving one lets go, needs no
 * exception. What a handler takes is not ordered after what it happened to interrupt: only entries of the same context
 * make edges.
 *
 * The checker runs with interrupts off and marks its CPU, so the locks of its own printing are not watched. A complaint
 * is recorded where it is found and printed when a lock is taken with no spinning lock held: the one that was found at fault may be
 * the console's. Cost: none in default builds; in a debug build some 200 instructions an acquisition.
 */
#include <kernel/lockcheck.h>

#ifdef LOCKCHECK
#include "lockgraph.h"
#include <kernel/cpumask.h>
#include <kernel/current.h>
#include <kernel/preempt.h>
#include <lib/atomic.h>
#include <lib/string.h>
#include <x86/irqflags.h>

extern const struct lock_decl __lock_decls_start[], __lock_decls_end[];

static DEFINE_PER_CPU(struct lock_stack, cpu_locks);
static DEFINE_PER_CPU(u32, inside); /* the checker itself */
static DEFINE_PER_CPU(u32, irq_is_thread);
static struct lock_stack boot_locks; /* before there are threads */
static bool off;

/* Marks the CPU. False: nothing is to be checked. */
static bool enter(u64 *flags)
{
	*flags = local_irq_save();
	if (off || this_cpu_read(inside)) {
		local_irq_restore(*flags);
		return false;
	}
	this_cpu_write(inside, 1);
	return true;
}

static void leave(u64 flags)
{
	this_cpu_write(inside, 0);
	local_irq_restore(flags);
}

void lockcheck_off(void)
{
	WRITE_ONCE(off, true);
}

void lock_irq_is_thread(bool yes)
{
	this_cpu_write(irq_is_thread, yes);
}

void lock_stack_init(struct lock_stack *s)
{
	s->n = s->lost = 0;
}

static struct lock_stack *thread_locks(void)
{
	struct thread *t = current_thread();

	return t ? lock_stack_of(t) : &boot_locks;
}

static const struct lock_decl *declaration_of(u64 at)
{
	for (const struct lock_decl *d = __lock_decls_start; d < __lock_decls_end; d++)
		if (at - (u64)d->at < d->size)
			return d;
	return NULL;
}

/* The lock got its value from the compiler: its declaration, or that of the per-CPU variable, knows the name. */
static u16 class_by_address(const void *lock)
{
	const struct lock_decl *d = declaration_of((u64)lock);

	for (int cpu = 0; !d && cpu < nr_cpus; cpu++)
		d = declaration_of((u64)lock - percpu_delta[cpu]);
	/* a mutex has its waiters' lock inside */
	return d ? lock_class(d->name, lock == d->at || declaration_of((u64)lock) != d ? "" : "(inside)") : 0;
}

static u16 class_of(const void *lock, u16 *class, u64 ip)
{
	if (unlikely(!*class)) {
		*class = class_by_address(lock) ?: lock_class("unnamed", "");
		if (!strcmp(lock_infos[*class].name, "unnamed"))
			lock_complain(LOCK_UNNAMED, *class, ip);
	}
	return *class;
}

static void push(struct lock_stack *s, const struct lock_held *h)
{
	if (s->n < LOCK_HELD_MAX)
		s->held[s->n++] = *h;
	else
		s->lost++;
}

static void edges_from(const struct lock_stack *s, const struct lock_held *to)
{
	for (u32 i = 0; i < s->n; i++)
		if (s->held[i].in_irq == to->in_irq)
			lock_edge_note(&s->held[i], to->class, to->lock, to->how);
}

static void note_context(u16 class, unsigned how, bool in_irq, bool irqs_on)
{
	unsigned met = in_irq ? MET_IRQ : MET_IRQS_ON;

	if ((how & LOCK_SLEEPS) || (in_irq ? (how & LOCK_TRY) != 0 : !irqs_on))
		return;
	met += how & LOCK_SHARED ? 1 : 0;
	if (unlikely(!(READ_ONCE(lock_infos[class].met) >> met & 1)))
		lock_met(class, met);
}

void lock_acquire(const void *lock, u16 *class, unsigned how)
{
	struct lock_stack *mine;
	struct lock_held h = { .lock = lock, .ip = (u64)__builtin_return_address(0), .how = (u8)how };
	u64 flags;

	if (!enter(&flags))
		return;
	mine = this_cpu_ptr(&cpu_locks);
	if (unlikely(lock_complaints_wait()) && !mine->n && !(how & LOCK_TRY))
		lock_complaints_print();
	h.in_irq = in_interrupt() && !this_cpu_read(irq_is_thread);
	h.class = class_of(lock, class, h.ip);
	__atomic_fetch_add(&lock_infos[h.class].taken, 1, __ATOMIC_RELAXED);
	note_context(h.class, how, h.in_irq, flags & X86_EFLAGS_IF);
	if (!(how & LOCK_TRY)) {
		if (!h.in_irq)
			edges_from(thread_locks(), &h);
		edges_from(mine, &h);
	}
	push(how & LOCK_SLEEPS ? thread_locks() : mine, &h);
	leave(flags);
}

static struct lock_held *find(struct lock_stack *s, const void *lock)
{
	for (u32 i = s->n; i-- > 0;)
		if (s->held[i].lock == lock)
			return &s->held[i];
	return NULL;
}

void lock_release(const void *lock, unsigned how)
{
	struct lock_stack *s;
	struct lock_held *h;
	u64 flags;

	if (!enter(&flags))
		return;
	s = how & LOCK_SLEEPS ? thread_locks() : this_cpu_ptr(&cpu_locks);
	h = find(s, lock);
	if (likely(h)) {
		u32 behind = (u32)(&s->held[s->n] - (h + 1));

		memmove(h, h + 1, behind * sizeof(*h));
		s->n--;
	} else if (s->lost) {
		s->lost--;
	} else {
		lock_complain(LOCK_NOT_HELD, class_by_address(lock), (u64)__builtin_return_address(0));
	}
	leave(flags);
}

void lock_downgrade(const void *lock)
{
	struct lock_held *h;
	u64 flags;

	if (!enter(&flags))
		return;
	h = find(thread_locks(), lock);
	if (h)
		h->how |= LOCK_SHARED;
	leave(flags);
}

void lock_contended(u16 class)
{
	__atomic_fetch_add(&lock_infos[class].contended, 1, __ATOMIC_RELAXED);
}

static void complain_of_all(const struct lock_stack *s, enum lock_complaint kind)
{
	for (u32 i = 0; i < s->n; i++)
		lock_complain(kind, s->held[i].class, s->held[i].ip);
}

void lock_assert_none(void)
{
	u64 flags;

	if (!enter(&flags))
		return;
	complain_of_all(thread_locks(), LOCK_LEFT);
	complain_of_all(this_cpu_ptr(&cpu_locks), LOCK_LEFT);
	leave(flags);
}

void lock_assert_may_switch(void)
{
	u64 flags;

	if (!enter(&flags))
		return;
	complain_of_all(this_cpu_ptr(&cpu_locks), LOCK_SPIN_SLEEP);
	leave(flags);
}

void lock_enter_irq(bool user)
{
	struct lock_stack *s = this_cpu_ptr(&cpu_locks);
	u64 flags;

	if (user)
		lock_assert_none();
	if (!s->n || !enter(&flags))
		return;
	for (u32 i = 0; i < s->n; i++)
		note_context(s->held[i].class, s->held[i].how, false, true);
	leave(flags);
}

#endif
