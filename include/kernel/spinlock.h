/*
 * Spinning locks.
 *
 * spinlock_t is test-and-test-and-set: one locked exchange to take, one plain store to release.
 * A fair (ticket, MCS) lock is rejected because a virtual CPU that is not running would stop the
 * whole queue behind it. A spinning CPU answers TLB shootdowns meanwhile (spin_poll), so that a
 * CPU that waits for acknowledgements while others spin with interrupts off cannot deadlock.
 *
 * rwlock_t: many readers or one writer, spinning. seqcount_t: readers retry.
 * Lock order: docs/locking.md. In DEBUG builds the holder is recorded, and kernel/lockcheck.h watches every acquisition.
 */
#ifndef KERNEL_SPINLOCK_H
#define KERNEL_SPINLOCK_H

#include <kernel/lockcheck.h>
#include <kernel/preempt.h>
#include <lib/assert.h>
#include <lib/atomic.h>
#include <x86/irqflags.h>

/* Eight bytes in every build: a page table's lock lies in its struct page. */
typedef struct spinlock {
	u32 locked; /* (a) 0 free, 1 held */
#ifdef LOCKCHECK
	s16 holder; /* CPU that holds it, -1 none */
	u16 class;
#endif
} spinlock_t;

#ifdef LOCKCHECK
#define SPINLOCK_INIT { 0, -1, 0 }
#define spin_lock_init(l) ((void)(*(l) = (spinlock_t){ 0, -1, LOCK_CLASS(#l) }))
#define __spin_note(l, cpu) ((void)((l)->holder = (s16)(cpu)))
#else
#define SPINLOCK_INIT { 0 }
#define __spin_note(l, cpu) ((void)0)
static inline void spin_lock_init(spinlock_t *l)
{
	*l = (spinlock_t)SPINLOCK_INIT;
}
#endif
#define DEFINE_SPINLOCK(name) spinlock_t name = SPINLOCK_INIT; LOCK_DECLARE(name)

/* Slow half: spins until the lock is taken, answering shootdowns. */
void spin_lock_slow(spinlock_t *l);
/* One turn of any spinning loop: PAUSE and answer pending cross-CPU requests. */
void spin_poll(void);

static inline void __spin_acquire(spinlock_t *l)
{
	lock_acquire(l, &l->class, 0);
	if (unlikely(__atomic_exchange_n(&l->locked, 1, __ATOMIC_ACQUIRE)))
		spin_lock_slow(l);
	__spin_note(l, smp_processor_id());
}
static inline void __spin_release(spinlock_t *l)
{
	lock_release(l, 0);
	__spin_note(l, -1);
	__atomic_store_n(&l->locked, 0, __ATOMIC_RELEASE);
}

static inline void spin_lock(spinlock_t *l)
{
	preempt_disable();
	__spin_acquire(l);
}
static inline void spin_unlock(spinlock_t *l)
{
	__spin_release(l);
	preempt_enable();
}
static inline bool spin_trylock(spinlock_t *l)
{
	preempt_disable();
	if (!READ_ONCE(l->locked) && !__atomic_exchange_n(&l->locked, 1, __ATOMIC_ACQUIRE)) {
		lock_acquire(l, &l->class, LOCK_TRY);
		__spin_note(l, smp_processor_id());
		return true;
	}
	preempt_enable();
	return false;
}
static inline void spin_lock_irq(spinlock_t *l)
{
	local_irq_disable();
	spin_lock(l);
}
static inline void spin_unlock_irq(spinlock_t *l)
{
	__spin_release(l);
	local_irq_enable();
	preempt_enable();
}
#define spin_lock_irqsave(l, flags) \
	do {                        \
		(flags) = local_irq_save(); \
		spin_lock(l);       \
	} while (0)
static inline void spin_unlock_irqrestore(spinlock_t *l, u64 flags)
{
	__spin_release(l);
	local_irq_restore(flags);
	preempt_enable();
}
static inline bool spin_is_locked(const spinlock_t *l)
{
	return READ_ONCE(l->locked);
}
#ifdef LOCKCHECK
#define ASSERT_LOCKED(l) ASSERT((l)->locked && (l)->holder == smp_processor_id())
#else
#define ASSERT_LOCKED(l) ((void)(l))
#endif

typedef struct rwlock {
	s32 state; /* (a) -1 writer, 0 free, n readers */
#ifdef LOCKCHECK
	u16 class;
#endif
} rwlock_t;
#define RWLOCK_INIT { .state = 0 }
#define DEFINE_RWLOCK(name) rwlock_t name = RWLOCK_INIT; LOCK_DECLARE(name)
void read_lock_slow(rwlock_t *l);
void write_lock_slow(rwlock_t *l);
static inline void read_lock(rwlock_t *l)
{
	preempt_disable();
	lock_acquire(l, &l->class, LOCK_SHARED);
	s32 v = READ_ONCE(l->state);
	if (unlikely(v < 0 || !__atomic_compare_exchange_n(&l->state, &v, v + 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)))
		read_lock_slow(l);
}
static inline void __read_release(rwlock_t *l)
{
	lock_release(l, LOCK_SHARED);
	__atomic_fetch_sub(&l->state, 1, __ATOMIC_RELEASE);
}
static inline void read_unlock(rwlock_t *l)
{
	__read_release(l);
	preempt_enable();
}
static inline void write_lock(rwlock_t *l)
{
	preempt_disable();
	lock_acquire(l, &l->class, 0);
	s32 v = 0;
	if (unlikely(!__atomic_compare_exchange_n(&l->state, &v, -1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)))
		write_lock_slow(l);
}
static inline void __write_release(rwlock_t *l)
{
	lock_release(l, 0);
	__atomic_store_n(&l->state, 0, __ATOMIC_RELEASE);
}
static inline void write_unlock(rwlock_t *l)
{
	__write_release(l);
	preempt_enable();
}
/* Interrupt-safe forms: for locks that interrupt handlers take too. */
#define read_lock_irqsave(l, flags) do { (flags) = local_irq_save(); read_lock(l); } while (0)
#define read_unlock_irqrestore(l, flags) do { __read_release(l); local_irq_restore(flags); preempt_enable(); } while (0)
#define write_lock_irq(l) do { local_irq_disable(); write_lock(l); } while (0)
#define write_unlock_irq(l) do { __write_release(l); local_irq_enable(); preempt_enable(); } while (0)
#define write_lock_irqsave(l, flags) do { (flags) = local_irq_save(); write_lock(l); } while (0)
#define write_unlock_irqrestore(l, flags) do { __write_release(l); local_irq_restore(flags); preempt_enable(); } while (0)

typedef struct seqcount {
	u32 seq; /* (a) odd while a writer is inside */
} seqcount_t;
static inline u32 read_seqbegin(const seqcount_t *s)
{
	u32 v;
	while (unlikely((v = __atomic_load_n(&s->seq, __ATOMIC_ACQUIRE)) & 1))
		spin_poll();
	return v;
}
static inline bool read_seqretry(const seqcount_t *s, u32 v)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return unlikely(READ_ONCE(s->seq) != v);
}
/* => writers are serialised by a lock of the caller's, with preemption off. */
static inline void write_seqbegin(seqcount_t *s)
{
	WRITE_ONCE(s->seq, s->seq + 1);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}
static inline void write_seqend(seqcount_t *s)
{
	__atomic_store_n(&s->seq, s->seq + 1, __ATOMIC_RELEASE);
}

#endif
