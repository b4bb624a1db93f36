/* What PID 1 needs of the file layer before it becomes a program. */
#include <fs/fdtable.h>
#include <kernel/printk.h>
#include <lib/err.h>
#include <proc/impl.h>

void init_open_console(void)
{
	struct file *f = kernel_open("/dev/console", O_RDWR, 0);

	if (IS_ERR(f)) {
		pr_warn("init: /dev/console cannot be opened (error %d): init starts without it\n",
			(int)-PTR_ERR(f));
		return;
	}
	for (int i = 0; i < 3; i++) {
		int fd = fd_alloc(0, 0);
		if (fd < 0)
			break;
		fd_install(fd, file_get(f));
	}
	file_put(f);
}
