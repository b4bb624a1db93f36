/*
 * The part of a core dump that is about threads: the one that got the signal makes all others end, waits until each has come to
 * coredump_join in its exit, where its registers and the address space are still there, has the file written, and lets them go.
 *
 * struct dump lies on the dumper's stack and is found through signal->core, which changes under sighand->lock. A thread that
 * is too far into its exit when the dump begins (PF_EXITING) is not waited for and not shown.
 */
#include <lib/assert.h>
#include <mm/mm.h>
#include <proc/coredump.h>
#include <proc/ptrace.h>

struct core_dump {
	s32 expected; /* (sighand->lock) threads still to come */
	bool done; /* (sighand->lock) */
	s32 inside; /* (sighand->lock) who still looks at this structure */
	wait_queue_t wait;
};

char core_pattern[128] = "core";
u32 core_uses_pid;

/* False: the group is dying of something else already. */
static bool begin(struct task *t, struct core_dump *d, int sig)
{
	struct signal_state *s = t->signal;
	struct task *o;
	bool ok = false;

	init_wait_queue(&d->wait);
	d->expected = d->inside = 0;
	d->done = false;
	spin_lock_irq(&t->sighand->lock);
	if (!group_exiting(s)) {
		s->flags = SIGNAL_GROUP_EXIT;
		s->group_exit_code = sig;
		s->core = d;
		zap_other_threads(t);
		for_each_thread(o, t)
			if (o != t && !(o->flags & PF_EXITING))
				d->expected++;
		ok = true;
	}
	t->pending.set &= ~sigmask(SIGKILL);
	spin_unlock_irq(&t->sighand->lock);
	return ok;
}

static bool all_there(struct task *t, struct core_dump *d)
{
	spin_lock_irq(&t->sighand->lock);
	bool r = d->expected == 0;
	spin_unlock_irq(&t->sighand->lock);
	return r;
}

static bool all_gone(struct task *t, struct core_dump *d)
{
	spin_lock_irq(&t->sighand->lock);
	bool r = d->inside == 0;
	spin_unlock_irq(&t->sighand->lock);
	return r;
}

int coredump(const siginfo_t *info)
{
	struct task *t = current;
	struct core_dump d;
	bool written = false;

	if (!t->thread.mm || t->dumpable != 1 || rlimit_current(RLIMIT_CORE) < PAGE_SIZE)
		return 0;
	if (!begin(t, &d, info->si_signo))
		return 0;
	if (!wait_event_killable(d.wait, all_there(t, &d)))
		written = coredump_write(info);
	spin_lock_irq(&t->sighand->lock);
	if (written)
		t->signal->group_exit_code |= 0x80;
	t->signal->core = NULL;
	d.done = true;
	spin_unlock_irq(&t->sighand->lock);
	wake_up_all(&d.wait);
	wait_event(d.wait, all_gone(t, &d));
	return written ? 0x80 : 0;
}

void coredump_join(struct signal_state *s)
{
	struct task *t = current;
	struct core_dump *d;
	bool last;

	spin_lock_irq(&t->sighand->lock);
	d = s->core;
	if (!d) {
		spin_unlock_irq(&t->sighand->lock);
		return;
	}
	d->inside++;
	if (d->expected > 0)
		d->expected--;
	last = !d->expected;
	spin_unlock_irq(&t->sighand->lock);
	if (last)
		wake_up_all(&d->wait);
	wait_event(d->wait, READ_ONCE(d->done));
	/* the dumper's stack goes when we are out: the count and the wake-up are one step under the lock */
	spin_lock_irq(&t->sighand->lock);
	if (!--d->inside)
		wake_up_all(&d->wait);
	spin_unlock_irq(&t->sighand->lock);
}
