/* Bringing the file half up, and the checker of all its structures. */
#include <fs/internal.h>
#include <fs/unix.h>
#include <mm/check.h>

void vfs_init(void)
{
	dcache_init();
	inode_cache_init();
	file_cache_init();
	locks_init();
	mount_init();
	tmpfs_init();
	devfs_init();
	anon_files_init();
	check_register("vfs", vfs_check);
	check_register("unix", unix_check);
}

u64 vfs_check(void)
{
	return dcache_check() + mount_check();
}
