/*
 * CPU time and resource usage. The scheduler counts a thread's run time exactly (sum_exec) and the
 * tick samples how it divides into user and system time; what is shown is the exact time, divided in
 * the sampled proportion. Dead threads' times are summed in signal_state; reaped children's in the
 * c* fields.
 */
#include <lib/math64.h>
#include <lib/string.h>
#include <mm/mm.h>
#include <proc/impl.h>
#include <proc/usage.h>

static void divide(u64 run, u64 ut, u64 st, u64 *utime, u64 *stime)
{
	if (!st)
		*stime = 0;
	else if (!ut)
		*stime = run;
	else
		*stime = mul_u64_u64_div_u64(run, st, ut + st);
	*utime = run - *stime;
}

void task_cputime(struct task *t, u64 *utime, u64 *stime)
{
	sched_cputime(&t->thread, utime, stime);
}

u64 group_runtime(struct task *t)
{
	struct sighand *sh;
	struct task *o;
	u64 flags, sum;

	sh = task_lock_sighand(t, &flags);
	if (!sh)
		return t->signal->sum_exec;
	sum = t->signal->sum_exec;
	for_each_thread(o, t)
		sum += sched_runtime_ns(&o->thread);
	task_unlock_sighand(sh, flags);
	return sum;
}

/* => t->sighand->lock held or group gone */
static void group_usage_locked(struct task *t, struct usage *u)
{
	struct signal_state *s = t->signal;
	struct task *o;
	u64 run = 0, ut = 0, st = 0, a, b;

	u->utime = s->utime;
	u->stime = s->stime;
	u->min_flt = s->min_flt;
	u->maj_flt = s->maj_flt;
	u->nvcsw = s->nvcsw;
	u->nivcsw = s->nivcsw;
	for_each_thread(o, t) {
		run += sched_runtime_ns(&o->thread);
		ut += o->thread.utime_ns;
		st += o->thread.stime_ns;
		u->min_flt += o->min_flt;
		u->maj_flt += o->maj_flt;
		u->nvcsw += o->thread.nvcsw;
		u->nivcsw += o->thread.nivcsw;
	}
	divide(run, ut, st, &a, &b);
	u->utime += a;
	u->stime += b;
	u->maxrss = s->maxrss;
}

void group_usage(struct task *t, struct usage *u)
{
	struct sighand *sh;
	u64 flags;

	memset(u, 0, sizeof(*u));
	sh = task_lock_sighand(t, &flags);
	if (!sh)
		return;
	group_usage_locked(t, u);
	task_unlock_sighand(sh, flags);
}

void group_cputime(struct task *t, u64 *utime, u64 *stime)
{
	struct usage u;

	group_usage(t, &u);
	*utime = u.utime;
	*stime = u.stime;
}

void usage_add_children(const struct signal_state *s, struct usage *u)
{
	u->utime += s->cutime;
	u->stime += s->cstime;
	u->min_flt += s->cmin_flt;
	u->maj_flt += s->cmaj_flt;
	u->nvcsw += s->cnvcsw;
	u->nivcsw += s->cnivcsw;
	u->maxrss = max(u->maxrss, s->cmaxrss);
}

void usage_to_rusage(const struct usage *u, struct rusage *r)
{
	memset(r, 0, sizeof(*r));
	r->utime[0] = u->utime / NSEC_PER_SEC;
	r->utime[1] = u->utime % NSEC_PER_SEC / NSEC_PER_USEC;
	r->stime[0] = u->stime / NSEC_PER_SEC;
	r->stime[1] = u->stime % NSEC_PER_SEC / NSEC_PER_USEC;
	r->maxrss = u->maxrss * (PAGE_SIZE / 1024);
	r->minflt = u->min_flt;
	r->majflt = u->maj_flt;
	r->nvcsw = u->nvcsw;
	r->nivcsw = u->nivcsw;
}

static u64 current_rss(struct task *t)
{
	struct mm *mm = task_mm_get(t);
	s64 n = 0;

	if (!mm)
		return 0;
	for (int i = 0; i < RSS_SWAP; i++)
		n += mm_rss(mm, i);
	u64 r = max_t(u64, n > 0 ? n : 0, mm->hiwater_rss);
	mm_put(mm);
	return r;
}

void rusage_of_group(struct task *t, int who, struct rusage *r)
{
	struct usage u = { 0 };

	if (who == RUSAGE_THREAD) {
		task_cputime(t, &u.utime, &u.stime);
		u.min_flt = t->min_flt;
		u.maj_flt = t->maj_flt;
		u.nvcsw = t->thread.nvcsw;
		u.nivcsw = t->thread.nivcsw;
		u.maxrss = t->signal->maxrss;
	} else if (who != RUSAGE_CHILDREN) {
		group_usage(t, &u);
	}
	if (who != RUSAGE_CHILDREN)
		u.maxrss = max(u.maxrss, current_rss(t));
	if (who == RUSAGE_CHILDREN || who == RUSAGE_BOTH)
		usage_add_children(t->signal, &u);
	usage_to_rusage(&u, r);
}
