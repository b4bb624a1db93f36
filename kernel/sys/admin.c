/*
 * Calls of the administrator for things this kernel does not have: swap areas, process accounting,
 * loadable modules, I/O ports for programs. Who may not ask is told so first, as Linux does; who may
 * gets the errno of a Linux that was built without, or locked, that part.
 */
#include <proc/cred.h>
#include <proc/task.h>
#include <uapi/errno.h>

static long absent(int cap, long err)
{
	return capable(cap) ? err : -EPERM;
}

long sys_swapon(const char __user *path, int flags)
{
	(void)path;
	return !capable(CAP_SYS_ADMIN) ? -EPERM : flags & ~0x7ffff ? -EINVAL : -ENOSYS;
}

long sys_swapoff(const char __user *path)
{
	(void)path;
	return absent(CAP_SYS_ADMIN, -ENOSYS);
}

long sys_acct(const char __user *path)
{
	(void)path;
	return absent(CAP_SYS_PACCT, -ENOSYS);
}

long sys_init_module(void __user *image, u64 len, const char __user *args)
{
	(void)image, (void)len, (void)args;
	return absent(CAP_SYS_MODULE, -ENOSYS);
}

long sys_finit_module(int fd, const char __user *args, int flags)
{
	(void)fd, (void)args, (void)flags;
	return absent(CAP_SYS_MODULE, -ENOSYS);
}

long sys_delete_module(const char __user *name, u32 flags)
{
	(void)name, (void)flags;
	return absent(CAP_SYS_MODULE, -ENOSYS);
}

/* Level 0 is what every program has (iopl(2)). */
long sys_iopl(u32 level)
{
	return level > 3 ? -EINVAL : level ? -EPERM : 0;
}

long sys_ioperm(u64 from, u64 num, int on)
{
	if (from + num <= from || from + num > 65536)
		return -EINVAL;
	return on ? -EPERM : 0;
}
