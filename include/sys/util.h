/* Small helpers of the decode halves. */
#ifndef SYS_UTIL_H
#define SYS_UTIL_H

#include <kernel/time.h>
#include <lib/string.h>
#include <x86/uaccess.h>

struct timespec_user { s64 sec, nsec; };
struct timeval_user { s64 sec, usec; };
struct itimerspec_user { struct timespec_user interval, value; };
struct itimerval_user { struct timeval_user interval, value; };

/* Nanoseconds, saturating; -EINVAL for what POSIX calls invalid. */
static inline int timespec_to_ns(const struct timespec_user *t, u64 *ns)
{
	if (t->sec < 0 || (u64)t->nsec >= NSEC_PER_SEC)
		return -EINVAL;
	*ns = t->sec >= (s64)(S64_MAX / NSEC_PER_SEC) ? S64_MAX : t->sec * NSEC_PER_SEC + t->nsec;
	return 0;
}
static inline int get_timespec_ns(u64 *ns, const void __user *p)
{
	struct timespec_user t;
	return copy_from_user(&t, p, sizeof(t)) ? -EFAULT : timespec_to_ns(&t, ns);
}
static inline int put_timespec_ns(u64 ns, void __user *p)
{
	struct timespec_user t = { ns / NSEC_PER_SEC, ns % NSEC_PER_SEC };
	return copy_to_user(p, &t, sizeof(t)) ? -EFAULT : 0;
}
long prctl_set_mm(u64 op, u64 addr, u64 n, u64 zero); /* PR_SET_MM, in prctl_mm.c */
static inline u64 ns_add_sat(u64 a, u64 b)
{
	return a + b < a || a + b > S64_MAX ? S64_MAX : a + b;
}

#endif
