/* /proc/PID/stat and status (proc(5)). */
#include <fs/fdtable.h>
#include <fs/procfs.h>
#include <kernel/time.h>
#include <lib/seq_buf.h>
#include <lib/string.h>
#include <mm/alloc.h>
#include <proc/impl.h>
#include <proc/task.h>

typedef unsigned long long ull;

/* Which signals have handlers, and which are ignored. */
static void task_sigsets(struct task *t, sigset_t *ign, sigset_t *caught)
{
	u64 flags;
	struct sighand *h = task_lock_sighand(t, &flags);

	*ign = *caught = 0;
	if (!h)
		return;
	for (int n = 1; n <= NSIG; n++) {
		u64 a = h->action[n - 1].handler;

		if (a == SIG_IGN)
			*ign |= sigmask(n);
		else if (a != SIG_DFL)
			*caught |= sigmask(n);
	}
	task_unlock_sighand(h, flags);
}

static u64 to_ticks(u64 ns) { return ns / (NSEC_PER_SEC / USER_HZ); }

static int kernel_priority(const struct thread *t)
{
	return sched_rt_prio(t) ? -1 - sched_rt_prio(t) : 20 + t->nice;
}

static void memory_fields(struct seq_buf *s, struct task *t, struct mm *mm)
{
	u64 v[7] = { 0 };

	if (mm)
		mm_statm(mm, v);
	bool look = mm && proc_may_look(t);
	seq_printf(s, " %llu %llu %llu", (ull)(v[0] * PAGE_SIZE), (ull)v[1], (ull)t->signal->rlim[RLIMIT_RSS].rlim_cur);
	if (look)
		seq_printf(s, " %llu %llu %llu", (ull)mm->start_code, (ull)mm->end_code, (ull)mm->start_stack);
	else
		seq_printf(s, " %d %d %d", mm != NULL, mm != NULL, 0);
}

static void late_fields(struct seq_buf *s, struct task *t, struct mm *mm)
{
	struct thread *th = &t->thread;

	seq_printf(s, " %d %d %u %u 0 0 0", t->exit_signal, th->cpu, th->rt_priority, th->policy);
	if (mm && proc_may_look(t))
		seq_printf(s, " %llu %llu %llu %llu %llu %llu %llu", (ull)mm->start_data, (ull)mm->end_data, (ull)mm->start_brk,
			   (ull)mm->arg_start, (ull)mm->arg_end, (ull)mm->env_start, (ull)mm->env_end);
	else
		seq_puts(s, " 0 0 0 0 0 0 0");
	seq_printf(s, " %d\n", t->exit_state && proc_may_look(t) ? t->exit_code : 0);
}

void pid_stat_show(struct seq_buf *s, struct task *t)
{
	struct mm *mm = task_mm_get(t);
	struct signal_state *sig = t->signal;
	struct thread *th = &t->thread;
	u64 ut, st;
	s32 fg, tty = task_tty_number(t, &fg);

	group_cputime(t, &ut, &st);
	seq_printf(s, "%d (%s) %c %d %d %d %d %d %u %llu %llu %llu %llu", t->pid, th->comm, task_state_letter(t), task_ppid(t),
		   task_pgid(t), task_sid(t), tty, fg, t->flags, (ull)(sig->min_flt + t->min_flt), (ull)sig->cmin_flt,
		   (ull)(sig->maj_flt + t->maj_flt), (ull)sig->cmaj_flt);
	seq_printf(s, " %llu %llu %llu %llu %d %d %d 0 %llu", (ull)to_ticks(ut), (ull)to_ticks(st), (ull)to_ticks(sig->cutime),
		   (ull)to_ticks(sig->cstime), kernel_priority(th), th->nice, sig->nr_threads, (ull)to_ticks(th->start_time));
	memory_fields(s, t, mm);
	sigset_t ign = 0, caught = 0;
	task_sigsets(t, &ign, &caught);
	seq_printf(s, " 0 0 %llu %llu %llu %llu 0 0 0", (ull)(t->pending.set & 0x7fffffff), (ull)(t->blocked & 0x7fffffff),
		   (ull)(ign & 0x7fffffff), (ull)(caught & 0x7fffffff));
	late_fields(s, t, mm);
	if (mm)
		mm_put(mm);
}

static const char *state_name(char c)
{
	switch (c) {
	case 'R': return "R (running)";
	case 'S': return "S (sleeping)";
	case 'D': return "D (disk sleep)";
	case 'T': return "T (stopped)";
	case 't': return "t (tracing stop)";
	case 'Z': return "Z (zombie)";
	case 'I': return "I (idle)";
	}
	return "X (dead)";
}

static void status_ids(struct seq_buf *s, struct task *t)
{
	rcu_read_lock();
	const struct cred *c = rcu_dereference(t->cred);
	seq_printf(s, "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\n", c->uid, c->euid, c->suid, c->fsuid, c->gid, c->egid, c->sgid,
		   c->fsgid);
	struct files *f = READ_ONCE(t->files);
	seq_printf(s, "FDSize:\t%u\nGroups:\t", f ? READ_ONCE(f->t)->max : 0);
	for (u32 i = 0; c->groups && i < c->groups->n; i++)
		seq_printf(s, "%s%u", i ? " " : "", c->groups->gid[i]);
	rcu_read_unlock();
	seq_puts(s, " \n");
}

static void status_caps(struct seq_buf *s, struct task *t)
{
	rcu_read_lock();
	const struct cred *c = rcu_dereference(t->cred);
	seq_printf(s, "CapInh:\t%016llx\nCapPrm:\t%016llx\nCapEff:\t%016llx\nCapBnd:\t%016llx\nCapAmb:\t%016llx\n", (ull)c->cap_inheritable,
		   (ull)c->cap_permitted, (ull)c->cap_effective, (ull)c->cap_bset, (ull)c->cap_ambient);
	rcu_read_unlock();
	seq_printf(s, "NoNewPrivs:\t%u\nSeccomp:\t%u\nSeccomp_filters:\t%u\n", t->no_new_privs, t->seccomp_mode, seccomp_filters(t));
}

static void cpu_list(struct seq_buf *s, u64 mask)
{
	bool first = true;

	for (int a = 0; a < MAX_CPUS; a++) {
		if (!(mask >> a & 1))
			continue;
		int b = a;
		while (b + 1 < MAX_CPUS && (mask >> (b + 1) & 1))
			b++;
		seq_printf(s, b > a ? "%s%d-%d" : "%s%d", first ? "" : ",", a, b);
		first = false;
		a = b;
	}
	seq_putc(s, '\n');
}

void pid_status_show(struct seq_buf *s, struct task *t)
{
	struct mm *mm = task_mm_get(t);
	struct fs_context *fs;
	u32 queued;
	sigset_t ign = 0, caught = 0;
	u64 affinity = t->thread.affinity & cpu_present_mask;

	seq_printf(s, "Name:\t");
	seq_escape(s, t->thread.comm, "\n\\");
	spin_lock(&t->alloc_lock);
	fs = t->fs;
	if (fs)
		seq_printf(s, "\nUmask:\t%04o", fs->umask);
	spin_unlock(&t->alloc_lock);
	seq_printf(s, "\nState:\t%s\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t%d\n", state_name(task_state_letter(t)),
		   t->tgid, t->pid, task_ppid(t), task_tracer_pid(t));
	status_ids(s, t);
	seq_printf(s, "NStgid:\t%d\nNSpid:\t%d\nNSpgid:\t%d\nNSsid:\t%d\n", t->tgid, t->pid, task_pgid(t), task_sid(t));
	if (mm) {
		mm_status_show(mm, s);
		seq_printf(s, "CoreDumping:\t%d\nTHP_enabled:\t%d\n", READ_ONCE(t->signal->core) != NULL,
			   !(READ_ONCE(mm->flags) & MMF_NO_THP));
		mm_put(mm);
	}
	task_sigsets(t, &ign, &caught);
	rcu_read_lock();
	queued = READ_ONCE(rcu_dereference(t->cred)->user->sigpending); /* of all the user's processes */
	rcu_read_unlock();
	seq_printf(s, "Threads:\t%d\nSigQ:\t%u/%llu\nSigPnd:\t%016llx\nShdPnd:\t%016llx\nSigBlk:\t%016llx\nSigIgn:\t%016llx\nSigCgt:\t%016llx\n",
		   t->signal->nr_threads, queued, (ull)t->signal->rlim[RLIMIT_SIGPENDING].rlim_cur, (ull)t->pending.set,
		   (ull)t->signal->shared_pending.set, (ull)t->blocked, (ull)ign, (ull)caught);
	status_caps(s, t);
	seq_printf(s, "Cpus_allowed:\t%llx\nCpus_allowed_list:\t", (ull)affinity);
	cpu_list(s, affinity);
	seq_printf(s, "Mems_allowed:\t%llx\nMems_allowed_list:\t", (ull)node_online_map);
	cpu_list(s, node_online_map);
	seq_printf(s, "voluntary_ctxt_switches:\t%llu\nnonvoluntary_ctxt_switches:\t%llu\n", (ull)t->thread.nvcsw, (ull)t->thread.nivcsw);
}
