/* Decode half of ptrace(2): requests on a stopped tracee, memory and register sets. */
#include <lib/string.h>
#include <mm/mm.h>
#include <mm/slab.h>
#include <proc/ptrace.h>
#include <sys/util.h>
#include <x86/fpu.h>
#include <x86/ptrace.h>

#define NT_PRSTATUS 1
#define NT_PRFPREG 2
#define NT_X86_XSTATE 0x202
#define AUDIT_ARCH_X86_64 0xc000003eu

/* ---- memory ---- */

static long peek_data(struct task *t, u64 addr, u64 __user *to)
{
	struct mm *mm = task_mm_get(t);
	u64 v;
	s64 n;

	if (!mm)
		return -EIO;
	n = mm_access(mm, addr, &v, sizeof(v), false, true);
	mm_put(mm);
	return n == sizeof(v) ? put_user(v, to) : -EIO;
}

static long poke_data(struct task *t, u64 addr, u64 v)
{
	struct mm *mm = task_mm_get(t);
	s64 n;

	if (!mm)
		return -EIO;
	n = mm_access(mm, addr, &v, sizeof(v), true, true);
	mm_put(mm);
	return n == sizeof(v) ? 0 : -EIO;
}

/* ---- register sets ---- */

static long get_regs(struct task *t, void __user *to, u64 n)
{
	u64 regs[USER_REGS_SIZE / 8];

	arch_ptrace_get_regs(&t->thread, regs);
	return copy_to_user(to, regs, n) ? -EFAULT : 0;
}

static long set_regs(struct task *t, const void __user *from, u64 n)
{
	u64 regs[USER_REGS_SIZE / 8];

	return copy_from_user(regs, from, n) ? -EFAULT : arch_ptrace_set_regs(&t->thread, regs, n / 8);
}

/* Vector state: what is not given stays as it is. */
static long rw_xstate(struct task *t, void __user *p, u64 n, bool write, bool all)
{
	u8 *buf = kmalloc(arch_xstate_size(), GFP_KERNEL);
	long err;

	if (!buf)
		return -ENOMEM;
	arch_get_xstate(&t->thread, buf);
	if (!write)
		err = copy_to_user(p, buf, n) ? -EFAULT : 0;
	else if (copy_from_user(buf, p, n))
		err = -EFAULT;
	else
		err = all ? arch_set_xstate(&t->thread, buf) : arch_set_fpregs(&t->thread, buf);
	kfree(buf);
	return err;
}

struct iovec_user { u64 base, len; };
static long regset(struct task *t, u64 kind, struct iovec_user __user *uiov, bool write)
{
	struct iovec_user v;
	u64 size;
	long err;

	if (copy_from_user(&v, uiov, sizeof(v)))
		return -EFAULT;
	switch (kind) {
	case NT_PRSTATUS:
		size = USER_REGS_SIZE;
		break;
	case NT_PRFPREG:
		size = FPREGS_SIZE;
		break;
	case NT_X86_XSTATE:
		size = arch_xstate_size();
		break;
	default:
		return -EINVAL;
	}
	if (v.len % 8)
		return -EINVAL;
	v.len = min_t(u64, v.len, size);
	if (write && kind == NT_X86_XSTATE && v.len != size)
		return -EFAULT; /* a part would leave the header and its parts apart */
	if (kind == NT_PRSTATUS)
		err = write ? set_regs(t, (void __user *)v.base, v.len) : get_regs(t, (void __user *)v.base, v.len);
	else
		err = rw_xstate(t, (void __user *)v.base, v.len, write, kind == NT_X86_XSTATE);
	return err ?: put_user(v.len, &uiov->len);
}

/* ---- the stop ---- */

static long get_siginfo(struct task *t, siginfo_t __user *to)
{
	struct sighand *s;
	siginfo_t info;
	u64 flags;
	long err = -EINVAL;

	s = task_lock_sighand(t, &flags);
	if (!s)
		return -ESRCH;
	if (t->last_siginfo) {
		siginfo_copy(&info, t->last_siginfo);
		siginfo_clear_rest(&info);
		err = 0;
	}
	task_unlock_sighand(s, flags);
	return err ?: copy_to_user(to, &info, sizeof(info)) ? -EFAULT : 0;
}

static long set_siginfo(struct task *t, const siginfo_t __user *from)
{
	struct sighand *s;
	siginfo_t info;
	u64 flags;
	long err = -EINVAL;

	if (copy_from_user(&info, from, sizeof(info)))
		return -EFAULT;
	s = task_lock_sighand(t, &flags);
	if (!s)
		return -ESRCH;
	if (t->last_siginfo) {
		siginfo_copy(t->last_siginfo, &info);
		err = 0;
	}
	task_unlock_sighand(s, flags);
	return err;
}

static bool nth_queued(struct sigpending *p, u64 nth, siginfo_t *info)
{
	struct sigqueue *q;

	list_for_each_entry(q, &p->list, link)
		if (!nth--) {
			siginfo_copy(info, &q->info);
			siginfo_clear_rest(info);
			return true;
		}
	return false;
}

static long peek_siginfo(struct task *t, const void __user *uargs, siginfo_t __user *to)
{
	struct { u64 off; u32 flags; s32 nr; } a;
	struct sighand *s;
	siginfo_t info;
	u64 flags;
	s32 n;

	if (copy_from_user(&a, uargs, sizeof(a)))
		return -EFAULT;
	if (a.flags & ~1u || a.nr < 0)
		return -EINVAL;
	for (n = 0; n < a.nr; n++) {
		s = task_lock_sighand(t, &flags);
		if (!s)
			break;
		bool found = nth_queued(a.flags & 1 ? &t->signal->shared_pending : &t->pending, a.off + (u64)n, &info);
		task_unlock_sighand(s, flags);
		if (!found)
			break;
		if (copy_to_user(to + n, &info, sizeof(info)))
			return n ? n : -EFAULT;
		if (signal_pending_current())
			return n + 1;
	}
	return n;
}

static long set_sigmask(struct task *t, const sigset_t __user *from)
{
	sigset_t set;

	if (copy_from_user(&set, from, sizeof(set)))
		return -EFAULT;
	spin_lock_irq(&t->sighand->lock);
	t->blocked = set & ~SIG_KERNEL_ONLY; /* the tracee recalculates when it goes on */
	spin_unlock_irq(&t->sighand->lock);
	return 0;
}

/* GET_SYSCALL_INFO: which half of which call it stopped in. */
struct syscall_info {
	u8 op, pad[3];
	u32 arch;
	u64 ip, sp;
	union {
		struct { u64 nr, args[6]; u32 ret_data; } entry; /* ret_data: seccomp only */
		struct { s64 rval; u8 is_error; } exit;
	};
};
enum { INFO_NONE, INFO_ENTRY, INFO_EXIT, INFO_SECCOMP };

static u64 fill_entry(struct syscall_info *i, const struct pt_regs *r)
{
	i->entry.nr = r->orig_rax;
	u64 args[6] = { r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9 };
	memcpy(i->entry.args, args, sizeof(args));
	return offsetof(struct syscall_info, entry.ret_data);
}

static long syscall_info(struct task *t, u64 usize, void __user *to)
{
	const struct pt_regs *r = arch_user_regs(&t->thread.arch);
	struct syscall_info i = { .arch = AUDIT_ARCH_X86_64, .ip = r->rip, .sp = r->rsp };
	const siginfo_t *si = t->last_siginfo; /* it is held: nobody changes it */
	u64 n = offsetof(struct syscall_info, entry);

	if (si && si->si_code == (SIGTRAP | 0x80) && t->ptrace_message == PTRACE_EVENTMSG_SYSCALL_ENTRY) {
		i.op = INFO_ENTRY;
		n = fill_entry(&i, r);
	} else if (si && si->si_code == (SIGTRAP | 0x80) && t->ptrace_message == PTRACE_EVENTMSG_SYSCALL_EXIT) {
		i.op = INFO_EXIT;
		i.exit.rval = (s64)r->rax;
		i.exit.is_error = r->rax >= (u64)-4095;
		n = offsetof(struct syscall_info, exit.is_error) + 1;
	} else if (si && si->si_code == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) {
		i.op = INFO_SECCOMP;
		i.entry.ret_data = (u32)t->ptrace_message;
		n = fill_entry(&i, r) + sizeof(u32);
	}
	return copy_to_user(to, &i, min_t(u64, n, usize)) ? -EFAULT : (long)n;
}

static long rseq_config(struct task *t, u64 usize, void __user *to)
{
	struct { u64 ptr; u32 size, sig, flags, pad; } c = {
		.ptr = t->rseq, .size = t->rseq ? t->rseq_len : 0, .sig = t->rseq_sig,
	};

	return copy_to_user(to, &c, min_t(u64, usize, sizeof(c))) ? -EFAULT : (long)sizeof(c);
}

static int options_check(u64 o)
{
	if (o & ~(u64)(PTRACE_O_MASK | PTRACE_O_SUSPEND_SECCOMP))
		return -EINVAL;
	if (o & PTRACE_O_SUSPEND_SECCOMP) /* for checkpointing, which is not there */
		return capable(CAP_SYS_ADMIN) ? -EINVAL : -EPERM;
	return 0;
}

static long set_options(struct task *t, u64 o)
{
	int err = options_check(o);

	if (!err)
		t->ptrace = (t->ptrace & (PT_PTRACED | PT_SEIZED | PT_SYSEMU)) | PT_OPTIONS(o);
	return err;
}

static long arch_prctl_of(struct task *t, u64 op, u64 addr)
{
	switch (op) {
	case 0x1001: /* ARCH_SET_GS */
		return arch_ptrace_poke(&t->thread, 22 * 8, addr) ? -EPERM : 0;
	case 0x1002: /* ARCH_SET_FS */
		return arch_ptrace_poke(&t->thread, 21 * 8, addr) ? -EPERM : 0;
	case 0x1003:
		return put_user(arch_get_fsbase(&t->thread), (u64 __user *)addr);
	case 0x1004:
		return put_user(arch_get_gsbase(&t->thread), (u64 __user *)addr);
	}
	return -EINVAL;
}

/* ---- requests ---- */

/* What reads or writes words and registers. */
static long do_access(struct task *t, long request, u64 addr, u64 data)
{
	u64 v;
	long err;

	switch (request) {
	case PTRACE_PEEKTEXT:
	case PTRACE_PEEKDATA:
		return peek_data(t, addr, (u64 __user *)data);
	case PTRACE_POKETEXT:
	case PTRACE_POKEDATA:
		return poke_data(t, addr, data);
	case PTRACE_PEEKUSR:
		err = arch_ptrace_peek(&t->thread, addr, &v);
		return err ?: put_user(v, (u64 __user *)data);
	case PTRACE_POKEUSR:
		return arch_ptrace_poke(&t->thread, addr, data);
	case PTRACE_GETREGS:
		return get_regs(t, (void __user *)data, USER_REGS_SIZE);
	case PTRACE_SETREGS:
		return set_regs(t, (void __user *)data, USER_REGS_SIZE);
	case PTRACE_GETFPREGS:
		return rw_xstate(t, (void __user *)data, FPREGS_SIZE, false, false);
	case PTRACE_SETFPREGS:
		return rw_xstate(t, (void __user *)data, FPREGS_SIZE, true, false);
	case PTRACE_GETREGSET:
	case PTRACE_SETREGSET:
		return regset(t, addr, (void __user *)data, request == PTRACE_SETREGSET);
	case PTRACE_ARCH_PRCTL:
		return arch_prctl_of(t, data, addr);
	}
	return -EIO;
}

static long do_request(struct task *t, long request, u64 addr, u64 data)
{
	switch (request) {
	case PTRACE_CONT:
	case PTRACE_SYSCALL:
	case PTRACE_SINGLESTEP:
	case PTRACE_SYSEMU:
	case PTRACE_SYSEMU_SINGLESTEP:
		return ptrace_resume(t, request, data);
	case PTRACE_DETACH:
		return ptrace_detach(t, data);
	case PTRACE_LISTEN:
		return ptrace_listen(t);
	case PTRACE_SETOPTIONS:
		return set_options(t, data);
	case PTRACE_GETEVENTMSG:
		return put_user(t->ptrace_message, (u64 __user *)data);
	case PTRACE_GETSIGINFO:
		return get_siginfo(t, (void __user *)data);
	case PTRACE_SETSIGINFO:
		return set_siginfo(t, (void __user *)data);
	case PTRACE_PEEKSIGINFO:
		return peek_siginfo(t, (void __user *)addr, (void __user *)data);
	case PTRACE_GETSIGMASK:
		return addr != sizeof(sigset_t) ? -EINVAL :
		       put_user(thread_test_flag(&t->thread, TIF_RESTORE_SIGMASK) ? t->saved_sigmask : t->blocked,
				(u64 __user *)data);
	case PTRACE_SETSIGMASK:
		return addr != sizeof(sigset_t) ? -EINVAL : set_sigmask(t, (void __user *)data);
	case PTRACE_GET_SYSCALL_INFO:
		return syscall_info(t, addr, (void __user *)data);
	case PTRACE_GET_RSEQ_CONFIGURATION:
		return rseq_config(t, addr, (void __user *)data);
	}
	return do_access(t, request, addr, data);
}

static long attach(struct task *t, long request, u64 addr, u64 data)
{
	bool seize = request == PTRACE_SEIZE;

	if (seize && (addr || data & ~(u64)(PTRACE_O_MASK | PTRACE_O_SUSPEND_SECCOMP) || options_check(data)))
		return -EIO;
	return ptrace_attach(t, seize, (u32)data);
}

static long on_tracee(struct task *t, long request, u64 addr, u64 data)
{
	bool running = request == PTRACE_KILL || request == PTRACE_INTERRUPT;
	long r = ptrace_hold(t, running);

	if (r)
		return r;
	if (request == PTRACE_INTERRUPT)
		return ptrace_interrupt(t);
	if (request == PTRACE_KILL) /* as ptrace(2) has it: SIGKILL if it is stopped; now sent in any case */
		return t->exit_state ? 0 : send_signal(SIGKILL, NULL, t, true), 0;
	r = do_request(t, request, addr, data);
	ptrace_release(t);
	return r;
}

long sys_ptrace(long request, pid_t pid, u64 addr, u64 data)
{
	struct task *t;
	long r;

	if (request == PTRACE_TRACEME)
		return ptrace_traceme();
	t = task_find_get(pid);
	if (!t)
		return -ESRCH;
	r = request == PTRACE_ATTACH || request == PTRACE_SEIZE ? attach(t, request, addr, data) :
								  on_tracee(t, request, addr, data);
	task_put(t);
	return r;
}
