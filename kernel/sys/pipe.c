/* pipe(2), pipe2(2). */
#include <fs/fdtable.h>
#include <fs/pipe.h>
#include <x86/uaccess.h>

long sys_pipe2(s32 __user *fds, int flags)
{
	struct file *f[2];
	s32 fd[2];

	if (flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT))
		return -EINVAL;
	int r = pipe_create(f, flags);
	if (r)
		return r;
	r = fd[0] = fd_alloc(flags, 0);
	if (r < 0)
		goto put_files;
	r = fd[1] = fd_alloc(flags, 0);
	if (r < 0)
		goto free_first;
	r = -EFAULT;
	if (copy_to_user(fds, fd, sizeof(fd)))
		goto free_second;
	/* commit: no failure below */
	fd_install(fd[0], f[0]);
	fd_install(fd[1], f[1]);
	return 0;

free_second:
	fd_release(fd[1]);
free_first:
	fd_release(fd[0]);
put_files:
	file_put(f[0]);
	file_put(f[1]);
	return r;
}

long sys_pipe(s32 __user *fds)
{
	return sys_pipe2(fds, 0);
}
