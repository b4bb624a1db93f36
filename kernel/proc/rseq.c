/*
 * Restartable sequences (rseq(2)): a thread shares an area with the kernel in which it finds the number of its CPU, and in which
 * it may name a piece of code that must not be continued when it was preempted, moved or interrupted by a signal.
 *
 * A switch to a registered thread (TIF_RSEQ) sets rseq_event and TIF_NOTIFY_RESUME; the way back to user mode then comes by
 * here: is RIP inside the named piece, it goes on at the abort address instead, which must follow the signature that was
 * registered (so that nobody else's pointer makes a jump). The number is written again. A signal frame is made only after
 * that, so that a handler's return does not lead back inside.
 *
 * Everything read here is the user's: whatever is wrong with it is a SIGSEGV.
 */
#include <proc/rseq.h>
#include <x86/uaccess.h>

struct rseq_cs { u32 version, flags; u64 start, len, abort; };
#define AT_CPU_START 0
#define AT_CPU 4
#define AT_CS 8
#define AT_FLAGS 16
#define FLAGS_NO_RESTART 7u /* obsolete: refused */

void sched_rseq_switch(struct thread *t)
{
	task_of(t)->rseq_event = true;
	thread_set_flag(t, TIF_NOTIFY_RESUME);
}

static int read_cs(const struct task *t, struct rseq_cs *cs)
{
	u64 at;
	u32 sig, flags;

	if (get_user(at, (u64 __user *)(t->rseq + AT_CS)))
		return -EFAULT;
	if (!at)
		return 0;
	if (at >= TASK_SIZE_MAX || copy_from_user(cs, (void __user *)at, sizeof(*cs)))
		return -EFAULT;
	if (cs->version || cs->start >= TASK_SIZE_MAX || cs->abort >= TASK_SIZE_MAX || cs->len >= TASK_SIZE_MAX - cs->start ||
	    cs->abort - cs->start < cs->len)
		return -EINVAL;
	if (get_user(sig, (u32 __user *)(cs->abort - 4)) || get_user(flags, (u32 __user *)(t->rseq + AT_FLAGS)))
		return -EFAULT;
	if (sig != t->rseq_sig || (flags | cs->flags) & FLAGS_NO_RESTART)
		return -EINVAL;
	return 1;
}

static int leave_section(struct task *t, struct pt_regs *regs)
{
	struct rseq_cs cs;
	int r = read_cs(t, &cs);

	if (r <= 0)
		return r;
	bool inside = regs->rip - cs.start < cs.len;
	if (inside && !t->rseq_event)
		return 0;
	if (put_user((u64)0, (u64 __user *)(t->rseq + AT_CS)))
		return -EFAULT;
	if (inside) {
		regs->rip = cs.abort;
		arch_regs_edited();
	}
	return 0;
}

/* It may be moved again after this: then a switch has happened, and all is done once more. */
int rseq_write_cpu(struct task *t, u32 start, u32 cpu)
{
	return put_user(start, (u32 __user *)(t->rseq + AT_CPU_START)) || put_user(cpu, (u32 __user *)(t->rseq + AT_CPU)) ? -EFAULT :
																    0;
}

void rseq_resume_slow(struct pt_regs *regs, bool signal)
{
	struct task *t = current;

	if (t->flags & PF_EXITING)
		return;
	t->rseq_event |= signal;
	int err = leave_section(t, regs);
	t->rseq_event = false;
	u32 cpu = (u32)READ_ONCE(t->thread.cpu);
	if (!err)
		err = rseq_write_cpu(t, cpu, cpu);
	if (err)
		force_signal(SIGSEGV, SI_KERNEL, 0, t);
}
