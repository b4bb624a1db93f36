// TIMEOUT: 120
// BOOT: --smp 4 --memory 1G
/*
 * Sequences of calls with every allocation made to fail in turn (fail.h): each row is an action that gives 0 or the errno of the first
 * call that failed, and cleans up behind itself in both cases with failures still to come.
 */
#include "fail.h"
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>

#define BIG (4ul << 20)

static int a_fork(void)
{
	pid_t p = fork();
	int st;

	if (!p)
		_exit(0);
	if (p < 0)
		return errno;
	if (waitpid(p, &st, 0) != p || st)
		return EPROTO;
	return 0;
}

static int a_vfork(void)
{
	pid_t p = vfork();

	if (!p)
		_exit(0);
	if (p < 0)
		return errno;
	return waitpid(p, NULL, 0) == p ? 0 : EPROTO;
}

static void *nothing(void *arg)
{
	return arg;
}

static int a_thread(void)
{
	pthread_t t;
	int e = pthread_create(&t, NULL, nothing, NULL);

	if (!e)
		pthread_join(t, NULL);
	return e;
}

static int a_mmap(void)
{
	int err = 0;
	char *m = mmap(NULL, 64 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (m == MAP_FAILED)
		return errno;
	TRY(mprotect(m + 8 * P, 8 * P, PROT_READ));
	TRY(munmap(m + 32 * P, 4 * P));
	TRY(madvise(m + 16 * P, P, 14));
	TRY(madvise(m, 64 * P, MADV_DONTFORK) == -1 && errno != ENOMEM ? -1 : 0);
	TRY(mprotect(m, 24 * P, PROT_NONE));
	TRY(mlock(m + 40 * P, 4 * P));
out:
	if (munmap(m, 64 * P) && errno != ENOMEM)
		return EPROTO;
	munmap(m, 64 * P);
	return err;
}

static int a_mremap(void)
{
	int err = 0;
	char *n, *m = mmap(NULL, 16 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	unsigned long len = 16 * P;

	if (m == MAP_FAILED)
		return errno;
	memset(m, 7, len);
	n = mremap(m, 16 * P, 2048 * P, MREMAP_MAYMOVE);
	if (n == MAP_FAILED) {
		err = errno;
	} else {
		m = n;
		len = 2048 * P;
	}
	for (unsigned long i = 0; i < 16 * P; i += P)
		if (m[i] != 7)
			return EPROTO;
	munmap(m, len);
	return err;
}

/* Faults: the kernel tries again, or kills; a program does not see ENOMEM. */
static int a_fault_anon(void)
{
	char *m = mmap(NULL, BIG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (m == MAP_FAILED)
		return errno;
	madvise(m, BIG, 14); /* huge pages */
	for (unsigned long i = 0; i < BIG; i += BIG / 8)
		m[i] = 1;
	madvise(m, BIG, 15);
	madvise(m, BIG, MADV_DONTNEED);
	for (unsigned long i = 0; i < BIG; i += BIG / 8)
		m[i]++;
	for (unsigned long i = 0; i < BIG; i += BIG / 8)
		if (m[i] != 1)
			return EPROTO;
	munmap(m, BIG);
	return 0;
}

static int a_fault_cow(void)
{
	char *m = mmap(NULL, 8 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	pid_t p;
	int st, err = 0;

	if (m == MAP_FAILED)
		return errno;
	memset(m, 3, 8 * P);
	p = fork();
	if (!p) {
		pause();
		_exit(0);
	}
	if (p < 0) {
		err = errno;
	} else {
		for (int i = 0; i < 8; i++)
			m[i * P]++;
		kill(p, SIGKILL);
		waitpid(p, &st, 0);
	}
	for (int i = 0; i < 8; i++)
		if (m[i * P] != (p > 0 ? 4 : 3))
			return EPROTO;
	munmap(m, 8 * P);
	return err;
}

static int a_fault_file(void)
{
	int fd = open("/tmp/sweep.map", O_RDWR | O_CREAT, 0600), err = 0;
	char *s = MAP_FAILED, *p = MAP_FAILED;

	if (fd < 0)
		return errno;
	TRY(ftruncate(fd, 40 * P));
	s = mmap(NULL, 40 * P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	p = mmap(NULL, 40 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (s == MAP_FAILED || p == MAP_FAILED) {
		err = errno;
		goto out;
	}
	for (int i = 0; i < 40; i += 9) {
		s[i * P] = i;
		p[i * P + 1] = i;
	}
	for (int i = 0; i < 40; i += 9)
		if (p[i * P] != i || s[i * P + 1])
			err = EPROTO;
	TRY(msync(s, 40 * P, MS_SYNC));
out:
	if (s != MAP_FAILED)
		munmap(s, 40 * P);
	if (p != MAP_FAILED)
		munmap(p, 40 * P);
	close(fd);
	unlink("/tmp/sweep.map");
	return err;
}

static int a_copy(void)
{
	static char text[3 * P];
	char *m = mmap(NULL, 8 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec l = { text, sizeof text }, r = { m, sizeof text };
	int fd = open("/dev/zero", O_RDONLY), err = 0;

	if (m == MAP_FAILED || fd < 0) {
		err = errno;
		goto out;
	}
	TRY(read(fd, m, 3 * P));
	TRY(process_vm_writev(getpid(), &l, 1, &r, 1, 0));
	TRY(syscall(SYS_getcwd, m + 6 * P, P));
out:
	if (m != MAP_FAILED)
		munmap(m, 8 * P);
	if (fd >= 0)
		close(fd);
	return err;
}

static int a_open(void)
{
	struct stat st;
	char text[64];
	int fd = -1, err = 0;

	TRY(mkdir("/tmp/sweep", 0700));
	TRY(fd = open("/tmp/sweep/a_name_longer_than_the_ones_that_are_kept_in_the_dentry", O_RDWR | O_CREAT, 0600));
	TRY(write(fd, "hello", 5));
	TRY(pwrite(fd, "hello", 5, 1 << 20));
	TRY(symlink("a", "/tmp/sweep/link"));
	TRY(readlink("/tmp/sweep/link", text, sizeof text));
	TRY(rename("/tmp/sweep/link", "/tmp/sweep/l2"));
	TRY(stat("/tmp/sweep/a_name_longer_than_the_ones_that_are_kept_in_the_dentry", &st));
	TRY(link("/tmp/sweep/a_name_longer_than_the_ones_that_are_kept_in_the_dentry", "/tmp/sweep/b"));
	TRY(fallocate(fd, 0, 0, 5 * P));
	TRY(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, P, P));
	TRY(syscall(SYS_fsetxattr, fd, "user.x", "value", 5, 0) == -1 && errno == EOPNOTSUPP ? 0 : 0);
	TRY(truncate("/tmp/sweep/b", 100));
out:
	if (fd >= 0)
		close(fd);
	for (int i = 0; i < 5; i++) { /* the removals may be what the failure hits */
		unlink("/tmp/sweep/a_name_longer_than_the_ones_that_are_kept_in_the_dentry");
		unlink("/tmp/sweep/b");
		unlink("/tmp/sweep/link");
		unlink("/tmp/sweep/l2");
		rmdir("/tmp/sweep");
	}
	return err;
}

static int a_read_dirs(void)
{
	static const char *const names[] = { "/proc", "/proc/self/fd", "/sys/devices/system/cpu", "/dev" };
	static const char *const texts[] = { "/proc/self/maps", "/proc/self/smaps", "/proc/self/status", "/proc/meminfo", "/proc/self/stat",
					     "/proc/mounts", "/proc/self/mountinfo", "/proc/slabinfo", "/proc/interrupts", "/proc/vmstat" };
	char text[2048];
	int fd = -1, err = 0;

	for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
		TRY(fd = open(names[i], O_RDONLY | O_DIRECTORY));
		TRY(syscall(SYS_getdents64, fd, text, sizeof text));
		close(fd);
		fd = -1;
	}
	for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
		TRY(fd = open(texts[i], O_RDONLY));
		TRY(read(fd, text, sizeof text));
		close(fd);
		fd = -1;
	}
out:
	if (fd >= 0)
		close(fd);
	return err;
}

static int a_pipe(void)
{
	int p[2] = { -1, -1 }, err = 0;
	static char text[20000];

	TRY(pipe(p));
	TRY(fcntl(p[0], F_SETPIPE_SZ, 1 << 17));
	fcntl(p[1], F_SETFL, O_NONBLOCK);
	TRY(write(p[1], text, sizeof text));
	TRY(read(p[0], text, 5000));
	TRY(fcntl(p[0], F_SETPIPE_SZ, 1 << 15));
out:
	close(p[0]);
	close(p[1]);
	return err;
}

static int a_sockets(void)
{
	int s[2] = { -1, -1 }, l = -1, c = -1, a = -1, err = 0;
	struct sockaddr_un sun = { AF_UNIX, "/tmp/sweep.sock" };
	char control[CMSG_SPACE(2 * sizeof(int))] = { 0 }, text[300] = { 0 };
	struct iovec iov = { text, sizeof text };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	struct cmsghdr *h = CMSG_FIRSTHDR(&mh);

	TRY(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s));
	*h = (struct cmsghdr){ .cmsg_len = CMSG_LEN(2 * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(h), s, 2 * sizeof(int)); /* a cycle: the socket holds itself */
	TRY(sendmsg(s[0], &mh, 0));
	TRY(write(s[0], text, sizeof text));
	TRY(l = socket(AF_UNIX, SOCK_STREAM, 0));
	TRY(bind(l, (void *)&sun, sizeof sun));
	TRY(listen(l, 3));
	TRY(c = socket(AF_UNIX, SOCK_STREAM, 0));
	TRY(connect(c, (void *)&sun, sizeof sun));
	TRY(a = accept(l, NULL, NULL));
	memset(control, 0, sizeof control);
	mh.msg_controllen = sizeof control;
	if (recvmsg(s[1], &mh, 0) > 0 && mh.msg_controllen >= CMSG_LEN(2 * sizeof(int))) {
		int got[2];
		memcpy(got, CMSG_DATA(h), sizeof got);
		close(got[0]);
		close(got[1]);
	}
out:
	if (err == ETOOMANYREFS)
		err = ENOMEM;
	for (int i = 0; err && i < 1; i++) { /* what is in flight comes out, or it would be for the collector */
		int got[2];

		fcntl(s[1], F_SETFL, O_NONBLOCK);
		mh.msg_controllen = sizeof control;
		if (recvmsg(s[1], &mh, MSG_DONTWAIT) > 0 && mh.msg_controllen >= CMSG_LEN(2 * sizeof(int))) {
			memcpy(got, CMSG_DATA(h), sizeof got);
			close(got[0]);
			close(got[1]);
		}
	}
	close(s[0]);
	close(s[1]);
	close(l);
	close(c);
	close(a);
	unlink("/tmp/sweep.sock");
	unlink("/tmp/sweep.sock");
	return err;
}

static int a_event_files(void)
{
	int ep = -1, ev = -1, in = -1, tf = -1, sf = -1, mf = -1, pt = -1, err = 0;
	struct epoll_event e = { .events = EPOLLIN };
	struct itimerspec its = { .it_value = { 100, 0 } };
	struct pollfd pfd[40];
	sigset_t set;

	sigemptyset(&set);
	TRY(ep = epoll_create1(0));
	TRY(ev = eventfd(0, EFD_NONBLOCK));
	TRY(epoll_ctl(ep, EPOLL_CTL_ADD, ev, &e));
	TRY(in = inotify_init1(IN_NONBLOCK));
	TRY(inotify_add_watch(in, "/tmp", IN_CREATE));
	close(open("/tmp/sweep.in", O_CREAT | O_WRONLY, 0600));
	unlink("/tmp/sweep.in");
	TRY(tf = timerfd_create(CLOCK_MONOTONIC, 0));
	TRY(timerfd_settime(tf, 0, &its, NULL));
	TRY(sf = syscall(SYS_signalfd4, -1, &set, 8, 0));
	TRY(mf = memfd_create("sweep", 0));
	TRY(ftruncate(mf, 100 * P));
	TRY(write(mf, "x", 1));
	TRY(pt = open("/dev/ptmx", O_RDWR | O_NOCTTY));
	for (int i = 0; i < 40; i++)
		pfd[i] = (struct pollfd){ .fd = ev, .events = POLLIN };
	TRY(poll(pfd, 40, 0));
	TRY(epoll_wait(ep, &e, 1, 0));
out:
	close(ep);
	close(ev);
	close(in);
	close(tf);
	close(sf);
	close(mf);
	close(pt);
	unlink("/tmp/sweep.in");
	return err;
}

static int a_ipc(void)
{
	struct { long type; char text[100]; } m = { 1, "x" };
	struct sembuf op = { 0, 1, SEM_UNDO };
	int q = -1, s = -1, h = -1, err = 0;
	void *at = (void *)-1;

	TRY(q = msgget(IPC_PRIVATE, 0600));
	TRY(msgsnd(q, &m, sizeof m.text, IPC_NOWAIT));
	TRY(s = semget(IPC_PRIVATE, 3, 0600));
	TRY(semop(s, &op, 1));
	TRY(h = shmget(IPC_PRIVATE, 3 * P, 0600));
	at = shmat(h, NULL, 0);
	if (at == (void *)-1)
		err = errno;
	else
		*(char *)at = 1;
out:
	if (at != (void *)-1)
		shmdt(at);
	for (int i = 0; i < 5; i++) {
		msgctl(q, IPC_RMID, NULL);
		semctl(s, 0, IPC_RMID);
		shmctl(h, IPC_RMID, NULL);
	}
	return err;
}

static int a_mounts(void)
{
	int err = 0;

	TRY(mkdir("/tmp/sweep.m", 0700));
	TRY(mount("none", "/tmp/sweep.m", "tmpfs", 0, "size=1m"));
	TRY(mkdir("/tmp/sweep.m/x", 0700));
	TRY(mount("/tmp/sweep.m/x", "/tmp/sweep.m/x", NULL, MS_BIND, NULL));
out:
	for (int i = 0; i < 5; i++) {
		umount2("/tmp/sweep.m/x", MNT_DETACH);
		umount2("/tmp/sweep.m", MNT_DETACH);
		rmdir("/tmp/sweep.m");
	}
	return err;
}

static int a_signals(void)
{
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN };
	union sigval v = { 0 };
	int id, err = 0;

	TRY(syscall(SYS_timer_create, CLOCK_MONOTONIC, &ev, &id));
	syscall(SYS_timer_delete, id);
	TRY(sigqueue(getpid(), SIGRTMIN, v));
	TRY(raise(SIGUSR1) ? -1 : 0);
out:
	return err;
}

static int a_exec(void)
{
	char *argv[] = { fail_self, "--ok", "some", "words", NULL };

	execv(fail_self, argv);
	return errno;
}

static const struct fail_case cases[] = {
	FAIL("fork", NULL, a_fork, NULL, .also = { EAGAIN }, .loose = true),
	FAIL("vfork", NULL, a_vfork, NULL, .also = { EAGAIN }, .loose = true),
	FAIL("exec", NULL, a_exec, NULL, .child = true, .loose = true),
	FAIL("thread", NULL, a_thread, NULL, .also = { EAGAIN }, .loose = true),
	FAIL("mmap", NULL, a_mmap, NULL, .also = { EAGAIN }, .loose = true),
	FAIL("mremap", NULL, a_mremap, NULL, .loose = true),
	FAIL("fault_anon", NULL, a_fault_anon, NULL, .loose = true),
	FAIL("fault_cow", NULL, a_fault_cow, NULL, .also = { EAGAIN }, .loose = true),
	FAIL("fault_file", NULL, a_fault_file, NULL, .also = { ENOSPC }, .loose = true),
	FAIL("copy", NULL, a_copy, NULL, .also = { EFAULT }, .loose = true),
	FAIL("open", NULL, a_open, NULL, .also = { ENOSPC }, .loose = true),
	FAIL("read_dirs", NULL, a_read_dirs, NULL, .loose = true),
	FAIL("pipe", NULL, a_pipe, NULL, .also = { EFAULT }, .loose = true),
	FAIL("sockets", NULL, a_sockets, NULL, .also = { ENOSPC }, .loose = true),
	FAIL("event_files", NULL, a_event_files, NULL, .also = { ENOSPC }, .loose = true),
	FAIL("ipc", NULL, a_ipc, NULL, .also = { ENOSPC }, .loose = true),
	FAIL("mounts", NULL, a_mounts, NULL, .also = { ENOSPC }, .loose = true),
	FAIL("signals", NULL, a_signals, NULL, .also = { EAGAIN }, .loose = true),
};

TEST(sequences)
{
	FAIL_FAMILY(cases);
}

/* ---- at random ---- */

static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return ok;
}

/* How many of 200 pipes could not be made. */
static int pipes_refused(void)
{
	int n = 0, p[2];

	for (int i = 0; i < 200; i++) {
		if (pipe(p)) {
			n += errno == ENOMEM;
			continue;
		}
		close(p[0]);
		close(p[1]);
	}
	return n;
}

/* Allocations of the marked fail, now and then; those of others do not, and the mark is inherited. */
TEST(at_random)
{
	if (!fail_there())
		return;
	CHECK(!put("/proc/sys/vm/fail_rate", "x"));
	CHECK(!put("/proc/self/make-it-fail", "2"));
	REQUIRE(put("/proc/sys/vm/fail_rate", "20 7"));
	CHECK_EQ(pipes_refused(), 0);
	int st = IN_CHILD({
		pid_t p = put("/proc/self/make-it-fail", "1") ? 0 : -1;

		for (int tries = 0; !p && tries < 50 && (p = fork()) < 0; tries++)
			p = 0;
		if (p > 0)
			_exit(waitpid(p, &st, 0) == p ? WEXITSTATUS(st) : 99);
		_exit(p ? 98 : pipes_refused() / 2);
	});
	REQUIRE(put("/proc/sys/vm/fail_rate", "0"));
	CHECK(WIFEXITED(st));
	CHECK_GE(WEXITSTATUS(st), 5); /* 200 pipes take more than 800 allocations */
	CHECK_LE(WEXITSTATUS(st), 90);
	CHECK_EQ(fail_checkers(), 0);
}

int main(int argc, char **argv)
{
	return fail_main(argc, argv);
}
