/* Decode half of seccomp(2) and prctl(2)'s PR_SET_SECCOMP. */
#include <proc/seccomp.h>
#include <x86/uaccess.h>

enum { SET_MODE_STRICT, SET_MODE_FILTER, GET_ACTION_AVAIL, GET_NOTIF_SIZES };

static long set_filter(u32 flags, const void __user *uprog)
{
	struct { u16 len; u16 pad[3]; u64 filter; } fprog;
	struct bpf_insn *prog;
	struct seccomp_filter *f;

	if (flags & ~SECCOMP_FLAGS)
		return -EINVAL;
	if (copy_from_user(&fprog, uprog, sizeof(fprog)))
		return -EFAULT;
	if (!fprog.len || fprog.len > BPF_MAXINSNS)
		return -EINVAL;
	if (!current->no_new_privs && !capable(CAP_SYS_ADMIN))
		return -EACCES;
	f = seccomp_prepare(fprog.len, &prog);
	if (!f)
		return -ENOMEM;
	if (copy_from_user(prog, (const void __user *)fprog.filter, fprog.len * sizeof(*prog))) {
		seccomp_put(f);
		return -EFAULT;
	}
	return seccomp_attach(f, flags);
}

static long action_available(const u32 __user *p)
{
	u32 a;

	if (get_user(a, p))
		return -EFAULT;
	switch (a) {
	case SECCOMP_RET_KILL_PROCESS:
	case SECCOMP_RET_KILL_THREAD:
	case SECCOMP_RET_TRAP:
	case SECCOMP_RET_ERRNO:
	case SECCOMP_RET_TRACE:
	case SECCOMP_RET_LOG:
	case SECCOMP_RET_ALLOW:
		return 0;
	}
	return -EOPNOTSUPP;
}

long sys_seccomp(u32 op, u32 flags, void __user *args)
{
	static const u16 sizes[3] = { 80, 24, 64 }; /* seccomp_notif, _notif_resp, _data */

	switch (op) {
	case SET_MODE_STRICT:
		return flags || args ? -EINVAL : seccomp_set_strict();
	case SET_MODE_FILTER:
		return set_filter(flags, args);
	case GET_ACTION_AVAIL:
		return flags ? -EINVAL : action_available(args);
	case GET_NOTIF_SIZES:
		return flags ? -EINVAL : copy_to_user(args, sizes, sizeof(sizes)) ? -EFAULT : 0;
	}
	return -EINVAL;
}

long prctl_set_seccomp(u64 mode, void __user *filter)
{
	return mode == SECCOMP_MODE_STRICT ? seccomp_set_strict() : mode == SECCOMP_MODE_FILTER ? set_filter(0, filter) : -EINVAL;
}
