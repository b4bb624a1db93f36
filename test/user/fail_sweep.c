// TIMEOUT: 120
// BOOT: --smp 4 --memory 1G
/*
 * Every allocation of a call made to fail in turn, once and three times in a row: the call gives ENOMEM (or what POSIX has it
 * say instead), the process lives, nothing is left behind. A line of the table is an action of a few calls; it gives 0 or the
 * errno of the first call that failed, and cleans up behind itself in both cases. After each line the kernel's checkers run;
 * a line is gone through twice, and objects and free pages are the same after the second time as after the first.
 */
#include "check.h"
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

#define P 4096ul
#define MAX_N 200
#define BIG (4ul << 20)

static int fail_fd = -1;
static char *self;
static int bad_errno; /* of the running line: what it gave but should not */

/* ---- arming ---- */

static bool there(void)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/self/task/%d/fail-nth", (int)syscall(SYS_gettid));
	if (fail_fd >= 0)
		close(fail_fd);
	fail_fd = open(path, O_RDWR | O_CLOEXEC);
	return fail_fd >= 0;
}

static void arm(int n, int count)
{
	char text[32];
	int len = snprintf(text, sizeof text, "%d %d", n, count);

	/* the write's own buffer may be what fails: then it is tried again */
	for (int tries = 0; write(fail_fd, text, len) != len; tries++)
		if (errno != ENOMEM || tries > 5)
			_exit(99);
}

/* Had the failures begun? Reading counts as well: if it is what they hit, the answer is no. */
static bool disarm(void)
{
	char text[32] = "";
	ssize_t n = pread(fail_fd, text, sizeof text - 1, 0);
	bool fired = n > 0 && atoi(text) == 0;

	arm(0, 1);
	return fired;
}

/* ---- actions ---- */

#define TRY(call)                      \
	do {                           \
		if ((call) == -1) {    \
			err = errno;   \
			goto out;      \
		}                      \
	} while (0)

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

/* In a child, which may be killed. */
static int a_exec(void);

static const struct line {
	const char *name;
	int (*fn)(void);
	int also; /* an errno that is right beside ENOMEM */
} lines[] = {
	{ "fork", a_fork, EAGAIN },
	{ "vfork", a_vfork, EAGAIN },
	{ "exec", a_exec, 0 },
	{ "thread", a_thread, EAGAIN },
	{ "mmap", a_mmap, EAGAIN /* mlock */ },
	{ "mremap", a_mremap, 0 },
	{ "fault_anon", a_fault_anon, 0 },
	{ "fault_cow", a_fault_cow, EAGAIN },
	{ "fault_file", a_fault_file, ENOSPC },
	{ "copy", a_copy, EFAULT },
	{ "open", a_open, ENOSPC },
	{ "read_dirs", a_read_dirs, 0 },
	{ "pipe", a_pipe, EFAULT },
	{ "sockets", a_sockets, ENOSPC },
	{ "event_files", a_event_files, ENOSPC },
	{ "ipc", a_ipc, ENOSPC },
	{ "mounts", a_mounts, ENOSPC },
	{ "signals", a_signals, EAGAIN },
};

static int exec_n, exec_count;
static bool exec_fired;

static int a_exec(void)
{
	int st;
	pid_t p = vfork(); /* the parent waits: what it armed counts for the child from now on */

	if (!p) {
		char *argv[] = { self, "--ok", "some", "words", NULL };
		char text[32], path[64];

		snprintf(path, sizeof path, "/proc/self/task/%d/fail-nth", (int)syscall(SYS_gettid));
		int fd = open(path, O_WRONLY | O_CLOEXEC);
		int len = snprintf(text, sizeof text, "%d %d", exec_n, exec_count);
		if (write(fd, text, len) != len)
			_exit(60);
		execv(self, argv);
		int e = errno;
		_exit(e == ENOMEM ? 50 : e);
	}
	if (p < 0)
		return errno;
	if (waitpid(p, &st, 0) != p)
		return EPROTO;
	exec_fired = st != 0;
	if (st == 0 || st == 50 << 8 || st == 60 << 8)
		return st ? ENOMEM : 0;
	return WIFSIGNALED(st) && (WTERMSIG(st) == SIGKILL || WTERMSIG(st) == SIGSEGV || WTERMSIG(st) == SIGBUS) ? ENOMEM : WEXITSTATUS(st);
}

/* ---- the sweep ---- */

struct state { char text[16384]; long free; };

static long field(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? atol(at + strlen(name)) : 0;
}

static void slurp(const char *path, char *text, int size)
{
	int fd = open(path, O_RDONLY), len = 0, n;

	while (fd >= 0 && len < size - 1 && (n = read(fd, text + len, size - 1 - len)) > 0)
		len += n;
	text[len] = 0;
	close(fd);
}

static void look(struct state *s)
{
	char mem[4096];

	slurp("/proc/slabinfo", s->text, sizeof s->text);
	slurp("/proc/meminfo", mem, sizeof mem);
	s->free = field(mem, "MemFree:") + field(mem, "Slab:") + field(mem, "KernelStack:") + field(mem, "PageTables:") + field(mem, "Cached:");
}

/* Objects in use that were not before. say: print them. */
static int leaks(struct state *a, struct state *b, bool say)
{
	int n = 0;

	for (char *l = b->text; (l = strchr(l, '\n')) && l[1]; ) {
		char name[40], key[44];
		long used;

		l++;
		if (sscanf(l, "%39s %ld", name, &used) != 2 || !strncmp(name, "magazine", 8))
			continue;
		snprintf(key, sizeof key, "\n%s ", name);
		long before = field(a->text, key);
		if (used > before) {
			n++;
			if (say)
				printf("  leak: %s had %ld objects, has %ld\n", name, before, used);
		}
	}
	if (b->free < a->free - 1024) {
		n++;
		if (say)
			printf("  leak: %ld KiB were free, %ld KiB are\n", a->free, b->free);
	}
	return n;
}

static int sweep_line(const struct line *l, int *failures)
{
	int quiet = 0, n;

	for (n = 1; n <= MAX_N && quiet < 6; n++) {
		bool fired = false;

		for (int count = 1; count <= 3; count += 2) {
			int e;

			if (l->fn == a_exec) {
				exec_n = n;
				exec_count = count;
				e = l->fn();
				fired |= exec_fired;
			} else {
				arm(n, count);
				e = l->fn();
				fired |= disarm();
			}
			*failures += e != 0;
			if (e && e != ENOMEM && e != l->also && bad_errno++ < 5)
				printf("  %s, allocation %d (%d fail): %s\n", l->name, n, count, strerror(e));
		}
		quiet = fired ? 0 : quiet + 1;
	}
	return n - 1;
}

static void run_line(const struct line *l)
{
	static struct state before, after;
	int failures = 0, n, fd;
	char text[16] = "";

	bad_errno = 0;
	sweep_line(l, &failures);
	usleep(20000);
	look(&before);
	n = sweep_line(l, &failures);
	for (int tries = 0; tries < 40; tries++) { /* frees come after grace periods */
		look(&after);
		if (!leaks(&before, &after, false))
			break;
		usleep(20000);
	}
	CHECK_EQ(leaks(&before, &after, true), 0);
	CHECK_EQ(bad_errno, 0);
	fd = open("/proc/sys/vm/check", O_RDWR);
	CHECK_EQ(write(fd, "1", 1), 1);
	CHECK_GE(pread(fd, text, sizeof text - 1, 0), 1);
	CHECK_EQ(atoi(text), 0);
	close(fd);
	printf("  %s: %d allocations, %d failures\n", l->name, n, failures);
}

TEST(fail_sweep)
{
	if (!there())
		return; /* not Quoin */
	signal(SIGUSR1, SIG_IGN);
	signal(SIGRTMIN, SIG_IGN);
	for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++)
		run_line(&lines[i]);
}

int main(int argc, char **argv)
{
	self = argv[0];
	if (argc > 1 && !strcmp(argv[1], "--ok"))
		return 0;
	return check_main(argc, argv);
}
