/* poll, ppoll, select, pselect6: reading the arrays and the time, writing the results and the time left. */
#include <fs/fdtable.h>
#include <fs/pollsys.h>
#include <kernel/time.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <proc/task.h>
#include <x86/uaccess.h>

struct ts_k { s64 sec, nsec; };

/* Deadline from a relative time: 0 when it is zero, saturating. => ts valid */
static u64 deadline_after(s64 sec, s64 nsec)
{
	if (!sec && !nsec)
		return 0;
	if ((u64)sec >= (1ull << 33))
		return ~0ull;
	return ktime_ns() + (u64)sec * NSEC_PER_SEC + nsec;
}

static int get_deadline_ts(const struct ts_k __user *p, u64 *deadline)
{
	struct ts_k ts;

	*deadline = ~0ull;
	if (!p)
		return 0;
	if (copy_from_user(&ts, p, sizeof(ts)))
		return -EFAULT;
	if (ts.sec < 0 || (u64)ts.nsec >= NSEC_PER_SEC)
		return -EINVAL;
	*deadline = deadline_after(ts.sec, ts.nsec);
	return 0;
}

/* The time left goes back to the user, best effort as Linux does. @unit: nanoseconds of the second field. */
static void put_time_left(void __user *p, u64 deadline, u64 unit)
{
	u64 now = ktime_ns(), left;
	struct ts_k ts;

	if (!p || deadline == ~0ull)
		return;
	left = deadline > now ? deadline - now : 0;
	ts.sec = left / NSEC_PER_SEC;
	ts.nsec = left % NSEC_PER_SEC / unit;
	if (copy_to_user(p, &ts, sizeof(ts)))
		return; /* a read-only time is no error */
}

static long poll_user(struct pollfd_k __user *ufds, u32 n, u64 deadline)
{
	struct pollfd_k stack[16], *fds = stack;
	long r = -EFAULT;

	if (n > rlimit_current(RLIMIT_NOFILE))
		return -EINVAL;
	if (n > ARRAY_SIZE(stack)) {
		fds = kvmalloc(n * sizeof(*fds), GFP_KERNEL);
		if (!fds)
			return -ENOMEM;
	}
	if (copy_from_user(fds, ufds, n * sizeof(*fds)))
		goto out;
	r = do_poll(fds, n, deadline);
	for (u32 i = 0; r >= 0 && i < n; i++)
		if (__put_user_2((u16)fds[i].revents, &ufds[i].revents))
			r = -EFAULT;
out:
	if (fds != stack)
		kvfree(fds);
	return r;
}

long sys_poll(struct pollfd_k __user *ufds, u32 n, s32 timeout_ms)
{
	u64 deadline = timeout_ms < 0 ? ~0ull : deadline_after(timeout_ms / 1000, timeout_ms % 1000 * (s64)NSEC_PER_MSEC);

	return poll_user(ufds, n, deadline);
}

long sys_ppoll(struct pollfd_k __user *ufds, u32 n, struct ts_k __user *uts, const void __user *mask, u64 sigsetsize)
{
	u64 deadline;
	int r = get_deadline_ts(uts, &deadline);

	if (r)
		return r;
	r = set_user_sigmask(mask, sigsetsize);
	if (r)
		return r;
	long n_ready = poll_user(ufds, n, deadline);
	restore_saved_sigmask_unless(n_ready == -ERESTARTNOHAND);
	put_time_left(uts, deadline, 1);
	return n_ready;
}

#define SEL_STACK_WORDS 16
static long select_user(s32 nfds, u64 __user *sets[3], u64 deadline)
{
	u64 stack[6 * SEL_STACK_WORDS], *buf = stack, *in[3], *out[3];
	long r;

	if (nfds < 0)
		return -EINVAL;
	u32 max = READ_ONCE(current->files->t)->max; /* higher descriptors cannot be open */
	u32 n = min_t(u32, nfds, max);
	u32 words = DIV_ROUND_UP(n, 64);
	if (words > SEL_STACK_WORDS) {
		buf = kvmalloc(6 * words * sizeof(u64), GFP_KERNEL);
		if (!buf)
			return -ENOMEM;
	}
	for (int k = 0; k < 3; k++) {
		in[k] = buf + k * words;
		out[k] = buf + (3 + k) * words;
		r = -EFAULT;
		if (!sets[k])
			memset(in[k], 0, words * 8);
		else if (copy_from_user(in[k], sets[k], words * 8))
			goto done;
	}
	r = do_select(n, in, out, deadline);
	for (int k = 0; r >= 0 && k < 3; k++)
		if (sets[k] && copy_to_user(sets[k], out[k], words * 8))
			r = -EFAULT;
done:
	if (buf != stack)
		kvfree(buf);
	return r;
}

long sys_select(s32 nfds, u64 __user *r, u64 __user *w, u64 __user *e, struct ts_k __user *utv)
{
	u64 deadline = ~0ull, *sets[3] = { r, w, e };
	struct ts_k tv;

	if (utv) {
		if (copy_from_user(&tv, utv, sizeof(tv)))
			return -EFAULT;
		if (tv.sec < 0 || tv.nsec < 0)
			return -EINVAL;
		tv.sec += tv.nsec / 1000000;
		deadline = deadline_after(tv.sec, tv.nsec % 1000000 * (s64)NSEC_PER_USEC);
	}
	long n = select_user(nfds, sets, deadline);
	put_time_left(utv, deadline, 1000);
	return n;
}

long sys_pselect6(s32 nfds, u64 __user *r, u64 __user *w, u64 __user *e, struct ts_k __user *uts, const u64 __user *usig)
{
	u64 deadline, *sets[3] = { r, w, e }, sig[2] = { 0, 0 };
	int err = get_deadline_ts(uts, &deadline);

	if (err)
		return err;
	if (usig && copy_from_user(sig, usig, sizeof(sig)))
		return -EFAULT;
	err = set_user_sigmask((void __user *)sig[0], sig[1]);
	if (err)
		return err;
	long n = select_user(nfds, sets, deadline);
	restore_saved_sigmask_unless(n == -ERESTARTNOHAND);
	put_time_left(uts, deadline, 1);
	return n;
}
