/*
 * Tasks: storage, references, the root of the family tree, and what others may ask about a task.
 *
 * References. A task is born with two: the "alive" one, given up by task_release through RCU (so
 * whoever finds a task under rcu_read_lock may use it until the unlock, or take a reference), and the
 * stack's, given up by sched_thread_release when the dead thread has been switched away from for
 * good. The stack and the FPU area go with the second, long before the descriptor: a zombie costs a
 * struct task, not 16 KiB.
 *
 * What stays valid how long, for a holder of a reference:
 *   signal, pids[PIDK_PID], cred    until the task is freed (each task holds a reference)
 *   sighand                         until task_release; get it with task_lock_sighand
 *   mm, files, fs                   until exit; get them under alloc_lock (task_mm_get, ...)
 *
 * sighand memory is type-stable (SLAB_RCU): task_lock_sighand may lock one that has just been freed
 * and given to another group, sees that t->sighand is no longer that one, and lets go. The lock is
 * therefore initialised by the cache's constructor only.
 */
#include <kernel/printk.h>
#include <lib/assert.h>
#include <lib/printf.h>
#include <lib/string.h>
#include <mm/mm.h>
#include <mm/slab.h>
#include <mm/vmalloc.h>
#include <proc/coredump.h>
#include <proc/seccomp.h>
#include <x86/fpu.h>

struct task *init_task_ptr;
s32 max_threads;
struct spread nr_tasks;
static DEFINE_PER_CPU(u64, forks);

static struct kmem_cache *task_cache, *signal_cache, *sighand_cache, *fpu_cache;

_Static_assert(sizeof(struct task) <= THREAD_ROOM, "idle threads are looked at as tasks");

static struct signal_state boot_signal;
static struct sighand kthread_sighand; /* of the boot task and all kernel threads: nothing is handled */

struct task boot_task = {
	.thread = { .comm = "swapper/0", .refs = 1, .affinity = ~0ull, .active_mm = &init_mm },
	.flags = PF_KTHREAD,
	.cred = &init_cred,
	.signal = &boot_signal,
	.sighand = &kthread_sighand,
	.real_parent = &boot_task,
	.parent = &boot_task,
	.group_leader = &boot_task,
	.children = LIST_HEAD_INIT(boot_task.children),
	.sibling = LIST_HEAD_INIT(boot_task.sibling),
	.thread_group = LIST_HEAD_INIT(boot_task.thread_group),
	.ptraced = LIST_HEAD_INIT(boot_task.ptraced),
	.ptrace_entry = LIST_HEAD_INIT(boot_task.ptrace_entry),
	.pending.list = LIST_HEAD_INIT(boot_task.pending.list),
	.pi_state = LIST_HEAD_INIT(boot_task.pi_state),
	.timer_slack_ns = 50000,
	.dumpable = 1,
};

static void sighand_ctor(void *p)
{
	struct sighand *s = p;
	spin_lock_init(&s->lock);
	init_wait_queue(&s->signalfd_wait);
}

static const struct rlimit boot_limits[RLIM_NLIMITS] = {
	[RLIMIT_CPU] = { RLIM_INFINITY, RLIM_INFINITY },
	[RLIMIT_FSIZE] = { RLIM_INFINITY, RLIM_INFINITY },
	[RLIMIT_DATA] = { RLIM_INFINITY, RLIM_INFINITY },
	[RLIMIT_STACK] = { 8 << 20, RLIM_INFINITY },
	[RLIMIT_CORE] = { 0, RLIM_INFINITY },
	[RLIMIT_RSS] = { RLIM_INFINITY, RLIM_INFINITY },
	[RLIMIT_NOFILE] = { 1024, 4096 },
	[RLIMIT_MEMLOCK] = { 8 << 20, 8 << 20 },
	[RLIMIT_AS] = { RLIM_INFINITY, RLIM_INFINITY },
	[RLIMIT_LOCKS] = { RLIM_INFINITY, RLIM_INFINITY },
	[RLIMIT_MSGQUEUE] = { 819200, 819200 },
	[RLIMIT_RTTIME] = { RLIM_INFINITY, RLIM_INFINITY },
};

static void signal_state_init(struct signal_state *s)
{
	s->refs = s->live = s->nr_threads = 1;
	s->coredump_filter = COREDUMP_FILTER_DEFAULT;
	spin_lock_init(&s->family);
	INIT_LIST_HEAD(&s->threads);
	INIT_LIST_HEAD(&s->shared_pending.list);
	INIT_LIST_HEAD(&s->posix_timers);
	itimers_init(s);
	init_wait_queue(&s->wait_chldexit);
}

void proc_init(void)
{
	task_cache = kmem_cache_create("task_struct", sizeof(struct task), 64, SLAB_PANIC, NULL);
	signal_cache = kmem_cache_create("signal_cache", sizeof(struct signal_state), 64, SLAB_PANIC, NULL);
	sighand_cache = kmem_cache_create("sighand_cache", sizeof(struct sighand), 64,
					  SLAB_PANIC | SLAB_RCU, sighand_ctor);
	fpu_cache = kmem_cache_create("fpu_state", max_t(u32, fpu_size, 512), 64, SLAB_PANIC, NULL);
	/* The boot context is the idle thread of CPU 0; until it idles it makes files like any task. */
	current->cred = &init_cred;
	current->signal = &boot_signal;
	current->sighand = &kthread_sighand;
	current->group_leader = current->real_parent = current->parent = &boot_task;
	current->flags = PF_KTHREAD;
	sighand_ctor(&kthread_sighand);
	kthread_sighand.refs = 1;
	signal_state_init(&boot_signal);
	memcpy(boot_signal.rlim, boot_limits, sizeof(boot_limits));
	/* As Linux: threads may take an eighth of memory, counting a stack and what hangs on it. */
	max_threads = (s32)min_t(u64, nr_total_pages() / (8 * (KSTACK_PAGES + 1)) + 64, 4 << 20);
	boot_signal.rlim[RLIMIT_NPROC] = (struct rlimit){ max_threads / 2, max_threads / 2 };
	boot_signal.rlim[RLIMIT_SIGPENDING] = boot_signal.rlim[RLIMIT_NPROC];
	VERIFY(!spread_init(&nr_tasks));
	sigqueue_init_cache();
	cred_init();
	pid_init();
	futex_init();
	ipc_init();
	vdso_init();
	proc_check_init();
}

/* ---- signal_state and sighand ---- */

struct signal_state *signal_state_alloc(void)
{
	struct signal_state *s = kmem_cache_zalloc(signal_cache, GFP_KERNEL);
	if (s)
		signal_state_init(s);
	return s;
}

void signal_state_put(struct signal_state *s)
{
	if (__atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) == 0)
		kmem_cache_free(signal_cache, s);
}

struct sighand *sighand_alloc(void)
{
	struct sighand *s = kmem_cache_alloc(sighand_cache, GFP_KERNEL);
	if (s)
		__atomic_store_n(&s->refs, 1, __ATOMIC_RELAXED);
	return s;
}

void sighand_put(struct sighand *s)
{
	if (__atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) == 0) {
		/* a signalfd reader may sleep on the queue with a reference to its task only */
		wake_up_key(&s->signalfd_wait, TASK_NORMAL, 0, 0, 0);
		kmem_cache_free(sighand_cache, s);
	}
}

struct sighand *task_lock_sighand(struct task *t, u64 *flags)
{
	struct sighand *s;
	u64 f;

	rcu_read_lock();
	for (;;) {
		s = rcu_dereference(t->sighand);
		if (unlikely(!s))
			break;
		spin_lock_irqsave(&s->lock, f);
		/* pairs with the store under the lock in task_release and exec */
		if (likely(s == READ_ONCE(t->sighand))) {
			*flags = f;
			break;
		}
		spin_unlock_irqrestore(&s->lock, f);
	}
	rcu_read_unlock();
	return s;
}

/* ---- struct task ---- */

struct task *task_alloc(void)
{
	struct task *t = kmem_cache_zalloc(task_cache, GFP_KERNEL);
	if (!t)
		return NULL;
	t->thread.kstack = kstack_alloc();
	if (!t->thread.kstack) {
		kmem_cache_free(task_cache, t);
		return NULL;
	}
	t->thread.arch.kstack_top = (u64)t->thread.kstack + KSTACK_SIZE;
	t->thread.refs = 2;
	spin_lock_init(&t->alloc_lock);
	INIT_LIST_HEAD(&t->children);
	INIT_LIST_HEAD(&t->sibling);
	INIT_LIST_HEAD(&t->pending.list);
	INIT_LIST_HEAD(&t->pi_state);
	INIT_LIST_HEAD(&t->thread_group);
	INIT_LIST_HEAD(&t->ptraced);
	INIT_LIST_HEAD(&t->ptrace_entry);
	return t;
}

void *task_fpu_alloc(void)
{
	return kmem_cache_alloc(fpu_cache, GFP_KERNEL);
}

static void task_free_stack(struct task *t)
{
	if (t->thread.arch.fpu)
		kmem_cache_free(fpu_cache, t->thread.arch.fpu);
	t->thread.arch.fpu = NULL;
	if (t->thread.kstack)
		kstack_free(t->thread.kstack);
	t->thread.kstack = NULL;
}

static void task_free(struct task *t)
{
	ASSERT(list_empty(&t->pending.list));
	cred_put(t->cred);
	seccomp_put(t->seccomp);
	if (t->pids[PIDK_PID])
		pid_put(t->pids[PIDK_PID]);
	if (t->signal)
		signal_state_put(t->signal);
	kmem_cache_free(task_cache, t);
}

void task_free_unused(struct task *t)
{
	task_free_stack(t);
	kmem_cache_free(task_cache, t);
}

void task_get(struct task *t)
{
	__atomic_fetch_add(&t->thread.refs, 1, __ATOMIC_RELAXED);
}

void task_put(struct task *t)
{
	s32 n = __atomic_sub_fetch(&t->thread.refs, 1, __ATOMIC_ACQ_REL);
	ASSERT3S(n, >=, 0);
	if (n == 0)
		task_free(t);
}

/* The scheduler has left the dead thread's stack. */
void sched_thread_release(struct thread *th)
{
	struct task *t = task_of(th);
	task_free_stack(t);
	task_put(t);
}

void task_set_comm(struct task *t, const char *name)
{
	u64 flags;

	spin_lock_irqsave(&t->alloc_lock, flags);
	strscpy(t->thread.comm, name, sizeof(t->thread.comm));
	spin_unlock_irqrestore(&t->alloc_lock, flags);
}

void task_born(void)
{
	spread_add(&nr_tasks, 1);
	this_cpu_inc(forks);
}

u64 total_forks(void)
{
	u64 n = 0;

	for (int cpu = 0; cpu < nr_cpus; cpu++)
		n += per_cpu(forks, cpu);
	return n;
}

/* ---- questions ---- */

struct task *task_find(pid_t nr)
{
	struct pid *p = pid_find(nr);
	return p ? pid_task(p, PIDK_PID) : NULL;
}

struct task *task_find_get(pid_t nr)
{
	rcu_read_lock();
	struct task *t = task_find(nr);
	if (t)
		task_get(t); /* its alive reference cannot end before the unlock */
	rcu_read_unlock();
	return t;
}

struct mm *task_mm_get(struct task *t)
{
	struct mm *mm;
	u64 flags;

	spin_lock_irqsave(&t->alloc_lock, flags);
	mm = t->flags & PF_KTHREAD ? NULL : t->thread.mm;
	if (mm)
		mm_get(mm);
	spin_unlock_irqrestore(&t->alloc_lock, flags);
	return mm;
}

struct files *task_files_get(struct task *t)
{
	struct files *f;
	u64 flags;

	spin_lock_irqsave(&t->alloc_lock, flags);
	f = t->files ? files_share(t->files) : NULL;
	spin_unlock_irqrestore(&t->alloc_lock, flags);
	return f;
}

pid_t task_ppid(struct task *t)
{
	rcu_read_lock();
	struct task *p = rcu_dereference(t->real_parent);
	pid_t nr = p ? p->tgid : 0;
	rcu_read_unlock();
	return nr;
}

pid_t task_tracer_pid(struct task *t)
{
	rcu_read_lock();
	pid_t nr = t->ptrace ? rcu_dereference(t->parent)->pid : 0;
	rcu_read_unlock();
	return nr;
}

static pid_t group_pid_nr(struct task *t, enum pid_kind kind)
{
	rcu_read_lock();
	struct pid *p = rcu_dereference(rcu_dereference(t->group_leader)->pids[kind]);
	pid_t nr = p ? p->nr : 0;
	rcu_read_unlock();
	return nr;
}

pid_t task_pgid(struct task *t)
{
	return group_pid_nr(t, PIDK_PGID);
}

pid_t task_sid(struct task *t)
{
	return group_pid_nr(t, PIDK_SID);
}

char task_state_letter(struct task *t)
{
	u32 s = READ_ONCE(t->thread.state);
	s32 e = READ_ONCE(t->exit_state);

	if (e)
		return e == EXIT_ZOMBIE ? 'Z' : 'X';
	if (s == TASK_RUNNING)
		return 'R';
	if (s & TASK_INTERRUPTIBLE)
		return 'S';
	if (s & TASK_STOPPED)
		return 'T';
	if (s & TASK_TRACED)
		return 't';
	return s & TASK_DEAD ? 'X' : 'D';
}

bool thread_group_empty(struct task *t)
{
	return READ_ONCE(t->signal->nr_threads) <= 1;
}

u64 rlimit_current(int res)
{
	return READ_ONCE(current->signal->rlim[res].rlim_cur);
}
