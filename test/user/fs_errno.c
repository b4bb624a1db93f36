/*
 * What the file system calls refuse, and with which errno. Every line here was run on Linux 6.1 too (test/guest --linux).
 */
#include "fs.h"
#include <grp.h>
#include <linux/openat2.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>

/* A file with this text. */
static void close_put(const char *name, const char *text)
{
	close(put(name, text));
}

static void as_user(uid_t uid)
{
	if (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
		_exit(99);
}

static char long_name[300], long_path[5000];

static void setup_names(void)
{
	memset(long_name, 'n', 256);
	long_name[256] = 0;
	memset(long_path, 0, sizeof(long_path));
	while (strlen(long_path) < 4096)
		strcat(long_path, "./");
}

TEST(open_errors)
{
	fresh("open_errors");
	setup_names();
	mkdir("d", 0755);
	close_put("f", "hello");
	symlink("f", "l");
	symlink("nowhere", "dangling");
	symlink("self", "self");
	CHECK_ERRNO(open("none", O_RDONLY), ENOENT);
	CHECK_ERRNO(open("", O_RDONLY), ENOENT);
	CHECK_ERRNO(open("f/x", O_RDONLY), ENOTDIR);
	CHECK_ERRNO(open("f/", O_RDONLY), ENOTDIR);
	CHECK_ERRNO(open("f/.", O_RDONLY), ENOTDIR);
	CHECK_ERRNO(open("d", O_WRONLY), EISDIR);
	CHECK_ERRNO(open("d", O_RDWR), EISDIR);
	CHECK_ERRNO(open("d", O_CREAT | O_RDONLY, 0644), EISDIR);
	CHECK_ERRNO(open("d/", O_CREAT | O_RDONLY, 0644), EISDIR);
	CHECK_ERRNO(open("new/", O_CREAT | O_RDWR, 0644), EISDIR);
	CHECK_ERRNO(open(".", O_CREAT | O_RDWR, 0644), EISDIR);
	CHECK_ERRNO(open("f", O_CREAT | O_EXCL, 0644), EEXIST);
	CHECK_ERRNO(open("l", O_CREAT | O_EXCL, 0644), EEXIST);
	CHECK_ERRNO(open("dangling", O_CREAT | O_EXCL, 0644), EEXIST);
	CHECK_ERRNO(open("dangling", O_RDONLY), ENOENT);
	CHECK_ERRNO(open("l", O_RDONLY | O_NOFOLLOW), ELOOP);
	CHECK_ERRNO(open("l", O_RDONLY | O_NOFOLLOW | O_CREAT, 0644), ELOOP);
	CHECK_ERRNO(open("self", O_RDONLY), ELOOP);
	CHECK_ERRNO(open("self/x", O_RDONLY), ELOOP);
	CHECK_ERRNO(open("f", O_DIRECTORY), ENOTDIR);
	CHECK_ERRNO(open(long_name, O_RDONLY), ENAMETOOLONG);
	CHECK_ERRNO(open(long_name, O_CREAT | O_RDWR, 0644), ENAMETOOLONG);
	CHECK_ERRNO(open(long_path, O_RDONLY), ENAMETOOLONG);
	CHECK_ERRNO(open(BAD, O_RDONLY), EFAULT);
	CHECK_ERRNO(openat(-7, "f", O_RDONLY), EBADF);
	CHECK_ERRNO(openat(1000, "f", O_RDONLY), EBADF);
	int fd = open("f", O_RDONLY), dir = open("d", O_RDONLY);
	CHECK_ERRNO(openat(fd, "f", O_RDONLY), ENOTDIR);
	CHECK_ERRNO(openat(fd, "", O_RDONLY), ENOENT);
	CHECK_ERRNO(write(fd, "x", 1), EBADF);
	CHECK_ERRNO(read(dir, long_path, 10), EISDIR);
	CHECK_ERRNO(write(dir, long_path, 10), EBADF);
	close(fd);
	close(dir);
	/* creating through a dangling link makes the target */
	fd = open("dangling", O_CREAT | O_RDWR, 0600);
	CHECK(fd >= 0);
	close(fd);
	CHECK_OK(access("nowhere", F_OK));
	unlink("nowhere");
	fd = open("f", O_WRONLY);
	CHECK_ERRNO(read(fd, long_path, 1), EBADF);
	close(fd);
	CHECK_ERRNO(open("f", O_TMPFILE | O_RDWR, 0600), ENOTDIR);
	CHECK_ERRNO(open("d", O_TMPFILE | O_RDONLY, 0600), EINVAL);
	CHECK_ERRNO(open("f", O_RDWR | O_DIRECT), EINVAL);
	mkfifo("p", 0600);
	CHECK_ERRNO(open("p", O_WRONLY | O_NONBLOCK), ENXIO);
	mknod("s", S_IFSOCK | 0600, 0);
	CHECK_ERRNO(open("s", O_RDONLY), ENXIO);
	mknod("c", S_IFCHR | 0600, makedev(499, 77));
	CHECK_ERRNO(open("c", O_RDONLY), ENXIO);
}

TEST(symlink_depth)
{
	fresh("symlink_depth");
	char a[16], b[16];

	close_put("end", "x");
	symlink("end", "k0");
	for (int i = 1; i <= 41; i++) {
		sprintf(a, "k%d", i - 1);
		sprintf(b, "k%d", i);
		CHECK_OK(symlink(a, b));
	}
	CHECK_OK(access("k39", F_OK)); /* forty links */
	CHECK_ERRNO(access("k40", F_OK), ELOOP);
	mkdir("dd", 0755);
	close_put("dd/x", "x");
	symlink("dd", "n0");
	for (int i = 1; i <= 41; i++) {
		sprintf(a, "n%d/.", i - 1);
		sprintf(b, "n%d", i);
		CHECK_OK(symlink(a, b));
	}
	CHECK_OK(access("n39/x", F_OK));
	CHECK_ERRNO(access("n40/x", F_OK), ELOOP);
	/* slashes, absolute links, links to the root */
	symlink("/", "root");
	symlink("root", "root2");
	CHECK_OK(access("root/proc", F_OK));
	CHECK_OK(access("root2/proc/../proc/.", F_OK));
	CHECK_OK(access("root2", F_OK));
	CHECK_OK(access("root2/", F_OK));
	symlink("dd//", "slashes");
	CHECK_OK(access("slashes/x", F_OK));
	CHECK_OK(access("slashes", F_OK));
	struct stat st;
	CHECK_OK(lstat("slashes/", &st));
	CHECK(S_ISDIR(st.st_mode));
	CHECK_OK(lstat("slashes", &st));
	CHECK(S_ISLNK(st.st_mode));
	symlink("end", "lf");
	CHECK_ERRNO(lstat("lf/", &st), ENOTDIR);
	CHECK_ERRNO(symlink("", "empty"), ENOENT);
}

TEST(name_errors)
{
	fresh("name_errors");
	setup_names();
	mkdir("d", 0755);
	mkdir("d/sub", 0755);
	close_put("f", "x");
	symlink("f", "l");
	symlink("d", "ld");
	CHECK_ERRNO(mkdir("d", 0755), EEXIST);
	CHECK_ERRNO(mkdir("f", 0755), EEXIST);
	CHECK_ERRNO(mkdir("l", 0755), EEXIST);
	CHECK_ERRNO(mkdir("f/x", 0755), ENOTDIR);
	CHECK_ERRNO(mkdir("none/x", 0755), ENOENT);
	CHECK_ERRNO(mkdir("", 0755), ENOENT);
	CHECK_ERRNO(mkdir(".", 0755), EEXIST);
	CHECK_ERRNO(mkdir("d/..", 0755), EEXIST);
	CHECK_ERRNO(mkdir("/", 0755), EEXIST);
	CHECK_ERRNO(mkdir(long_name, 0755), ENAMETOOLONG);
	CHECK_OK(mkdir("slash/", 0755));
	CHECK_OK(rmdir("slash/"));
	CHECK_ERRNO(rmdir("d"), ENOTEMPTY);
	CHECK_ERRNO(rmdir("f"), ENOTDIR);
	CHECK_ERRNO(rmdir("f/"), ENOTDIR);
	CHECK_ERRNO(rmdir("ld"), ENOTDIR);
	CHECK_ERRNO(rmdir("none"), ENOENT);
	CHECK_ERRNO(rmdir("."), EINVAL);
	CHECK_ERRNO(rmdir("d/."), EINVAL);
	CHECK_ERRNO(rmdir("d/sub/.."), ENOTEMPTY);
	CHECK_ERRNO(rmdir("/"), EBUSY);
	CHECK_ERRNO(unlink("d"), EISDIR);
	CHECK_ERRNO(unlink("d/"), EISDIR);
	CHECK_ERRNO(unlink("f/"), ENOTDIR);
	CHECK_ERRNO(unlink("none"), ENOENT);
	CHECK_ERRNO(unlink("none/"), ENOENT);
	CHECK_ERRNO(unlink("."), EISDIR);
	CHECK_ERRNO(unlink("/"), EISDIR);
	CHECK_ERRNO(unlink(""), ENOENT);
	CHECK_ERRNO(unlink("f/x"), ENOTDIR);
	CHECK_ERRNO(unlinkat(AT_FDCWD, "f", 0x1000), EINVAL);
	CHECK_ERRNO(unlinkat(AT_FDCWD, "f", AT_REMOVEDIR), ENOTDIR);
	CHECK_ERRNO(symlink("x", "f"), EEXIST);
	CHECK_ERRNO(symlink("x", "new/"), ENOENT);
	CHECK_ERRNO(link("f", "d"), EEXIST);
	CHECK_ERRNO(link("d", "d2"), EPERM);
	CHECK_ERRNO(link("none", "g"), ENOENT);
	CHECK_ERRNO(link("f", "none/g"), ENOENT);
	CHECK_ERRNO(link("f/", "g"), ENOTDIR);
	CHECK_ERRNO(link("f", "/proc/g"), ENOENT);
	CHECK_ERRNO(linkat(AT_FDCWD, "f", AT_FDCWD, "g", 0x100), EINVAL);
	CHECK_OK(link("l", "l2"));
	char buf[16];
	CHECK_EQ(readlink("l2", buf, sizeof(buf)), 1);
	CHECK_OK(linkat(AT_FDCWD, "l", AT_FDCWD, "l3", AT_SYMLINK_FOLLOW));
	CHECK_ERRNO(readlink("l3", buf, sizeof(buf)), EINVAL);
	CHECK_ERRNO(readlink("f", buf, sizeof(buf)), EINVAL);
	CHECK_ERRNO(readlink("none", buf, sizeof(buf)), ENOENT);
	CHECK_ERRNO(syscall(SYS_readlink, "l", buf, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_readlink, "l", buf, -1), EINVAL);
	CHECK_ERRNO(readlink("l", BAD, 5), EFAULT);
	CHECK_ERRNO(mknod("f", S_IFREG | 0600, 0), EEXIST);
	CHECK_ERRNO(mknod("newdir", S_IFDIR | 0600, 0), EPERM);
	CHECK_ERRNO(mknod("newlnk", S_IFLNK | 0600, 0), EINVAL);
	CHECK_OK(mknod("plain", 0600, 0));
	struct stat st;
	CHECK_OK(stat("plain", &st));
	CHECK(S_ISREG(st.st_mode));
	CHECK_EQ(st.st_size, 0);
}

TEST(rename_errors)
{
	fresh("rename_errors");
	mkdir("d", 0755);
	mkdir("d/sub", 0755);
	mkdir("e", 0755);
	mkdir("full", 0755);
	close_put("full/x", "x");
	close_put("f", "f");
	close_put("g", "g");
	link("f", "f2");
	CHECK_ERRNO(rename("none", "x"), ENOENT);
	CHECK_ERRNO(rename("f", ""), ENOENT);
	CHECK_ERRNO(rename("f", "none/x"), ENOENT);
	CHECK_ERRNO(rename("d", "d/sub/x"), EINVAL);
	CHECK_ERRNO(rename("d", "d/x"), EINVAL);
	CHECK_ERRNO(rename("d/sub", "d"), ENOTEMPTY);
	CHECK_ERRNO(rename("d", "full"), ENOTEMPTY);
	CHECK_ERRNO(rename("d", "f"), ENOTDIR);
	CHECK_ERRNO(rename("f", "d"), EISDIR);
	CHECK_ERRNO(rename("f", "g/"), ENOTDIR);
	CHECK_ERRNO(rename("f/", "h"), ENOTDIR);
	CHECK_ERRNO(rename("f", "h/"), ENOTDIR);
	CHECK_ERRNO(rename(".", "x"), EBUSY);
	CHECK_ERRNO(rename("d/..", "x"), EBUSY);
	CHECK_ERRNO(rename("d", "."), EBUSY);
	CHECK_ERRNO(rename("/", "x"), EXDEV);
	CHECK_ERRNO(rename("f", "/proc/f"), EXDEV);
	CHECK_OK(rename("f", "f2")); /* links of one file: both stay */
	CHECK_OK(access("f", F_OK));
	CHECK_OK(access("f2", F_OK));
	CHECK_OK(rename("d/", "dd/"));
	CHECK_OK(rename("dd", "e"));
	CHECK_OK(access("e/sub", F_OK));
	CHECK_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "f", AT_FDCWD, "g", 1), EEXIST);
	CHECK_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "f", AT_FDCWD, "none", 2), ENOENT);
	CHECK_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "f", AT_FDCWD, "g", 3), EINVAL);
	CHECK_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "f", AT_FDCWD, "g", 8), EINVAL);
	CHECK_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "e", AT_FDCWD, "e/sub", 2), EINVAL);
	CHECK_OK(syscall(SYS_renameat2, AT_FDCWD, "f", AT_FDCWD, "e", 2)); /* file against directory */
	struct stat st;
	CHECK_OK(stat("f", &st));
	CHECK(S_ISDIR(st.st_mode));
	CHECK_OK(access("f/sub", F_OK));
	CHECK_OK(stat("e", &st));
	CHECK(S_ISREG(st.st_mode));
	CHECK_OK(syscall(SYS_renameat2, AT_FDCWD, "g", AT_FDCWD, "fresh", 1));
	CHECK_ERRNO(access("g", F_OK), ENOENT);
}

TEST(permission)
{
	fresh("permission");
	close_put("secret", "x");
	chmod("secret", 0600);
	mkdir("closed", 0700);
	close_put("closed/x", "x");
	mkdir("sticky", 01777);
	chmod("sticky", 01777);
	close_put("sticky/root", "x");
	chmod("sticky/root", 0666);
	mkdir("ro", 0755);
	close_put("ro/x", "x");
	chmod("ro/x", 0666);
	mkdir("open", 0777);
	chmod("open", 0777);
	close_put("prog", "#!/bin/sh\n");
	chmod("prog", 0644);
	CHECK_ERRNO(access("prog", X_OK), EACCES); /* nobody may execute: not even root */
	CHECK_OK(access("secret", R_OK | W_OK));
	CHECK_OK(access("closed", X_OK));
	CHECK_EXITS(0, {
		as_user(1000);
		CHECK_ERRNO(open("secret", O_RDONLY), EACCES);
		CHECK_ERRNO(open("secret", O_RDWR | O_TRUNC), EACCES);
		CHECK_ERRNO(open("closed/x", O_RDONLY), EACCES);
		CHECK_ERRNO(open("closed/none", O_RDONLY), EACCES);
		CHECK_ERRNO(open("closed", O_RDONLY), EACCES);
		CHECK_ERRNO(chdir("closed"), EACCES);
		CHECK_ERRNO(unlink("sticky/root"), EPERM);
		CHECK_ERRNO(rename("sticky/root", "sticky/mine"), EPERM);
		CHECK_ERRNO(rename("sticky/root", "open/mine"), EPERM);
		CHECK_ERRNO(unlink("ro/x"), EACCES);
		CHECK_ERRNO(rmdir("ro"), EACCES);
		CHECK_ERRNO(mkdir("ro/d", 0755), EACCES);
		CHECK_ERRNO(open("ro/new", O_CREAT | O_RDWR, 0644), EACCES);
		CHECK_ERRNO(open("ro/x", O_CREAT | O_EXCL, 0644), EEXIST);
		CHECK_ERRNO(mkdir("ro/x", 0755), EEXIST);
		CHECK_ERRNO(symlink("a", "ro/l"), EACCES);
		CHECK_ERRNO(chmod("ro/x", 0600), EPERM);
		CHECK_ERRNO(chown("ro/x", 1000, 1000), EPERM);
		CHECK_ERRNO(truncate("secret", 0), EACCES);
		CHECK_ERRNO(mknod("open/c", S_IFCHR | 0600, makedev(1, 3)), EPERM);
		CHECK_OK(mknod("open/p", S_IFIFO | 0600, 0));
		CHECK_ERRNO(open("ro/x", O_RDONLY | O_NOATIME), EPERM);
		CHECK_ERRNO(chroot("open"), EPERM);
		CHECK_ERRNO(mount("none", "open", "tmpfs", 0, NULL), EPERM);
		CHECK_ERRNO(umount2("open", 0), EPERM);
		/* times: explicit ones belong to the owner, "now" to whoever may write */
		struct timespec ts[2] = { { 1, 2 }, { 3, 4 } };
		CHECK_ERRNO(utimensat(AT_FDCWD, "ro/x", ts, 0), EPERM);
		CHECK_OK(utimensat(AT_FDCWD, "ro/x", NULL, 0));
		CHECK_ERRNO(utimensat(AT_FDCWD, "ro", NULL, 0), EACCES);
		ts[0].tv_nsec = ts[1].tv_nsec = UTIME_NOW;
		CHECK_OK(utimensat(AT_FDCWD, "ro/x", ts, 0));
		ts[0].tv_nsec = UTIME_OMIT;
		CHECK_ERRNO(utimensat(AT_FDCWD, "ro/x", ts, 0), EPERM);
		/* own things */
		close_put("open/mine", "x");
		CHECK_OK(chmod("open/mine", 0400));
		CHECK_ERRNO(open("open/mine", O_WRONLY), EACCES);
		CHECK_ERRNO(access("open/mine", W_OK), EACCES);
		CHECK_OK(access("open/mine", R_OK));
		CHECK_ERRNO(chown("open/mine", 1001, -1), EPERM);
		CHECK_OK(chown("open/mine", 1000, 1000));
		CHECK_OK(chown("open/mine", -1, -1));
		CHECK_ERRNO(setxattr("open/mine", "trusted.x", "1", 1, 0), EPERM);
	});
	/* access(2) asks for the real user, faccessat(AT_EACCESS) for the effective one */
	CHECK_EXITS(0, {
		CHECK_OK(setresuid(1000, 0, 0));
		CHECK_ERRNO(access("secret", R_OK), EACCES);
		CHECK_OK(syscall(SYS_faccessat2, AT_FDCWD, "secret", R_OK, AT_EACCESS));
		CHECK_OK(access("ro/x", R_OK));
	});
	CHECK_ERRNO(access("secret", 8), EINVAL);
	CHECK_ERRNO(syscall(SYS_faccessat2, AT_FDCWD, "secret", 0, 0x8000), EINVAL);
}

TEST(set_id_bits)
{
	fresh("set_id_bits");
	struct stat st;

	mkdir("g", 0777);
	chown("g", 0, 1234);
	chmod("g", 02777);
	close_put("g/f", "x");
	stat("g/f", &st);
	CHECK_EQ(st.st_gid, 1234);
	mkdir("g/d", 0755);
	stat("g/d", &st);
	CHECK_EQ(st.st_gid, 1234);
	CHECK_EQ(st.st_mode & 07777, 02755);
	close_put("s", "x");
	chmod("s", 06755);
	chown("s", 1000, 1000);
	stat("s", &st);
	CHECK_EQ(st.st_mode & 07777, 0755);
	chmod("s", 06777);
	CHECK_EXITS(0, {
		as_user(2000);
		int fd = open("s", O_WRONLY);
		CHECK_EQ(write(fd, "y", 1), 1);
	});
	stat("s", &st);
	CHECK_EQ(st.st_mode & 07777, 0777); /* written by another: bits gone */
	chmod("s", 06777);
	CHECK_EXITS(0, {
		as_user(2000);
		CHECK_OK(truncate("s", 0));
	});
	stat("s", &st);
	CHECK_EQ(st.st_mode & 07777, 0777);
	CHECK_EXITS(0, {
		as_user(2000);
		int fd = open("g/own", O_CREAT | O_RDWR, 02775);
		struct stat s;
		fstat(fd, &s);
		CHECK_EQ(s.st_mode & 07777, 0755); /* not in the group: no setgid program */
		CHECK_EQ(s.st_gid, 1234);
		/* chmod by an owner outside the group drops it too */
		CHECK_OK(fchmod(fd, 02755));
		fstat(fd, &s);
		CHECK_EQ(s.st_mode & 07777, 0755);
	});
}

TEST(limits)
{
	fresh("limits");
	struct rlimit old, r;

	CHECK_EXITS(0, {
		struct rlimit l = { 1000, 1000 };
		setrlimit(RLIMIT_FSIZE, &l);
		signal(SIGXFSZ, SIG_IGN);
		int fd = open("big", O_CREAT | O_RDWR, 0644);
		char buf[2000] = { 0 };
		CHECK_EQ(write(fd, buf, 2000), 1000);
		CHECK_ERRNO(write(fd, buf, 1), EFBIG);
		CHECK_ERRNO(pwrite(fd, buf, 1, 1000), EFBIG);
		CHECK_EQ(pwrite(fd, buf, 10, 995), 5);
		CHECK_ERRNO(ftruncate(fd, 1001), EFBIG);
		CHECK_OK(ftruncate(fd, 1000));
		CHECK_ERRNO(posix_fallocate(fd, 0, 2000) ? (errno = EFBIG, -1) : 0, EFBIG);
	});
	CHECK_KILLED(SIGXFSZ, {
		struct rlimit l = { 10, 10 };
		setrlimit(RLIMIT_FSIZE, &l);
		int fd = open("big2", O_CREAT | O_RDWR, 0644);
		write(fd, "0123456789", 10);
		write(fd, "0", 1);
	});
	getrlimit(RLIMIT_NOFILE, &old);
	r = old;
	r.rlim_cur = 20;
	setrlimit(RLIMIT_NOFILE, &r);
	int n = 0, fds[32], fd;
	while ((fd = open("/dev/null", O_RDONLY)) >= 0)
		fds[n++] = fd;
	CHECK_EQ(errno, EMFILE);
	CHECK_EQ(fds[n - 1], 19);
	CHECK_ERRNO(dup(0), EMFILE);
	CHECK_ERRNO(dup2(0, 20), EBADF);
	CHECK_ERRNO(fcntl(0, F_DUPFD, 20), EINVAL);
	CHECK_ERRNO(open("does-not-exist", O_RDONLY), EMFILE);
	CHECK_ERRNO(open(BAD, O_RDONLY), EFAULT);
	while (n)
		close(fds[--n]);
	setrlimit(RLIMIT_NOFILE, &old);
}

TEST(text_busy)
{
	fresh("text_busy");
	/* a copy of ourselves that sleeps */
	int in = open("/proc/self/exe", O_RDONLY), out = open("sleeper", O_CREAT | O_WRONLY, 0755), p[2];
	struct stat st;

	fstat(in, &st);
	CHECK_EQ(sendfile(out, in, NULL, st.st_size), st.st_size);
	close(in);
	CHECK_EXITS(0, {
		execl("./sleeper", "sleeper", "no-such-test", NULL);
		CHECK_EQ(errno, ETXTBSY); /* still open for writing */
	});
	close(out);
	CHECK_OK(pipe(p));
	pid_t pid = fork();
	if (!pid) {
		dup2(p[0], 0);
		close(p[1]);
		execl("./sleeper", "sleeper", "wait-for-input", NULL);
		_exit(9);
	}
	close(p[0]);
	for (int i = 0; i < 100; i++) {
		out = open("sleeper", O_WRONLY);
		if (out < 0)
			break;
		close(out);
		usleep(20000);
	}
	CHECK_ERRNO(open("sleeper", O_WRONLY), ETXTBSY);
	CHECK_ERRNO(open("sleeper", O_RDWR | O_TRUNC), ETXTBSY);
	CHECK_ERRNO(truncate("sleeper", 0), ETXTBSY);
	CHECK_OK(rename("sleeper", "moved"));
	CHECK_OK(unlink("moved"));
	close(p[1]);
	int status;
	waitpid(pid, &status, 0);
	CHECK(WIFEXITED(status));
}

static long openat2(int dir, const char *name, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct open_how how = { flags, mode, resolve };
	long fd = syscall(SYS_openat2, dir, name, &how, sizeof(how));

	if (fd >= 0)
		close(fd);
	return fd >= 0 ? 0 : fd;
}

TEST(openat2_resolve)
{
	fresh("openat2_resolve");
	mkdir("r", 0755);
	mkdir("r/in", 0755);
	close_put("r/in/f", "x");
	close_put("outside", "x");
	symlink("../outside", "r/up");
	symlink("/outside", "r/abs");
	symlink("in/f", "r/ok");
	symlink("/in/f", "r/absok");
	symlink("in", "r/lin");
	int d = open("r", O_PATH | O_DIRECTORY);

	CHECK_OK(openat2(d, "in/f", O_RDONLY, 0, RESOLVE_BENEATH));
	CHECK_OK(openat2(d, "in/../in/f", O_RDONLY, 0, RESOLVE_BENEATH));
	CHECK_OK(openat2(d, "ok", O_RDONLY, 0, RESOLVE_BENEATH));
	CHECK_ERRNO(openat2(d, "..", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
	CHECK_ERRNO(openat2(d, "in/../../outside", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
	CHECK_ERRNO(openat2(d, "up", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
	CHECK_ERRNO(openat2(d, "abs", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
	CHECK_ERRNO(openat2(d, "/in/f", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
	CHECK_OK(openat2(d, "/in/f", O_RDONLY, 0, RESOLVE_IN_ROOT));
	CHECK_OK(openat2(d, "../../in/f", O_RDONLY, 0, RESOLVE_IN_ROOT));
	CHECK_OK(openat2(d, "absok", O_RDONLY, 0, RESOLVE_IN_ROOT));
	CHECK_ERRNO(openat2(d, "up", O_RDONLY, 0, RESOLVE_IN_ROOT), ENOENT);
	CHECK_ERRNO(openat2(d, "ok", O_RDONLY, 0, RESOLVE_NO_SYMLINKS), ELOOP);
	CHECK_ERRNO(openat2(d, "lin/f", O_RDONLY, 0, RESOLVE_NO_SYMLINKS), ELOOP);
	CHECK_OK(openat2(d, "lin", O_PATH | O_NOFOLLOW, 0, RESOLVE_NO_SYMLINKS));
	CHECK_ERRNO(openat2(AT_FDCWD, "/proc/self/exe", O_RDONLY, 0, RESOLVE_NO_MAGICLINKS), ELOOP);
	CHECK_OK(openat2(AT_FDCWD, "/proc/self/status", O_RDONLY, 0, RESOLVE_NO_MAGICLINKS));
	CHECK_ERRNO(openat2(AT_FDCWD, "/proc/version", O_RDONLY, 0, RESOLVE_NO_XDEV), EXDEV);
	CHECK_OK(openat2(d, "in/f", O_RDONLY, 0, RESOLVE_NO_XDEV));
	CHECK_ERRNO(openat2(d, "in/f", O_RDONLY, 0600, 0), EINVAL);
	CHECK_ERRNO(openat2(d, "in/f", 1ull << 40, 0, 0), EINVAL);
	CHECK_ERRNO(openat2(d, "in/f", 0, 0, 64), EINVAL);
	CHECK_ERRNO(openat2(d, "in/f", 0, 0, RESOLVE_BENEATH | RESOLVE_IN_ROOT), EINVAL);
	CHECK_ERRNO(openat2(d, "n", O_CREAT | O_RDWR, 010000, 0), EINVAL);
	CHECK_OK(openat2(d, "n", O_CREAT | O_RDWR, 0600, RESOLVE_BENEATH));
	CHECK_ERRNO(openat2(d, "in/f", O_PATH | O_RDWR, 0, 0), EINVAL);
	struct { struct open_how h; uint64_t more; } big = { { O_RDONLY, 0, 0 }, 0 };
	long fd = syscall(SYS_openat2, d, "in/f", &big, sizeof(big));
	CHECK(fd >= 0);
	close(fd);
	big.more = 1;
	CHECK_ERRNO(syscall(SYS_openat2, d, "in/f", &big, sizeof(big)), E2BIG);
	CHECK_ERRNO(syscall(SYS_openat2, d, "in/f", &big, 8), EINVAL);
	close(d);
}

TEST(path_only)
{
	fresh("path_only");
	close_put("f", "x");
	mkdir("d", 0755);
	close_put("d/g", "x");
	symlink("f", "l");
	int fd = open("f", O_PATH), dir = open("d", O_PATH), l = open("l", O_PATH | O_NOFOLLOW), g;
	char buf[8];
	struct stat st;

	CHECK(fd >= 0 && dir >= 0 && l >= 0);
	CHECK_ERRNO(read(fd, buf, 1), EBADF);
	CHECK_ERRNO(write(fd, buf, 1), EBADF);
	CHECK_ERRNO(lseek(fd, 0, SEEK_SET), EBADF);
	CHECK_ERRNO(syscall(SYS_fchmod, fd, 0600), EBADF);
	CHECK_ERRNO(syscall(SYS_fchown, fd, 0, 0), EBADF);
	CHECK_ERRNO(ioctl(fd, FIONREAD, buf), EBADF);
	CHECK_ERRNO(ftruncate(fd, 0), EBADF);
	CHECK_ERRNO(flock(fd, LOCK_SH), EBADF);
	CHECK_ERRNO((long)mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0), EBADF);
	CHECK_ERRNO(fgetxattr(fd, "user.x", buf, 1), EBADF);
	CHECK_ERRNO(fcntl(fd, F_SETFL, 0), EBADF);
	CHECK_EQ(fcntl(fd, F_GETFL), O_PATH);
	CHECK_OK(fstat(fd, &st));
	CHECK_OK(fcntl(fd, F_SETFD, FD_CLOEXEC));
	g = openat(dir, "g", O_RDONLY);
	CHECK(g >= 0);
	close(g);
	CHECK_OK(fchdir(dir));
	CHECK_OK(chdir(".."));
	CHECK_OK(fstat(l, &st));
	CHECK(S_ISLNK(st.st_mode));
	CHECK_EQ(readlinkat(l, "", buf, sizeof(buf)), 1);
	CHECK_ERRNO(readlinkat(fd, "", buf, sizeof(buf)), ENOENT);
	CHECK_OK(fstatat(fd, "", &st, AT_EMPTY_PATH));
	CHECK_ERRNO(fstatat(fd, "", &st, 0), ENOENT);
	CHECK_OK(dup2(fd, 50) - 50);
	close(50);
	close(fd);
	close(dir);
	close(l);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "wait-for-input")) {
		char c;
		return read(0, &c, 1);
	}
	return fs_main(argc, argv);
}
