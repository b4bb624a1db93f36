// TIMEOUT: 60
/*
 * conf_file.c - names and permission as the manual pages have them: each call's success, each errno
 * that can be made, and what an unprivileged process may not.
 */
#include "conf_names.h"

TEST(names_are_refused)
{
	struct stat st;
	struct statfs sf;
	struct timeval tv[2] = { { 0, 0 }, { 0, 0 } };
	char b[10];

	NAME_ERRORS(open(N, O_RDONLY));
	NAME_ERRORS(open(N, O_RDWR | O_CREAT, 0644));
	NAME_ERRORS(syscall(SYS_creat, N, 0644));
	NAME_ERRORS(syscall(SYS_stat, N, &st));
	NAME_ERRORS(syscall(SYS_lstat, N, &st));
	NAME_ERRORS(syscall(SYS_access, N, F_OK));
	NAME_ERRORS(syscall(SYS_chdir, N));
	NAME_ERRORS(syscall(SYS_chmod, N, 0644));
	NAME_ERRORS(syscall(SYS_chown, N, 0, 0));
	NAME_ERRORS(syscall(SYS_lchown, N, 0, 0));
	NAME_ERRORS(syscall(SYS_truncate, N, 0L));
	NAME_ERRORS(syscall(SYS_readlink, N, b, 10));
	NAME_ERRORS(syscall(SYS_rmdir, N));
	NAME_ERRORS(syscall(SYS_unlink, N));
	NAME_ERRORS(syscall(SYS_link, N, "new"));
	NAME_ERRORS(syscall(SYS_symlink, "x", N));
	NAME_ERRORS(syscall(SYS_rename, N, "new"));
	NAME_ERRORS(syscall(SYS_statfs, N, &sf));
	NAME_ERRORS(syscall(SYS_utimes, N, tv));
	NAME_ERRORS(syscall(SYS_utime, N, NULL));
	NAME_ERRORS(syscall(SYS_getxattr, N, "user.x", b, 1L));
	NAME_ERRORS(syscall(SYS_execve, N, NULL, NULL));
	{
		const char *N;
		N = BAD; CHECK_ERRNO(mkdir(N, 0755), EFAULT);
		N = ""; CHECK_ERRNO(mkdir(N, 0755), ENOENT);
		N = "nothere/x"; CHECK_ERRNO(mkdir(N, 0755), ENOENT);
		N = "file/x"; CHECK_ERRNO(mkdir(N, 0755), ENOTDIR);
		N = long_name; CHECK_ERRNO(mkdir(N, 0755), ENAMETOOLONG);
		N = "file"; CHECK_ERRNO(mkdir(N, 0755), EEXIST);
		N = "dangling"; CHECK_ERRNO(mkdir(N, 0755), EEXIST);
		N = "."; CHECK_ERRNO(mkdir(N, 0755), EEXIST);
		N = "/"; CHECK_ERRNO(mkdir(N, 0755), EEXIST);
		N = "loop1/x"; CHECK_ERRNO(mkdir(N, 0755), ELOOP);
	}
}

TEST(open_close)
{
	int fd, d;

	CHECK_ERRNO(open("dir", O_WRONLY), EISDIR);
	CHECK_ERRNO(open("dir", O_RDONLY | O_CREAT, 0644), EISDIR);
	CHECK_ERRNO(open("file", O_RDONLY | O_DIRECTORY), ENOTDIR);
	CHECK_ERRNO(open("file", O_RDWR | O_CREAT | O_EXCL, 0644), EEXIST);
	CHECK_ERRNO(open("dangling", O_RDWR | O_CREAT | O_EXCL, 0644), EEXIST);
	CHECK_ERRNO(open("sl", O_RDONLY | O_NOFOLLOW), ELOOP);
	CHECK_ERRNO(open("loop1", O_RDONLY), ELOOP);
	CHECK_ERRNO(open("file/", O_RDONLY), ENOTDIR);
	CHECK_ERRNO(open("newfile/", O_RDWR | O_CREAT, 0644), EISDIR);
	CHECK_ERRNO(open("file", O_RDWR | O_TMPFILE, 0644), ENOTDIR);
	CHECK_ERRNO(open("dir", O_RDONLY | O_TMPFILE, 0644), EINVAL);
	CHECK_OK(fd = open("dir", O_RDWR | O_TMPFILE, 0644));
	CHECK_ERRNO(openat(fd, "x", O_RDONLY), ENOTDIR);
	char pr[40];
	sprintf(pr, "/proc/self/fd/%d", fd);
	CHECK_OK(linkat(AT_FDCWD, pr, AT_FDCWD, "linked", AT_SYMLINK_FOLLOW));
	CHECK_OK(unlink("linked"));
	close(fd);
	CHECK_OK(fd = open("dir", O_RDWR | O_TMPFILE | O_EXCL, 0644));
	sprintf(pr, "/proc/self/fd/%d", fd);
	CHECK_ERRNO(linkat(AT_FDCWD, pr, AT_FDCWD, "linked", AT_SYMLINK_FOLLOW), ENOENT);
	close(fd);
	CHECK_ERRNO(openat(-1, "file", O_RDONLY), EBADF);
	CHECK_OK(d = open("dir", O_RDONLY | O_DIRECTORY));
	CHECK_OK(fd = openat(d, "../file", O_RDONLY));
	CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	close(fd);
	CHECK_OK(fd = openat(-1, "/dev/null", O_RDONLY));
	close(fd);
	CHECK_OK(fd = open("dangling", O_RDWR | O_CREAT, 0640));
	struct stat st;
	CHECK_OK(stat("nothere", &st));
	CHECK_EQ(st.st_mode, S_IFREG | 0640);
	close(fd);
	unlink("nothere");
	touch("txt", 0755);
	CHECK_EXITS(0, become_nobody();
		    CHECK_ERRNO(open("secret", O_RDONLY), EACCES);
		    CHECK_ERRNO(open("file", O_WRONLY), EACCES);
		    CHECK_ERRNO(open("dir/new", O_WRONLY | O_CREAT, 0644), EACCES);
		    CHECK_ERRNO(open("file", O_RDONLY | O_NOATIME), EPERM);
		    CHECK_ERRNO(open("file", O_RDONLY | O_TRUNC), EACCES));
	mkfifo("fifo", 0644);
	CHECK_ERRNO(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
	CHECK_OK(fd = open("fifo", O_RDONLY | O_NONBLOCK));
	close(fd);
	CHECK_OK(fd = open("fifo", O_RDWR));
	close(fd);
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un un = { AF_UNIX, "sock" };
	CHECK_OK(bind(s, (void *)&un, sizeof(un)));
	CHECK_ERRNO(open("sock", O_RDWR), ENXIO);
	close(s);
	CHECK_OK(mknod("nodev", S_IFCHR | 0600, makedev(200, 200)));
	CHECK_ERRNO(open("nodev", O_RDWR), ENXIO);
	CHECK_OK(mknod("noblk", S_IFBLK | 0600, makedev(200, 200)));
	CHECK_ERRNO(open("noblk", O_RDWR), ENXIO);
	/* openat2 */
	struct open_how how = { .flags = O_RDONLY };
	CHECK_OK(fd = syscall(SYS_openat2, AT_FDCWD, "file", &how, sizeof(how)));
	close(fd);
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "file", &how, 8L), EINVAL);
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "file", BAD, sizeof(how)), EFAULT);
	how.flags = 1ULL << 40;
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "file", &how, sizeof(how)), EINVAL);
	how.flags = O_RDONLY;
	how.mode = 0644;
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "file", &how, sizeof(how)), EINVAL);
	how.mode = 0;
	how.resolve = 0x1000;
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "file", &how, sizeof(how)), EINVAL);
	struct { struct open_how h; long more; } bigger = { { .flags = O_RDONLY }, 0 };
	CHECK_OK(fd = syscall(SYS_openat2, AT_FDCWD, "file", &bigger, sizeof(bigger)));
	close(fd);
	bigger.more = 1;
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "file", &bigger, sizeof(bigger)), E2BIG);
	how.resolve = RESOLVE_NO_SYMLINKS;
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "sl", &how, sizeof(how)), ELOOP);
	how.resolve = RESOLVE_BENEATH;
	CHECK_ERRNO(syscall(SYS_openat2, d, "../file", &how, sizeof(how)), EXDEV);
	CHECK_ERRNO(syscall(SYS_openat2, d, "/", &how, sizeof(how)), EXDEV);
	how.resolve = RESOLVE_NO_XDEV;
	CHECK_ERRNO(syscall(SYS_openat2, d, "/proc/self", &how, sizeof(how)), EXDEV);
	close(d);
}

TEST(modes_and_owners)
{
	struct stat st;
	int fd, d = open(".", O_RDONLY);

	CHECK_OK(chmod("file", 07777));
	stat("file", &st);
	CHECK_EQ(st.st_mode, S_IFREG | 07777);
	CHECK_OK(chmod("file", 07770000 | 0644));
	stat("file", &st);
	CHECK_EQ(st.st_mode, S_IFREG | 0644);
	CHECK_ERRNO(fchmod(-1, 0644), EBADF);
	CHECK_ERRNO(fchmodat(-1, "file", 0644, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_fchmodat, open("file", O_RDONLY), "x", 0644), ENOTDIR);
	CHECK_ERRNO(fchown(-1, 0, 0), EBADF);
	CHECK_ERRNO(fchownat(d, "file", 0, 0, 0x8000), EINVAL);
	CHECK_OK(fchownat(d, "sl", 7, 8, AT_SYMLINK_NOFOLLOW));
	lstat("sl", &st);
	CHECK_EQ(st.st_uid, 7);
	CHECK_EQ(st.st_gid, 8);
	stat("sl", &st);
	CHECK_EQ(st.st_uid, 0);
	fd = open("file", O_RDONLY);
	CHECK_OK(fchownat(fd, "", 3, 4, AT_EMPTY_PATH));
	fstat(fd, &st);
	CHECK_EQ(st.st_uid, 3);
	CHECK_OK(chown("file", -1, -1));
	stat("file", &st);
	CHECK_EQ(st.st_uid, 3);
	CHECK_EQ(st.st_gid, 4);
	/* set-id bits go with the owner */
	chmod("file", 06755);
	CHECK_OK(chown("file", 5, -1));
	stat("file", &st);
	CHECK_EQ(st.st_mode & 07777, 0755);
	chmod("file", 02644);	/* a mandatory-lock mark stays */
	CHECK_OK(chown("file", 0, 0));
	stat("file", &st);
	CHECK_EQ(st.st_mode & 07777, 02644);
	chmod("file", 0644);
	chmod("dir", 06755);
	CHECK_OK(chown("dir", 1, 1));
	stat("dir", &st);
	CHECK_EQ(st.st_mode & 07777, 06755);
	chown("dir", 0, 0);
	chmod("dir", 0755);
	touch("mine", 0644);
	chown("mine", 65534, 65534);
	CHECK_EXITS(0,
		gid_t g[] = { 100 };
		setgroups(1, g);
		setgid(65534); setuid(65534);
		struct stat s;
		CHECK_ERRNO(chmod("file", 0600), EPERM);
		CHECK_ERRNO(chown("file", 65534, -1), EPERM);
		CHECK_ERRNO(chown("mine", 0, -1), EPERM);
		CHECK_ERRNO(chown("mine", -1, 0), EPERM);
		CHECK_OK(chown("mine", -1, 100));
		CHECK_OK(chown("mine", 65534, 65534));
		CHECK_OK(chmod("mine", 06755));
		CHECK_OK(chown("mine", -1, 100));
		stat("mine", &s);
		CHECK_EQ(s.st_mode & 07777, 0755);
		int f = open("mine", O_WRONLY);
		CHECK_OK(fchmod(f, 04777));
		CHECK_EQ(write(f, "x", 1), 1);
		stat("mine", &s);
		CHECK_EQ(s.st_mode & 07777, 0777));
	/* a set-group-id directory gives its group on */
	mkdir("sg", 0755);
	chown("sg", 65534, 100);
	chmod("sg", 02777);
	CHECK_EXITS(0, become_nobody(); struct stat s;
		touch("sg/f", 0644);
		stat("sg/f", &s);
		CHECK_EQ(s.st_gid, 100);
		mkdir("sg/d", 0755);
		stat("sg/d", &s);
		CHECK_EQ(s.st_gid, 100);
		CHECK_EQ(s.st_mode & 07777, 02755);
		CHECK_OK(open("sg/g", O_CREAT | O_RDWR, 02755));
		stat("sg/g", &s);
		CHECK_EQ(s.st_mode & 07777, 0755);
		CHECK_OK(chmod("sg/f", 02755));
		stat("sg/f", &s);
		CHECK_EQ(s.st_mode & 07777, 0755));
	/* umask */
	CHECK_EQ(umask(0777777), 022);
	CHECK_EQ(umask(027), 0777);
	close(open("um", O_CREAT | O_RDWR, 0777));
	stat("um", &st);
	CHECK_EQ(st.st_mode & 07777, 0750);
	mkdir("umd", 01777);
	stat("umd", &st);
	CHECK_EQ(st.st_mode & 07777, 01750);
	mknod("umn", S_IFREG | 0666, 0);
	stat("umn", &st);
	CHECK_EQ(st.st_mode & 07777, 0640);
	umask(022);
	for (int i = 3; i < 20; i++)
		close(i);
}

TEST(access_calls)
{
	int d = open(".", O_RDONLY);

	CHECK_ERRNO(access("file", 8), EINVAL);
	CHECK_OK(access("secret", R_OK | W_OK));
	CHECK_ERRNO(access("secret", X_OK), EACCES);
	CHECK_OK(access("dir", X_OK | R_OK | W_OK));
	CHECK_ERRNO(syscall(SYS_faccessat2, d, "file", 0, 0x8000), EINVAL);
	CHECK_ERRNO(syscall(SYS_faccessat2, -1, "file", 0, 0), EBADF);
	CHECK_OK(syscall(SYS_faccessat2, d, "dangling", 0, AT_SYMLINK_NOFOLLOW));
	CHECK_ERRNO(syscall(SYS_faccessat2, d, "dangling", 0, 0), ENOENT);
	CHECK_OK(syscall(SYS_faccessat2, d, "", R_OK, AT_EMPTY_PATH));
	CHECK_EXITS(0, become_nobody();
		    CHECK_ERRNO(access("secret", R_OK), EACCES);
		    CHECK_OK(access("file", R_OK));
		    CHECK_ERRNO(access("file", W_OK), EACCES);
		    CHECK_ERRNO(access("file", X_OK), EACCES));
	/* real ids count, unless AT_EACCESS */
	CHECK_EXITS(0, CHECK_OK(setreuid(65534, 0));
		    CHECK_ERRNO(access("secret", R_OK), EACCES);
		    CHECK_OK(syscall(SYS_faccessat2, AT_FDCWD, "secret", R_OK, AT_EACCESS)));
	/* fsuid */
	CHECK_EXITS(0, CHECK_EQ(setfsuid(65534), 0);
		    CHECK_EQ(setfsuid(-1), 65534);
		    CHECK_ERRNO(open("secret", O_RDONLY), EACCES);
		    CHECK_EQ(setfsgid(5), 0);
		    CHECK_EQ(setfsgid(-1), 5));
	close(d);
}

TEST(links_and_renames)
{
	struct stat st;

	CHECK_ERRNO(link("file", "dir"), EEXIST);
	CHECK_ERRNO(link("dir", "dl"), EPERM);
	CHECK_ERRNO(link("nothere", "dl"), ENOENT);
	CHECK_OK(link("file", "hl"));
	stat("file", &st);
	CHECK_EQ(st.st_nlink, 2);
	CHECK_OK(link("sl", "hsl"));
	lstat("hsl", &st);
	CHECK(S_ISLNK(st.st_mode));
	CHECK_ERRNO(linkat(AT_FDCWD, "file", AT_FDCWD, "h2", 0x4000), EINVAL);
	CHECK_ERRNO(linkat(-1, "file", AT_FDCWD, "h2", 0), EBADF);
	CHECK_EXITS(0, become_nobody();
		    CHECK_ERRNO(mkdir("dir/h", 0755), EACCES);
		    CHECK_ERRNO(unlink("dir/nothere"), ENOENT);
		    CHECK_ERRNO(rmdir("/proc"), errno));
	CHECK_ERRNO(unlink("dir"), EISDIR);
	CHECK_ERRNO(unlink("dir/"), EISDIR);
	CHECK_ERRNO(unlink("file/"), ENOTDIR);
	CHECK_ERRNO(unlink("."), EISDIR);
	CHECK_ERRNO(unlink("/"), EISDIR);
	CHECK_ERRNO(unlinkat(AT_FDCWD, "file", 1), EINVAL);
	CHECK_ERRNO(unlinkat(AT_FDCWD, "file", AT_REMOVEDIR), ENOTDIR);
	CHECK_ERRNO(unlinkat(-1, "file", 0), EBADF);
	CHECK_OK(unlink("hl"));
	CHECK_ERRNO(rmdir("file"), ENOTDIR);
	CHECK_ERRNO(rmdir("sl"), ENOTDIR);
	CHECK_ERRNO(rmdir("."), EINVAL);
	CHECK_ERRNO(rmdir("dir/."), EINVAL);
	CHECK_ERRNO(rmdir(".."), ENOTEMPTY);
	CHECK_ERRNO(rmdir("closed"), ENOTEMPTY);
	CHECK_ERRNO(rmdir("/"), EBUSY);
	CHECK_ERRNO(rmdir("/proc"), EBUSY);
	/* sticky */
	mkdir("st", 0777);
	chmod("st", 01777);
	touch("st/a", 0666);
	CHECK_EXITS(0, become_nobody();
		    CHECK_ERRNO(unlink("st/a"), EPERM);
		    CHECK_ERRNO(rename("st/a", "st/b"), EPERM);
		    touch("st/c", 0644);
		    CHECK_ERRNO(rename("st/c", "st/a"), EPERM);
		    CHECK_OK(unlink("st/c"));
		    CHECK_ERRNO(rmdir("closed"), errno));
	/* rename */
	mkdir("d1", 0755);
	mkdir("d2", 0755);
	touch("d2/x", 0644);
	CHECK_ERRNO(rename("d1", "d1/sub"), EINVAL);
	CHECK_ERRNO(rename("d1", "d2"), ENOTEMPTY);
	CHECK_ERRNO(rename("d1", "file"), ENOTDIR);
	CHECK_ERRNO(rename("file", "d1"), EISDIR);
	CHECK_ERRNO(rename("file", "d1/"), errno);
	CHECK_ERRNO(rename("file", "f2/"), ENOTDIR);
	CHECK_ERRNO(rename(".", "f2"), EBUSY);
	CHECK_ERRNO(rename("d1", "."), EBUSY);
	CHECK_ERRNO(rename("d2/x", "/proc/x"), EXDEV);
	CHECK_ERRNO(rename("d2/..", "f2"), EBUSY);
	CHECK_OK(rename("d2/x", "d1/x"));
	CHECK_OK(rename("d1", "d2"));
	CHECK_OK(access("d2/x", F_OK));
	CHECK_OK(link("file", "same"));
	CHECK_OK(rename("file", "same"));
	CHECK_OK(access("same", F_OK));
	unlink("same");
	CHECK_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "file", AT_FDCWD, "d2", 1), EEXIST);
	CHECK_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "file", AT_FDCWD, "n", 2), ENOENT);
	CHECK_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "file", AT_FDCWD, "d2", 3), EINVAL);
	CHECK_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "file", AT_FDCWD, "d2", 8), EINVAL);
	CHECK_OK(syscall(SYS_renameat2, AT_FDCWD, "file", AT_FDCWD, "d2", 2));
	stat("file", &st);
	CHECK(S_ISDIR(st.st_mode));
	CHECK_OK(syscall(SYS_renameat2, AT_FDCWD, "file", AT_FDCWD, "d2", 2));
	CHECK_ERRNO(syscall(SYS_renameat, -1, "file", AT_FDCWD, "f2"), EBADF);
	/* symlinks */
	char b[100];
	CHECK_ERRNO(symlink("x", "file"), EEXIST);
	CHECK_ERRNO(symlink("", "sl3"), ENOENT);
	CHECK_ERRNO(symlink(BAD, "sl3"), EFAULT);
	CHECK_ERRNO(readlink("file", b, 100), EINVAL);
	CHECK_ERRNO(syscall(SYS_readlink, "sl", b, 0), EINVAL);
	CHECK_ERRNO(readlink("sl", b, -1), EINVAL);
	CHECK_ERRNO(readlink("sl", BAD, 10), EFAULT);
	CHECK_EQ(readlink("sl", b, 2), 2);
	CHECK_EQ(readlink("sl", b, 100), 4);
	lstat("sl", &st);
	CHECK_EQ(st.st_size, 4);
	CHECK_EQ(st.st_mode, S_IFLNK | 0777);
	int fd = open("sl", O_PATH | O_NOFOLLOW);
	CHECK_EQ(readlinkat(fd, "", b, 100), 4);
	close(fd);
	CHECK_ERRNO(readlinkat(-1, "sl", b, 100), EBADF);
	fd = open("file", O_RDONLY);
	CHECK_ERRNO(readlinkat(fd, "sl", b, 100), ENOTDIR);
	close(fd);
}

TEST(making_nodes)
{
	struct stat st;

	CHECK_ERRNO(mknod("file", S_IFREG | 0644, 0), EEXIST);
	CHECK_ERRNO(mknod("n1", S_IFDIR | 0644, 0), EPERM);
	CHECK_ERRNO(mknod("n1", 0170000 | 0644, 0), EINVAL);
	CHECK_ERRNO(mknod("n1", S_IFLNK | 0644, 0), EINVAL);
	CHECK_OK(mknod("n1", 0644, 0));
	stat("n1", &st);
	CHECK(S_ISREG(st.st_mode));
	CHECK_OK(mknod("n2", S_IFSOCK | 0644, 0));
	CHECK_OK(mknod("n3", S_IFCHR | 0644, makedev(1, 3)));
	stat("n3", &st);
	CHECK_EQ(st.st_rdev, makedev(1, 3));
	CHECK_OK(mknod("n4", S_IFBLK | 0644, makedev(4000, 1000000)));
	stat("n4", &st);
	CHECK_EQ(st.st_rdev, makedev(4000, 1000000));
	CHECK_ERRNO(mknodat(-1, "n5", S_IFREG, 0), EBADF);
	CHECK_EXITS(0, become_nobody();
		    CHECK_ERRNO(mknod("n6", S_IFCHR | 0644, makedev(1, 3)), EPERM);
		    CHECK_ERRNO(mknod("n6", S_IFBLK | 0644, makedev(1, 3)), EPERM);
		    CHECK_OK(mknod("n6", S_IFIFO | 0644, 0));
		    CHECK_OK(mknod("n7", S_IFREG | 0644, 0));
		    CHECK_ERRNO(mknod("dir/n8", S_IFREG | 0644, 0), EACCES);
		    CHECK_ERRNO(mkdir("dir/n8", 0644), EACCES));
	CHECK_ERRNO(mkdirat(-1, "x", 0755), EBADF);
	CHECK_ERRNO(mkdir("/proc/nope", 0755), ENOENT);
}

TEST(truncation)
{
	struct stat st;
	int fd = open("file", O_RDWR), ro = open("file", O_RDONLY), p[2], d = open(".", O_RDONLY);
	char b[10] = "";

	pipe(p);
	CHECK_OK(ftruncate(fd, 5000));
	fstat(fd, &st);
	CHECK_EQ(st.st_size, 5000);
	CHECK_ERRNO(ftruncate(fd, -1), EINVAL);
	CHECK_ERRNO(ftruncate(ro, 5), EINVAL);
	CHECK_ERRNO(ftruncate(-1, 5), EBADF);
	CHECK_ERRNO(ftruncate(p[1], 5), EINVAL);
	CHECK_ERRNO(ftruncate(d, 5), EINVAL);
	CHECK_ERRNO(truncate("file", -1), EINVAL);
	CHECK_ERRNO(truncate("dir", 0), EISDIR);
	CHECK_ERRNO(truncate("fifo", 0), EINVAL);
	CHECK_OK(truncate("sl", 3));
	fstat(fd, &st);
	CHECK_EQ(st.st_size, 3);
	CHECK_EXITS(0, become_nobody(); CHECK_ERRNO(truncate("file", 0), EACCES));
	/* fallocate */
	CHECK_ERRNO(fallocate(-1, 0, 0, 1), EBADF);
	CHECK_ERRNO(fallocate(ro, 0, 0, 1), EBADF);
	CHECK_ERRNO(fallocate(fd, 0, -1, 1), EINVAL);
	CHECK_ERRNO(fallocate(fd, 0, 0, 0), EINVAL);
	CHECK_ERRNO(fallocate(fd, 0, 0, -1), EINVAL);
	CHECK_ERRNO(fallocate(fd, 0, LONG_MAX, 10), EFBIG);
	CHECK_ERRNO(fallocate(p[1], 0, 0, 1), ESPIPE);
	CHECK_ERRNO(fallocate(fd, 0x1000, 0, 1), EOPNOTSUPP);
	CHECK_ERRNO(fallocate(fd, 2, 0, 1), EOPNOTSUPP);
	CHECK_OK(fallocate(fd, 0, 0, 10000));
	fstat(fd, &st);
	CHECK_EQ(st.st_size, 10000);
	CHECK_EQ(st.st_blocks, 24);
	CHECK_OK(fallocate(fd, 1, 0, 20000));
	fstat(fd, &st);
	CHECK_EQ(st.st_size, 10000);
	pwrite(fd, "abcdef", 6, 0);
	CHECK_OK(fallocate(fd, 3, 1, 3));
	pread(fd, b, 6, 0);
	CHECK(!memcmp(b, "a\0\0\0ef", 6));
	/* fsync and friends */
	CHECK_OK(fsync(fd));
	CHECK_OK(fdatasync(fd));
	CHECK_OK(fsync(d));
	CHECK_ERRNO(fsync(-1), EBADF);
	CHECK_ERRNO(fdatasync(-1), EBADF);
	CHECK_ERRNO(fsync(p[0]), EINVAL);
	CHECK_ERRNO(fdatasync(p[0]), EINVAL);
	CHECK_OK(syncfs(fd));
	CHECK_ERRNO(syncfs(-1), EBADF);
	CHECK_OK(syscall(SYS_sync_file_range, fd, 0L, 0L, 7));
	CHECK_ERRNO(syscall(SYS_sync_file_range, fd, -1L, 0L, 7), EINVAL);
	CHECK_ERRNO(syscall(SYS_sync_file_range, fd, 0L, -1L, 7), EINVAL);
	CHECK_ERRNO(syscall(SYS_sync_file_range, fd, 0L, 0L, 8), EINVAL);
	CHECK_ERRNO(syscall(SYS_sync_file_range, -1, 0L, 0L, 7), EBADF);
	CHECK_ERRNO(syscall(SYS_sync_file_range, p[0], 0L, 0L, 7), ESPIPE);
	CHECK_EQ(posix_fadvise(fd, 0, 0, 3), 0);
	CHECK_ERRNO(syscall(SYS_fadvise64, fd, 0L, 0L, 99), EINVAL);
	CHECK_ERRNO(syscall(SYS_fadvise64, fd, 0L, -1L, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_fadvise64, -1, 0L, 0L, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_fadvise64, p[0], 0L, 0L, 0), ESPIPE);
	CHECK_ERRNO(syscall(SYS_readahead, -1, 0L, 10L), EBADF);
	CHECK_ERRNO(syscall(SYS_readahead, p[0], 0L, 10L), EINVAL);
	CHECK_ERRNO(syscall(SYS_readahead, d, 0L, 10L), EINVAL);
	for (int i = 3; i < 20; i++)
		close(i);
}

TEST_MAIN
