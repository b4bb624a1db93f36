/* Scheduling calls: policies, priorities, nice values, affinity. sched(7). */
#include <kernel/cpumask.h>
#include <lib/err.h>
#include <lib/string.h>
#include <proc/futex.h>
#include <proc/impl.h>
#include <sys/util.h>

#define SCHED_RESET_ON_FORK 0x40000000
#define FLAG_RESET_ON_FORK 1ull
#define FLAG_KEEP_POLICY 8ull
#define FLAG_KEEP_PARAMS 16ull
#define FLAG_UTIL_CLAMP (0x20ull | 0x40ull)
#define RR_INTERVAL_NS (100 * NSEC_PER_MSEC)

long sys_sched_yield(void)
{
	sched_yield();
	return 0;
}

/* The thread of a call's pid argument, 0 the caller. => task_put */
static struct task *target(pid_t pid)
{
	if (pid < 0)
		return ERR_PTR(-EINVAL);
	if (!pid) {
		task_get(current);
		return current;
	}
	return task_find_get(pid) ?: ERR_PTR(-ESRCH);
}

static bool same_owner(struct task *t)
{
	rcu_read_lock();
	const struct cred *c = rcu_dereference(t->cred), *me = current->cred;
	bool r = me->euid == c->euid || me->euid == c->uid;
	rcu_read_unlock();
	return r;
}

static bool realtime(int policy)
{
	return policy == SCHED_FIFO || policy == SCHED_RR;
}

static bool valid_policy(int p)
{
	return realtime(p) || p == SCHED_NORMAL || p == SCHED_BATCH || p == SCHED_IDLE;
}

/* RLIMIT_NICE counts 20 - nice upwards (getrlimit(2)). */
static bool nice_allowed(struct task *t, int nice)
{
	return nice >= t->thread.nice || (u64)(20 - nice) <= t->signal->rlim[RLIMIT_NICE].rlim_cur ||
	       capable(CAP_SYS_NICE);
}

/* What sched_setscheduler(2), "Privileges and resource limits", demands. */
static int change_allowed(struct task *t, int policy, int prio, int nice, bool reset)
{
	u64 rt = t->signal->rlim[RLIMIT_RTPRIO].rlim_cur;

	if (capable(CAP_SYS_NICE))
		return 0;
	if (!same_owner(t))
		return -EPERM;
	if (!realtime(policy) && !nice_allowed(t, nice))
		return -EPERM;
	if (realtime(policy)) {
		if (policy != t->thread.policy && !rt)
			return -EPERM;
		if (prio > t->thread.rt_priority && (u64)prio > rt)
			return -EPERM;
	}
	if (t->thread.policy == SCHED_IDLE && policy != SCHED_IDLE && !nice_allowed(t, t->thread.nice - 1))
		return -EPERM;
	return t->thread.reset_on_fork && !reset ? -EPERM : 0;
}

static int set_scheduler(struct task *t, int policy, int prio, int nice, bool reset)
{
	int err;

	if (!valid_policy(policy))
		return -EINVAL;
	if (realtime(policy) ? prio < 1 || prio > 99 : prio != 0)
		return -EINVAL;
	err = change_allowed(t, policy, prio, nice, reset);
	if (err)
		return err;
	err = sched_set_policy(&t->thread, policy, prio, nice);
	if (!err) {
		t->thread.reset_on_fork = reset;
		futex_pi_priority_changed(t);
	}
	return err;
}

static long set_with_param(pid_t pid, int policy, const s32 __user *uprio)
{
	s32 prio;

	if (!uprio || pid < 0)
		return -EINVAL;
	if (get_user(prio, uprio))
		return -EFAULT;
	struct task *t = target(pid);
	if (IS_ERR(t))
		return PTR_ERR(t);
	bool reset = policy < 0 ? t->thread.reset_on_fork : policy & SCHED_RESET_ON_FORK;
	int err = set_scheduler(t, policy < 0 ? t->thread.policy : policy & ~SCHED_RESET_ON_FORK, prio,
				t->thread.nice, reset);
	task_put(t);
	return err;
}

long sys_sched_setscheduler(pid_t pid, int policy, const s32 __user *uprio)
{
	return policy < 0 ? -EINVAL : set_with_param(pid, policy, uprio);
}

long sys_sched_setparam(pid_t pid, const s32 __user *uprio)
{
	return set_with_param(pid, -1, uprio);
}

long sys_sched_getscheduler(pid_t pid)
{
	struct task *t = target(pid);

	if (IS_ERR(t))
		return PTR_ERR(t);
	long r = t->thread.policy | (t->thread.reset_on_fork ? SCHED_RESET_ON_FORK : 0);
	task_put(t);
	return r;
}

long sys_sched_getparam(pid_t pid, s32 __user *uprio)
{
	if (!uprio || pid < 0)
		return -EINVAL;
	struct task *t = target(pid);
	if (IS_ERR(t))
		return PTR_ERR(t);
	s32 prio = realtime(t->thread.policy) ? t->thread.rt_priority : 0;
	task_put(t);
	return put_user(prio, uprio);
}

long sys_sched_get_priority_max(int policy)
{
	return realtime(policy) ? 99 : valid_policy(policy) || policy == SCHED_DEADLINE ? 0 : -EINVAL;
}

long sys_sched_get_priority_min(int policy)
{
	return realtime(policy) ? 1 : valid_policy(policy) || policy == SCHED_DEADLINE ? 0 : -EINVAL;
}

long sys_sched_rr_get_interval(pid_t pid, void __user *uts)
{
	struct task *t = target(pid);

	if (IS_ERR(t))
		return PTR_ERR(t);
	u64 ns = t->thread.policy == SCHED_RR ? RR_INTERVAL_NS : t->thread.policy == SCHED_FIFO ? 0 : TICK_NS;
	task_put(t);
	return put_timespec_ns(ns, uts);
}

/* ---- sched_setattr(2) ---- */

struct sched_attr_user {
	u32 size, policy;
	u64 flags;
	s32 nice;
	u32 priority;
	u64 runtime, deadline, period;
	u32 util_min, util_max;
};
#define ATTR_SIZE_V0 48
_Static_assert(sizeof(struct sched_attr_user) == 56, "ABI");

static int get_attr(struct sched_attr_user *a, struct sched_attr_user __user *u)
{
	u32 size;

	if (get_user(size, &u->size))
		return -EFAULT;
	if (!size)
		size = ATTR_SIZE_V0;
	int err = size < ATTR_SIZE_V0 || size > 4096 ? -E2BIG : copy_struct_from_user(a, sizeof(*a), u, size);
	if (err == -E2BIG && put_user((u32)sizeof(*a), &u->size))
		return -EFAULT;
	return err;
}

long sys_sched_setattr(pid_t pid, struct sched_attr_user __user *u, u32 flags)
{
	struct sched_attr_user a;

	if (!u || pid < 0 || flags)
		return -EINVAL;
	int err = get_attr(&a, u);
	if (err)
		return err;
	if ((s32)a.policy < 0 || a.flags & ~(FLAG_RESET_ON_FORK | 2 | 4 | FLAG_KEEP_POLICY | FLAG_KEEP_PARAMS | FLAG_UTIL_CLAMP))
		return -EINVAL;
	if (a.flags & FLAG_UTIL_CLAMP)
		return -EOPNOTSUPP;
	a.nice = clamp(a.nice, -20, 19);
	struct task *t = target(pid);
	if (IS_ERR(t))
		return PTR_ERR(t);
	if (a.flags & FLAG_KEEP_POLICY)
		a.policy = t->thread.policy;
	if (a.flags & FLAG_KEEP_PARAMS) {
		a.priority = t->thread.rt_priority;
		a.nice = t->thread.nice;
	}
	err = set_scheduler(t, a.policy, a.priority, realtime(a.policy) ? t->thread.nice : a.nice,
			    a.flags & FLAG_RESET_ON_FORK);
	task_put(t);
	return err;
}

long sys_sched_getattr(pid_t pid, struct sched_attr_user __user *u, u32 size, u32 flags)
{
	struct sched_attr_user a = { .util_max = 1024 };

	if (!u || pid < 0 || size > 4096 || size < ATTR_SIZE_V0 || flags)
		return -EINVAL;
	struct task *t = target(pid);
	if (IS_ERR(t))
		return PTR_ERR(t);
	a.size = min_t(u32, size, sizeof(a));
	a.policy = t->thread.policy;
	a.flags = t->thread.reset_on_fork ? FLAG_RESET_ON_FORK : 0;
	if (realtime(a.policy))
		a.priority = t->thread.rt_priority;
	else
		a.nice = t->thread.nice;
	task_put(t);
	return copy_to_user(u, &a, a.size) ? -EFAULT : 0;
}

/* ---- affinity ---- */

long sys_sched_setaffinity(pid_t pid, u32 len, const void __user *umask)
{
	cpumask_t m = 0;

	if (copy_from_user(&m, umask, min_t(u32, len, sizeof(m))))
		return -EFAULT;
	struct task *t = target(pid);
	if (IS_ERR(t))
		return pid < 0 ? -ESRCH : PTR_ERR(t);
	int err = -EPERM;
	if (same_owner(t) || capable(CAP_SYS_NICE))
		err = m & cpu_online_mask ? sched_set_affinity(&t->thread, m & cpu_online_mask) : -EINVAL;
	task_put(t);
	return err;
}

long sys_sched_getaffinity(pid_t pid, u32 len, void __user *umask)
{
	if (len * 8 < (u32)nr_cpus || len & (sizeof(u64) - 1))
		return -EINVAL;
	struct task *t = target(pid);
	if (IS_ERR(t))
		return pid < 0 ? -ESRCH : PTR_ERR(t);
	cpumask_t m = t->thread.affinity & cpu_online_mask;
	task_put(t);
	return copy_to_user(umask, &m, sizeof(m)) ? -EFAULT : (long)sizeof(m);
}

/* ---- nice values: getpriority(2) ---- */

/* Calls @fn for every thread that (which, who) names; -ESRCH when there was none. */
static int for_selected(int which, int who, int (*fn)(struct task *t, int arg, int *acc), int arg, int *acc)
{
	struct task *p, *t;
	uid_t uid = who ? (uid_t)who : current->cred->uid;
	int err = -ESRCH, r;

	if (which == PRIO_PROCESS) {
		t = who ? task_find(who) : current;
		return t ? fn(t, arg, acc) : -ESRCH;
	}
	for_each_process(p) {
		if (which == PRIO_PGRP && task_pgid(p) != (who ?: task_pgid(current)))
			continue;
		for_each_thread(t, p) {
			if (which == PRIO_USER && t->cred->uid != uid)
				continue;
			r = fn(t, arg, acc);
			err = err == -ESRCH || r ? r : err;
		}
	}
	return err;
}

static int get_one(struct task *t, int arg, int *acc)
{
	*acc = max(*acc, 20 - t->thread.nice); /* 40..1: the highest priority of all */
	return 0;
}

static int set_one(struct task *t, int nice, int *acc)
{
	if (!same_owner(t) && !capable(CAP_SYS_NICE))
		return -EPERM;
	if (!nice_allowed(t, nice))
		return -EACCES;
	sched_set_nice(&t->thread, nice);
	return 0;
}

long sys_getpriority(int which, int who)
{
	int acc = -1;

	if (which < PRIO_PROCESS || which > PRIO_USER)
		return -EINVAL;
	tasklist_read_lock();
	int err = for_selected(which, who, get_one, 0, &acc);
	tasklist_read_unlock();
	return err ?: acc;
}

long sys_setpriority(int which, int who, int nice)
{
	if (which < PRIO_PROCESS || which > PRIO_USER)
		return -EINVAL;
	tasklist_read_lock();
	int err = for_selected(which, who, set_one, clamp(nice, -20, 19), NULL);
	tasklist_read_unlock();
	return err;
}
