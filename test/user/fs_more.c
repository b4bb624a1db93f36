/*
 * File system calls beyond the everyday ones: holes, allocation, seals, splicing, change notification, record locks across
 * processes, unnamed files, attributes, directories that change while they are read. Checked on Linux 6.1 too.
 */
#include "fs.h"
#include <poll.h>
#include <sys/inotify.h>

TEST(holes_and_allocation)
{
	fresh("holes");
	struct stat st;
	char buf[8192];
	int fd = open("h", O_CREAT | O_RDWR, 0644);

	CHECK_EQ(pwrite(fd, "a", 1, 0), 1);
	CHECK_EQ(pwrite(fd, "b", 1, 5 * 4096), 1);
	CHECK_OK(ftruncate(fd, 10 * 4096));
	fstat(fd, &st);
	CHECK_EQ(st.st_blocks, 16);
	CHECK_EQ(lseek(fd, 0, SEEK_DATA), 0);
	CHECK_EQ(lseek(fd, 0, SEEK_HOLE), 4096);
	CHECK_EQ(lseek(fd, 10, SEEK_DATA), 10);
	CHECK_EQ(lseek(fd, 4096, SEEK_DATA), 5 * 4096);
	CHECK_EQ(lseek(fd, 5 * 4096, SEEK_HOLE), 6 * 4096);
	CHECK_ERRNO(lseek(fd, 6 * 4096, SEEK_DATA), ENXIO);
	CHECK_EQ(lseek(fd, 7 * 4096, SEEK_HOLE), 7 * 4096);
	CHECK_ERRNO(lseek(fd, 10 * 4096, SEEK_DATA), ENXIO);
	CHECK_ERRNO(lseek(fd, 10 * 4096, SEEK_HOLE), ENXIO);
	CHECK_ERRNO(lseek(fd, -1, SEEK_DATA), ENXIO);
	CHECK_OK(fallocate(fd, 0, 4096, 8192));
	fstat(fd, &st);
	CHECK_EQ(st.st_blocks, 32);
	CHECK_EQ(st.st_size, 40960);
	CHECK_OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 40960, 4096));
	fstat(fd, &st);
	CHECK_EQ(st.st_size, 40960);
	CHECK_EQ(st.st_blocks, 40);
	CHECK_OK(fallocate(fd, 0, 40960, 100));
	fstat(fd, &st);
	CHECK_EQ(st.st_size, 41060);
	memset(buf, 'x', sizeof(buf));
	CHECK_EQ(pwrite(fd, buf, 8192, 0), 8192);
	CHECK_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 4096));
	CHECK_EQ(pread(fd, buf, 8192, 0), 8192);
	CHECK(buf[99] == 'x' && buf[100] == 0 && buf[4195] == 0 && buf[4196] == 'x');
	CHECK_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 1), EOPNOTSUPP);
	CHECK_ERRNO(fallocate(fd, 0, -1, 1), EINVAL);
	CHECK_ERRNO(fallocate(fd, 0, 0, 0), EINVAL);
	CHECK_ERRNO(fallocate(fd, 0, LLONG_MAX, 10), EFBIG);
	CHECK_ERRNO(fallocate(99, 0, 0, 1), EBADF);
	int ro = open("h", O_RDONLY), p[2];
	CHECK_ERRNO(fallocate(ro, 0, 0, 1), EBADF);
	CHECK_ERRNO(ftruncate(ro, 0), EINVAL);
	pipe(p);
	CHECK_ERRNO(fallocate(p[1], 0, 0, 1), ESPIPE);
	CHECK_ERRNO(ftruncate(p[1], 0), EINVAL);
	CHECK_ERRNO(truncate("h", -1), EINVAL);
	CHECK_ERRNO(truncate(".", 0), EISDIR);
	CHECK_ERRNO(truncate("none", 0), ENOENT);
	CHECK_ERRNO(truncate("h/x", 0), ENOTDIR);
	/* what truncation cut off reads as zero when the file grows again, in mappings too */
	CHECK_OK(ftruncate(fd, 10));
	CHECK_OK(ftruncate(fd, 4096));
	CHECK_EQ(pread(fd, buf, 4096, 0), 4096);
	CHECK(buf[9] == 'x' && buf[10] == 0 && buf[4095] == 0);
	close(p[0]), close(p[1]), close(ro), close(fd);
}

TEST(seals)
{
	fresh("seals");
	int fd = memfd_create("m", MFD_ALLOW_SEALING | MFD_CLOEXEC), plain = memfd_create("p", 0), file = put("f", "x");
	char buf[64], link[64];

	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	sprintf(link, "/proc/self/fd/%d", fd);
	memset(buf, 0, sizeof(buf));
	CHECK(readlink(link, buf, sizeof(buf)) > 0);
	CHECK_STR(buf, "/memfd:m (deleted)");
	CHECK_EQ(fcntl(fd, F_GET_SEALS), 0);
	CHECK_EQ(fcntl(plain, F_GET_SEALS), F_SEAL_SEAL);
	CHECK_ERRNO(fcntl(plain, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
	CHECK_ERRNO(fcntl(file, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
	CHECK_EQ(fcntl(file, F_GET_SEALS), F_SEAL_SEAL);
	CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, 0x100), EINVAL);
	CHECK_OK(ftruncate(fd, 8192));
	CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	CHECK_ERRNO(ftruncate(fd, 8193), EPERM);
	CHECK_ERRNO(pwrite(fd, "x", 1, 8192), EPERM);
	CHECK_EQ(pwrite(fd, "xx", 2, 8191), 1);
	CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	CHECK_ERRNO(ftruncate(fd, 10), EPERM);
	CHECK_ERRNO(fallocate(fd, 0, 0, 9000), EPERM);
	char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(map != MAP_FAILED);
	CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
	munmap(map, 4096);
	CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	CHECK_ERRNO(pwrite(fd, "x", 1, 0), EPERM);
	CHECK_ERRNO((long)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), EPERM);
	map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(map != MAP_FAILED);
	CHECK_ERRNO(mprotect(map, 4096, PROT_READ | PROT_WRITE), EACCES);
	munmap(map, 4096);
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	CHECK(map != MAP_FAILED);
	map[0] = 1;
	munmap(map, 4096);
	CHECK_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), EPERM);
	CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
	CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), EPERM);
	CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_WRITE);
	CHECK_ERRNO(memfd_create("x", 0x1000), EINVAL);
	char long_name[300];
	memset(long_name, 'a', 250);
	long_name[250] = 0;
	CHECK_ERRNO(memfd_create(long_name, 0), EINVAL);
	long_name[249] = 0;
	int ok = memfd_create(long_name, 0);
	CHECK(ok >= 0);
	CHECK_ERRNO(memfd_create(BAD, 0), EFAULT);
	close(ok), close(fd), close(plain), close(file);
}

TEST(splicing)
{
	fresh("splice");
	char buf[10000], got[10000];
	int p[2], q[2], in, out;
	loff_t off;

	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = i * 7;
	in = open("in", O_CREAT | O_RDWR, 0644);
	out = open("out", O_CREAT | O_RDWR, 0644);
	CHECK_EQ(write(in, buf, sizeof(buf)), 10000);
	pipe(p), pipe(q);
	off = 100;
	CHECK_EQ(splice(in, &off, p[1], NULL, 5000, 0), 5000);
	CHECK_EQ(off, 5100);
	CHECK_EQ(tee(p[0], q[1], 5000, 0), 5000);
	CHECK_EQ(read(p[0], got, 5000), 5000);
	CHECK(!memcmp(got, buf + 100, 5000));
	memset(got, 0, sizeof(got));
	off = 3;
	CHECK_EQ(splice(q[0], NULL, out, &off, 5000, 0), 5000);
	CHECK_EQ(pread(out, got, 5000, 3), 5000);
	CHECK(!memcmp(got, buf + 100, 5000));
	/* a pipe that holds page-cache pages never changes the file */
	lseek(in, 0, SEEK_SET);
	CHECK_EQ(splice(in, NULL, p[1], NULL, 10, 0), 10);
	CHECK_EQ(write(p[1], "scribble", 8), 8);
	CHECK_EQ(pread(in, got, 20, 0), 20);
	CHECK(!memcmp(got, buf, 20));
	CHECK_EQ(read(p[0], got, 18), 18);
	CHECK(!memcmp(got, buf, 10) && !memcmp(got + 10, "scribble", 8));
	CHECK_ERRNO(splice(in, NULL, out, NULL, 10, 0), EINVAL);
	CHECK_ERRNO(splice(p[0], &off, out, NULL, 10, 0), ESPIPE);
	CHECK_ERRNO(splice(p[0], NULL, p[1], NULL, 10, 0), EINVAL);
	CHECK_ERRNO(tee(p[0], p[1], 10, 0), EINVAL);
	CHECK_ERRNO(tee(in, p[1], 10, 0), EINVAL);
	CHECK_ERRNO(splice(99, NULL, p[1], NULL, 10, 0), EBADF);
	CHECK_ERRNO(splice(p[0], NULL, out, NULL, 10, SPLICE_F_NONBLOCK), EAGAIN);
	CHECK_ERRNO(splice(in, NULL, p[1], NULL, 10, 64), EINVAL);
	CHECK_EQ(splice(in, NULL, p[1], NULL, 0, 0), 0);
	int app = open("out", O_WRONLY | O_APPEND);
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_ERRNO(splice(p[0], NULL, app, NULL, 10, 0), EINVAL);
	read(p[0], got, 1);
	struct iovec v[2] = { { buf, 100 }, { buf + 200, 100 } };
	CHECK_EQ(vmsplice(p[1], v, 2, 0), 200);
	CHECK_EQ(splice(p[0], NULL, q[1], NULL, 150, 0), 150);
	CHECK_EQ(read(q[0], got, 500), 150);
	CHECK(!memcmp(got, buf, 100) && !memcmp(got + 100, buf + 200, 50));
	CHECK_EQ(read(p[0], got, 500), 50);
	/* sendfile */
	off = 0;
	lseek(out, 0, SEEK_SET);
	CHECK_EQ(sendfile(out, in, &off, 9000), 9000);
	CHECK_EQ(off, 9000);
	CHECK_EQ(sendfile(out, in, &off, 9000), 1000);
	CHECK_EQ(sendfile(out, in, &off, 9000), 0);
	CHECK_EQ(pread(out, got, 10000, 0), 10000);
	CHECK(!memcmp(got, buf, 10000));
	CHECK_EQ(sendfile(p[1], in, &(loff_t){ 0 }, 100), 100);
	CHECK_ERRNO(sendfile(app, in, &off, 10), EINVAL);
	CHECK_ERRNO(sendfile(out, 99, NULL, 10), EBADF);
	CHECK_ERRNO(sendfile(out, in, &(loff_t){ -1 }, 10), EINVAL);
	int ro = open("in", O_RDONLY);
	CHECK_ERRNO(sendfile(ro, in, NULL, 10), EBADF);
	/* copy_file_range */
	loff_t a = 0, b = 20000;
	CHECK_EQ(syscall(SYS_copy_file_range, in, &a, out, &b, 5000, 0), 5000);
	CHECK_EQ(a, 5000);
	CHECK_EQ(b, 25000);
	CHECK_EQ(pread(out, got, 5000, 20000), 5000);
	CHECK(!memcmp(got, buf, 5000));
	a = 20000;
	CHECK_EQ(syscall(SYS_copy_file_range, in, &a, out, &b, 5000, 0), 0);
	CHECK_ERRNO(syscall(SYS_copy_file_range, in, NULL, out, NULL, 5, 1), EINVAL);
	CHECK_ERRNO(syscall(SYS_copy_file_range, in, NULL, app, NULL, 5, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_copy_file_range, in, NULL, ro, NULL, 5, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_copy_file_range, in, NULL, p[1], NULL, 5, 0), EINVAL);
	a = 0, b = 10;
	CHECK_ERRNO(syscall(SYS_copy_file_range, in, &a, in, &b, 100, 0), EINVAL);
	b = 50000;
	CHECK_EQ(syscall(SYS_copy_file_range, in, &a, in, &b, 100, 0), 100);
	for (int i = 0; i < 2; i++)
		close(p[i]), close(q[i]);
	close(in), close(out), close(app), close(ro);
}

static const struct inotify_event *next_event(int fd)
{
	static char buf[4096] __attribute__((aligned(8)));
	static int at, have;

	if (at >= have) {
		struct pollfd pf = { fd, POLLIN, 0 };
		at = 0;
		have = poll(&pf, 1, 500) == 1 ? read(fd, buf, sizeof(buf)) : 0;
		if (have <= 0) {
			have = 0;
			return NULL;
		}
	}
	const struct inotify_event *e = (void *)(buf + at);
	at += sizeof(*e) + e->len;
	return e;
}

#define EXPECT(w, m, n)                                                      \
	do {                                                                 \
		const struct inotify_event *ev = next_event(fd);             \
		CHECK(ev);                                                   \
		if (ev) {                                                    \
			CHECK_EQ(ev->wd, w);                                 \
			CHECK_EQ(ev->mask, m);                               \
			CHECK_STR(ev->len ? ev->name : "", n);               \
		}                                                            \
	} while (0)

TEST(change_notification)
{
	fresh("notify");
	mkdir("w", 0755);
	int fd = inotify_init1(IN_NONBLOCK), wd = inotify_add_watch(fd, "w", IN_ALL_EVENTS), f;
	char small[8];

	CHECK(wd >= 1);
	CHECK_ERRNO(read(fd, small, 8), EAGAIN);
	f = open("w/a", O_CREAT | O_WRONLY, 0644);
	EXPECT(wd, IN_CREATE, "a");
	EXPECT(wd, IN_OPEN, "a");
	CHECK_EQ(write(f, "x", 1), 1);
	close(f);
	EXPECT(wd, IN_MODIFY, "a");
	EXPECT(wd, IN_CLOSE_WRITE, "a");
	chmod("w/a", 0600);
	EXPECT(wd, IN_ATTRIB, "a");
	f = open("w/a", O_RDONLY);
	CHECK_EQ(read(f, small, 8), 1);
	close(f);
	EXPECT(wd, IN_OPEN, "a");
	EXPECT(wd, IN_ACCESS, "a");
	EXPECT(wd, IN_CLOSE_NOWRITE, "a");
	mkdir("w/d", 0755);
	EXPECT(wd, IN_CREATE | IN_ISDIR, "d");
	rename("w/a", "w/b");
	EXPECT(wd, IN_MOVED_FROM, "a");
	EXPECT(wd, IN_MOVED_TO, "b");
	int wf = inotify_add_watch(fd, "w/b", IN_DELETE_SELF | IN_MODIFY);
	CHECK(wf > wd);
	CHECK_EQ(inotify_add_watch(fd, "w/b", IN_DELETE_SELF), wf);
	CHECK_ERRNO(inotify_add_watch(fd, "w/b", IN_MODIFY | IN_MASK_CREATE), EEXIST);
	unlink("w/b");
	EXPECT(wf, IN_DELETE_SELF, "");
	EXPECT(wf, IN_IGNORED, "");
	EXPECT(wd, IN_DELETE, "b");
	rmdir("w/d");
	EXPECT(wd, IN_DELETE | IN_ISDIR, "d");
	CHECK_OK(inotify_rm_watch(fd, wd));
	EXPECT(wd, IN_IGNORED, "");
	CHECK_ERRNO(inotify_rm_watch(fd, wd), EINVAL);
	CHECK_ERRNO(inotify_rm_watch(0, wd), EINVAL);
	CHECK_ERRNO(inotify_rm_watch(99, wd), EBADF);
	CHECK_ERRNO(inotify_add_watch(fd, "none", IN_MODIFY), ENOENT);
	CHECK_ERRNO(inotify_add_watch(fd, "w", 0), EINVAL);
	CHECK_ERRNO(inotify_add_watch(fd, BAD, IN_MODIFY), EFAULT);
	f = put("plain", "x");
	close(f);
	CHECK_ERRNO(inotify_add_watch(fd, "plain", IN_MODIFY | IN_ONLYDIR), ENOTDIR);
	wd = inotify_add_watch(fd, "w", IN_CREATE | IN_ONESHOT);
	close(put("w/one", "1"));
	close(put("w/two", "2"));
	EXPECT(wd, IN_CREATE, "one");
	EXPECT(wd, IN_IGNORED, "");
	CHECK(!next_event(fd));
	CHECK_OK(inotify_add_watch(fd, "w", IN_DELETE));
	unlink("w/one");
	CHECK_ERRNO(read(fd, small, 8), EINVAL);
	close(fd);
	CHECK_ERRNO(inotify_init1(1), EINVAL);
}

static struct flock lk(int type, off_t start, off_t len)
{
	return (struct flock){ .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };
}

static int try(int fd, int cmd, int type, off_t start, off_t len)
{
	struct flock l = lk(type, start, len);

	return fcntl(fd, cmd, &l);
}

TEST(record_locks)
{
	fresh("locks");
	int fd = put("f", "0123456789"), go[2], done[2];
	struct flock l;
	char c;

	CHECK_OK(try(fd, F_SETLK, F_WRLCK, 0, 100));
	CHECK_OK(try(fd, F_SETLK, F_UNLCK, 40, 10)); /* a hole in the middle */
	CHECK_EXITS(0, {
		l = lk(F_WRLCK, 0, 0);
		CHECK_OK(fcntl(fd, F_GETLK, &l));
		CHECK_EQ(l.l_type, F_WRLCK);
		CHECK_EQ(l.l_start, 0);
		CHECK_EQ(l.l_len, 40);
		CHECK_EQ(l.l_pid, getppid());
		l = lk(F_RDLCK, 60, 1);
		CHECK_OK(fcntl(fd, F_GETLK, &l));
		CHECK_EQ(l.l_start, 50);
		CHECK_EQ(l.l_len, 50);
		CHECK_OK(try(fd, F_SETLK, F_WRLCK, 40, 10));
		CHECK_ERRNO(try(fd, F_SETLK, F_WRLCK, 39, 10), EAGAIN);
		CHECK_ERRNO(try(fd, F_SETLK, F_RDLCK, 99, 0), EAGAIN);
		CHECK_OK(try(fd, F_SETLK, F_RDLCK, 100, 0));
	});
	/* merged again, shared in part */
	CHECK_OK(try(fd, F_SETLK, F_WRLCK, 40, 10));
	CHECK_OK(try(fd, F_SETLK, F_RDLCK, 20, 10));
	CHECK_EXITS(0, {
		CHECK_OK(try(fd, F_SETLK, F_RDLCK, 20, 10));
		CHECK_ERRNO(try(fd, F_SETLK, F_RDLCK, 19, 2), EAGAIN);
		l = lk(F_WRLCK, 30, 0);
		CHECK_OK(fcntl(fd, F_GETLK, &l));
		CHECK_EQ(l.l_start, 30);
		CHECK_EQ(l.l_len, 70);
	});
	/* any close drops them */
	close(open("f", O_RDONLY));
	CHECK_EXITS(0, CHECK_OK(try(fd, F_SETLK, F_WRLCK, 0, 0)));
	CHECK_ERRNO(try(fd, F_SETLK, 7, 0, 0), EINVAL);
	CHECK_ERRNO(try(fd, F_SETLK, F_WRLCK, -1, 0), EINVAL);
	CHECK_ERRNO(try(99, F_SETLK, F_WRLCK, 0, 0), EBADF);
	CHECK_ERRNO(fcntl(fd, F_SETLK, BAD), EFAULT);
	int ro = open("f", O_RDONLY);
	CHECK_ERRNO(try(ro, F_SETLK, F_WRLCK, 0, 0), EBADF);
	close(ro);
	/* negative length: before the start */
	CHECK_OK(try(fd, F_SETLK, F_WRLCK, 10, -5));
	CHECK_EXITS(0, {
		l = lk(F_WRLCK, 0, 0);
		CHECK_OK(fcntl(fd, F_GETLK, &l));
		CHECK_EQ(l.l_start, 5);
		CHECK_EQ(l.l_len, 5);
	});
	/* deadlock: we hold 0, the child 1; each wants the other's */
	CHECK_OK(try(fd, F_SETLK, F_UNLCK, 0, 0));
	CHECK_OK(try(fd, F_SETLK, F_WRLCK, 0, 1));
	pipe(go), pipe(done);
	pid_t pid = fork();
	if (!pid) {
		int r = try(fd, F_SETLK, F_WRLCK, 1, 1);
		write(done[1], "x", 1);
		r |= try(fd, F_SETLKW, F_WRLCK, 0, 1);
		_exit(r ? 1 : 0);
	}
	read(done[0], &c, 1);
	usleep(200000);
	CHECK_ERRNO(try(fd, F_SETLKW, F_WRLCK, 1, 1), EDEADLK);
	CHECK_OK(try(fd, F_SETLK, F_UNLCK, 0, 1));
	int status;
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
	CHECK_OK(try(fd, F_SETLKW, F_WRLCK, 1, 1)); /* its exit dropped them */
	close(go[0]), close(go[1]), close(done[0]), close(done[1]);
	/* locks of the open file description */
	int a = open("f", O_RDWR), b = open("f", O_RDWR);
	CHECK_OK(try(fd, F_SETLK, F_UNLCK, 0, 0));
	CHECK_OK(try(a, F_OFD_SETLK, F_WRLCK, 0, 10));
	CHECK_ERRNO(try(b, F_OFD_SETLK, F_WRLCK, 5, 10), EAGAIN);
	CHECK_ERRNO(try(b, F_SETLK, F_WRLCK, 5, 10), EAGAIN);
	l = lk(F_WRLCK, 0, 0);
	CHECK_OK(fcntl(b, F_OFD_GETLK, &l));
	CHECK_EQ(l.l_pid, -1);
	l = lk(F_WRLCK, 0, 0);
	l.l_pid = 1;
	CHECK_ERRNO(fcntl(b, F_OFD_SETLK, &l), EINVAL);
	int dupd = dup(a);
	close(a);
	CHECK_ERRNO(try(b, F_OFD_SETLK, F_WRLCK, 5, 10), EAGAIN);
	close(dupd);
	CHECK_OK(try(b, F_OFD_SETLK, F_WRLCK, 5, 10));
	/* flock is another world */
	CHECK_OK(flock(fd, LOCK_EX | LOCK_NB));
	CHECK_ERRNO(flock(b, LOCK_SH | LOCK_NB), EAGAIN);
	CHECK_OK(flock(fd, LOCK_SH | LOCK_NB));
	CHECK_OK(flock(b, LOCK_SH | LOCK_NB));
	CHECK_ERRNO(flock(b, LOCK_EX | LOCK_NB), EAGAIN);
	CHECK_OK(flock(fd, LOCK_UN));
	CHECK_OK(flock(b, LOCK_EX | LOCK_NB));
	CHECK_ERRNO(flock(b, 0), EINVAL);
	CHECK_ERRNO(flock(99, LOCK_SH), EBADF);
	close(b), close(fd);
}

TEST(unnamed_files)
{
	fresh("unnamed");
	char path[64];
	struct stat st;
	int fd = open(".", O_TMPFILE | O_RDWR, 0640), ex = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600);

	CHECK(fd >= 0 && ex >= 0);
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_nlink, 0);
	CHECK_EQ(st.st_mode, S_IFREG | 0640);
	CHECK_EQ(write(fd, "data", 4), 4);
	sprintf(path, "/proc/self/fd/%d", fd);
	CHECK_OK(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	CHECK_OK(stat("named", &st));
	CHECK_EQ(st.st_nlink, 1);
	CHECK_EQ(st.st_size, 4);
	CHECK_OK(linkat(fd, "", AT_FDCWD, "again", AT_EMPTY_PATH));
	sprintf(path, "/proc/self/fd/%d", ex);
	CHECK_ERRNO(linkat(AT_FDCWD, path, AT_FDCWD, "exclusive", AT_SYMLINK_FOLLOW), ENOENT);
	/* a deleted file cannot come back */
	int gone = put("gone", "x");
	unlink("gone");
	sprintf(path, "/proc/self/fd/%d", gone);
	CHECK_ERRNO(linkat(AT_FDCWD, path, AT_FDCWD, "back", AT_SYMLINK_FOLLOW), ENOENT);
	char buf[256] = "";
	CHECK(readlink(path, buf, sizeof(buf) - 1) > 0);
	CHECK(strstr(buf, "/unnamed/gone (deleted)"));
	int again = open(path, O_RDONLY);
	CHECK(again >= 0);
	CHECK_EQ(read(again, buf, 1), 1);
	close(fd), close(ex), close(gone), close(again);
}

TEST(attributes)
{
	fresh("xattr");
	char buf[256];
	int fd = put("f", "x");

	symlink("f", "l");
	CHECK_ERRNO(setxattr("f", "user.a", "1", 1, 0), EOPNOTSUPP);
	CHECK_ERRNO(setxattr("f", "nonsense", "1", 1, 0), EOPNOTSUPP);
	CHECK_ERRNO(setxattr("f", "", "1", 1, 0), ERANGE);
	CHECK_OK(setxattr("f", "trusted.a", "hello", 5, XATTR_CREATE));
	CHECK_ERRNO(setxattr("f", "trusted.a", "hello", 5, XATTR_CREATE), EEXIST);
	CHECK_ERRNO(setxattr("f", "trusted.b", "hello", 5, XATTR_REPLACE), ENODATA);
	CHECK_OK(fsetxattr(fd, "security.b", "", 0, 0));
	CHECK_EQ(getxattr("l", "trusted.a", NULL, 0), 5);
	CHECK_EQ(getxattr("l", "trusted.a", buf, sizeof(buf)), 5);
	CHECK(!memcmp(buf, "hello", 5));
	CHECK_ERRNO(getxattr("l", "trusted.a", buf, 4), ERANGE);
	CHECK_ERRNO(getxattr("l", "trusted.c", buf, 4), ENODATA);
	CHECK_ERRNO(lgetxattr("l", "trusted.a", buf, 10), ENODATA);
	CHECK_EQ(listxattr("f", NULL, 0), 21);
	CHECK_ERRNO(listxattr("f", buf, 20), ERANGE);
	CHECK_EQ(flistxattr(fd, buf, 256), 21);
	CHECK_OK(removexattr("f", "trusted.a"));
	CHECK_ERRNO(removexattr("f", "trusted.a"), ENODATA);
	CHECK_ERRNO(setxattr("f", "trusted.a", "x", 1, 7), EINVAL);
	CHECK_ERRNO(setxattr("f", "trusted.a", "x", 65537, 0), E2BIG);
	CHECK_ERRNO(setxattr("f", BAD, "x", 1, 0), EFAULT);
	CHECK_ERRNO(setxattr("f", "trusted.a", BAD, 1, 0), EFAULT);
	CHECK_ERRNO(setxattr("none", "trusted.a", "x", 1, 0), ENOENT);
	close(fd);
}

TEST(directories_under_change)
{
	fresh("dirs");
	struct dirent *e;
	char name[300];
	int seen = 0, dots = 0;

	mkdir("d", 0755);
	for (int i = 0; i < 2000; i++) {
		sprintf(name, "d/file-%d", i);
		close(open(name, O_CREAT | O_WRONLY, 0644));
	}
	struct stat st;
	stat("d", &st);
	CHECK_EQ(st.st_nlink, 2);
	DIR *d = opendir("d");
	while ((e = readdir(d))) { /* every file is removed as it is seen */
		if (e->d_name[0] == '.') {
			dots++;
			CHECK_EQ(e->d_type, DT_DIR);
			continue;
		}
		CHECK_EQ(e->d_type, DT_REG);
		sprintf(name, "d/%s", e->d_name);
		CHECK_OK(unlink(name));
		seen++;
	}
	CHECK_EQ(seen, 2000);
	CHECK_EQ(dots, 2);
	rewinddir(d);
	for (seen = 0; readdir(d); seen++)
		;
	CHECK_EQ(seen, 2);
	/* positions */
	close(open("d/a", O_CREAT, 0644));
	close(open("d/b", O_CREAT, 0644));
	rewinddir(d);
	readdir(d), readdir(d);
	long at = telldir(d);
	char first[32];
	strcpy(first, readdir(d)->d_name);
	seekdir(d, at);
	CHECK_STR(readdir(d)->d_name, first);
	/* removed while open */
	CHECK_OK(unlink("d/a"));
	CHECK_OK(unlink("d/b"));
	CHECK_OK(rmdir("d"));
	rewinddir(d);
	errno = 0;
	CHECK(!readdir(d));
	CHECK_ERRNO(openat(dirfd(d), "x", O_CREAT | O_RDWR, 0644), ENOENT);
	CHECK_ERRNO(mkdirat(dirfd(d), "x", 0755), ENOENT);
	CHECK_OK(fstat(dirfd(d), &st));
	CHECK_EQ(st.st_nlink, 0);
	closedir(d);
	char buf[64];
	int fd = open(".", O_RDONLY);
	CHECK_ERRNO(syscall(SYS_getdents64, fd, buf, 10), EINVAL);
	CHECK_ERRNO(syscall(SYS_getdents64, fd, BAD, 4096), EFAULT);
	CHECK_ERRNO(syscall(SYS_getdents64, 99, buf, 64), EBADF);
	close(fd);
	fd = put("f", "x");
	CHECK_ERRNO(syscall(SYS_getdents64, fd, buf, 64), ENOTDIR);
	close(fd);
	/* a working directory that is gone */
	mkdir("cwd", 0755);
	CHECK_EXITS(0, {
		CHECK_OK(chdir("cwd"));
		CHECK_OK(rmdir("../cwd"));
		CHECK_ERRNO((long)syscall(SYS_getcwd, buf, 64), ENOENT);
		CHECK_ERRNO(open("x", O_CREAT | O_RDWR, 0644), ENOENT);
		CHECK_OK(chdir(".."));
		CHECK_ERRNO((long)syscall(SYS_getcwd, buf, 1), ERANGE);
	});
}

TEST(descriptor_ranges)
{
	fresh("fds");
	int a = open("/dev/null", O_RDONLY);

	for (int i = 100; i < 110; i++)
		CHECK_EQ(dup2(a, i), i);
	CHECK_OK(syscall(SYS_close_range, 102, 104, 0));
	CHECK_ERRNO(fcntl(103, F_GETFD), EBADF);
	CHECK_EQ(fcntl(105, F_GETFD), 0);
	CHECK_OK(syscall(SYS_close_range, 105, 106, 4));
	CHECK_EQ(fcntl(105, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(107, F_GETFD), 0);
	CHECK_ERRNO(syscall(SYS_close_range, 5, 4, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_close_range, 5, 6, 8), EINVAL);
	CHECK_OK(syscall(SYS_close_range, 100, ~0u, 0));
	CHECK_ERRNO(fcntl(109, F_GETFD), EBADF);
	CHECK_ERRNO(syscall(SYS_dup3, a, a, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_dup3, a, 200, O_APPEND), EINVAL);
	CHECK_EQ(dup3(a, 200, O_CLOEXEC), 200);
	CHECK_EQ(fcntl(200, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(dup2(200, 201), 201);
	CHECK_EQ(fcntl(201, F_GETFD), 0);
	CHECK_EQ(fcntl(a, F_DUPFD, 150), 150);
	CHECK_EQ(fcntl(a, F_DUPFD_CLOEXEC, 150), 151);
	CHECK_ERRNO(fcntl(a, 9999, 0), EINVAL);
	CHECK_ERRNO(dup2(99, 98), EBADF);
	CHECK_ERRNO(dup2(a, -1), EBADF);
	CHECK_ERRNO(close(-1), EBADF);
	CHECK_ERRNO(close(a + 1000), EBADF);
	syscall(SYS_close_range, 100, ~0u, 0);
	/* many: lowest free is found, tables grow and are inherited */
	int fds[600];
	for (int i = 0; i < 600; i++)
		CHECK((fds[i] = dup(a)) >= 0);
	for (int i = 1; i < 600; i++)
		CHECK_EQ(fds[i], fds[i - 1] + 1);
	close(fds[300]), close(fds[17]);
	CHECK_EQ(dup(a), fds[17]);
	CHECK_EQ(dup(a), fds[300]);
	CHECK_EXITS(0, {
		CHECK_EQ(fcntl(fds[599], F_GETFD), 0);
		close(fds[64]);
		CHECK_EQ(dup(a), fds[64]);
	});
	for (int i = 0; i < 600; i++)
		close(fds[i]);
	close(a);
}

TEST(vectors)
{
	fresh("vec");
	int fd = open("f", O_CREAT | O_RDWR, 0644);
	char b[10] = "", c[10] = "";
	struct iovec w[3] = { { "abc", 3 }, { "", 0 }, { "defg", 4 } }, r[2] = { { b, 2 }, { c, 9 } };

	CHECK_EQ(writev(fd, w, 3), 7);
	CHECK_EQ(preadv(fd, r, 2, 1), 6);
	CHECK_STR(b, "bc");
	CHECK_STR(c, "defg");
	CHECK_EQ(syscall(SYS_preadv2, fd, r, 2, 3l, 0l, 0), 4);
	CHECK_EQ(syscall(SYS_pwritev2, fd, w, 1, 0l, 0l, 16), 3); /* RWF_APPEND */
	CHECK_EQ(lseek(fd, 0, SEEK_END), 10);
	CHECK_EQ(lseek(fd, 8, SEEK_SET), 8);
	CHECK_EQ(syscall(SYS_preadv2, fd, r, 2, -1l, -1l, 0), 2);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 10);
	CHECK_ERRNO(syscall(SYS_preadv2, fd, r, 2, 0l, 0l, 0x100), EOPNOTSUPP);
	CHECK_ERRNO(writev(fd, w, -1), EINVAL);
	CHECK_ERRNO(writev(fd, w, 1025), EINVAL);
	CHECK_ERRNO(writev(fd, BAD, 1), EFAULT);
	CHECK_EQ(writev(fd, w, 0), 0);
	struct iovec neg = { b, -1 }, wild = { BAD, 5 };
	CHECK_ERRNO(readv(fd, &neg, 1), EINVAL);
	CHECK_ERRNO(writev(fd, &wild, 1), EFAULT);
	CHECK_ERRNO(preadv(fd, r, 2, -1), EINVAL);
	CHECK_ERRNO(pread(fd, b, 1, -1), EINVAL);
	int p[2];
	pipe(p);
	CHECK_ERRNO(pread(p[0], b, 1, 0), ESPIPE);
	CHECK_ERRNO(pwrite(p[1], b, 1, 0), ESPIPE);
	CHECK_ERRNO(lseek(p[0], 0, SEEK_CUR), ESPIPE);
	CHECK_ERRNO(lseek(fd, 0, 9), EINVAL);
	CHECK_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
	CHECK_ERRNO(lseek(fd, LLONG_MAX, SEEK_END), EINVAL);
	CHECK_ERRNO(pwrite(fd, b, 1, LLONG_MAX), EINVAL);
	CHECK_ERRNO(fsync(p[0]), EINVAL);
	CHECK_OK(fsync(fd));
	CHECK_OK(fdatasync(fd));
	CHECK_ERRNO(fsync(99), EBADF);
	close(p[0]), close(p[1]), close(fd);
}

int main(int argc, char **argv)
{
	return fs_main(argc, argv);
}
