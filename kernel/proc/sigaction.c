/* Handlers: changing them, and their reset by exec and CLONE_CLEAR_SIGHAND. */
#include <lib/string.h>
#include <proc/impl.h>

#define SIG_DEFAULT_IGNORE (sigmask(SIGCONT) | sigmask(SIGCHLD) | sigmask(SIGWINCH) | sigmask(SIGURG))
/* Flags the kernel knows; others are cleared, which is how programs probe for them (sigaction(2)). */
#define SA_KNOWN                                                                            \
	(SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_RESTORER | SA_ONSTACK | SA_RESTART | SA_NODEFER | \
	 SA_RESETHAND | 0x800ull)

static bool ignores(const struct k_sigaction *ka, int sig)
{
	return ka->handler == SIG_IGN || (ka->handler == SIG_DFL && (sigmask(sig) & SIG_DEFAULT_IGNORE));
}

int do_sigaction(int sig, const struct k_sigaction *act, struct k_sigaction *old)
{
	struct task *t = current, *o;

	if (sig < 1 || sig > NSIG || (act && (sigmask(sig) & SIG_KERNEL_ONLY)))
		return -EINVAL;
	struct k_sigaction *ka = &t->sighand->action[sig - 1];
	spin_lock_irq(&t->sighand->lock);
	if (old)
		*old = *ka;
	if (act) {
		ka->handler = act->handler;
		ka->flags = act->flags & SA_KNOWN;
		ka->restorer = act->restorer;
		ka->mask = act->mask & ~SIG_KERNEL_ONLY;
		if (ignores(ka, sig)) { /* POSIX: what is pending and now ignored is discarded */
			flush_sigqueue_mask(sigmask(sig), &t->signal->shared_pending);
			for_each_thread(o, t)
				flush_sigqueue_mask(sigmask(sig), &o->pending);
		}
	}
	spin_unlock_irq(&t->sighand->lock);
	return 0;
}

/* => nobody else uses t->sighand */
void flush_signal_handlers(struct task *t, bool force_default)
{
	for (int i = 0; i < NSIG; i++) {
		struct k_sigaction *ka = &t->sighand->action[i];
		if (force_default || ka->handler != SIG_IGN)
			ka->handler = SIG_DFL;
		ka->flags = ka->restorer = ka->mask = 0;
	}
}
