/* Mounts, bind mounts and their moves, pivot_root and chroot. Checked on Linux 6.1 too. */
#include "fs.h"

static int count_mounts(const char *what)
{
	char line[1024];
	FILE *f = fopen("/proc/mounts", "r");
	int n = 0;

	while (fgets(line, sizeof(line), f))
		n += strstr(line, what) != NULL;
	fclose(f);
	return n;
}

TEST(mounting)
{
	fresh("mounts");
	struct statfs sf;
	struct stat st, st2;

	mkdir("a", 0755), mkdir("b", 0755), mkdir("c", 0755);
	close(put("file", "under"));
	close(put("file2", "over"));
	CHECK_ERRNO(mount("none", "none", "tmpfs", 0, NULL), ENOENT);
	CHECK_ERRNO(mount("none", "file", "tmpfs", 0, NULL), ENOTDIR);
	CHECK_ERRNO(mount("none", "a", "nosuchfs", 0, NULL), ENODEV);
	CHECK_ERRNO(mount("none", "a", NULL, 0, NULL), EINVAL);
	CHECK_ERRNO(mount("none", "a", "tmpfs", 0, "size=x"), EINVAL);
	CHECK_ERRNO(mount("none", "a", "tmpfs", 0, "bogus=1"), EINVAL);
	CHECK_OK(mount("none", "a", "tmpfs", MS_NOSUID | MS_NODEV, "size=64k,nr_inodes=5,mode=0700"));
	CHECK_OK(stat("a", &st));
	CHECK_EQ(st.st_mode & 07777, 0700);
	CHECK_OK(statfs("a", &sf));
	CHECK_EQ(sf.f_blocks, 16);
	CHECK_EQ(sf.f_bfree, 16);
	CHECK_EQ(sf.f_files, 5);
	CHECK_EQ(sf.f_ffree, 4);
	CHECK_EQ(sf.f_type, 0x01021994);
	int fd = put("a/x", "hello");
	static char big[100000];
	CHECK_EQ(pwrite(fd, big, sizeof(big), 0), 65536);
	CHECK_ERRNO(pwrite(fd, big, 10, 65536), ENOSPC);
	CHECK_OK(statfs("a", &sf));
	CHECK_EQ(sf.f_bfree, 0);
	CHECK_OK(ftruncate(fd, 4096));
	CHECK_OK(statfs("a", &sf));
	CHECK_EQ(sf.f_bfree, 15);
	CHECK_ERRNO(fallocate(fd, 0, 0, 100000), ENOSPC);
	CHECK_OK(statfs("a", &sf));
	CHECK_EQ(sf.f_bfree, 15);
	mkdir("a/1", 0755), mkdir("a/2", 0755), mkdir("a/3", 0755);
	CHECK_ERRNO(mkdir("a/4", 0755), ENOSPC);
	CHECK_OK(rmdir("a/3"));
	CHECK_OK(mkdir("a/3", 0755));
	/* busy, read-only, other file systems */
	CHECK_ERRNO(umount2("a", 0), EBUSY);
	CHECK_ERRNO(mount("none", "a", NULL, MS_REMOUNT | MS_RDONLY, NULL), EBUSY);
	CHECK_ERRNO(link("a/x", "b/x"), EXDEV);
	CHECK_ERRNO(rename("a/x", "b/x"), EXDEV);
	CHECK_ERRNO(rename("a", "z"), EBUSY);
	CHECK_ERRNO(rmdir("a"), EBUSY);
	close(fd);
	CHECK_OK(mount("none", "a", NULL, MS_REMOUNT | MS_RDONLY, NULL));
	CHECK_ERRNO(open("a/x", O_RDWR), EROFS);
	CHECK_ERRNO(open("a/new", O_CREAT | O_RDWR, 0600), EROFS);
	CHECK_ERRNO(open("a/x", O_RDONLY | O_TRUNC), EROFS);
	CHECK_ERRNO(mkdir("a/new", 0755), EROFS);
	CHECK_ERRNO(mkdir("a/1", 0755), EEXIST);
	CHECK_ERRNO(unlink("a/x"), EROFS);
	CHECK_ERRNO(rmdir("a/1"), EROFS);
	CHECK_ERRNO(rename("a/x", "a/y"), EROFS);
	CHECK_ERRNO(link("a/x", "a/y"), EROFS);
	CHECK_ERRNO(chmod("a/x", 0600), EROFS);
	CHECK_ERRNO(chown("a/x", 1, 1), EROFS);
	CHECK_ERRNO(truncate("a/x", 0), EROFS);
	CHECK_ERRNO(access("a/x", W_OK), EROFS);
	CHECK_ERRNO(utimensat(AT_FDCWD, "a/x", NULL, 0), EROFS);
	CHECK_OK(access("a/x", R_OK));
	CHECK_OK(mount("none", "a", NULL, MS_REMOUNT, "size=128k,nr_inodes=20"));
	CHECK_OK(statfs("a", &sf));
	CHECK_EQ(sf.f_blocks, 32);
	/* bind: same files, own flags */
	CHECK_OK(mount("a/1", "b", NULL, MS_BIND, NULL));
	CHECK_OK(stat("a/1", &st));
	CHECK_OK(stat("b", &st2));
	CHECK(st.st_ino == st2.st_ino && st.st_dev == st2.st_dev);
	close(put("b/inner", "x"));
	CHECK_OK(access("a/1/inner", F_OK));
	CHECK_ERRNO(rename("b/inner", "a/1/inner2"), EXDEV); /* two mounts, though one file system */
	CHECK_OK(mount("none", "b", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
	CHECK_ERRNO(unlink("b/inner"), EROFS);
	CHECK_OK(unlink("a/1/inner"));
	CHECK_OK(chdir("b"));
	CHECK_OK(chdir(".."));
	CHECK_OK(access("file", F_OK)); /* ".." led out of the mount */
	CHECK_OK(mount("file2", "file", NULL, MS_BIND, NULL));
	char buf[8] = "";
	fd = open("file", O_RDONLY);
	read(fd, buf, 7);
	CHECK_STR(buf, "over");
	close(fd);
	CHECK_ERRNO(unlink("file"), EBUSY);
	CHECK_OK(umount2("file", 0));
	CHECK_ERRNO(mount("file", "c", NULL, MS_BIND, NULL), ENOTDIR);
	CHECK_ERRNO(mount("none", "c", NULL, MS_BIND, NULL), ENOENT);
	/* move */
	CHECK_OK(mount("a", "c", NULL, MS_MOVE, NULL));
	CHECK_OK(access("c/x", F_OK));
	CHECK_ERRNO(access("a/x", F_OK), ENOENT);
	CHECK_ERRNO(mount("a", "b", NULL, MS_MOVE, NULL), EINVAL);
	CHECK_ERRNO(mount("c", "c/2", NULL, MS_MOVE, NULL), ELOOP);
	CHECK_EQ(count_mounts("/mounts/c "), 1);
	CHECK_EQ(count_mounts("/mounts/a "), 0);
	/* over each other; lazily */
	CHECK_OK(mount("none", "c", "tmpfs", 0, NULL));
	CHECK_ERRNO(access("c/x", F_OK), ENOENT);
	CHECK_OK(umount2("c", 0));
	CHECK_OK(access("c/x", F_OK));
	fd = open("c/x", O_RDONLY);
	CHECK_ERRNO(umount2("c", 0), EBUSY);
	CHECK_OK(umount2("c", MNT_DETACH));
	CHECK_ERRNO(access("c/x", F_OK), ENOENT);
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(read(fd, buf, 1), 1);
	close(fd);
	CHECK_ERRNO(umount2("c", 0), EINVAL);
	CHECK_ERRNO(umount2("none", 0), ENOENT);
	CHECK_ERRNO(umount2("b", 0x100), EINVAL);
	CHECK_ERRNO(umount2("b", MNT_EXPIRE | MNT_FORCE), EINVAL);
	CHECK_ERRNO(umount2("b", MNT_EXPIRE), EAGAIN);
	CHECK_OK(umount2("b", MNT_EXPIRE));
	CHECK_EQ(count_mounts("/mounts/"), 0);
	/* nodev, noexec, nosuid */
	CHECK_OK(mount("none", "a", "tmpfs", MS_NODEV | MS_NOEXEC, NULL));
	mknod("a/null", S_IFCHR | 0666, 0x103);
	CHECK_ERRNO(open("a/null", O_RDONLY), EACCES);
	fd = put("a/prog", "#!/bin/sh\n");
	fchmod(fd, 0755);
	close(fd);
	CHECK_ERRNO(access("a/prog", X_OK), EACCES);
	CHECK_EXITS(0, {
		execl("a/prog", "prog", NULL);
		CHECK_EQ(errno, EACCES);
	});
	fd = open("a/prog", O_RDONLY);
	CHECK_ERRNO((long)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0), EPERM);
	close(fd);
	CHECK_OK(umount2("a", 0));
}

TEST(roots)
{
	fresh("roots");
	mkdir("jail", 0755);
	mkdir("jail/in", 0755);
	close(put("jail/f", "x"));
	symlink("/f", "jail/abs");
	CHECK_EXITS(0, {
		char buf[64];
		CHECK_OK(chroot("jail"));
		CHECK(getcwd(buf, sizeof(buf)) || errno == ENOENT);
		syscall(SYS_getcwd, buf, sizeof(buf));
		CHECK(!strncmp(buf, "(unreachable)", 13));
		CHECK_OK(chdir("/"));
		CHECK_OK(access("/f", F_OK));
		CHECK_OK(access("/../../f", F_OK));
		CHECK_OK(access("/in/../abs", F_OK));
		CHECK_ERRNO(access("/proc", F_OK), ENOENT);
		CHECK_OK(syscall(SYS_getcwd, buf, sizeof(buf)));
		CHECK_STR(buf, "/");
	});
	CHECK_ERRNO(chroot("none"), ENOENT);
	CHECK_ERRNO(chroot("jail/f"), ENOTDIR);
	CHECK_ERRNO(chdir("jail/f"), ENOTDIR);
	CHECK_ERRNO(fchdir(99), EBADF);
	CHECK_ERRNO(syscall(SYS_pivot_root, "jail", "jail"), EINVAL);
	CHECK_EQ(umask(077), 022);
	CHECK_EQ(umask(022), 077);
}

int main(int argc, char **argv)
{
	return fs_main(argc, argv);
}
