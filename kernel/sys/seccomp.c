/* Decode half of seccomp(2) and prctl(2)'s PR_SET_SECCOMP. */
#include <fs/fdtable.h>
#include <lib/err.h>
#include <proc/seccomp.h>
#include <x86/uaccess.h>

enum { SET_MODE_STRICT, SET_MODE_FILTER, GET_ACTION_AVAIL, GET_NOTIF_SIZES };

static struct seccomp_filter *get_filter(const void __user *uprog)
{
	struct { u16 len; u16 pad[3]; u64 filter; } fprog;
	struct bpf_insn *prog;
	struct seccomp_filter *f;

	if (copy_from_user(&fprog, uprog, sizeof(fprog)))
		return ERR_PTR(-EFAULT);
	if (!fprog.len || fprog.len > BPF_MAXINSNS)
		return ERR_PTR(-EINVAL);
	if (!current->no_new_privs && !capable(CAP_SYS_ADMIN))
		return ERR_PTR(-EACCES);
	f = seccomp_prepare(fprog.len, &prog);
	if (!f)
		return ERR_PTR(-ENOMEM);
	if (copy_from_user(prog, (const void __user *)fprog.filter, fprog.len * sizeof(*prog))) {
		seccomp_put(f);
		return ERR_PTR(-EFAULT);
	}
	return f;
}

/* Attaches @f with a listener. Its descriptor; what seccomp_attach says; -EMFILE... */
static long attach_heard(struct seccomp_filter *f, u32 flags)
{
	struct seccomp_notify *n;
	struct file *file;
	long err, fd = fd_alloc(O_CLOEXEC, 0);

	file = fd < 0 ? ERR_PTR(fd) : seccomp_listener(flags & SECCOMP_FLAG_WAIT_KILLABLE_RECV, &n);
	if (IS_ERR(file)) {
		seccomp_put(f);
		err = PTR_ERR(file);
	} else {
		seccomp_set_notify(f, n);
		err = seccomp_attach(f, flags);
		if (!err) {
			fd_install((int)fd, file);
			return fd;
		}
		file_put(file);
	}
	if (fd >= 0)
		fd_release((int)fd);
	return err;
}

static long set_filter(u32 flags, const void __user *uprog)
{
	bool listener = flags & SECCOMP_FLAG_NEW_LISTENER;

	if (flags & ~SECCOMP_FLAGS || (flags & SECCOMP_FLAG_WAIT_KILLABLE_RECV && !listener))
		return -EINVAL;
	/* both answer with a number, so it must be clear what it is */
	if (listener && flags & SECCOMP_FLAG_TSYNC && !(flags & SECCOMP_FLAG_TSYNC_ESRCH))
		return -EINVAL;
	struct seccomp_filter *f = get_filter(uprog);
	if (IS_ERR(f))
		return PTR_ERR(f);
	return listener ? attach_heard(f, flags) : seccomp_attach(f, flags);
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
	case SECCOMP_RET_USER_NOTIF:
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
