/*
 * Kernel threads and PID 1.
 *
 * A kernel thread is a task without user memory, files or handlers: its own group, the sighand of
 * the boot task. PID 1 begins the same way, but with a user stack frame and a start function: its
 * first "return to user mode" runs start_init in its own context, which execs.
 */
#include <kernel/cmdline.h>
#include <kernel/kthread.h>
#include <kernel/printk.h>
#include <lib/assert.h>
#include <lib/err.h>
#include <lib/printf.h>
#include <lib/string.h>
#include <mm/failinject.h>
#include <mm/section.h>
#include <mm/mm.h>
#include <mm/slab.h>
#include <proc/impl.h>
#include <x86/fpu.h>

struct kthread_start { int (*fn)(void *); void *arg; };

static int kthread_entry(void *p)
{
	struct kthread_start s = *(struct kthread_start *)p;

	kfree(p);
	do_exit(s.fn(s.arg) << 8);
}

/* Makes a task of its own group visible, child of @parent. */
static void attach_kernel_task(struct task *t, struct task *parent)
{
	struct pid *p = t->pids[PIDK_PID];

	tasklist_enter();
	t->real_parent = t->parent = parent;
	t->group_leader = t;
	list_add_tail(&t->thread_group, &t->signal->threads);
	spin_lock(&parent->signal->family);
	list_add_tail(&t->sibling, &parent->children);
	spin_unlock(&parent->signal->family);
	pid_attach_own(t, p, true);
	pid_attach(t, PIDK_PGID, p);
	pid_attach(t, PIDK_SID, p);
	task_born();
	tasklist_leave();
}

/* A task with no user resources and pid @want (0: next), not attached; or NULL. */
static struct task *kernel_task_alloc(pid_t want, struct sighand *sighand)
{
	struct task *t = task_alloc();

	if (!t)
		return NULL;
	t->signal = signal_state_alloc();
	struct pid *p = t->signal ? pid_alloc(want, ktime_ns()) : ERR_PTR(-ENOMEM);
	if (IS_ERR(p)) {
		if (t->signal)
			signal_state_put(t->signal);
		task_free_unused(t);
		return NULL;
	}
	t->pids[PIDK_PID] = pid_get(p);
	t->pid = t->tgid = p->nr;
	t->cred = cred_get(&init_cred);
	spread_add(&init_cred.user->processes, 1);
	memcpy(t->signal->rlim, boot_task.signal->rlim, sizeof(t->signal->rlim));
	__atomic_fetch_add(&sighand->refs, 1, __ATOMIC_RELAXED);
	t->sighand = sighand;
	t->exit_signal = SIGCHLD;
	t->timer_slack_ns = 50000;
	t->dumpable = 1;
	t->sas_flags = SS_DISABLE;
	t->thread.start_time = ktime_ns();
	return t;
}

struct thread *kthread_run(int (*fn)(void *), void *arg, int cpu, const char *fmt, ...)
{
	struct kthread_start *s = kmalloc(sizeof(*s), GFP_KERNEL);
	struct task *t = s ? kernel_task_alloc(0, boot_task.sighand) : NULL;
	va_list ap;

	if (!t) {
		kfree(s);
		return NULL;
	}
	*s = (struct kthread_start){ fn, arg };
	va_start(ap, fmt);
	vsnprintf(t->thread.comm, sizeof(t->thread.comm), fmt, ap);
	va_end(ap);
	t->flags = PF_KTHREAD;
	t->blocked = ~0ull;
	t->thread.active_mm = NULL;
	arch_thread_setup_kernel(&t->thread, kthread_entry, s);
	sched_fork(&t->thread, &boot_task.thread);
	t->thread.affinity = cpu >= 0 ? cpumask_of(cpu) : ~0ull;
	if (cpu >= 0)
		t->thread.cpu = cpu;
	attach_kernel_task(t, &boot_task);
	sched_wake_new(&t->thread);
	return &t->thread;
}

/* ---- PID 1 ---- */

static const char *const init_envp[] = { "HOME=/", "TERM=linux", NULL };
#define INIT_ARGS 32

/* Words after "--" on the command line are init's arguments (kernel_cmdline is cut in place here). */
static int init_arguments(const char **argv, char *words)
{
	int n = 1;
	char *p = words, *w;

	while ((w = strsep(&p, " \t\n")))
		if (streq(w, "--"))
			break;
	while (p && n < INIT_ARGS && (w = strsep(&p, " \t\n")))
		if (*w)
			argv[n++] = w;
	argv[n] = NULL;
	return n;
}

static void try_init(const char *path, const char **argv)
{
	argv[0] = path;
	int err = exec_kernel(path, argv, init_envp);
	if (err && err != -ENOENT)
		pr_err("init: %s cannot be run: error %d\n", path, -err);
}

static const char *const init_paths[] = { "/sbin/init", "/init", "/bin/sh" };

static void find_init(void)
{
	static char words[sizeof(kernel_cmdline)], given[256];
	static const char *argv[INIT_ARGS + 2];

	init_open_console();
	strscpy(words, kernel_cmdline, sizeof(words));
	init_arguments(argv, words);
	if (cmdline_get("init", given, sizeof(given)) > 0) {
		try_init(given, argv);
		if (current->thread.mm)
			return;
		panic("No init: \"init=%s\" on the command line cannot be run", given);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(init_paths); i++) {
		try_init(init_paths[i], argv);
		if (current->thread.mm)
			return;
	}
	panic("No init: none of /sbin/init, /init and /bin/sh is there and can be run; "
	      "give init= on the command line or another initrd");
}

static void start_init(void)
{
	find_init();
	page_array_fill(); /* page structs of the memory that nobody used yet */
	fail_nth_boot(); /* fail_nth= */
}

int run_init(void)
{
	struct sighand *sighand = sighand_alloc();
	struct task *t = sighand ? kernel_task_alloc(1, sighand) : NULL;
	struct pt_regs regs = { .cs = USER_CS, .ss = USER_DS, .rflags = 0x202, .orig_rax = -1ull };

	if (!t)
		return -ENOMEM;
	sighand_put(sighand); /* the task's own reference stays */
	memset(sighand->action, 0, sizeof(sighand->action));
	t->signal->flags = SIGNAL_UNKILLABLE;
	strscpy(t->thread.comm, "init", sizeof(t->thread.comm));
	t->thread.arch.fpu = task_fpu_alloc();
	t->files = files_init();
	t->fs = fs_init_context();
	if (!t->thread.arch.fpu || !t->files || !t->fs)
		return -ENOMEM; /* the machine cannot come up: the caller panics */
	fpu_init_thread(t->thread.arch.fpu);
	arch_thread_setup_user(&t->thread, &regs);
	t->start_fn = start_init;
	thread_set_flag(&t->thread, TIF_NOTIFY_RESUME);
	sched_fork(&t->thread, &boot_task.thread);
	t->thread.affinity = ~0ull;
	init_task_ptr = t;
	attach_kernel_task(t, &boot_task);
	sched_wake_new(&t->thread);
	do_exit(0); /* the kernel thread that brought the machine up has done its work */
}

void kthread_set_lowest(void)
{
	sched_set_nice(current_thread(), 19);
}
