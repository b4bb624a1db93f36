/* What PID 1 needs of the file layer before it becomes a program. */
#include <fs/fdtable.h>
#include <kernel/printk.h>
#include <lib/err.h>
#include <proc/impl.h>

void init_open_console(void)
{
	/* an initrd need not bring device nodes along; a /dev that is no directory is its own business */
	int err = do_mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	struct file *f = kernel_open("/dev/console", O_RDWR, 0);

	if (err && err != -EBUSY)
		pr_warn("init: devtmpfs cannot be mounted on /dev: error %d\n", -err);
	if (IS_ERR(f)) {
		pr_warn("init: /dev/console cannot be opened (error %d), /dev/null stands in\n", (int)-PTR_ERR(f));
		f = kernel_open("/dev/null", O_RDWR, 0);
		if (IS_ERR(f))
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
