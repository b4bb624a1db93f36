// BOOT: --smp 4 --memory 1G
// VARIANTS: musl
// TIMEOUT: 120
// DEBUG: --seconds 8
/*
 * System calls at random. Workers start processes of several threads, each under its own user, with limits and with descriptors of every kind
 * open; they make calls of the table in sysfuzz_calls.h with arguments of the kind that the call takes, mostly good ones, some at the edge and
 * some absurd. Nothing is said about what the calls answer. What must hold: the kernel goes on, whatever is killed dies, the kernel's own checkers
 * find nothing, and at the end as many objects of each kind are in use as before.
 *
 * Usage: sysfuzz [--seconds S] [--workers N] [--threads N] [--seed X] [--only NAME,NAME...] [--skip NAME,NAME...] [--trace]
 * [--verbose]; 10 s, 4, 3, a random one. A round is a process; its calls depend on seed, worker and round alone, but what happens at the same time does not.
 * --trace writes each call to the kernel's log before it is made, --verbose prints how often each was made and succeeded.
 */
#include "sysfuzz_args.h"
#include "sysfuzz_calls.h"
#include "leaks.h"
#include "torture.h"
#include <dirent.h>
#include <errno.h>
#include <linux/capability.h>
#include <pthread.h>
#include <grp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#define ROOT "/tmp/sysfuzz"
#define ROUND_MS 250
#define DIE_MS 20000

static int seconds = 10, workers = 4, nthreads = 3, trace_fd = -1;
static uint64_t seed;
static bool used[NCALLS];
static struct shared {
	unsigned long made[NCALLS], done[NCALLS];
	int last[64][16];
} *sh; /* the children write it */
static unsigned long *rounds; /* they cannot */
static int worker;
static bool with_caps, verbose;
static __thread int me;

/* ---- calls ---- */

/* What makes a process that shares this stack must not return into it. */
static long call_and_leave(long nr, const ulong_t *a)
{
	register ulong_t r10 __asm__("r10") = a[3], r8 __asm__("r8") = a[4], r9 __asm__("r9") = a[5];
	long r = nr;

	__asm__ volatile("syscall\n\ttest %%rax, %%rax\n\tjnz 1f\n\tmovl $60, %%eax\n\txorl %%edi, %%edi\n\tsyscall\n\t1:"
			 : "+a"(r) : "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
	return r;
}

static void tell(const struct call *c, const ulong_t *a)
{
	char line[256];
	int n = snprintf(line, sizeof line, "sysfuzz %d: %s(%#lx, %#lx, %#lx, %#lx, %#lx, %#lx)\n", (int)syscall(SYS_gettid), c->name, a[0], a[1], a[2], a[3], a[4], a[5]);

	(void)!write(trace_fd, line, (size_t)n);
}

static void fuzz_calls(int n);

/* What takes away most of what the other calls need. */
static bool ends_much(int nr)
{
	return nr == SYS_exit || nr == SYS_close_range || nr == SYS_seccomp || nr == SYS_rt_sigprocmask || nr == SYS_timer_delete || nr == SYS_setrlimit;
}

static void fuzz_one(void)
{
	unsigned i = (unsigned)below(NCALLS);
	const struct call *c = &calls[i];
	ulong_t a[6];
	long r;

	if (!used[i] || (with_caps && c->root_never) || (ends_much(c->nr) && !one_in(8)))
		return;
	for (int k = 0, left = (int)strlen(c->args); k < 6; k++)
		a[k] = k < left ? argument(c->args[k]) : 0;
	sh->last[worker][me] = (int)i;
	__atomic_fetch_add(&sh->made[i], 1, __ATOMIC_RELAXED);
	if (trace_fd >= 0)
		tell(c, a);
	if (c->nr == SYS_clone || c->nr == SYS_clone3 || c->nr == SYS_vfork)
		r = call_and_leave(c->nr, a);
	else
		r = syscall(c->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (c->nr == SYS_fork && !r) {
		fuzz_calls(30);
		_exit(0);
	}
	if (r != -1)
		__atomic_fetch_add(&sh->done[i], 1, __ATOMIC_RELAXED);
}

static void fuzz_calls(int n)
{
	while (n-- > 0)
		fuzz_one();
}

/* A signal every few milliseconds, so that nothing blocks this thread for long. */
static void be_interrupted(void)
{
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM };
	struct itimerspec every = { { 0, 4000000 }, { 0, 4000000 } };
	int id;

	((int *)&ev.sigev_notify)[1] = (int)syscall(SYS_gettid); /* the C libraries disagree on the member's name */
	if (!syscall(SYS_timer_create, CLOCK_MONOTONIC, &ev, &id))
		syscall(SYS_timer_settime, id, 0, &every, NULL);
}

static void *fuzz_thread(void *arg)
{
	me = (int)(long)arg;
	rng += (uint64_t)me * 0x123456789abcdefull;
	be_interrupted();
	for (;;)
		fuzz_calls(100);
	return NULL;
}

/* ---- a round ---- */

static void limit(int what, rlim_t n)
{
	setrlimit(what, &(struct rlimit){ n, n });
}

static void become(int uid)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	unsigned keep = 1u << CAP_IPC_LOCK | 1u << CAP_IPC_OWNER | 1u << CAP_SYS_ADMIN | 1u << CAP_DAC_READ_SEARCH | 1u << CAP_SYS_CHROOT | 1u << CAP_LEASE;
	struct __user_cap_data_struct d[2] = { { keep, keep, 0 } };

	if (with_caps)
		prctl(PR_SET_KEEPCAPS, 1);
	if (setgroups(0, NULL) || setresgid((gid_t)uid, (gid_t)uid, (gid_t)uid) || setresuid((uid_t)uid, (uid_t)uid, (uid_t)uid))
		_exit(9);
	if (with_caps)
		syscall(SYS_capset, &h, d);
}

static void map_at(ulong_t page, ulong_t pages, int prot, int flags, int fd)
{
	mmap((void *)(ARENA + page * 4096), pages * 4096, prot, flags | MAP_FIXED, fd, 0);
}

static void open_things(void)
{
	int p[2], f = open("f0", O_RDWR | O_CREAT, 0600);
	struct sockaddr_un un = { AF_UNIX, "s0" };
	static const char *const files[] = { "/dev/null", "/dev/zero", "/dev/full", "/dev/urandom", ".", "/proc/self/mem", "/proc/self/maps", "/proc/self/pagemap",
					     "/proc/self/clear_refs", "/proc/self/fd", "/proc/self/smaps", "/dev/ptmx" };

	(void)!ftruncate(f, 1 << 20);
	for (unsigned i = 0; i < LEN(files); i++)
		if (open(files[i], O_RDWR | O_NONBLOCK | O_NOCTTY) < 0)
			open(files[i], O_RDONLY | O_NONBLOCK);
	open("f0", O_PATH);
	(void)!pipe(p);
	(void)!pipe2(p, O_NONBLOCK);
	socketpair(AF_UNIX, SOCK_STREAM, 0, p);
	socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, p);
	socketpair(AF_UNIX, SOCK_SEQPACKET, 0, p);
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	bind(s, (struct sockaddr *)&un, sizeof un);
	listen(s, 3);
	connect(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), (struct sockaddr *)&un, sizeof un);
	eventfd(1, EFD_NONBLOCK);
	epoll_create1(0);
	timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	syscall(SYS_signalfd4, -1, (uint64_t[]){ ~0ul }, 8, O_NONBLOCK);
	inotify_init1(IN_NONBLOCK);
	syscall(SYS_memfd_create, "m", 3);
	syscall(SYS_memfd_secret, 0);
	syscall(SYS_userfaultfd, 1 | O_NONBLOCK);
	syscall(SYS_pidfd_open, getpid(), 0);
	f = open("f0", O_RDWR);
	map_at(2304, 256, PROT_READ | PROT_WRITE, MAP_SHARED, f);
}

static void set_up(int uid)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY);

	(void)!write(fd, "800", 3);
	close(fd);
	for (fd = 0; fd < 3; fd++) { /* nothing of the harness is in reach */
		close(fd);
		open("/dev/null", O_RDWR);
	}
	for (; fd < 20; fd++)
		if (fd != trace_fd)
			close(fd);
	limit(RLIMIT_AS, 96 << 20);
	limit(RLIMIT_NPROC, 24);
	limit(RLIMIT_FSIZE, 1 << 20);
	limit(RLIMIT_NOFILE, 128);
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_MEMLOCK, 4 << 20);
	limit(RLIMIT_SIGPENDING, 200);
	limit(RLIMIT_MSGQUEUE, 100000);
	become(uid);
	munmap(rounds, 4096);
	map_at(0, 1024, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	map_at(1024, 512, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	map_at(1536, 256, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	map_at(1792, 512, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
	map_at(3072, 1024, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	madvise((void *)(ARENA + 3072 * 4096), 1024 * 4096, MADV_HUGEPAGE);
	open_things();
	for (ulong_t i = 0; i < 512; i++)
		((uint64_t *)ARENA)[i * 8] = absurd();
}

static void nothing(int sig) { (void)sig; }

static void run_round(uint64_t s, int uid)
{
	struct sigaction sa = { .sa_handler = nothing };
	pthread_t t;

	rng = s;
	setsid(); /* or a stopped child of a child in the harness' group makes an orphaned group of that: SIGHUP to all of it */
	with_caps = one_in(4);
	set_up(uid);
	for (int sig = 1; sig < 32; sig++)
		if (sig != SIGSEGV && sig != SIGBUS && sig != SIGILL && sig != SIGFPE)
			sigaction(sig, &sa, NULL);
	for (long i = 1; i < nthreads; i++)
		pthread_create(&t, NULL, fuzz_thread, (void *)i);
	fuzz_thread(NULL);
}

/* ---- what is left of it ---- */

static void remove_below(int at)
{
	DIR *d = fdopendir(at);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (!unlinkat(at, e->d_name, 0))
			continue;
		int sub = openat(at, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
		if (sub >= 0)
			remove_below(sub);
		unlinkat(at, e->d_name, AT_REMOVEDIR);
	}
	if (d)
		closedir(d);
}

static void remove_ipc(const char *path, int nr, int uid)
{
	char text[16384], *l = text;
	int key, id, who[6];

	leaks_slurp(path, text, sizeof text);
	bool shm = nr == SYS_shmctl;
	while ((l = strchr(l, '\n')) && l[1]) {
		l++;
		/* key id perms ... uid: the column differs by kind */
		if (shm ? sscanf(l, "%d %d %*o %*u %*d %*d %*d %d", &key, &id, who) == 3 :
		    nr == SYS_semctl ? sscanf(l, "%d %d %*o %*u %d", &key, &id, who) == 3 :
				       sscanf(l, "%d %d %*o %*u %*u %*d %*d %d", &key, &id, who) == 3)
			if (who[0] == uid)
				nr == SYS_semctl ? syscall(nr, id, 0, 0) : syscall(nr, id, 0, NULL);
	}
}

static void clean_up(int uid)
{
	static const char *const queues[] = { "q0", "q1", "m0", "tmpfs", "proc", "user.a", "trusted.b", "security.x" };
	char dir_name[64];
	int fd;

	remove_ipc("/proc/sysvipc/shm", SYS_shmctl, uid);
	remove_ipc("/proc/sysvipc/msg", SYS_msgctl, uid);
	remove_ipc("/proc/sysvipc/sem", SYS_semctl, uid);
	for (unsigned i = 0; i < LEN(queues); i++)
		syscall(SYS_mq_unlink, queues[i]);
	unlink("/dev/shm/x");
	snprintf(dir_name, sizeof dir_name, ROOT "/%d", worker);
	fd = open(dir_name, O_RDONLY | O_DIRECTORY);
	if (fd >= 0)
		remove_below(fd);
	chmod(dir_name, 0777);
}

static void kill_all_of(int uid)
{
	if (!fork()) {
		with_caps = false;
		if (setresuid((uid_t)uid, (uid_t)uid, (uid_t)uid))
			_exit(1);
		kill(-1, SIGKILL);
		_exit(0);
	}
}

static void say_who_lives(void)
{
	char line[256];
	FILE *f = popen("ps -o pid,ppid,stat,wchan,comm 2>/dev/null || ps", "r");

	while (f && fgets(line, sizeof line, f))
		printf("  %s", line);
	if (f)
		pclose(f);
	for (int i = 0; i < nthreads; i++)
		printf("  thread %d was in %s\n", i, calls[(unsigned)sh->last[worker][i] % NCALLS].name);
}

/* Everybody is killed; everybody comes to an end. */
static bool reap_all(int uid)
{
	for (int ms = 0; ms < DIE_MS; ms++) {
		pid_t p = waitpid(-1, NULL, WNOHANG | __WALL);

		if (p < 0 && errno == ECHILD)
			return true;
		if (p > 0)
			continue;
		if (ms % 50 == 0)
			kill_all_of(uid);
		usleep(1000);
	}
	printf("FAIL: killed processes of worker %d do not end\n", worker);
	say_who_lives();
	return false;
}

static int work(int w, int secs, uint64_t phase)
{
	struct timespec t;
	char dir_name[64];

	worker = w;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	snprintf(dir_name, sizeof dir_name, ROOT "/%d", w);
	mkdir(dir_name, 0777);
	clock_gettime(CLOCK_MONOTONIC, &t);
	for (time_t end = t.tv_sec + secs; t.tv_sec < end; clock_gettime(CLOCK_MONOTONIC, &t)) {
		uint64_t n = __atomic_fetch_add(rounds, 1, __ATOMIC_RELAXED);
		pid_t p;

		if (chdir(dir_name))
			return 1;
		p = fork();
		if (!p)
			run_round(seed + phase * 0x9e37 + (uint64_t)w * 1000003 + n * 7919, FIRST_UID + w);
		for (int ms = 0; ms < ROUND_MS && !waitpid(p, NULL, WNOHANG); ms += 5)
			usleep(5000);
		if (!reap_all(FIRST_UID + w))
			return 1;
		clean_up(FIRST_UID + w);
	}
	return 0;
}

/* All workers for so long; how many of them failed. */
static int run_for(int secs, uint64_t phase)
{
	int failed = 0, st;

	fflush(stdout);
	for (int w = 0; w < workers; w++)
		if (!fork())
			exit(work(w, secs, phase));
	while (wait(&st) > 0)
		failed += st != 0;
	return failed;
}

static void settle(struct leaks_state *s)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

	(void)!write(fd, "3", 1);
	close(fd);
	usleep(50000);
	leaks_look(s);
}

static int search_leaks(const struct leaks_state *before)
{
	static struct leaks_state after;

	for (int tries = 0; tries < 60; tries++) { /* frees come after grace periods */
		settle(&after);
		if (!leaks_between(before, &after, 24, false))
			return 0;
	}
	return leaks_between(before, &after, 24, true);
}

static void choose(const char *list, bool only)
{
	for (unsigned i = 0; i < NCALLS; i++) {
		size_t n = strlen(calls[i].name);
		bool named = false;

		for (const char *at = list; (at = strstr(at, calls[i].name)); at += n)
			named |= (at == list || at[-1] == ',') && (at[n] == ',' || !at[n]);
		used[i] = only ? named : used[i] && !named;
	}
}

static void report(void)
{
	unsigned long made = 0, done = 0, never = 0;

	for (unsigned i = 0; i < NCALLS; i++) {
		made += sh->made[i];
		done += sh->done[i];
		never += sh->made[i] && !sh->done[i];
	}
	for (unsigned i = 0; i < NCALLS && verbose; i++)
		printf("%8lu %8lu %s\n", sh->made[i], sh->done[i], calls[i].name);
	printf("%lu rounds, %lu calls, %lu of them succeeded; %lu of %lu lines never did\n", *rounds, made, done, never, (ulong_t)NCALLS);
}

/* Between two pages that nobody can write over the end of. */
static void *shared_pages(size_t size)
{
	size_t len = (size + 4095) & ~4095ul;
	char *p = mmap(NULL, len + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	p = p == MAP_FAILED ? p : mmap(p + 4096, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

int main(int argc, char **argv)
{
	static struct leaks_state before;
	int failed;

	getentropy(&seed, sizeof seed);
	memset(used, 1, sizeof used);
	for (int i = 1; i < argc; i++) {
		const char *o = argv[i], *v = i + 1 < argc ? argv[i + 1] : "";

		if (!strcmp(o, "--verbose")) {
			verbose = true;
			continue;
		}
		if (!strcmp(o, "--trace")) {
			trace_fd = fcntl(open("/dev/kmsg", O_WRONLY), F_DUPFD, 100);
			continue;
		}
		i++;
		if (!strcmp(o, "--seconds"))
			seconds = atoi(v);
		else if (!strcmp(o, "--workers"))
			workers = atoi(v);
		else if (!strcmp(o, "--threads"))
			nthreads = atoi(v);
		else if (!strcmp(o, "--seed"))
			seed = strtoull(v, NULL, 0);
		else if (!strcmp(o, "--only") || !strcmp(o, "--skip"))
			choose(v, o[2] == 'o');
		else
			return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("seed %#lx\n", seed);
	sh = shared_pages(sizeof *sh);
	rounds = shared_pages(sizeof *rounds);
	if (!sh || !rounds || workers > 64 || nthreads > 16)
		return 2;
	mkdir(ROOT, 0755);
	umask(0);
	leaks_slurp("/proc/slabinfo", before.text, sizeof before.text);
	failed = run_for(seconds / 4 + 1, 0); /* caches of what is kept fill */
	settle(&before);
	failed += run_for(seconds - seconds / 4 - 1, 1);
	report();
	failed += kernel_check() != 0;
	failed += search_leaks(&before) != 0;
	printf("%s sysfuzz\n", failed ? "FAIL" : "ok");
	return failed != 0;
}
