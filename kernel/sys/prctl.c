/* prctl(2), kcmp(2): what a process may set about itself, comparing resources. */
#include <kernel/random.h>
#include <lib/err.h>
#include <lib/string.h>
#include <mm/mm.h>
#include <mm/slab.h>
#include <fs/fdtable.h>
#include <fs/poll.h>
#include <proc/ptrace.h>
#include <proc/seccomp.h>
#include <proc/impl.h>
#include <sys/util.h>
#include <x86/uaccess.h>

#define PR_SET_PDEATHSIG 1
#define PR_GET_PDEATHSIG 2
#define PR_GET_DUMPABLE 3
#define PR_SET_DUMPABLE 4
#define PR_GET_KEEPCAPS 7
#define PR_SET_KEEPCAPS 8
#define PR_GET_TIMING 13
#define PR_SET_TIMING 14
#define PR_SET_NAME 15
#define PR_GET_NAME 16
#define PR_GET_SECCOMP 21
#define PR_SET_SECCOMP 22
#define PR_CAPBSET_READ 23
#define PR_CAPBSET_DROP 24
#define PR_GET_TSC 25
#define PR_SET_TSC 26
#define PR_GET_SECUREBITS 27
#define PR_SET_SECUREBITS 28
#define PR_SET_TIMERSLACK 29
#define TSC_ENABLE 1
#define TSC_SIGSEGV 2
#define PR_MCE_KILL 33
#define PR_MCE_KILL_GET 34
#define MCE_KILL_DEFAULT 2
#define PR_GET_TIMERSLACK 30
#define PR_SET_MM 35
#define PR_SET_CHILD_SUBREAPER 36
#define PR_GET_CHILD_SUBREAPER 37
#define PR_SET_NO_NEW_PRIVS 38
#define PR_GET_NO_NEW_PRIVS 39
#define PR_GET_TID_ADDRESS 40
#define PR_SET_THP_DISABLE 41
#define PR_GET_THP_DISABLE 42
#define PR_CAP_AMBIENT 47
#define PR_SET_IO_FLUSHER 57
#define PR_GET_IO_FLUSHER 58
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SCHED_CORE 62

#define SECURE_ALL_BITS 0x55u
#define SECURE_ALL_LOCKS 0xaau

static long prctl_name(int op, u64 arg)
{
	char name[16] = { 0 };

	if (op == PR_GET_NAME) {
		strscpy(name, current->thread.comm, sizeof(name));
		return copy_to_user((void __user *)arg, name, sizeof(name)) ? -EFAULT : 0;
	}
	if (strncpy_from_user(name, (const char __user *)arg, sizeof(name) - 1) < 0)
		return -EFAULT;
	task_set_comm(current, name);
	return 0;
}

static long prctl_bounding_drop(u64 cap)
{
	struct cred *c;

	if (!capable(CAP_SETPCAP))
		return -EPERM;
	if (cap > CAP_LAST)
		return -EINVAL;
	c = cred_prepare();
	if (!c)
		return -ENOMEM;
	c->cap_bset &= ~(1ull << cap);
	cred_commit(c);
	return 0;
}

static long prctl_securebits(u64 bits)
{
	const struct cred *o = current->cred;
	struct cred *c;

	if (bits & ~(u64)(SECURE_ALL_BITS | SECURE_ALL_LOCKS))
		return -EPERM;
	/* locked bits stay, locks are never taken off (capabilities(7)) */
	if ((((o->securebits & SECURE_ALL_LOCKS) >> 1) & (o->securebits ^ bits)) ||
	    (o->securebits & SECURE_ALL_LOCKS & ~bits) || !capable(CAP_SETPCAP))
		return -EPERM;
	c = cred_prepare();
	if (!c)
		return -ENOMEM;
	c->securebits = (u32)bits;
	cred_commit(c);
	current->keep_caps = bits >> 4 & 1;
	return 0;
}

#define AMBIENT_IS_SET 1
#define AMBIENT_RAISE 2
#define AMBIENT_LOWER 3
#define AMBIENT_CLEAR_ALL 4
#define SECBIT_NO_CAP_AMBIENT_RAISE 64u

static long prctl_ambient(u64 op, u64 cap)
{
	const struct cred *o = current->cred;
	struct cred *c;

	if (op == AMBIENT_CLEAR_ALL ? cap != 0 : cap > CAP_LAST)
		return -EINVAL;
	u64 bit = 1ull << (cap & 63);
	if (op == AMBIENT_IS_SET)
		return !!(o->cap_ambient & bit);
	if (op != AMBIENT_RAISE && op != AMBIENT_LOWER && op != AMBIENT_CLEAR_ALL)
		return -EINVAL;
	if (op == AMBIENT_RAISE && (!(o->cap_permitted & o->cap_inheritable & bit) ||
				    (o->securebits & SECBIT_NO_CAP_AMBIENT_RAISE)))
		return -EPERM;
	c = cred_prepare();
	if (!c)
		return -ENOMEM;
	if (op == AMBIENT_CLEAR_ALL)
		c->cap_ambient = 0;
	else if (op == AMBIENT_RAISE)
		c->cap_ambient |= bit;
	else
		c->cap_ambient &= ~bit;
	cred_commit(c);
	return 0;
}

static long prctl_capabilities(int op, u64 a2, u64 a3, u64 a4, u64 a5)
{
	switch (op) {
	case PR_CAPBSET_READ:
		return a2 > CAP_LAST ? -EINVAL : (long)(current->cred->cap_bset >> a2 & 1);
	case PR_CAPBSET_DROP:
		return prctl_bounding_drop(a2);
	case PR_GET_SECUREBITS:
		return current->cred->securebits;
	case PR_SET_SECUREBITS:
		return prctl_securebits(a2);
	case PR_GET_KEEPCAPS:
		return current->keep_caps;
	case PR_SET_KEEPCAPS:
		if (a2 > 1)
			return -EINVAL;
		if (current->cred->securebits & 32)
			return -EPERM;
		current->keep_caps = (u32)a2;
		return 0;
	case PR_CAP_AMBIENT:
		return a4 | a5 ? -EINVAL : prctl_ambient(a2, a3);
	}
	return -EINVAL;
}

static long prctl_thp(int op, u64 a2, bool zero)
{
	struct mm *mm = current->thread.mm;

	if (!zero || (op == PR_GET_THP_DISABLE && a2))
		return -EINVAL;
	if (op == PR_GET_THP_DISABLE)
		return !!(mm->flags & MMF_NO_THP);
	down_write(&mm->lock);
	mm->flags = a2 ? mm->flags | MMF_NO_THP : mm->flags & ~MMF_NO_THP;
	mm_up_write(mm);
	return 0;
}

/* What a hardware memory error does to the process: kept for it, and read by memfail.c. */
static long prctl_mce_kill(int op, u64 a2, u64 a3, bool zero)
{
	struct task *t = current;
	u32 f;

	if (!zero || (op == PR_MCE_KILL_GET && (a2 | a3)))
		return -EINVAL;
	if (op == PR_MCE_KILL_GET)
		return !(t->flags & PF_MCE_PROCESS) ? MCE_KILL_DEFAULT : !!(t->flags & PF_MCE_EARLY);
	if (a2 == 0) { /* PR_MCE_KILL_CLEAR */
		if (a3)
			return -EINVAL;
		f = 0;
	} else if (a2 == 1 && a3 <= MCE_KILL_DEFAULT) { /* PR_MCE_KILL_SET */
		f = a3 == MCE_KILL_DEFAULT ? 0 : PF_MCE_PROCESS | (a3 ? PF_MCE_EARLY : 0);
	} else {
		return -EINVAL;
	}
	t->flags = (t->flags & ~(PF_MCE_PROCESS | PF_MCE_EARLY)) | f;
	return 0;
}

static long prctl_io_flusher(int op, u64 a2, bool zero)
{
	struct task *t = current;

	if (!capable(CAP_SYS_RESOURCE))
		return -EPERM;
	if (!zero || a2 > (op == PR_SET_IO_FLUSHER))
		return -EINVAL;
	if (op == PR_GET_IO_FLUSHER)
		return (t->flags & PF_IO_FLUSHER) == PF_IO_FLUSHER;
	t->flags = a2 ? t->flags | PF_IO_FLUSHER : t->flags & ~PF_IO_FLUSHER;
	return 0;
}

/* kernel/sys/trace.c acts on it. */
static long prctl_dispatch(u64 mode, u64 start, u64 len, u64 selector)
{
	struct task *t = current;

	if (mode > 1 || (!mode && (start | len | selector)) || (mode && start && start + len <= start))
		return -EINVAL;
	if (selector && !access_ok((void __user *)selector, 1))
		return -EFAULT;
	t->dispatch.start = start;
	t->dispatch.len = len;
	t->dispatch.selector = (const u8 __user *)selector;
	if (mode)
		thread_set_flag(&t->thread, TIF_DISPATCH);
	else
		thread_clear_flag(&t->thread, TIF_DISPATCH);
	return 0;
}

static long prctl_tsc(int op, u64 a2)
{
	if (op == PR_GET_TSC)
		return put_user(thread_test_flag(&current->thread, TIF_NOTSC) ? TSC_SIGSEGV : TSC_ENABLE, (s32 __user *)a2);
	if (a2 != TSC_ENABLE && a2 != TSC_SIGSEGV)
		return -EINVAL;
	arch_allow_tsc(a2 == TSC_ENABLE);
	return 0;
}

static long prctl_subreaper(struct task *t, bool on)
{
	struct task *p;

	t->signal->is_child_subreaper = on;
	if (!on)
		return 0;
	/* the children there are look for it too when they lose their parents */
	tasklist_write_lock();
	for_each_process(p)
		for (struct task *q = p; q->pid > 1; q = q->real_parent)
			if (same_thread_group(q->real_parent, t)) {
				p->signal->has_child_subreaper = true;
				break;
			}
	tasklist_write_unlock();
	return 0;
}

/* What concerns the machine and the address space. */
static long prctl_machine(int op, u64 a2, u64 a3, u64 a4, u64 a5)
{
	switch (op) {
	case PR_GET_TIMING:
		return 0; /* PR_TIMING_STATISTICAL, the only one */
	case PR_SET_TIMING:
		return a2 ? -EINVAL : 0;
	case PR_GET_TSC:
	case PR_SET_TSC:
		return prctl_tsc(op, a2);
	case PR_MCE_KILL:
	case PR_MCE_KILL_GET:
		return prctl_mce_kill(op, a2, a3, !(a4 | a5));
	case PR_SET_MM:
		return prctl_set_mm(a2, a3, a4, a5);
	case PR_SET_THP_DISABLE:
	case PR_GET_THP_DISABLE:
		return prctl_thp(op, a2, !(a3 | a4 | a5));
	case PR_SET_IO_FLUSHER:
	case PR_GET_IO_FLUSHER:
		return prctl_io_flusher(op, a2, !(a3 | a4 | a5));
	case PR_SET_SYSCALL_USER_DISPATCH:
		return prctl_dispatch(a2, a3, a4, a5);
	case PR_SCHED_CORE:
		return -ENODEV; /* as where a core has one thread */
	}
	return prctl_capabilities(op, a2, a3, a4, a5);
}

long sys_prctl(int op, u64 a2, u64 a3, u64 a4, u64 a5)
{
	struct task *t = current;

	switch (op) {
	case PR_SET_PDEATHSIG:
		if (a2 > NSIG)
			return -EINVAL;
		t->pdeath_signal = (s32)a2;
		return 0;
	case PR_GET_PDEATHSIG:
		return put_user(t->pdeath_signal, (s32 __user *)a2);
	case PR_GET_DUMPABLE:
		return t->dumpable;
	case PR_SET_DUMPABLE:
		if (a2 > 1)
			return -EINVAL;
		t->dumpable = (u32)a2;
		return 0;
	case PR_SET_NAME:
	case PR_GET_NAME:
		return prctl_name(op, a2);
	case PR_GET_SECCOMP:
		return t->seccomp_mode;
	case PR_SET_SECCOMP:
		return prctl_set_seccomp(a2, (void __user *)a3);
	case PR_SET_TIMERSLACK:
		t->timer_slack_ns = (s64)a2 > 0 ? a2 : t->timer_slack_default;
		return 0;
	case PR_GET_TIMERSLACK:
		return (long)t->timer_slack_ns;
	case PR_SET_CHILD_SUBREAPER:
		return prctl_subreaper(t, a2);
	case PR_GET_CHILD_SUBREAPER:
		return put_user(t->signal->is_child_subreaper, (s32 __user *)a2);
	case PR_SET_NO_NEW_PRIVS:
		if (a2 != 1 || a3 | a4 | a5)
			return -EINVAL;
		t->no_new_privs = 1;
		return 0;
	case PR_GET_NO_NEW_PRIVS:
		return a2 | a3 | a4 | a5 ? -EINVAL : (long)t->no_new_privs;
	case PR_GET_TID_ADDRESS:
		return put_user((u64)t->clear_child_tid, (u64 __user *)a2);
	}
	return prctl_machine(op, a2, a3, a4, a5);
}

/* ---- kcmp(2) ---- */

static u64 kcmp_salt;

/* An order of pointers that tells nothing about them: compared after mixing with a secret odd number. */
static long kcmp_order(const void *a, const void *b)
{
	u64 x, y;

	if (!READ_ONCE(kcmp_salt))
		WRITE_ONCE(kcmp_salt, get_random_u64() | 1);
	x = ((u64)a ^ kcmp_salt) * kcmp_salt;
	y = ((u64)b ^ kcmp_salt) * kcmp_salt;
	return x == y ? 0 : x < y ? 1 : 2;
}

static long kcmp_files(struct task *a, struct task *b, u64 fd1, u64 fd2)
{
	struct file *f = fget_task(a, (unsigned)fd1), *g = fget_task(b, (unsigned)fd2);
	long r = f && g ? kcmp_order(f, g) : -EBADF;

	if (f)
		file_put(f);
	if (g)
		file_put(g);
	return r;
}

struct kcmp_epoll_slot { u32 efd, tfd, skip; };

/* Descriptor fd1 of @a against what an epoll of @b watches. */
static long kcmp_epoll(struct task *a, struct task *b, u64 fd1, const struct kcmp_epoll_slot __user *uslot)
{
	struct kcmp_epoll_slot slot;

	if (copy_from_user(&slot, uslot, sizeof(slot)))
		return -EFAULT;
	struct file *f = fget_task(a, (unsigned)fd1), *ep = fget_task(b, slot.efd);
	const struct file *target = f && ep ? epoll_target(ep, (s32)slot.tfd, slot.skip) : ERR_PTR(-EBADF);
	long r = IS_ERR(target) ? PTR_ERR(target) : kcmp_order(f, target);

	if (f)
		file_put(f);
	if (ep)
		file_put(ep);
	return r;
}

static long kcmp_tasks(struct task *a, struct task *b, int type, u64 i1, u64 i2)
{
	switch (type) {
	case 0:
		return kcmp_files(a, b, i1, i2);
	case 1:
		return kcmp_order(a->thread.mm, b->thread.mm);
	case 2:
		return kcmp_order(a->files, b->files);
	case 3:
		return kcmp_order(a->fs, b->fs);
	case 4:
		return kcmp_order(a->sighand, b->sighand);
	case 5:
		return kcmp_order(a->io_context, b->io_context);
	case 6:
		return kcmp_order(a->sem_undo, b->sem_undo);
	case 7:
		return kcmp_epoll(a, b, i1, (const void __user *)i2);
	}
	return -EINVAL;
}

long sys_kcmp(pid_t pid1, pid_t pid2, int type, u64 i1, u64 i2)
{
	struct task *a = task_find_get(pid1), *b = task_find_get(pid2);
	long r = !a || !b ? -ESRCH : ptrace_may_attach(a) || ptrace_may_attach(b) ? -EPERM :
		 kcmp_tasks(a, b, type, i1, i2);

	if (a)
		task_put(a);
	if (b)
		task_put(b);
	return r;
}
