/*
 * Robust futexes: a thread's list, in its own memory, of the locks it holds (set_robust_list(2)).
 * When it dies, each word that carries its number is marked FUTEX_OWNER_DIED and one waiter is woken.
 *
 * The list is the user's and may be anything: every pointer is only followed through the user-access
 * functions, and at most ROBUST_LIMIT entries are looked at, so a loop ends.
 */
#include <proc/futex.h>
#include <x86/uaccess.h>

#define ROBUST_LIMIT 2048

struct robust_head { u64 next; s64 futex_offset; u64 pending; };

/* Marks one word. @pending: the lock was in the middle of being taken or released. */
static int owner_died(struct task *t, u64 uaddr, bool pi, bool pending)
{
	u32 v, new, seen;

	if (uaddr & 3 || get_user(v, (u32 __user *)uaddr))
		return -1;
	for (;;) {
		/* released already, but the waiter it should wake may not know */
		if (pending && !pi && !v) {
			futex_wake(t->thread.mm, uaddr, true, 1, FUTEX_BITSET_ANY);
			return 0;
		}
		if ((v & FUTEX_TID_MASK) != (u32)t->pid)
			return 0;
		new = (v & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
		if (user_cmpxchg_u32((u32 __user *)uaddr, v, new, &seen))
			return -1;
		if (seen == v)
			break;
		v = seen;
	}
	if (!pi && (v & FUTEX_WAITERS))
		futex_wake(t->thread.mm, uaddr, true, 1, FUTEX_BITSET_ANY);
	return 0;
}

/* An entry pointer: bit 0 says it is a PI lock. */
static int get_entry(u64 *e, bool *pi, u64 from)
{
	u64 v;

	if (get_user(v, (u64 __user *)from))
		return -1;
	*pi = v & 1;
	*e = v & ~1ull;
	return 0;
}

static void walk_robust_list(struct task *t)
{
	u64 head = (u64)t->robust_list, entry, next = 0, pending;
	bool pi, next_pi = false, pending_pi;
	s64 offset;
	int left = ROBUST_LIMIT, err;

	if (get_entry(&entry, &pi, head + offsetof(struct robust_head, next)) ||
	    get_user(offset, (s64 __user *)(head + offsetof(struct robust_head, futex_offset))) ||
	    get_entry(&pending, &pending_pi, head + offsetof(struct robust_head, pending)))
		return;
	while (entry != head && left--) {
		/* the next one first: the entry may be reused as soon as the word is marked */
		err = get_entry(&next, &next_pi, entry);
		if (entry != pending && owner_died(t, entry + offset, pi, false))
			return;
		if (err)
			return;
		entry = next;
		pi = next_pi;
		if (fatal_signal_pending_current() && !(left & 255))
			cond_resched();
	}
	if (pending)
		owner_died(t, pending + offset, pending_pi, true);
}

void futex_exit(struct task *t)
{
	if (unlikely(t->robust_list)) {
		walk_robust_list(t);
		t->robust_list = NULL;
	}
	/* also when it holds none: from now on nobody may wait for this thread */
	futex_pi_owner_exit(t);
}
