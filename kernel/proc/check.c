/*
 * proc_check: the family tree, the lists of threads and the numbers, against each other. Runs under
 * tasklist_lock; what it says is true of one moment.
 */
#include <kernel/printk.h>
#include <mm/check.h>
#include <proc/futex.h>
#include <proc/impl.h>

static u64 wrong(const struct task *t, const char *what, s64 is, s64 want)
{
	pr_err("proc_check: task %p (pid %d, %s): %s is %lld, should be %lld\n", t, t->pid, t->thread.comm, what,
	       (long long)is, (long long)want);
	return 1;
}

static bool listed(struct task *t, enum pid_kind kind)
{
	struct task *o;

	for_each_pid_task(o, t->pids[kind], kind)
		if (o == t)
			return true;
	return false;
}

static u64 check_numbers(struct task *t, bool leader)
{
	u64 bad = 0;

	if (t->pids[PIDK_PID]->nr != t->pid)
		bad += wrong(t, "number of its pid", t->pids[PIDK_PID]->nr, t->pid);
	if (pid_find(t->pid) != t->pids[PIDK_PID])
		bad += wrong(t, "found by its number", 0, 1);
	for (int k = PIDK_PID; k < (leader ? NR_PIDK : PIDK_TGID); k++)
		if (!t->pids[k] || !listed(t, k))
			bad += wrong(t, "in the list of its number, kind", 0, k);
	return bad;
}

static bool traced_by(const struct task *t, const struct task *tracer)
{
	const struct task *o;

	list_for_each_entry(o, &tracer->ptraced, ptrace_entry)
		if (o == t)
			return true;
	return false;
}

/* Somebody who goes over all address spaces meets the one this task runs in. */
static u64 check_mm(struct task *t)
{
	u64 bad = 0;

	spin_lock_irq(&t->alloc_lock);
	if (t->thread.mm && !mm_is_listed(t->thread.mm))
		bad = wrong(t, "address space in the list of its CPU", 0, 1);
	spin_unlock_irq(&t->alloc_lock);
	return bad;
}

static u64 check_thread(struct task *t, struct task *leader)
{
	u64 bad = check_numbers(t, t == leader);

	if (t->group_leader != leader)
		bad += wrong(t, "leader", t->group_leader->pid, leader->pid);
	if (t->tgid != leader->tgid || leader->pid != leader->tgid)
		bad += wrong(t, "tgid", t->tgid, leader->pid);
	if (t->signal != leader->signal)
		bad += wrong(t, "shares the group's state", 0, 1);
	if (t->real_parent != leader->real_parent && t == leader)
		bad += wrong(t, "parent", t->real_parent->pid, leader->real_parent->pid);
	if (!t->ptrace && (t->parent != t->real_parent || !list_empty(&t->ptrace_entry)))
		bad += wrong(t, "nobody traces it: parent", t->parent->pid, t->real_parent->pid);
	if (t->ptrace && !traced_by(t, t->parent))
		bad += wrong(t, "among its tracer's tracees", 0, 1);
	if (futex_pi_check(t))
		bad += wrong(t, "PI locks and lent priority: wrong", 1, 0);
	if (!t->sighand)
		bad += wrong(t, "has handlers", 0, 1);
	if ((t->exit_signal < 0) != (t != leader))
		bad += wrong(t, "exit signal", t->exit_signal, t == leader ? SIGCHLD : -1);
	return bad;
}

static u64 check_group(struct task *leader, s64 *count)
{
	struct task *t;
	u64 bad = 0;
	s32 n = 0;
	bool child = false;

	for_each_thread(t, leader) {
		bad += check_thread(t, leader);
		n++;
	}
	*count += n;
	if (n != leader->signal->nr_threads)
		bad += wrong(leader, "number of threads", leader->signal->nr_threads, n);
	if (leader->signal->live > n || leader->signal->live < 0)
		bad += wrong(leader, "living threads", leader->signal->live, n);
	list_for_each_entry(t, &leader->real_parent->children, sibling)
		child |= t == leader;
	if (!child)
		bad += wrong(leader, "among its parent's children", 0, 1);
	return bad;
}

u64 proc_check(void)
{
	struct task *t;
	u64 bad = 0;
	s64 n = 0;

	bad += pid_check();
	tasklist_write_lock();
	for_each_process(t)
		bad += check_group(t, &n);
	if (n != spread_sum(&nr_tasks))
		bad += wrong(&boot_task, "number of tasks", spread_sum(&nr_tasks), n);
	tasklist_write_unlock();
	rcu_read_lock(); /* alloc_lock is not taken inside tasklist_lock */
	for_each_process(t)
		bad += check_mm(t);
	rcu_read_unlock();
	return bad;
}

void proc_check_init(void)
{
	check_register("proc", proc_check);
}
