/* adjtimex(2), clock_adjtime(2). */
#include <proc/impl.h>
#include <proc/ntp.h>
#include <sys/util.h>
#include <uapi/errno.h>
#include <x86/uaccess.h>

/* adjtime(3)'s forms stand alone; who only reads needs no right. */
static int check_modes(const struct timex *x)
{
	if (x->modes & ADJ_ADJTIME) {
		if (!(x->modes & ADJ_OFFSET))
			return -EINVAL;
		return x->modes & ADJ_NANO || capable(CAP_SYS_TIME) ? 0 : -EPERM;
	}
	if (x->modes && !capable(CAP_SYS_TIME))
		return -EPERM;
	if (x->modes & ADJ_TICK && (x->tick < 900000 / USER_HZ || x->tick > 1100000 / USER_HZ))
		return -EINVAL;
	if (x->modes & ADJ_SETOFFSET && (x->usec < 0 || x->usec >= (x->modes & ADJ_NANO ? 1000000000 : 1000000)))
		return -EINVAL;
	return x->modes & ADJ_FREQUENCY && (x->freq < S64_MIN / 65536000 || x->freq > S64_MAX / 65536000) ? -EINVAL : 0;
}

static long do_adjtimex(struct timex __user *u)
{
	struct timex x;

	if (copy_from_user(&x, u, sizeof(x)))
		return -EFAULT;
	int r = check_modes(&x);
	if (!r)
		r = ntp_adjust(&x);
	return r >= 0 && copy_to_user(u, &x, sizeof(x)) ? -EFAULT : r;
}

long sys_adjtimex(struct timex __user *u)
{
	return do_adjtimex(u);
}

long sys_clock_adjtime(s32 id, struct timex __user *u)
{
	struct timex x;

	if (id == 0)
		return do_adjtimex(u);
	if (copy_from_user(&x, u, sizeof(x)))
		return -EFAULT;
	return id > 0 && clock_check(id) ? -EINVAL : -EOPNOTSUPP;
}
