/*
 * seccomp: a thread's system calls pass its filters first.
 *
 * Filters are immutable and form a tree: each points to the one that was there before it, a thread to its newest. A fork
 * shares by reference. A call is shown to all of them, newest first, and the most severe action wins, the newest filter's data
 * among equals. TIF_SECCOMP sends the calls of a thread that has any through kernel/sys/trace.c.
 *
 * A thread's pointer changes under its sighand->lock, by itself or by a sibling's TSYNC. The thread reads it without the lock:
 * what it may still hold is an ancestor of what is there now, and so lives as long.
 *
 * SECCOMP_RET_USER_NOTIF asks the filter's listener (kernel/fs/seccomp_notify.c), ENOSYS without one. Of all filters of a thread one may
 * have a listener.
 */
#include <kernel/mutex.h>
#include <kernel/printk.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <proc/ptrace.h>
#include <proc/seccomp.h>
#include <x86/ptrace.h>

#define AUDIT_ARCH_X86_64 0xc000003eu
#define FILTER_COST 4 /* what a filter counts beside its instructions */
#define MAX_PER_THREAD 32768
#define MODE_DEAD 3 /* being killed: nothing is let through any more */

struct seccomp_filter {
	s32 refs; /* (a) */
	u32 len;
	u32 total; /* instructions from here to the root, with costs */
	u32 count; /* filters from here to the root */
	bool log;
	struct seccomp_notify *notify; /* (I) one reference, or NULL */
	struct seccomp_filter *prev; /* (I) referenced */
	struct bpf_insn prog[];
};

_Static_assert(sizeof(struct seccomp_data) == 64, "ABI");
#define DATA_WORDS 16

static DEFINE_MUTEX(check_mutex); /* bpf_check's scratch */

struct seccomp_filter *seccomp_prepare(u32 len, struct bpf_insn **prog)
{
	struct seccomp_filter *f = kmalloc(sizeof(*f) + len * sizeof(f->prog[0]), GFP_KERNEL);

	if (!f)
		return NULL;
	memset(f, 0, sizeof(*f));
	f->refs = 1;
	f->len = len;
	*prog = f->prog;
	return f;
}

void seccomp_put(struct seccomp_filter *f)
{
	while (f && __atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL) == 0) {
		struct seccomp_filter *prev = f->prev;
		if (f->notify)
			seccomp_notify_gone(f->notify);
		kfree(f);
		f = prev;
	}
}

void seccomp_set_notify(struct seccomp_filter *f, struct seccomp_notify *n)
{
	f->notify = n;
}

static struct seccomp_filter *filter_get(struct seccomp_filter *f)
{
	if (f)
		__atomic_fetch_add(&f->refs, 1, __ATOMIC_RELAXED);
	return f;
}

void seccomp_inherit(struct task *child)
{
	struct task *t = current;

	child->no_new_privs = t->no_new_privs;
	if (likely(!t->seccomp_mode))
		return;
	child->seccomp_mode = t->seccomp_mode;
	child->seccomp = filter_get(t->seccomp);
	thread_set_flag(&child->thread, TIF_SECCOMP);
}

/* ---- installing ---- */

int seccomp_set_strict(void)
{
	struct task *t = current;
	int err = 0;

	spin_lock_irq(&t->sighand->lock);
	if (t->seccomp_mode && t->seccomp_mode != SECCOMP_MODE_STRICT)
		err = -EINVAL;
	else
		t->seccomp_mode = SECCOMP_MODE_STRICT;
	spin_unlock_irq(&t->sighand->lock);
	if (!err)
		thread_set_flag(&t->thread, TIF_SECCOMP);
	return err;
}

static bool is_ancestor(const struct seccomp_filter *a, const struct seccomp_filter *of)
{
	if (!a)
		return true;
	while (of && of != a)
		of = of->prev;
	return of == a;
}

/* 0, or the first thread whose filters are not among ours. => sighand->lock */
static pid_t cannot_sync(struct task *t)
{
	struct task *o;

	for_each_thread(o, t) {
		if (o == t || o->flags & PF_EXITING)
			continue;
		if (o->seccomp_mode && (o->seccomp_mode != SECCOMP_MODE_FILTER || !is_ancestor(o->seccomp, t->seccomp)))
			return o->pid;
	}
	return 0;
}

static void sync_threads(struct task *t)
{
	struct task *o;

	for_each_thread(o, t) {
		struct seccomp_filter *old = o->seccomp;
		if (o == t || o->flags & PF_EXITING)
			continue;
		o->seccomp = filter_get(t->seccomp);
		seccomp_put(old); /* an ancestor: never the last reference */
		if (t->no_new_privs)
			o->no_new_privs = 1;
		o->seccomp_mode = SECCOMP_MODE_FILTER;
		thread_set_flag(&o->thread, TIF_SECCOMP);
	}
}

/* => sighand->lock */
static long attach_locked(struct task *t, struct seccomp_filter *f, u32 flags)
{
	pid_t stranger;

	if (t->seccomp_mode && t->seccomp_mode != SECCOMP_MODE_FILTER)
		return -EINVAL;
	f->total = f->len + (t->seccomp ? t->seccomp->total + FILTER_COST : 0);
	if (f->total > MAX_PER_THREAD)
		return -ENOMEM;
	for (struct seccomp_filter *o = t->seccomp; o && f->notify; o = o->prev)
		if (o->notify && seccomp_notify_heard(o->notify))
			return -EBUSY;
	if (flags & SECCOMP_FLAG_TSYNC) {
		stranger = cannot_sync(t);
		if (stranger)
			return flags & SECCOMP_FLAG_TSYNC_ESRCH ? -ESRCH : stranger;
	}
	/* commit: no failure below */
	f->prev = t->seccomp;
	f->count = f->prev ? f->prev->count + 1 : 1;
	f->log = flags & SECCOMP_FLAG_LOG;
	smp_store_release(&t->seccomp, f);
	t->seccomp_mode = SECCOMP_MODE_FILTER;
	thread_set_flag(&t->thread, TIF_SECCOMP);
	if (flags & SECCOMP_FLAG_TSYNC)
		sync_threads(t);
	return 0;
}

long seccomp_attach(struct seccomp_filter *f, u32 flags)
{
	struct task *t = current;
	long err = -EINVAL;

	mutex_lock(&check_mutex);
	bool good = bpf_check(f->prog, f->len, DATA_WORDS);
	mutex_unlock(&check_mutex);
	if (good) {
		spin_lock_irq(&t->sighand->lock);
		err = attach_locked(t, f, flags);
		spin_unlock_irq(&t->sighand->lock);
	}
	if (err)
		seccomp_put(f);
	return err;
}

u32 seccomp_filters(const struct task *t)
{
	const struct seccomp_filter *f = READ_ONCE(t->seccomp);

	return f ? f->count : 0;
}

/* ---- deciding ---- */

static u32 verdict(struct task *t, const struct seccomp_data *d, const struct seccomp_filter **by)
{
	u32 worst = SECCOMP_RET_ALLOW, v;

	for (const struct seccomp_filter *f = READ_ONCE(t->seccomp); f; f = f->prev) {
		v = bpf_run(f->prog, (const u32 *)d, DATA_WORDS);
		if ((s32)(v & 0xffff0000u) < (s32)(worst & 0xffff0000u)) {
			worst = v;
			*by = f;
		}
	}
	return worst;
}

static void log_action(const struct task *t, const struct pt_regs *r, const char *what)
{
	pr_info("%s[%d]: seccomp: %s: system call %lld, ip %llx\n", t->thread.comm, t->pid, what,
		(long long)r->orig_rax, (unsigned long long)r->rip);
}

void signal_sigsys(struct task *t, const struct pt_regs *r, s32 code, u32 data, bool deadly)
{
	siginfo_t info;

	siginfo_clear(&info);
	info.si_signo = SIGSYS;
	info.si_code = code;
	info.si_errno = (s32)data;
	info.call_addr = r->rip;
	info.syscall = (s32)r->orig_rax;
	info.arch = AUDIT_ARCH_X86_64;
	force_signal_info(&info, t, deadly);
}

/* KILL_PROCESS, KILL_THREAD, and what is unknown. */
static void kill(struct task *t, struct pt_regs *r, bool thread_only, u32 data)
{
	t->seccomp_mode = MODE_DEAD;
	log_action(t, r, thread_only ? "killed the thread" : "killed the process");
	if (thread_only && READ_ONCE(t->signal->live) > 1)
		do_exit(SIGSYS);
	r->rax = r->orig_rax;
	signal_sigsys(t, r, SYS_SECCOMP, data, true);
}

static bool ask_filters(struct task *t, struct pt_regs *r, bool asked_tracer)
{
	const struct seccomp_data d = {
		.nr = (s32)r->orig_rax, .arch = AUDIT_ARCH_X86_64, .ip = r->rip,
		.args = { r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9 },
	};
	const struct seccomp_filter *by = NULL;
	u32 v = verdict(t, &d, &by), data = v & 0xffff;

	switch (v & 0xffff0000u) {
	case SECCOMP_RET_ALLOW:
		return true;
	case SECCOMP_RET_LOG:
		log_action(t, r, "logged");
		return true;
	case SECCOMP_RET_ERRNO:
		if (by->log)
			log_action(t, r, "refused");
		r->rax = (u64)-(s64)min_t(u32, data, 4095);
		return false;
	case SECCOMP_RET_TRAP:
		r->rax = r->orig_rax; /* the handler sees the call as it was */
		signal_sigsys(t, r, SYS_SECCOMP, data, false);
		return false;
	case SECCOMP_RET_TRACE:
		if (asked_tracer)
			return true;
		if (!ptrace_event_enabled(t, PTRACE_EVENT_SECCOMP))
			return false; /* RAX is ENOSYS */
		ptrace_event(PTRACE_EVENT_SECCOMP, data);
		if (fatal_signal_pending_current() || (s32)r->orig_rax < 0)
			return false;
		return ask_filters(t, r, true); /* the tracer may have made another call of it */
	case SECCOMP_RET_USER_NOTIF:
		return by->notify && seccomp_notify_ask(by->notify, &d, r); /* RAX is ENOSYS */
	}
	kill(t, r, (v & 0xffff0000u) == SECCOMP_RET_KILL_THREAD, data);
	return false;
}

bool seccomp_allows(struct pt_regs *regs)
{
	static const u16 strict[] = { 0 /* read */, 1 /* write */, 15 /* rt_sigreturn */, 60 /* exit */ };
	struct task *t = current;

	if (t->seccomp_mode == SECCOMP_MODE_FILTER)
		return ask_filters(t, regs, false);
	for (u32 i = 0; t->seccomp_mode == SECCOMP_MODE_STRICT && i < 4; i++)
		if (regs->orig_rax == strict[i])
			return true;
	t->seccomp_mode = MODE_DEAD;
	log_action(t, regs, "strict mode killed");
	do_exit(SIGKILL);
}
