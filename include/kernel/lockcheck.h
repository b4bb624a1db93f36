/*
 * The lock-order checker: debug builds only (LOCKCHECK); in other builds every name here is nothing.
 *
 * Locks belong to classes. A class is the place that initialises them: the expression and the file ("p->lock pipe.c"), or
 * the name of a static lock. What is checked, on every acquisition and release, whoever calls (theory: kernel/sync/lockcheck.c):
 * the order of classes has no cycle and agrees with the ranks of docs/locking.md (kernel/sync/lockrank.c); what interrupt handlers
 * take is never held with interrupts on; who releases holds; nothing is held in user mode, at a thread's end or by a sleeper that spins.
 *
 * A complaint is printed once for each pair of classes, with both call chains, raises the kernel's taint, and counts as a mismatch
 * of the checker "locks" (/proc/sys/vm/check). /proc/quoin/locks shows classes, edges and counts.
 */
#ifndef KERNEL_LOCKCHECK_H
#define KERNEL_LOCKCHECK_H

#include <lib/types.h>

#if defined(DEBUG) && defined(__KERNEL__)
#define LOCKCHECK 1
#endif

#define LOCK_SHARED 1u /* a reader: several may hold it */
#define LOCK_TRY 2u /* does not wait, so it cannot close a cycle */
#define LOCK_SLEEPS 4u /* held by a thread; without it by a CPU */

struct seq_buf;
struct thread;

#ifdef LOCKCHECK

#define LOCK_HELD_MAX 24u
struct lock_held {
	const void *lock;
	u64 ip; /* who took it */
	u16 class;
	u8 how; /* LOCK_* */
	u8 in_irq;
};
/* What a thread (sleeping locks) or a CPU (spinning locks) holds, in the order it was taken. Only its own CPU touches it, irqs off. */
struct lock_stack {
	u32 n;
	u32 lost; /* taken when the stack was full */
	struct lock_held held[LOCK_HELD_MAX];
};

/* A lock that is initialised by the compiler: its name is found by its address. */
struct lock_decl {
	const void *at;
	u64 size;
	const char *name;
};
#define LOCK_DECLARE(sym)                                                                         \
	static const struct lock_decl __lock_decl_##sym                                           \
		__attribute__((used, section(".lockdecls"), aligned(8))) = { &sym, sizeof(sym), #sym }

/* The class of a name; made when it is new. => any context; 0 when the table is full (then nothing of it is checked) */
u16 lock_class(const char *name, const char *file);
#define LOCK_CLASS(expr)                                                \
	({                                                              \
		static u16 __class;                                     \
		if (!__class)                                           \
			__class = lock_class(expr, __FILE_NAME__);      \
		__class;                                                \
	})

/* Before a lock is waited for, or after it was got by trying. @class: the lock's own, 0 when the compiler initialised it. */
void lock_acquire(const void *lock, u16 *class, unsigned how);
/* Before it is let go. */
void lock_release(const void *lock, unsigned how);
void lock_contended(u16 class);
void lock_downgrade(const void *lock);
void lock_assert_none(void); /* complains of each lock this thread and CPU hold */
void lock_assert_may_switch(void); /* of each spinning lock; => the CPU's run queue is not yet locked */
void lock_enter_irq(bool user); /* an interrupt came; what is held now is held with interrupts on */
/* Between the two calls a handler that interrupts nothing but threads with preemption on takes locks as such a thread would. */
void lock_irq_is_thread(bool yes);
void lock_stack_init(struct lock_stack *s);
struct lock_stack *lock_stack_of(struct thread *t); /* door to sched */
u64 lock_check(void); /* the number of complaints: a checker */
void lock_show(struct seq_buf *s, void *arg);
int lock_plant(const char *text, u64 n, void *arg); /* makes the mistake @text names with locks of its own. 0 or -EINVAL */
void lockcheck_off(void); /* the machine is in a panic: locks no longer mean anything */

#else

#define LOCK_DECLARE(sym) struct __lock_undeclared_##sym
#define lock_acquire(lock, class, how) ((void)0)
#define lock_release(lock, how) ((void)0)
#define lock_contended(class) ((void)0)
#define lock_downgrade(lock) ((void)0)
#define lock_assert_none() ((void)0)
#define lock_assert_may_switch() ((void)0)
#define lock_enter_irq(user) ((void)0)
#define lock_irq_is_thread(yes) ((void)0)
#define lockcheck_off() ((void)0)

#endif
#endif
