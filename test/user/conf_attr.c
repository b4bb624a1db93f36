// TIMEOUT: 60
/*
 * conf_attr.c - times, attributes, directories, mounts and handles as the manual pages have them: each
 * call's success, each errno that can be made, and what an unprivileged process may not.
 */
#include "conf_names.h"

TEST(times)
{
	struct stat st;
	struct timespec ts[2] = { { 5, 6 }, { 7, 8 } };
	struct timeval tv[2] = { { 1, 2 }, { 3, 1000000 } };
	int fd = open("file", O_RDWR);

	CHECK_OK(utimensat(AT_FDCWD, "file", ts, 0));
	stat("file", &st);
	CHECK_EQ(st.st_atim.tv_sec, 5);
	CHECK_EQ(st.st_atim.tv_nsec, 6);
	CHECK_EQ(st.st_mtim.tv_sec, 7);
	ts[0].tv_nsec = UTIME_OMIT;
	ts[1].tv_nsec = UTIME_NOW;
	CHECK_OK(futimens(fd, ts));
	stat("file", &st);
	CHECK_EQ(st.st_atim.tv_sec, 5);
	CHECK_GT(st.st_mtim.tv_sec, 1000);
	ts[1].tv_nsec = 1000000000;
	CHECK_ERRNO(futimens(fd, ts), EINVAL);
	CHECK_ERRNO(futimens(-1, NULL), EBADF);
	CHECK_ERRNO(utimensat(AT_FDCWD, "file", NULL, 0x8000), EINVAL);
	CHECK_ERRNO(syscall(SYS_utimensat, AT_FDCWD, NULL, NULL, 0), EFAULT);
	CHECK_ERRNO(syscall(SYS_utimensat, AT_FDCWD, "file", BAD, 0), EFAULT);
	CHECK_ERRNO(syscall(SYS_utimes, "file", tv), EINVAL);
	CHECK_ERRNO(syscall(SYS_utimes, "file", BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_utime, "file", BAD), EFAULT);
	ts[0] = ts[1] = (struct timespec){ 1, UTIME_OMIT };
	CHECK_OK(utimensat(AT_FDCWD, "nothere/but/omitted", ts, 0));
	tv[1].tv_usec = 5;
	CHECK_OK(utimes("file", tv));
	stat("file", &st);
	CHECK_EQ(st.st_mtim.tv_nsec, 5000);
	CHECK_OK(utimensat(AT_FDCWD, "sl", (struct timespec[]){ { 9, 0 }, { 10, 0 } }, AT_SYMLINK_NOFOLLOW));
	lstat("sl", &st);
	CHECK_EQ(st.st_mtim.tv_sec, 10);
	stat("sl", &st);
	CHECK_EQ(st.st_mtim.tv_sec, 3);
	chmod("file", 0666);
	CHECK_EXITS(0, become_nobody();
		    CHECK_OK(utimes("file", NULL));
		    CHECK_ERRNO(utimes("file", tv), EPERM);
		    ts[0].tv_nsec = UTIME_NOW;
		    CHECK_ERRNO(utimensat(AT_FDCWD, "file", ts, 0), EPERM);
		    CHECK_ERRNO(utimes("secret", NULL), EACCES));
	chmod("file", 0644);
	close(fd);
}

TEST(stat_calls)
{
	struct stat st;
	struct statfs sf;
	struct conf_statx sx;
	int fd = open("file", O_RDONLY);

	CHECK_ERRNO(fstat(-1, &st), EBADF);
	CHECK_ERRNO(syscall(SYS_fstat, fd, BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_stat, "file", BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_newfstatat, fd, "", &st, 0), ENOENT);
	CHECK_OK(syscall(SYS_newfstatat, fd, "", &st, AT_EMPTY_PATH));
	CHECK_ERRNO(syscall(SYS_newfstatat, fd, "x", &st, 0), ENOTDIR);
	CHECK_ERRNO(syscall(SYS_newfstatat, -1, "file", &st, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_newfstatat, AT_FDCWD, "file", &st, 0x8000), EINVAL);
	CHECK_ERRNO(syscall(SYS_statx, AT_FDCWD, "file", 0x8000, 0xfff, &sx), EINVAL);
	CHECK_ERRNO(syscall(SYS_statx, AT_FDCWD, "file", 0x6000, 0xfff, &sx), EINVAL);
	CHECK_ERRNO(syscall(SYS_statx, AT_FDCWD, "file", 0, 0x80000000, &sx), EINVAL);
	CHECK_ERRNO(syscall(SYS_statx, AT_FDCWD, "file", 0, 0xfff, BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_statx, AT_FDCWD, BAD, 0, 0xfff, &sx), EFAULT);
	CHECK_ERRNO(syscall(SYS_statx, -1, "file", 0, 0xfff, &sx), EBADF);
	CHECK_OK(truncate("file", 10000));
	CHECK_OK(syscall(SYS_statx, AT_FDCWD, "file", 0, 0xfff, &sx));
	CHECK_EQ(sx.stx_mask & 0x7ff, 0x7ff);
	CHECK_EQ(sx.stx_mode, S_IFREG | 0644);
	CHECK_EQ(sx.stx_size, 10000);
	stat("file", &st);
	CHECK_EQ(sx.stx_ino, st.st_ino);
	CHECK_EQ(makedev(sx.stx_dev_major, sx.stx_dev_minor), st.st_dev);
	CHECK_EQ(st.st_blksize, 4096);
	CHECK_OK(syscall(SYS_statx, AT_FDCWD, "/proc", 0, 0xfff, &sx));
	CHECK(sx.stx_attributes_mask & 0x2000);
	CHECK(sx.stx_attributes & 0x2000);
	CHECK_OK(statfs(".", &sf));
	CHECK_EQ(sf.f_type, 0x01021994);
	CHECK_EQ(sf.f_namelen, 255);
	CHECK_EQ(sf.f_bsize, 4096);
	CHECK(sf.f_bfree <= sf.f_blocks);
	CHECK_OK(fstatfs(fd, &sf));
	CHECK_ERRNO(fstatfs(-1, &sf), EBADF);
	CHECK_ERRNO(syscall(SYS_statfs, ".", BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_fstatfs, fd, BAD), EFAULT);
	CHECK_OK(statfs("/proc", &sf));
	CHECK_EQ(sf.f_type, 0x9fa0);
	CHECK_OK(statfs("/sys", &sf));
	CHECK_EQ(sf.f_type, 0x62656572);
	struct { int f; char b[28]; } us;
	CHECK_ERRNO(syscall(SYS_ustat, 0xfff0, &us), EINVAL);
	CHECK_OK(syscall(SYS_ustat, st.st_dev, &us));
	close(fd);
}

/* What a bad page kept from being copied comes with the next call: every entry once, whichever was the last that fitted. */
TEST(directory_entries_before_a_bad_page)
{
	enum { NAMES = 300, RECORD = 24, P = 4096 };
	char *page = mmap(NULL, 4 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), name[32];
	long got, seen = 0;
	int d;

	REQUIRE(page != MAP_FAILED && !munmap(page + 3 * P, P));
	mkdir("many", 0755);
	for (int i = 0; i < NAMES; i++) {
		snprintf(name, sizeof name, "many/%03d", i);
		touch(name, 0644);
	}
	d = open("many", O_RDONLY);
	for (int room = 0; seen < NAMES + 2 && room < 3 * P; room += 17) {
		got = syscall(SYS_getdents64, d, page + 3 * P - room, 3L * P);
		if (got < 0) {
			CHECK_EQ(errno, EFAULT);
			CHECK(room < RECORD);
			continue;
		}
		CHECK(got > 0 && got <= room && (got + RECORD > room || seen + got / RECORD == NAMES + 2));
		for (long at = 0; at < got; at += *(unsigned short *)(page + 3 * P - room + at + 16), seen++) {
			snprintf(name, sizeof name, "%03ld", seen - 2);
			CHECK(seen < 2 || !strcmp(page + 3 * P - room + at + 19, name));
		}
	}
	CHECK_EQ(seen, NAMES + 2);
	CHECK_EQ(syscall(SYS_getdents64, d, page, P), 0);
	close(d);
	for (int i = 0; i < NAMES; i++) {
		snprintf(name, sizeof name, "many/%03d", i);
		unlink(name);
	}
	rmdir("many");
	CHECK_EQ(syscall(SYS_getrandom, page + 3 * P - 100, 200L, 0), 100);
	CHECK_ERRNO(syscall(SYS_getrandom, page + 3 * P, 200L, 0), EFAULT);
	munmap(page, 3 * P);
}

TEST(directories)
{
	char b[4096];
	int d, fd = open("file", O_RDONLY);

	CHECK_ERRNO(syscall(SYS_getdents64, -1, b, 4096), EBADF);
	CHECK_ERRNO(syscall(SYS_getdents64, fd, b, 4096), ENOTDIR);
	mkdir("gd", 0755);
	touch("gd/one", 0644);
	d = open("gd", O_RDONLY);
	CHECK_ERRNO(syscall(SYS_getdents64, d, b, 5), EINVAL);
	CHECK_ERRNO(syscall(SYS_getdents, d, b, 5), EINVAL);
	CHECK_ERRNO(syscall(SYS_getdents64, d, BAD, 4096), EFAULT);
	CHECK_EQ(syscall(SYS_getdents64, d, b, 4096), 24 * 3);
	CHECK_EQ(syscall(SYS_getdents64, d, b, 4096), 0);
	lseek(d, 0, SEEK_SET);
	CHECK_EQ(syscall(SYS_getdents, d, b, 4096), 24 * 3);
	unlink("gd/one");
	rmdir("gd");
	lseek(d, 0, SEEK_SET);
	CHECK_ERRNO(syscall(SYS_getdents64, d, b, 4096), ENOENT);
	CHECK_ERRNO(openat(d, "x", O_CREAT | O_RDWR, 0644), ENOENT);
	CHECK_EXITS(0, CHECK_OK(fchdir(d));
		    CHECK_ERRNO(syscall(SYS_getcwd, b, 4096L), ENOENT);
		    CHECK_ERRNO(mkdir("x", 0755), ENOENT);
		    CHECK_OK(chdir(".")));
	close(d);
	CHECK_ERRNO(fchdir(-1), EBADF);
	CHECK_ERRNO(fchdir(fd), ENOTDIR);
	CHECK_ERRNO(chdir("file"), ENOTDIR);
	CHECK_ERRNO(syscall(SYS_getcwd, b, 1L), ERANGE);
	CHECK_ERRNO(syscall(SYS_getcwd, BAD, 4096L), EFAULT);
	CHECK_ERRNO(syscall(SYS_getcwd, b, 0L), ERANGE);
	CHECK_EQ(syscall(SYS_getcwd, b, 4096L), strlen(b) + 1);
	CHECK_ERRNO(chroot("file"), ENOTDIR);
	CHECK_ERRNO(chroot("nothere"), ENOENT);
	CHECK_EXITS(0, become_nobody(); CHECK_ERRNO(chroot("dir"), EPERM));
	CHECK_EXITS(0, mkdir("root", 0755); mkdir("root/sub", 0755); CHECK_OK(chroot("root"));
		    CHECK_OK(syscall(SYS_getcwd, b, 4096L));
		    CHECK(!strncmp(b, "(unreachable)", 13));
		    CHECK_OK(chdir("/"));
		    CHECK_OK(syscall(SYS_getcwd, b, 4096L));
		    CHECK_STR(b, "/");
		    CHECK_OK(access("/../sub", F_OK));
		    CHECK_ERRNO(access("/file", F_OK), ENOENT));
	close(fd);
}

TEST(attributes)
{
	char b[100], *big = calloc(1, 70000);
	int fd = open("file", O_RDONLY);

	CHECK_ERRNO(getxattr("file", "trusted.a", b, 100), ENODATA);
	CHECK_OK(setxattr("file", "trusted.a", "val", 3, 0));
	CHECK_ERRNO(setxattr("file", "trusted.a", "val", 3, XATTR_CREATE), EEXIST);
	CHECK_ERRNO(setxattr("file", "trusted.b", "val", 3, XATTR_REPLACE), ENODATA);
	CHECK_ERRNO(setxattr("file", "trusted.b", "val", 3, 8), EINVAL);
	CHECK_ERRNO(setxattr("file", "", "val", 3, 0), ERANGE);
	CHECK_ERRNO(setxattr("file", "nodot", "val", 3, 0), EOPNOTSUPP);
	CHECK_ERRNO(setxattr("file", long_name, "val", 3, 0), ERANGE);
	CHECK_ERRNO(setxattr("file", "trusted.b", big, 65537, 0), E2BIG);
	CHECK_ERRNO(setxattr("file", "trusted.b", BAD, 3, 0), EFAULT);
	CHECK_ERRNO(setxattr("file", BAD, "x", 3, 0), EFAULT);
	CHECK_EQ(getxattr("file", "trusted.a", b, 0), 3);
	CHECK_ERRNO(getxattr("file", "trusted.a", b, 2), ERANGE);
	CHECK_EQ(fgetxattr(fd, "trusted.a", b, 100), 3);
	CHECK_EQ(listxattr("file", b, 0), 10);
	CHECK_ERRNO(listxattr("file", b, 3), ERANGE);
	CHECK_EQ(flistxattr(fd, b, 100), 10);
	CHECK_STR(b, "trusted.a");
	CHECK_EXITS(0, become_nobody();
		    CHECK_ERRNO(getxattr("file", "trusted.a", b, 100), ENODATA);
		    CHECK_ERRNO(setxattr("file", "trusted.a", b, 1, 0), EPERM);
		    CHECK_EQ(listxattr("file", b, 100), 0));
	CHECK_OK(fremovexattr(fd, "trusted.a"));
	CHECK_ERRNO(removexattr("file", "trusted.a"), ENODATA);
	CHECK_ERRNO(fgetxattr(-1, "trusted.a", b, 1), EBADF);
	CHECK_EQ(listxattr("file", b, 100), 0);
	close(fd);
	free(big);
}

TEST(mounting)
{
	struct stat st;

	mkdir("mnt", 0755);
	CHECK_ERRNO(mount("none", "nothere", "tmpfs", 0, NULL), ENOENT);
	CHECK_ERRNO(mount("none", "mnt", "nofs", 0, NULL), ENODEV);
	CHECK_ERRNO(mount("none", "file", "tmpfs", 0, NULL), ENOTDIR);
	CHECK_ERRNO(mount(BAD, "mnt", "tmpfs", 0, NULL), EFAULT);
	CHECK_ERRNO(mount("none", BAD, "tmpfs", 0, NULL), EFAULT);
	CHECK_ERRNO(mount("none", "mnt", BAD, 0, NULL), EFAULT);
	CHECK_ERRNO(mount("none", "mnt", NULL, 0, NULL), EINVAL);
	CHECK_ERRNO(mount("none", long_name, "tmpfs", 0, NULL), ENAMETOOLONG);
	CHECK_ERRNO(mount("none", "mnt", "tmpfs", MS_REMOUNT, NULL), EINVAL);
	CHECK_ERRNO(mount("nothere", "mnt", NULL, MS_BIND, NULL), ENOENT);
	CHECK_ERRNO(mount("none", "mnt", "tmpfs", 0, "nonsense=1"), EINVAL);
	CHECK_ERRNO(umount("mnt"), EINVAL);
	CHECK_ERRNO(umount("nothere"), ENOENT);
	CHECK_ERRNO(umount2("mnt", 0x100), EINVAL);
	CHECK_ERRNO(umount2("mnt", MNT_EXPIRE | MNT_FORCE), EINVAL);
	CHECK_ERRNO(umount2(BAD, 0), EFAULT);
	CHECK_OK(mount("none", "mnt", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64k,mode=700"));
	stat("mnt", &st);
	CHECK_EQ(st.st_mode & 07777, 0700);
	touch("mnt/x", 0755);
	CHECK_ERRNO(execl("mnt/x", "x", NULL), EACCES);
	mknod("mnt/null", S_IFCHR | 0666, makedev(1, 3));
	CHECK_ERRNO(open("mnt/null", O_RDWR), EACCES);
	struct statfs sf;
	statfs("mnt", &sf);
	CHECK_EQ(sf.f_blocks, 16);
	CHECK_EQ(sf.f_flags & 0xf, 0xe);
	int fd = open("mnt/big", O_RDWR | O_CREAT, 0644);
	char *buf = calloc(1, 1 << 17);
	CHECK_LT(write(fd, buf, 1 << 17), 1 << 16 | 1);
	CHECK_ERRNO(write(fd, buf, 4096), ENOSPC);
	CHECK_ERRNO(fallocate(fd, 0, 1 << 17, 1 << 17), ENOSPC);
	free(buf);
	CHECK_ERRNO(umount("mnt"), EBUSY);
	CHECK_ERRNO(mount("none", "mnt", "tmpfs", MS_REMOUNT | MS_RDONLY, NULL), EBUSY);
	close(fd);
	CHECK_OK(mount("none", "mnt", "tmpfs", MS_REMOUNT | MS_RDONLY, NULL));
	CHECK_ERRNO(open("mnt/x", O_RDWR), EROFS);
	CHECK_ERRNO(open("mnt/new", O_RDWR | O_CREAT, 0644), EROFS);
	CHECK_ERRNO(mkdir("mnt/new", 0755), EROFS);
	CHECK_ERRNO(rmdir("mnt/x"), EROFS);
	CHECK_ERRNO(unlink("mnt/x"), EROFS);
	CHECK_ERRNO(rename("mnt/x", "mnt/y"), EROFS);
	CHECK_ERRNO(link("mnt/x", "mnt/y"), EROFS);
	CHECK_ERRNO(symlink("x", "mnt/y"), EROFS);
	CHECK_ERRNO(mknod("mnt/y", S_IFREG, 0), EROFS);
	CHECK_ERRNO(chmod("mnt/x", 0), EROFS);
	CHECK_ERRNO(chown("mnt/x", 0, 0), EROFS);
	CHECK_ERRNO(truncate("mnt/x", 0), EROFS);
	CHECK_ERRNO(utimes("mnt/x", NULL), EROFS);
	CHECK_ERRNO(access("mnt/x", W_OK), EROFS);
	CHECK_ERRNO(setxattr("mnt/x", "trusted.x", "", 0, 0), EROFS);
	CHECK_OK(fd = open("mnt/x", O_RDONLY));
	CHECK_ERRNO(fchmod(fd, 0), EROFS);
	CHECK_ERRNO(fchown(fd, 0, 0), EROFS);
	close(fd);
	CHECK_ERRNO(umount2("mnt", MNT_EXPIRE), EAGAIN);
	CHECK_OK(umount2("mnt", MNT_EXPIRE));
	CHECK_OK(mount("none", "mnt", "tmpfs", 0, NULL));
	mkdir("bind", 0755);
	touch("mnt/file", 0644);
	CHECK_OK(mount("mnt", "bind", NULL, MS_BIND, NULL));
	CHECK_OK(access("bind/file", F_OK));
	CHECK_ERRNO(rename("mnt/file", "bind/f2"), EXDEV);
	CHECK_ERRNO(link("mnt/file", "bind/f2"), EXDEV);
	CHECK_OK(mount("none", "bind", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
	CHECK_ERRNO(open("bind/file", O_RDWR), EROFS);
	CHECK_OK(fd = open("mnt/file", O_RDWR));
	CHECK_OK(umount("bind"));
	CHECK_OK(umount2("mnt", MNT_DETACH));
	CHECK_EQ(write(fd, "x", 1), 1);
	close(fd);
	CHECK_EXITS(0, become_nobody();
		    CHECK_ERRNO(mount("none", "mnt", "tmpfs", 0, NULL), EPERM);
		    CHECK_ERRNO(umount("mnt"), EPERM));
	touch("bf", 0644);
	CHECK_OK(mount("file", "bf", NULL, MS_BIND, NULL));
	CHECK_ERRNO(unlink("bf"), EBUSY);
	CHECK_ERRNO(rename("bf", "bf2"), EBUSY);
	CHECK_OK(umount2("bf", UMOUNT_NOFOLLOW));
	CHECK_OK(mount("none", "mnt", "proc", 0, NULL));
	CHECK_OK(access("mnt/self/stat", F_OK));
	CHECK_OK(mount("none", "bind", "tmpfs", 0, "nr_inodes=3"));
	touch("bind/1", 0644);
	touch("bind/2", 0644);
	CHECK_ERRNO(open("bind/3", O_CREAT | O_RDWR, 0644), ENOSPC);
	CHECK_OK(umount("bind"));
	CHECK_OK(mount("bind", "bind", NULL, MS_BIND, NULL));
	CHECK_OK(mount("mnt", "bind", NULL, MS_MOVE, NULL));
	CHECK_OK(access("bind/self/stat", F_OK));
	CHECK_OK(umount("bind"));
	CHECK_OK(umount("bind"));
	CHECK_ERRNO(syscall(SYS_pivot_root, "nothere", "x"), ENOENT);
	CHECK_EXITS(0, become_nobody(); CHECK_ERRNO(syscall(SYS_pivot_root, ".", "."), EPERM));
}

TEST_MAIN
