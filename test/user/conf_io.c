// TIMEOUT: 60
/*
 * conf_io.c - reading, writing, pipes, splice and its kin, memfd and the ioctls of every descriptor as
 * the manual pages have them: what succeeds, each errno that can be made, the limits.
 */
#include "conf.h"
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/file.h>

#ifndef F_SETPIPE_SZ
#define F_SETPIPE_SZ 1031
#define F_GETPIPE_SZ 1032
#endif

TEST(pipe_calls)
{
	int p[2];
	char b[70000] = "", c;

	CHECK_ERRNO(syscall(SYS_pipe, BAD), EFAULT);
	CHECK_ERRNO(syscall(SYS_pipe2, BAD, 0), EFAULT);
	CHECK_ERRNO(syscall(SYS_pipe2, p, 1), EINVAL);
	CHECK_ERRNO(syscall(SYS_pipe2, p, O_APPEND), EINVAL);
	CHECK_OK(pipe2(p, O_CLOEXEC | O_NONBLOCK));
	CHECK_EQ(fcntl(p[0], F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(p[1], F_GETFL), O_WRONLY | O_NONBLOCK);
	CHECK_ERRNO(read(p[1], b, 1), EBADF);
	CHECK_ERRNO(write(p[0], b, 1), EBADF);
	CHECK_ERRNO(lseek(p[0], 0, SEEK_CUR), ESPIPE);
	CHECK_ERRNO(pread(p[0], b, 1, 0), ESPIPE);
	CHECK_ERRNO(pwrite(p[1], b, 1, 0), ESPIPE);
	CHECK_EQ(write(p[1], b, 0), 0);
	CHECK_EQ(write(p[1], b, 70000), 65536);
	CHECK_ERRNO(write(p[1], b, 1), EAGAIN);
	CHECK_EQ(read(p[0], b, 4095), 4095);
	CHECK_ERRNO(write(p[1], b, 4096), EAGAIN);
	CHECK_EQ(read(p[0], b, 70000), 65536 - 4095);
	CHECK_ERRNO(read(p[0], b, 1), EAGAIN);
	CHECK_EQ(read(p[0], b, 0), 0);
	CHECK_ERRNO(write(p[1], BAD, 10), EFAULT);
	write(p[1], "xyz", 3);
	CHECK_ERRNO(read(p[0], BAD, 3), EFAULT);
	CHECK_EQ(read(p[0], b, 3), 3);
	close(p[0]);
	catch(SIGPIPE, 0);
	CHECK_ERRNO(write(p[1], "x", 1), EPIPE);
	CHECK_EQ(caught, SIGPIPE);
	CHECK_EQ(write(p[1], "x", 0), 0);
	signal(SIGPIPE, SIG_IGN);
	CHECK_ERRNO(write(p[1], "x", 1), EPIPE);
	signal(SIGPIPE, SIG_DFL);
	close(p[1]);
	pipe(p);
	struct stat st;
	fstat(p[0], &st);
	CHECK(S_ISFIFO(st.st_mode));
	CHECK_EQ(st.st_mode & 07777, 0600);
	close(p[1]);
	CHECK_EQ(read(p[0], &c, 1), 0);
	close(p[0]);
	/* packets */
	CHECK_OK(pipe2(p, O_DIRECT));
	write(p[1], "abc", 3);
	write(p[1], "defg", 4);
	CHECK_EQ(read(p[0], b, 100), 3);
	CHECK_EQ(read(p[0], b, 2), 2);
	write(p[1], "z", 1);
	CHECK_EQ(read(p[0], b, 100), 1);
	close(p[0]);
	close(p[1]);
	/* interrupted */
	pipe(p);
	catch(SIGALRM, 0);
	CHECK_INTERRUPTED(read(p[0], b, 1), EINTR);
	ualarm(20000, 20000);
	CHECK_EQ(write(p[1], b, 70000), 65536);
	ualarm(0, 0);
	CHECK_INTERRUPTED(write(p[1], b, 1), EINTR);
	close(p[0]);
	close(p[1]);
}

TEST(read_write)
{
	int fd = scratch("rw"), dir = open(".", O_RDONLY), ro = open("rw", O_RDONLY), wo = open("rw", O_WRONLY);
	char b[100];
	struct iovec v[2] = { { "hello", 5 }, { " world", 6 } }, bad[2] = { { b, 5 }, { (void *)4096, 5 } };
	struct iovec big[2] = { { b, 5 }, { b, (size_t)-1 } };

	CHECK_ERRNO(read(-1, b, 1), EBADF);
	CHECK_ERRNO(read(dir, b, 1), EISDIR);
	CHECK_ERRNO(pread(dir, b, 1, 0), EISDIR);
	CHECK_ERRNO(write(dir, b, 1), EBADF);
	CHECK_ERRNO(write(ro, b, 1), EBADF);
	CHECK_ERRNO(read(wo, b, 1), EBADF);
	CHECK_EQ(writev(fd, v, 2), 11);
	CHECK_ERRNO(writev(fd, v, -1), EINVAL);
	CHECK_ERRNO(writev(fd, v, 1025), EINVAL);
	CHECK_EQ(writev(fd, v, 0), 0);
	CHECK_EQ(writev(fd, NULL, 0), 0);
	CHECK_ERRNO(writev(fd, BAD, 1), EFAULT);
	CHECK_ERRNO(writev(fd, big, 2), EINVAL);
	CHECK_ERRNO(readv(fd, big, 2), EINVAL);
	CHECK_ERRNO(readv(fd, v, -1), EINVAL);
	CHECK_ERRNO(readv(dir, bad, 1), EISDIR);
	CHECK_EQ(pread(fd, b, 100, 6), 5);
	CHECK_EQ(pread(fd, b, 100, 11), 0);
	CHECK_ERRNO(pread(fd, b, 100, -1), EINVAL);
	CHECK_ERRNO(pwrite(fd, b, 100, -1), EINVAL);
	CHECK_ERRNO(pread(fd, BAD, 3, 0), EFAULT);
	lseek(fd, 0, SEEK_SET);
	CHECK_EQ(readv(fd, bad, 2), 5);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5);
	CHECK_ERRNO(read(fd, BAD, 1), EFAULT);
	CHECK_ERRNO(write(fd, BAD, 1), EFAULT);
	CHECK_ERRNO(read(fd, BAD, 0), EFAULT);
	CHECK_EQ(read(fd, (void *)4096, 0), 0);
	CHECK_EQ(preadv(fd, bad, 1, 2), 5);
	CHECK_ERRNO(preadv(fd, bad, 1, -1), EINVAL);
	CHECK_ERRNO(preadv(fd, bad, -1, 0), EINVAL);
	CHECK_EQ(syscall(SYS_preadv2, fd, bad, 1, 0L, 0L, 0), 5);
	CHECK_ERRNO(syscall(SYS_preadv2, fd, bad, 1, 0L, 0L, 0x1000), EOPNOTSUPP);
	lseek(fd, 3, SEEK_SET);
	CHECK_EQ(syscall(SYS_preadv2, fd, bad, 1, -1L, -1L, 0), 5);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 8);
	CHECK_EQ(syscall(SYS_pwritev2, fd, v, 1, -1L, -1L, 0x10 /* RWF_APPEND */), 5);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 16);
	CHECK_ERRNO(syscall(SYS_preadv2, fd, bad, 1, 0L, 0L, 8 /* RWF_NOWAIT */), EOPNOTSUPP);	/* tmpfs */
	/* appending ignores the offset of pwrite */
	fcntl(fd, F_SETFL, O_APPEND);
	CHECK_EQ(pwrite(fd, "Z", 1, 0), 1);
	CHECK_EQ(pread(fd, b, 1, 0), 1);
	CHECK_EQ(b[0], 'h');
	/* lseek */
	CHECK_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
	CHECK_ERRNO(lseek(fd, 0, 99), EINVAL);
	CHECK_ERRNO(lseek(-1, 0, SEEK_SET), EBADF);
	CHECK_EQ(lseek(fd, 5, SEEK_END), 22);
	CHECK_ERRNO(lseek(fd, LONG_MAX, SEEK_CUR), EINVAL);
	CHECK_EQ(lseek(fd, 3, SEEK_DATA), 3);
	CHECK_EQ(lseek(fd, 3, SEEK_HOLE), 17);
	CHECK_ERRNO(lseek(fd, 17, SEEK_DATA), ENXIO);
	CHECK_ERRNO(lseek(fd, 17, SEEK_HOLE), ENXIO);
	CHECK_ERRNO(lseek(fd, -1, SEEK_DATA), ENXIO);
	/* file size limit */
	CHECK_EXITS(0,
		struct rlimit r = { 20, RLIM_INFINITY };
		fcntl(fd, F_SETFL, 0);
		setrlimit(RLIMIT_FSIZE, &r);
		catch(SIGXFSZ, 0);
		CHECK_EQ(pwrite(fd, b, 10, 15), 5);
		CHECK_EQ(caught, 0);
		CHECK_ERRNO(pwrite(fd, b, 10, 20), EFBIG);
		CHECK_EQ(caught, SIGXFSZ);
		caught = 0;
		CHECK_ERRNO(ftruncate(fd, 21), EFBIG);
		CHECK_EQ(caught, SIGXFSZ));
	close(fd);
	close(dir);
	close(ro);
	close(wo);
}

TEST(splice_family)
{
	int p[2], q[2], fd = scratch("s"), out = scratch("s2"), dir = open(".", O_RDONLY), app = open("s2", O_WRONLY | O_APPEND);
	loff_t off = 2;
	off_t soff = 1;
	char b[100];
	struct iovec v = { "vmsp", 4 };

	pipe(p);
	pipe(q);
	write(fd, "0123456789", 10);
	lseek(fd, 0, SEEK_SET);
	CHECK_ERRNO(splice(fd, NULL, out, NULL, 5, 0), EINVAL);
	CHECK_ERRNO(splice(-1, NULL, p[1], NULL, 5, 0), EBADF);
	CHECK_ERRNO(splice(fd, NULL, -1, NULL, 5, 0), EBADF);
	CHECK_ERRNO(splice(fd, NULL, p[0], NULL, 5, 0), EBADF);
	CHECK_ERRNO(splice(fd, NULL, p[1], NULL, 5, 0x100), EINVAL);
	CHECK_ERRNO(splice(fd, NULL, p[1], &off, 5, 0), ESPIPE);
	CHECK_ERRNO(splice(p[0], NULL, p[1], NULL, 5, 0), EINVAL);
	CHECK_ERRNO(splice(p[0], NULL, app, NULL, 5, SPLICE_F_NONBLOCK), EINVAL);
	CHECK_EQ(splice(fd, NULL, p[1], NULL, 0, 0), 0);
	CHECK_EQ(splice(fd, &off, p[1], NULL, 5, 0), 5);
	CHECK_EQ(off, 7);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
	CHECK_EQ(tee(p[0], q[1], 3, 0), 3);
	CHECK_ERRNO(tee(p[0], p[1], 3, 0), EINVAL);
	CHECK_ERRNO(tee(fd, q[1], 3, 0), EINVAL);
	CHECK_ERRNO(tee(-1, q[1], 3, 0), EBADF);
	CHECK_ERRNO(tee(p[1], q[1], 3, 0), EBADF);
	CHECK_EQ(read(q[0], b, 100), 3);
	CHECK_EQ(b[0], '2');
	CHECK_EQ(splice(p[0], NULL, out, NULL, 100, 0), 5);
	CHECK_ERRNO(splice(p[0], NULL, out, NULL, 100, SPLICE_F_NONBLOCK), EAGAIN);
	CHECK_ERRNO(tee(p[0], q[1], 3, SPLICE_F_NONBLOCK), EAGAIN);
	CHECK_EQ(vmsplice(p[1], &v, 1, 0), 4);
	CHECK_ERRNO(vmsplice(fd, &v, 1, 0), EBADF);
	CHECK_ERRNO(vmsplice(-1, &v, 1, 0), EBADF);
	CHECK_ERRNO(vmsplice(p[1], &v, 1025, 0), EINVAL);
	CHECK_ERRNO(vmsplice(p[1], BAD, 1, 0), EFAULT);
	CHECK_EQ(vmsplice(p[1], &v, 0, 0), 0);
	CHECK_EQ(splice(p[0], NULL, q[1], NULL, 100, 0), 4);
	CHECK_EQ(read(q[0], b, 100), 4);
	/* sendfile */
	CHECK_EQ(sendfile(out, fd, &soff, 4), 4);
	CHECK_EQ(soff, 5);
	CHECK_EQ(sendfile(out, fd, NULL, 100), 10);
	CHECK_EQ(sendfile(out, fd, NULL, 100), 0);
	CHECK_ERRNO(sendfile(-1, fd, NULL, 1), EBADF);
	CHECK_ERRNO(sendfile(out, -1, NULL, 1), EBADF);
	CHECK_ERRNO(sendfile(app, fd, NULL, 1), EINVAL);
	CHECK_ERRNO(sendfile(out, app, NULL, 1), EBADF);
	CHECK_ERRNO(sendfile(dir, fd, NULL, 1), EBADF);
	CHECK_ERRNO(syscall(SYS_sendfile, out, fd, BAD, 1L), EFAULT);
	soff = -1;
	CHECK_ERRNO(sendfile(out, fd, &soff, 1), EINVAL);
	CHECK_ERRNO(sendfile(out, p[0], NULL, 1), EINVAL);
	/* copy_file_range */
	loff_t a = 0, c = 50;
	CHECK_EQ(copy_file_range(fd, &a, out, &c, 5, 0), 5);
	CHECK_EQ(a, 5);
	CHECK_EQ(c, 55);
	CHECK_ERRNO(copy_file_range(fd, &a, out, &c, 5, 1), EINVAL);
	CHECK_ERRNO(copy_file_range(-1, &a, out, &c, 5, 0), EBADF);
	CHECK_ERRNO(copy_file_range(fd, &a, app, &c, 5, 0), EBADF);
	CHECK_ERRNO(copy_file_range(dir, &a, out, &c, 5, 0), EISDIR);
	CHECK_ERRNO(copy_file_range(p[0], NULL, out, &c, 5, 0), EINVAL);
	a = 0;
	c = 2;
	CHECK_ERRNO(copy_file_range(fd, &a, fd, &c, 5, 0), EINVAL);
	a = 100;
	CHECK_EQ(copy_file_range(fd, &a, out, &c, 5, 0), 0);
	a = -1;
	CHECK_ERRNO(copy_file_range(fd, &a, out, &c, 5, 0), EOVERFLOW);
	for (int i = 3; i < 20; i++)
		close(i);
}

TEST(memfd_calls)
{
	char name[300];
	int fd;

	memset(name, 'a', 299);
	name[250] = 0;
	CHECK_ERRNO(syscall(SYS_memfd_create, name, 0), EINVAL);
	name[249] = 0;
	CHECK_OK(fd = syscall(SYS_memfd_create, name, 1));
	CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
	CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
	close(fd);
	CHECK_ERRNO(syscall(SYS_memfd_create, BAD, 0), EFAULT);
	CHECK_ERRNO(syscall(SYS_memfd_create, "x", 0x100), EINVAL);
	CHECK_OK(fd = memfd_create("x", MFD_ALLOW_SEALING));
	CHECK_EQ(fcntl(fd, F_GET_SEALS), 0);
	CHECK_OK(ftruncate(fd, 8192));
	CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, 0x1000), EINVAL);
	void *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
	munmap(m, 4096);
	CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	CHECK_ERRNO(ftruncate(fd, 4096), EPERM);
	CHECK_OK(ftruncate(fd, 16384));
	CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	CHECK_ERRNO(ftruncate(fd, 20000), EPERM);
	CHECK_ERRNO(pwrite(fd, "x", 1, 16384), EPERM);
	CHECK_ERRNO(fallocate(fd, 0, 16384, 10), EPERM);
	CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	CHECK_ERRNO(write(fd, "x", 1), EPERM);
	CHECK_ERRNO(fallocate(fd, 3, 0, 4096), EPERM);
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EPERM);
	CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
	CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), EPERM);
	close(fd);
	fd = scratch("m");
	int r = fcntl(fd, F_GET_SEALS);
	CHECK(r == F_SEAL_SEAL || (r == -1 && errno == EINVAL));
	close(fd);
}

TEST(ioctls)
{
	int fd = scratch("io"), p[2], n = 0, z = open("/dev/null", O_RDWR);

	CHECK_ERRNO(ioctl(-1, FIONREAD, &n), EBADF);
	CHECK_ERRNO(ioctl(fd, 0x5401 /* TCGETS */, &n), ENOTTY);
	CHECK_ERRNO(ioctl(z, 0x5401, &n), ENOTTY);
	write(fd, "12345", 5);
	lseek(fd, 1, SEEK_SET);
	CHECK_OK(ioctl(fd, FIONREAD, &n));
	CHECK_EQ(n, 4);
	CHECK_ERRNO(ioctl(fd, FIONREAD, BAD), EFAULT);
	CHECK_OK(ioctl(fd, FIOCLEX));
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_OK(ioctl(fd, FIONCLEX));
	CHECK_EQ(fcntl(fd, F_GETFD), 0);
	pipe(p);
	n = 1;
	CHECK_OK(ioctl(p[0], FIONBIO, &n));
	CHECK_EQ(fcntl(p[0], F_GETFL), O_NONBLOCK);
	CHECK_ERRNO(ioctl(p[0], FIONBIO, BAD), EFAULT);
	CHECK_ERRNO(ioctl(p[0], 0x12345678, &n), ENOTTY);
	CHECK_ERRNO(ioctl(p[0], 0x5401, &n), ENOTTY);
	close(fd);
	close(p[0]);
	close(p[1]);
	close(z);
}

TEST_MAIN
