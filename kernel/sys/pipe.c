/* pipe(2), pipe2(2). */
#include <fs/fdtable.h>
#include <fs/pipe.h>

long sys_pipe2(s32 __user *fds, int flags)
{
	struct file *f[2];

	if (flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT))
		return -EINVAL;
	int r = pipe_create(f, flags);

	return r ? r : fd_install_pair(f, flags, fds);
}

long sys_pipe(s32 __user *fds)
{
	return sys_pipe2(fds, 0);
}
