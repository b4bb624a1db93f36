/* Decode half of rseq(2). */
#include <proc/rseq.h>
#include <x86/uaccess.h>

#define RSEQ_FLAG_UNREGISTER 1
#define RSEQ_SIZE 32
#define RSEQ_CPU_UNINITIALIZED ((u32)-1)

static long unregister(struct task *t, u64 at, u32 len, u32 sig)
{
	if (!t->rseq || t->rseq != at || len != RSEQ_SIZE)
		return -EINVAL;
	if (t->rseq_sig != sig)
		return -EPERM;
	if (rseq_write_cpu(t, 0, RSEQ_CPU_UNINITIALIZED))
		return -EFAULT;
	thread_clear_flag(&t->thread, TIF_RSEQ);
	t->rseq = 0;
	return 0;
}

long sys_rseq(u64 at, u32 len, int flags, u32 sig)
{
	struct task *t = current;

	if (flags == RSEQ_FLAG_UNREGISTER)
		return unregister(t, at, len, sig);
	if (flags)
		return -EINVAL;
	if (t->rseq)
		return t->rseq != at || len != RSEQ_SIZE ? -EINVAL : t->rseq_sig != sig ? -EPERM : -EBUSY;
	if (at % RSEQ_SIZE || len != RSEQ_SIZE)
		return -EINVAL;
	if (!at || !access_ok((void __user *)at, len))
		return -EFAULT;
	t->rseq = at;
	t->rseq_len = len;
	t->rseq_sig = sig;
	t->rseq_event = true;
	thread_set_flag(&t->thread, TIF_RSEQ);
	thread_set_flag(&t->thread, TIF_NOTIFY_RESUME); /* the number is there when this call returns */
	return 0;
}
