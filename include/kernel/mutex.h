/*
 * Sleeping locks. Uncontended: one locked compare-exchange to take, one to release.
 * mutex: one owner, adaptive spin while the owner runs, then sleep in FIFO order.
 * rw_semaphore: readers share; a waiting writer stops new readers.
 * => may sleep; never in interrupt context.
 */
#ifndef KERNEL_MUTEX_H
#define KERNEL_MUTEX_H

#include <kernel/wait.h>

struct mutex {
	u64 owner; /* (a) struct thread *, bit 0: waiters */
	wait_queue_t wait;
#ifdef LOCKCHECK
	u16 class;
#endif
};
#define MUTEX_INIT(n) { .wait = WAIT_QUEUE_INIT((n).wait) }
#define DEFINE_MUTEX(n) struct mutex n = MUTEX_INIT(n); LOCK_DECLARE(n)
void mutex_init(struct mutex *m);
#ifdef LOCKCHECK
#define mutex_init(m) (mutex_init(m), (void)((m)->class = LOCK_CLASS(#m)))
#endif
void mutex_lock_slow(struct mutex *m);
void mutex_unlock_slow(struct mutex *m);
int mutex_lock_interruptible(struct mutex *m); /* 0 or -EINTR */
static inline bool __mutex_try(struct mutex *m)
{
	u64 z = 0;
	return __atomic_compare_exchange_n(&m->owner, &z, (u64)current_thread(), 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}
static inline bool mutex_trylock(struct mutex *m)
{
	if (!__mutex_try(m))
		return false;
	lock_acquire(m, &m->class, LOCK_SLEEPS | LOCK_TRY);
	return true;
}
static inline void mutex_lock(struct mutex *m)
{
	might_sleep();
	lock_acquire(m, &m->class, LOCK_SLEEPS);
	if (unlikely(!__mutex_try(m)))
		mutex_lock_slow(m);
}
static inline void mutex_unlock(struct mutex *m)
{
	u64 me = (u64)current_thread();
	lock_release(m, LOCK_SLEEPS);
	if (unlikely(!__atomic_compare_exchange_n(&m->owner, &me, 0, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED)))
		mutex_unlock_slow(m);
}
static inline bool mutex_is_locked(const struct mutex *m)
{
	return READ_ONCE(m->owner) != 0;
}

struct rw_semaphore {
	s64 count; /* (a) number of readers; RWSEM_WRITER held for writing; RWSEM_WAITERS somebody sleeps */
	wait_queue_t wait;
	struct thread *owner; /* writer */
#ifdef LOCKCHECK
	u16 class;
#endif
};
#define RWSEM_WRITER (1ll << 40)
#define RWSEM_WAITERS (1ll << 41)
#define RWSEM_INIT(n) { .wait = WAIT_QUEUE_INIT((n).wait) }
void init_rwsem(struct rw_semaphore *s);
#ifdef LOCKCHECK
#define init_rwsem(s) (init_rwsem(s), (void)((s)->class = LOCK_CLASS(#s)))
#endif
void down_read_slow(struct rw_semaphore *s);
void down_write_slow(struct rw_semaphore *s);
void rwsem_wake(struct rw_semaphore *s);
static inline bool __rwsem_try_read(struct rw_semaphore *s)
{
	s64 v = READ_ONCE(s->count);
	return v < RWSEM_WRITER &&
	       __atomic_compare_exchange_n(&s->count, &v, v + 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}
static inline bool __rwsem_try_write(struct rw_semaphore *s)
{
	s64 z = 0;
	return __atomic_compare_exchange_n(&s->count, &z, RWSEM_WRITER, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}
static inline bool down_read_trylock(struct rw_semaphore *s)
{
	if (!__rwsem_try_read(s))
		return false;
	lock_acquire(s, &s->class, LOCK_SLEEPS | LOCK_SHARED | LOCK_TRY);
	return true;
}
static inline bool down_write_trylock(struct rw_semaphore *s)
{
	if (!__rwsem_try_write(s))
		return false;
	lock_acquire(s, &s->class, LOCK_SLEEPS | LOCK_TRY);
	return true;
}
static inline void down_read(struct rw_semaphore *s)
{
	might_sleep();
	lock_acquire(s, &s->class, LOCK_SLEEPS | LOCK_SHARED);
	if (unlikely(!__rwsem_try_read(s)))
		down_read_slow(s);
}
static inline void up_read(struct rw_semaphore *s)
{
	lock_release(s, LOCK_SLEEPS | LOCK_SHARED);
	if (unlikely(__atomic_sub_fetch(&s->count, 1, __ATOMIC_RELEASE) >= RWSEM_WAITERS))
		rwsem_wake(s);
}
static inline void down_write(struct rw_semaphore *s)
{
	might_sleep();
	lock_acquire(s, &s->class, LOCK_SLEEPS);
	if (unlikely(!__rwsem_try_write(s)))
		down_write_slow(s);
}
static inline void up_write(struct rw_semaphore *s)
{
	lock_release(s, LOCK_SLEEPS);
	if (unlikely(__atomic_sub_fetch(&s->count, RWSEM_WRITER, __ATOMIC_RELEASE) >= RWSEM_WAITERS))
		rwsem_wake(s);
}
void downgrade_write(struct rw_semaphore *s);
static inline bool rwsem_is_locked(const struct rw_semaphore *s)
{
	return READ_ONCE(s->count) != 0;
}

#endif
