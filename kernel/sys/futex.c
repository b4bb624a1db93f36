/* futex(2), futex_waitv(2), robust lists. */
#include <proc/futex.h>
#include <sys/util.h>

#define FUTEX_WAIT 0
#define FUTEX_WAKE 1
#define FUTEX_REQUEUE 3
#define FUTEX_CMP_REQUEUE 4
#define FUTEX_WAKE_OP 5
#define FUTEX_LOCK_PI 6
#define FUTEX_UNLOCK_PI 7
#define FUTEX_TRYLOCK_PI 8
#define FUTEX_WAIT_BITSET 9
#define FUTEX_WAKE_BITSET 10
#define FUTEX_WAIT_REQUEUE_PI 11
#define FUTEX_CMP_REQUEUE_PI 12
#define FUTEX_LOCK_PI2 13
#define FUTEX_PRIVATE_FLAG 128
#define FUTEX_CLOCK_REALTIME 256

static bool takes_timeout(int cmd)
{
	return cmd == FUTEX_WAIT || cmd == FUTEX_LOCK_PI || cmd == FUTEX_LOCK_PI2 || cmd == FUTEX_WAIT_BITSET ||
	       cmd == FUTEX_WAIT_REQUEUE_PI;
}

/* FUTEX_WAIT's is relative, all others are points in time; LOCK_PI's always of the real-time clock. */
static int get_timeout(struct futex_timeout *to, int op, int cmd, const void __user *uts)
{
	to->set = to->real = false;
	if (!uts || !takes_timeout(cmd))
		return 0;
	int err = get_timespec_ns(&to->ns, uts);
	if (err)
		return err;
	to->set = true;
	to->real = (op & FUTEX_CLOCK_REALTIME) || cmd == FUTEX_LOCK_PI;
	if (cmd == FUTEX_WAIT) {
		to->ns = ns_add_sat(ktime_ns(), to->ns);
		to->real = false;
	}
	return 0;
}

long sys_futex(u64 uaddr, int op, u32 val, u64 timeout, u64 uaddr2, u32 val3)
{
	int cmd = op & ~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
	bool shared = !(op & FUTEX_PRIVATE_FLAG);
	struct futex_timeout to;

	if (likely(cmd == FUTEX_WAKE && !(op & FUTEX_CLOCK_REALTIME)))
		return futex_wake_user(uaddr, shared, (int)val, FUTEX_BITSET_ANY);
	if ((op & FUTEX_CLOCK_REALTIME) && cmd != FUTEX_WAIT_BITSET && cmd != FUTEX_WAIT_REQUEUE_PI &&
	    cmd != FUTEX_LOCK_PI2)
		return -ENOSYS;
	int err = get_timeout(&to, op, cmd, (const void __user *)timeout);
	if (err)
		return err;
	switch (cmd) {
	case FUTEX_WAIT:
		return futex_wait(uaddr, shared, val, FUTEX_BITSET_ANY, &to);
	case FUTEX_WAIT_BITSET:
		return futex_wait(uaddr, shared, val, val3, &to);
	case FUTEX_WAKE_BITSET:
		return futex_wake_user(uaddr, shared, (int)val, val3);
	case FUTEX_REQUEUE:
		return futex_requeue(uaddr, uaddr2, shared, (int)val, (int)timeout, NULL);
	case FUTEX_CMP_REQUEUE:
		return futex_requeue(uaddr, uaddr2, shared, (int)val, (int)timeout, &val3);
	case FUTEX_WAKE_OP:
		return futex_wake_op(uaddr, uaddr2, shared, (int)val, (int)timeout, val3);
	case FUTEX_LOCK_PI:
	case FUTEX_LOCK_PI2:
		return futex_lock_pi(uaddr, shared, &to, false);
	case FUTEX_TRYLOCK_PI:
		return futex_lock_pi(uaddr, shared, &to, true);
	case FUTEX_UNLOCK_PI:
		return futex_unlock_pi(uaddr, shared);
	case FUTEX_WAIT_REQUEUE_PI:
		return futex_wait_requeue_pi(uaddr, uaddr2, shared, val, FUTEX_BITSET_ANY, &to);
	case FUTEX_CMP_REQUEUE_PI:
		return futex_cmp_requeue_pi(uaddr, uaddr2, shared, (int)val, (int)timeout, &val3);
	}
	return -ENOSYS;
}

/* ---- futex_waitv ---- */

#define FUTEX_32 2u
#define FUTEXV_MAX 128
struct futex_waitv_user { u64 val, uaddr; u32 flags, reserved; };

long sys_futex_waitv(const struct futex_waitv_user __user *uv, u32 n, u32 flags, const void __user *uts, s32 clock)
{
	struct futex_waitv_k v[FUTEXV_MAX];
	struct futex_timeout to = { 0 };
	struct futex_waitv_user u;

	if (flags || !n || n > FUTEXV_MAX || !uv)
		return -EINVAL;
	if (uts) {
		if (clock != 0 && clock != 1)
			return -EINVAL;
		int err = get_timespec_ns(&to.ns, uts);
		if (err)
			return err;
		to.set = true;
		to.real = clock == 0;
	}
	for (u32 i = 0; i < n; i++) {
		if (copy_from_user(&u, &uv[i], sizeof(u)))
			return -EFAULT;
		if ((u.flags & ~(FUTEX_32 | FUTEX_PRIVATE_FLAG)) || u.reserved || !(u.flags & FUTEX_32))
			return -EINVAL;
		v[i] = (struct futex_waitv_k){ u.val, u.uaddr, !(u.flags & FUTEX_PRIVATE_FLAG) };
	}
	return futex_wait_many(v, n, &to);
}

/* ---- robust lists ---- */

#define ROBUST_HEAD_SIZE 24

long sys_set_robust_list(void __user *head, u64 len)
{
	if (len != ROBUST_HEAD_SIZE)
		return -EINVAL;
	current->robust_list = head;
	return 0;
}

long sys_get_robust_list(pid_t pid, u64 __user *uhead, u64 __user *ulen)
{
	struct task *t = pid ? task_find_get(pid) : current;

	if (!t)
		return -ESRCH;
	u64 head = (u64)t->robust_list;
	bool ok = kill_permission(0, true, t) == 0;
	if (pid)
		task_put(t);
	if (!ok)
		return -EPERM;
	return put_user((u64)ROBUST_HEAD_SIZE, ulen) || put_user(head, uhead) ? -EFAULT : 0;
}
