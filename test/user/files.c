/*
 * Files on tmpfs: open flags, read/write/seek, vectors, truncation, holes, directories, links, rename,
 * modes, times, getdents, paths of every odd kind, descriptors and their flags, locks.
 */
// VARIANTS: musl glibc
#include "check.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/vfs.h>

static int make(const char *path, const char *text)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);

	if (fd >= 0 && write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		CHECK_FAIL_("write %s", path);
	return fd;
}

TEST(open_flags)
{
	char buf[16] = "";
	int fd = open("f", O_CREAT | O_EXCL | O_RDWR, 0600);

	REQUIRE(fd >= 0);
	CHECK_ERRNO(open("f", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
	CHECK_EQ(write(fd, "hello", 5), 5);
	CHECK_EQ(lseek(fd, 1, SEEK_SET), 1);
	CHECK_EQ(read(fd, buf, 16), 4);
	CHECK_STR(buf, "ello");
	CHECK_EQ(read(fd, buf, 16), 0);
	close(fd);
	fd = open("f", O_WRONLY | O_APPEND);
	CHECK_EQ(write(fd, " world", 6), 6);
	CHECK_ERRNO(read(fd, buf, 1), EBADF);
	close(fd);
	fd = open("f", O_RDONLY);
	CHECK_ERRNO(write(fd, "x", 1), EBADF);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 11);
	close(fd);
	fd = open("f", O_RDWR | O_TRUNC);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 0);
	CHECK_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
	CHECK_ERRNO(lseek(fd, 0, 77), EINVAL);
	close(fd);
	CHECK_ERRNO(open("absent", O_RDONLY), ENOENT);
	CHECK_ERRNO(open("f/x", O_RDONLY), ENOTDIR);
	CHECK_ERRNO(open(".", O_WRONLY), EISDIR);
	CHECK_ERRNO(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
	CHECK_ERRNO(open("", O_RDONLY), ENOENT);
	CHECK_ERRNO(close(999), EBADF);
	CHECK_ERRNO(open((char *)8, O_RDONLY), EFAULT);
	fd = open(".", O_TMPFILE | O_RDWR, 0600);
	CHECK_GE(fd, 0);
	CHECK_EQ(write(fd, "t", 1), 1);
	close(fd);
	unlink("f");
}

TEST(positions_and_vectors)
{
	char a[4] = "", b[8] = "", c[8] = "";
	int fd = make("v", "0123456789");
	struct iovec in[2] = { { a, 3 }, { b, 4 } }, out[2] = { { "AB", 2 }, { "CDE", 3 } };

	CHECK_EQ(preadv(fd, in, 2, 1), 7);
	CHECK_STR(a, "123");
	CHECK_STR(b, "4567");
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 10);
	CHECK_EQ(pwritev(fd, out, 2, 2), 5);
	CHECK_EQ(pread(fd, c, 7, 0), 7);
	CHECK_STR(c, "01ABCDE");
	CHECK_EQ(writev(fd, out, 2), 5);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 15);
	int d = dup(fd);
	CHECK_EQ(lseek(d, 3, SEEK_SET), 3);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 3);
	CHECK_ERRNO(pread(fd, c, 1, -1), EINVAL);
	CHECK_ERRNO(readv(fd, in, -1), EINVAL);
	CHECK_ERRNO(readv(fd, in, 2000), EINVAL);
	close(d);
	close(fd);
	unlink("v");
}

TEST(holes_and_truncate)
{
	struct stat st;
	char buf[100];
	int fd = make("h", "");

	CHECK_EQ(pwrite(fd, "end", 3, 100000), 3);
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_size, 100003);
	CHECK_EQ(pread(fd, buf, 100, 50000), 100);
	CHECK(!memcmp(buf, (char[100]){ 0 }, 100));
	CHECK_OK(ftruncate(fd, 10));
	CHECK_OK(ftruncate(fd, 100));
	CHECK_EQ(pread(fd, buf, 100, 0), 100);
	CHECK_EQ(buf[50], 0);
	CHECK_ERRNO(ftruncate(fd, -1), EINVAL);
	CHECK_OK(truncate("h", 0));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_size, 0);
	CHECK_EQ(posix_fallocate(fd, 0, 8192), 0);
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_size, 8192);
	close(fd);
	unlink("h");
}

TEST(directories)
{
	char cwd[PATH_MAX], deep[PATH_MAX] = "";
	DIR *dir;
	int n = 0;

	CHECK_OK(mkdir("d", 0755));
	CHECK_ERRNO(mkdir("d", 0755), EEXIST);
	CHECK_ERRNO(mkdir("x/y", 0755), ENOENT);
	for (int i = 0; i < 300; i++) {
		char name[32];

		snprintf(name, sizeof name, "d/file%d", i);
		close(make(name, "x"));
	}
	dir = opendir("d");
	REQUIRE(dir);
	bool dot = false, dotdot = false;
	for (struct dirent *e; (e = readdir(dir)); n++) {
		dot |= !strcmp(e->d_name, ".");
		dotdot |= !strcmp(e->d_name, "..");
		CHECK(e->d_ino != 0);
		if (e->d_name[0] == 'f')
			CHECK_EQ(e->d_type, DT_REG);
	}
	CHECK(dot && dotdot);
	CHECK_EQ(n, 302);
	rewinddir(dir);
	for (struct dirent *e; (e = readdir(dir));)	/* deleting while reading */
		if (e->d_name[0] == 'f')
			CHECK_OK(unlinkat(dirfd(dir), e->d_name, 0));
	closedir(dir);
	CHECK_ERRNO(unlink("d"), EISDIR);
	CHECK_OK(mkdir("d/e", 0700));
	CHECK_ERRNO(rmdir("d"), ENOTEMPTY);
	CHECK_OK(chdir("d/e"));
	CHECK(getcwd(cwd, sizeof cwd) && strlen(cwd) > 4 && !strcmp(cwd + strlen(cwd) - 4, "/d/e"));
	CHECK_ERRNO(syscall(SYS_getcwd, cwd, 3), ERANGE);
	CHECK_OK(chdir("../.."));
	CHECK_OK(rmdir("d/e"));
	CHECK_OK(rmdir("d"));
	CHECK_ERRNO(rmdir("d"), ENOENT);
	CHECK_ERRNO(rmdir("."), EINVAL);
	for (int i = 0; i < 40; i++)
		strcat(deep, "n/");
	char path[PATH_MAX] = "";
	for (int i = 0; i < 40; i++) {
		strcat(path, "n/");
		CHECK_OK(mkdir(path, 0755));
	}
	close(make(strcat(strcpy(path, deep), "leaf"), "x"));
	CHECK_OK(access(path, R_OK));
	unlink(path);
	for (int i = 40; i > 0; i--) {
		deep[2 * i] = 0;
		CHECK_OK(rmdir(deep));
	}
	CHECK_OK(mkdir("gone", 0755));
	CHECK_OK(chdir("gone"));
	CHECK_OK(rmdir("../gone"));
	CHECK_ERRNO(open("x", O_CREAT | O_RDWR, 0600), ENOENT);
	CHECK_ERRNO(syscall(SYS_getcwd, cwd, sizeof cwd), ENOENT);
	CHECK_OK(chdir(".."));
}

TEST(links)
{
	struct stat a, b;
	char buf[100];

	close(make("one", "1"));
	CHECK_OK(link("one", "two"));
	CHECK_OK(stat("one", &a));
	CHECK_OK(stat("two", &b));
	CHECK_EQ(a.st_ino, b.st_ino);
	CHECK_EQ(a.st_nlink, 2);
	CHECK_ERRNO(link("one", "two"), EEXIST);
	CHECK_ERRNO(link(".", "dirlink"), EPERM);
	CHECK_OK(symlink("one", "sym"));
	CHECK_OK(lstat("sym", &b));
	CHECK(S_ISLNK(b.st_mode));
	CHECK_EQ(b.st_size, 3);
	CHECK_OK(stat("sym", &b));
	CHECK_EQ(a.st_ino, b.st_ino);
	CHECK_EQ(readlink("sym", buf, sizeof buf), 3);
	CHECK_EQ(readlink("sym", buf, 2), 2);
	CHECK_ERRNO(readlink("one", buf, sizeof buf), EINVAL);
	CHECK_OK(symlink("loop2", "loop1"));
	CHECK_OK(symlink("loop1", "loop2"));
	CHECK_ERRNO(stat("loop1", &a), ELOOP);
	CHECK_ERRNO(open("sym", O_RDONLY | O_NOFOLLOW), ELOOP);
	CHECK_OK(symlink("absent", "dangling"));
	CHECK_ERRNO(open("dangling", O_RDONLY), ENOENT);
	CHECK_ERRNO(open("dangling", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
	int fd = open("dangling", O_CREAT | O_RDWR, 0600);
	CHECK_GE(fd, 0);
	close(fd);
	CHECK_OK(access("absent", F_OK));
	fd = open("one", O_RDONLY);
	CHECK_OK(unlink("one"));
	CHECK_OK(unlink("two"));
	CHECK_EQ(read(fd, buf, 1), 1);		/* lives until it is closed */
	CHECK_OK(fstat(fd, &a));
	CHECK_EQ(a.st_nlink, 0);
	close(fd);
	unlink("sym"), unlink("loop1"), unlink("loop2"), unlink("dangling"), unlink("absent");
}

TEST(renames)
{
	struct stat st;

	close(make("a", "A"));
	close(make("b", "BB"));
	CHECK_OK(rename("a", "b"));
	CHECK_ERRNO(stat("a", &st), ENOENT);
	CHECK_OK(stat("b", &st));
	CHECK_EQ(st.st_size, 1);
	CHECK_OK(mkdir("d1", 0755));
	CHECK_OK(mkdir("d1/s", 0755));
	CHECK_OK(mkdir("d2", 0755));
	CHECK_ERRNO(rename("d1", "d1/s/x"), EINVAL);
	CHECK_ERRNO(rename("b", "d1"), EISDIR);
	CHECK_ERRNO(rename("d1", "b"), ENOTDIR);
	CHECK_OK(rename("d1", "d2"));		/* over an empty directory */
	CHECK_OK(mkdir("d1", 0755));
	CHECK_ERRNO(rename("d1", "d2"), ENOTEMPTY);
	CHECK_OK(rename("b", "b"));
	CHECK_OK(rename("b", "d2/s/b"));
	CHECK_ERRNO(rename("absent", "x"), ENOENT);
	CHECK_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "d2/s/b", AT_FDCWD, "d1", 1), EEXIST);
	close(make("e", "E"));
	CHECK_OK(syscall(SYS_renameat2, AT_FDCWD, "d2/s/b", AT_FDCWD, "e", 2));
	CHECK_OK(unlink("d2/s/b"));
	CHECK_OK(unlink("e"));
	CHECK_OK(rmdir("d2/s"));
	CHECK_OK(rmdir("d2"));
	CHECK_OK(rmdir("d1"));
}

TEST(modes_and_times)
{
	struct stat st;
	struct timespec ts[2] = { { 1000000000, 123 }, { 1500000000, 456 } };

	umask(027);
	int fd = open("m", O_CREAT | O_RDWR, 0666);
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_mode & 07777, 0640);
	umask(022);
	CHECK_OK(fchmod(fd, 04711));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_mode & 07777, 04711);
	CHECK(S_ISREG(st.st_mode));
	CHECK_OK(chown("m", 5, 6));
	CHECK_OK(stat("m", &st));
	CHECK_EQ(st.st_uid, 5);
	CHECK_EQ(st.st_gid, 6);
	CHECK_OK(futimens(fd, ts));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_atim.tv_sec, 1000000000);
	CHECK_EQ(st.st_mtim.tv_nsec, 456);
	CHECK_EQ(write(fd, "x", 1), 1);
	CHECK_OK(fstat(fd, &st));
	CHECK_GT(st.st_mtim.tv_sec, 1500000000);
	close(fd);
	CHECK_OK(mkdir("private", 0700));
	close(make("private/f", "x"));
	CHECK_OK(chmod("m", 0600));
	CHECK_EXITS(0, {
		CHECK_OK(setgid(1000));
		CHECK_OK(setuid(1000));
		CHECK_ERRNO(open("m", O_RDONLY), EACCES);
		CHECK_ERRNO(open("private/f", O_RDONLY), EACCES);
		CHECK_ERRNO(access("m", R_OK), EACCES);
		CHECK_ERRNO(chmod("m", 0666), EPERM);
		CHECK_ERRNO(unlink("private/f"), EACCES);
		CHECK_ERRNO(kill(1, 0), EPERM);
		CHECK_ERRNO(setuid(0), EPERM);
	});
	unlink("private/f");
	rmdir("private");
	unlink("m");
}

TEST(descriptors)
{
	int fd = make("f", "x"), d;

	CHECK_EQ(dup2(fd, fd), fd);
	CHECK_ERRNO(dup3(fd, fd, 0), EINVAL);
	CHECK_EQ(dup2(fd, 100), 100);
	CHECK_EQ(fcntl(100, F_GETFD), 0);
	CHECK_EQ(dup3(fd, 101, O_CLOEXEC), 101);
	CHECK_EQ(fcntl(101, F_GETFD), FD_CLOEXEC);
	d = fcntl(fd, F_DUPFD, 200);
	CHECK_EQ(d, 200);
	CHECK_OK(fcntl(d, F_SETFL, O_APPEND | O_NONBLOCK));
	CHECK_EQ(fcntl(fd, F_GETFL) & (O_APPEND | O_NONBLOCK | O_ACCMODE), O_APPEND | O_NONBLOCK | O_RDWR);
	CHECK_ERRNO(dup2(999, 5), EBADF);
	CHECK_ERRNO(dup2(fd, -1), EBADF);
	CHECK_ERRNO(fcntl(fd, F_DUPFD, 1 << 30), EINVAL);
	close(100), close(101), close(200), close(fd);
	int many[300];
	for (int i = 0; i < 300; i++)
		CHECK_GE(many[i] = open("f", O_RDONLY), 0);
	for (int i = 0; i < 300; i++)
		close(many[i]);
	CHECK_OK(syscall(SYS_close_range, 500, ~0u, 0));
	unlink("f");
}

TEST(at_calls)
{
	struct stat st;
	int dir;

	CHECK_OK(mkdir("base", 0755));
	dir = open("base", O_RDONLY | O_DIRECTORY);
	int fd = openat(dir, "inner", O_CREAT | O_RDWR, 0644);
	CHECK_GE(fd, 0);
	CHECK_OK(fstatat(dir, "inner", &st, 0));
	CHECK_OK(fstatat(fd, "", &st, AT_EMPTY_PATH));
	CHECK_ERRNO(openat(fd, "x", O_RDONLY), ENOTDIR);
	CHECK_ERRNO(openat(999, "x", O_RDONLY), EBADF);
	CHECK_OK(mkdirat(dir, "sub", 0755));
	CHECK_OK(symlinkat("inner", dir, "s"));
	CHECK_OK(renameat(dir, "inner", dir, "outer"));
	CHECK_OK(fchdir(dir));
	CHECK_OK(access("outer", F_OK));
	CHECK_OK(chdir(".."));
	CHECK_OK(unlinkat(dir, "sub", AT_REMOVEDIR));
	CHECK_OK(unlinkat(dir, "s", 0));
	CHECK_OK(unlinkat(dir, "outer", 0));
	int path = open("base", O_PATH);
	CHECK_OK(fstat(path, &st));
	CHECK_ERRNO(syscall(SYS_fchmod, path, 0700), EBADF);
	close(path), close(fd), close(dir);
	CHECK_OK(rmdir("base"));
}

TEST(long_names)
{
	char name[300];

	memset(name, 'n', 255);
	name[255] = 0;
	int fd = open(name, O_CREAT | O_RDWR, 0600);
	CHECK_GE(fd, 0);
	close(fd);
	CHECK_OK(unlink(name));
	name[255] = 'n';
	name[256] = 0;
	CHECK_ERRNO(open(name, O_CREAT | O_RDWR, 0600), ENAMETOOLONG);
	char *huge = malloc(5000);
	memset(huge, '/', 4999);
	huge[4999] = 0;
	CHECK_ERRNO(open(huge, O_RDONLY), ENAMETOOLONG);
	free(huge);
	close(open("./././//./tmpname", O_CREAT, 0600));
	CHECK_OK(unlink("tmpname"));
	CHECK_ERRNO(unlink("tmpname/"), ENOENT);
}

TEST(devices)
{
	char buf[64];
	struct stat st;
	int fd = open("/dev/zero", O_RDWR);

	memset(buf, 1, sizeof buf);
	CHECK_EQ(read(fd, buf, 64), 64);
	CHECK_EQ(buf[63], 0);
	close(fd);
	fd = open("/dev/null", O_RDWR);
	CHECK_EQ(read(fd, buf, 64), 0);
	CHECK_EQ(write(fd, buf, 64), 64);
	CHECK_OK(fstat(fd, &st));
	CHECK(S_ISCHR(st.st_mode));
	CHECK_EQ(st.st_rdev, makedev(1, 3));
	CHECK_ERRNO(ioctl(fd, TIOCGWINSZ, buf), ENOTTY);
	close(fd);
	fd = open("/dev/full", O_RDWR);
	CHECK_ERRNO(write(fd, buf, 1), ENOSPC);
	close(fd);
	char other[64];
	fd = open("/dev/urandom", O_RDONLY);
	CHECK_EQ(read(fd, buf, 64), 64);
	CHECK_EQ(read(fd, other, 64), 64);
	CHECK(memcmp(buf, other, 64));
	close(fd);
	CHECK_EQ(syscall(SYS_getrandom, buf, 32, 0), 32);
	CHECK_OK(mknod("node", S_IFCHR | 0600, makedev(1, 3)));
	fd = open("node", O_WRONLY);
	CHECK(fd >= 0 || errno == EACCES);	/* EACCES where the mount says nodev */
	if (fd >= 0)
		close(fd);
	unlink("node");
}

TEST(locks)
{
	int a = make("l", "x"), b = open("l", O_RDWR);
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10 };

	CHECK_OK(flock(a, LOCK_EX));
	CHECK_ERRNO(flock(b, LOCK_EX | LOCK_NB), EAGAIN);
	CHECK_OK(flock(a, LOCK_UN));
	CHECK_OK(flock(b, LOCK_SH | LOCK_NB));
	CHECK_OK(fcntl(a, F_SETLK, &fl));
	CHECK_EXITS(0, {
		struct flock g = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 1 };
		CHECK_ERRNO(fcntl(b, F_SETLK, &g), EAGAIN);
		CHECK_OK(fcntl(b, F_GETLK, &g));
		CHECK_EQ(g.l_type, F_WRLCK);
		CHECK_EQ(g.l_pid, getppid());
		g = (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 1 };
		CHECK_OK(fcntl(b, F_SETLK, &g));
	});
	close(a), close(b);
	unlink("l");
}

TEST(sendfile_and_copy)
{
	char buf[16] = "";
	int in = make("in", "0123456789"), out = make("out", "");
	off_t off = 2;

	CHECK_EQ(sendfile(out, in, &off, 5), 5);
	CHECK_EQ(off, 7);
	CHECK_EQ(pread(out, buf, 16, 0), 5);
	CHECK_STR(buf, "23456");
	close(in), close(out);
	unlink("in"), unlink("out");
}

TEST(mounts)
{
	struct statfs sf;

	CHECK_OK(mkdir("mnt", 0755));
	CHECK_OK(mount("none", "mnt", "tmpfs", 0, "size=1m"));
	CHECK_OK(statfs("mnt", &sf));
	CHECK_EQ(sf.f_type, 0x01021994);
	CHECK_EQ(sf.f_blocks * sf.f_bsize, 1 << 20);
	int fd = make("mnt/f", "x");
	CHECK_ERRNO(umount("mnt"), EBUSY);
	static char block[65536];
	ssize_t n;
	while ((n = write(fd, block, sizeof block)) > 0)
		;
	CHECK_EQ(errno, ENOSPC);
	close(fd);
	CHECK_ERRNO(rename("mnt/f", "f"), EXDEV);
	CHECK_ERRNO(link("mnt/f", "f"), EXDEV);
	CHECK_OK(umount("mnt"));
	CHECK_ERRNO(access("mnt/f", F_OK), ENOENT);
	CHECK_OK(rmdir("mnt"));
	CHECK_ERRNO(mount("none", ".", "nosuchfs", 0, NULL), ENODEV);
}

TEST_MAIN
