/* conf_limits.c - an unlimited stack, limits in /proc/sys, and which lock F_GETLK tells of. */
#include "conf.h"
#include <pthread.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/msg.h>
#include <sys/personality.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>

static void sysctl_put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	REQUIRE(fd >= 0);
	CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void sysctl_get(const char *path, char *text, size_t n)
{
	int fd = open(path, O_RDONLY);

	REQUIRE(fd >= 0);
	ssize_t r = read(fd, text, n - 1);
	REQUIRE(r > 0);
	text[r - 1] = 0;
	close(fd);
}

/* An exec once failed with ENOMEM here: position-independent programs lay above where mappings began. */
TEST(exec_with_unlimited_stack)
{
	static const rlim_t limits[] = { RLIM_INFINITY, 1ull << 46, 1ull << 40, 64 << 20, 1 << 20 };

	setenv("CONF_SELF", "mapped", 1);
	for (unsigned i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
		CHECK_EXITS(i ? 11 : 10, struct rlimit r = { limits[i], RLIM_INFINITY };
			    CHECK_OK(setrlimit(RLIMIT_STACK, &r));
			    execl("/proc/self/exe", "self", NULL));
	}
	CHECK_EXITS(10, personality(ADDR_COMPAT_LAYOUT);
		    execl("/proc/self/exe", "self", NULL));
	unsetenv("CONF_SELF");
}

/* In the new program: 10 when mappings grow upwards, 11 downwards, 12 when the kernel would not map. */
__attribute__((constructor)) static void other_self(void)
{
	const char *what = getenv("CONF_SELF");

	if (!what || strcmp(what, "mapped"))
		return;
	char *a = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *b = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (a == MAP_FAILED || b == MAP_FAILED)
		_exit(12);
	b[5000] = 1;
	_exit(b > a ? 10 : 11);
}

/* F_GETLK tells of the first lock in the file, not of the one that was made first. */
TEST(getlk_first_in_file)
{
	int fd = scratch("locks");
	struct flock a = { F_RDLCK, SEEK_SET, 10, 5, 0 }, b = { F_WRLCK, SEEK_SET, 1, 5, 0 };

	CHECK_OK(fcntl(fd, F_SETLK, &a));
	CHECK_OK(fcntl(fd, F_SETLK, &b));
	CHECK_EXITS(0, struct flock g = { F_WRLCK, SEEK_SET, 0, 0, 0 };
		    CHECK_OK(fcntl(fd, F_GETLK, &g));
		    CHECK_EQ(g.l_type, F_WRLCK); CHECK_EQ(g.l_start, 1); CHECK_EQ(g.l_len, 5);
		    CHECK_EQ(g.l_pid, getppid()));
	close(fd);
}

static int race_fd;
static void *lock_and_unlock(void *arg)
{
	for (int i = 0; i < 3000; i++) {
		struct flock l = { i & 1 ? F_WRLCK : F_RDLCK, SEEK_SET, (i * 7 + (long)arg) % 40, 20, 0 };
		if (i % 3 == 2)
			l.l_type = F_UNLCK;
		fcntl(race_fd, F_SETLK, &l);
	}
	return NULL;
}

/* Threads of one process own record locks together; a lock that another thread's had just swallowed was freed twice. */
TEST(record_lock_swallowed)
{
	pthread_t t[4];

	race_fd = scratch("race");
	for (long i = 0; i < 4; i++)
		REQUIRE(!pthread_create(&t[i], NULL, lock_and_unlock, (void *)i));
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	struct flock all = { F_UNLCK, SEEK_SET, 0, 0, 0 }, g = { F_WRLCK, SEEK_SET, 0, 0, 0 };
	CHECK_OK(fcntl(race_fd, F_SETLK, &all));
	CHECK_EXITS(0, CHECK_OK(fcntl(race_fd, F_GETLK, &g)); CHECK_EQ(g.l_type, F_UNLCK));
	close(race_fd);
}

TEST(ipc_limits)
{
	char old[64];
	struct shminfo si;

	sysctl_get("/proc/sys/kernel/shmmax", old, sizeof(old));
	sysctl_put("/proc/sys/kernel/shmmax", "8192");
	CHECK(shmctl(0, IPC_INFO, (void *)&si) >= 0);
	CHECK_EQ(si.shmmax, 8192);
	CHECK_ERRNO(shmget(IPC_PRIVATE, 8193, 0600), EINVAL);
	int id = shmget(IPC_PRIVATE, 8192, 0600);
	CHECK(id >= 0);
	sysctl_put("/proc/sys/kernel/shmmax", old);
	sysctl_get("/proc/sys/kernel/shmmni", old, sizeof(old));
	sysctl_put("/proc/sys/kernel/shmmni", "1");
	CHECK_ERRNO(shmget(IPC_PRIVATE, 4096, 0600), ENOSPC);
	sysctl_put("/proc/sys/kernel/shmmni", old);
	CHECK_OK(shmctl(id, IPC_RMID, NULL));

	sysctl_get("/proc/sys/kernel/sem", old, sizeof(old));
	CHECK(!strcmp(old, "32000\t1024000000\t500\t32000"));
	sysctl_put("/proc/sys/kernel/sem", "5");
	CHECK_ERRNO(semget(IPC_PRIVATE, 6, 0600), EINVAL);
	id = semget(IPC_PRIVATE, 5, 0600);
	CHECK(id >= 0);
	CHECK_OK(semctl(id, 0, IPC_RMID));
	sysctl_put("/proc/sys/kernel/sem", old);

	sysctl_get("/proc/sys/kernel/msgmni", old, sizeof(old));
	sysctl_put("/proc/sys/kernel/msgmni", "0");
	CHECK_ERRNO(msgget(IPC_PRIVATE, 0600), ENOSPC);
	sysctl_put("/proc/sys/kernel/msgmni", old);
}

/* The right to lock without limit goes with the capability, not with the program that had it. */
TEST(mlock_without_the_capability)
{
	static char page[8192];

	CHECK_EXITS(0, struct rlimit r = { 0, 0 }; CHECK_OK(mlock(page, 4096)); CHECK_OK(munlock(page, 4096));
		    CHECK_OK(setrlimit(RLIMIT_MEMLOCK, &r)); CHECK_OK(mlock(page, 4096)); become_nobody();
		    CHECK_ERRNO(mlock(page, 4096), EPERM); CHECK_ERRNO(mlockall(MCL_CURRENT), EPERM);
		    CHECK_OK(munlock(page, 4096)));
	CHECK_EXITS(0, struct rlimit r = { 4096, 4096 }; CHECK_OK(setrlimit(RLIMIT_MEMLOCK, &r)); become_nobody();
		    CHECK_ERRNO(mlock(page, 8192), ENOMEM); CHECK_ERRNO(mlockall(MCL_CURRENT), ENOMEM);
		    CHECK_ERRNO((long)mmap(NULL, 16384, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0), EAGAIN));
}

/* What was written through a mapping shows in the file's times after msync. */
TEST(mapped_write_changes_times)
{
	struct stat a, b;
	int fd = scratch("mapped");

	CHECK_OK(ftruncate(fd, 8192));
	char *m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	REQUIRE(m != MAP_FAILED);
	CHECK_OK(fstat(fd, &a));
	usleep(10000);
	CHECK_EQ(((volatile char *)m)[5], 0);
	CHECK_OK(msync(m, 8192, MS_SYNC)); /* reading is no change */
	CHECK_OK(fstat(fd, &b));
	CHECK(!memcmp(&a.st_mtim, &b.st_mtim, sizeof(a.st_mtim)));
	m[4096] = 1;
	CHECK_OK(msync(m, 8192, MS_SYNC));
	CHECK_OK(fstat(fd, &b));
	CHECK(memcmp(&a.st_mtim, &b.st_mtim, sizeof(a.st_mtim)));
	CHECK(memcmp(&a.st_ctim, &b.st_ctim, sizeof(a.st_ctim)));
	munmap(m, 8192);
	close(fd);
}

TEST(ipc_numbers_and_lists)
{
	char line[256], want[16];
	int shm, n = 0, q = msgget(IPC_PRIVATE, 0600);
	struct msqid_ds d;
	struct msginfo mi;

	int top = msgctl(q, IPC_INFO, (void *)&mi);
	CHECK_EQ(msgctl(top, MSG_STAT, &d), q); /* the highest slot is one that is used */
	CHECK_OK(msgctl(q, IPC_RMID, NULL));
	sysctl_put("/proc/sys/kernel/shm_next_id", "1048581");
	shm = shmget(IPC_PRIVATE, 5000, 0600);
	CHECK_EQ(shm, 1048581);
	sysctl_get("/proc/sys/kernel/shm_next_id", line, sizeof(line));
	CHECK(!strcmp(line, "-1"));
	snprintf(want, sizeof(want), " %d ", shm);
	FILE *f = fopen("/proc/sysvipc/shm", "r");
	REQUIRE(f);
	CHECK(fgets(line, sizeof(line), f) && strstr(line, "shmid"));
	while (fgets(line, sizeof(line), f))
		n += strstr(line, want) && strstr(line, " 5000 ");
	CHECK_EQ(n, 1);
	fclose(f);
	CHECK_OK(shmctl(shm, IPC_RMID, NULL));
}

TEST(inotify_limits)
{
	char old[64];
	int fd[3];

	sysctl_get("/proc/sys/fs/inotify/max_user_instances", old, sizeof(old));
	sysctl_put("/proc/sys/fs/inotify/max_user_instances", "1");
	CHECK_EXITS(0, become_nobody(); CHECK((fd[0] = inotify_init1(0)) >= 0);
		    CHECK_ERRNO(inotify_init1(0), EMFILE); close(fd[0]); CHECK((fd[0] = inotify_init1(0)) >= 0));
	sysctl_put("/proc/sys/fs/inotify/max_user_instances", old);
	sysctl_get("/proc/sys/fs/inotify/max_user_watches", old, sizeof(old));
	sysctl_put("/proc/sys/fs/inotify/max_user_watches", "1");
	CHECK_EXITS(0, become_nobody(); CHECK((fd[0] = inotify_init1(0)) >= 0); CHECK(inotify_add_watch(fd[0], "/", IN_CREATE) > 0);
		    CHECK_ERRNO(inotify_add_watch(fd[0], "/proc", IN_CREATE), ENOSPC));
	sysctl_put("/proc/sys/fs/inotify/max_user_watches", old);
}

TEST(timer_slack_of_the_creator)
{
	CHECK_EXITS(0, CHECK_OK(prctl(PR_SET_TIMERSLACK, 70000));
		    CHECK_EXITS(0, CHECK_EQ(prctl(PR_GET_TIMERSLACK), 70000); prctl(PR_SET_TIMERSLACK, 0);
				CHECK_EQ(prctl(PR_GET_TIMERSLACK), 70000)));
}

TEST(file_limits)
{
	char old[64];
	int p[2];

	sysctl_get("/proc/sys/fs/nr_open", old, sizeof(old));
	sysctl_put("/proc/sys/fs/nr_open", "512");
	CHECK_EXITS(0, struct rlimit r = { 1024, 1024 };
		    CHECK_ERRNO(setrlimit(RLIMIT_NOFILE, &r), EPERM));
	sysctl_put("/proc/sys/fs/nr_open", old);
	/* a table with more open than it may have now is not copied */
	CHECK_EXITS(0, struct rlimit r = { 2048, 2048 }; CHECK_OK(setrlimit(RLIMIT_NOFILE, &r)); REQUIRE(dup2(0, 1500) == 1500);
		    sysctl_put("/proc/sys/fs/nr_open", "512");
		    pid_t c = syscall(SYS_clone, 0x400 /* CLONE_FILES */ | SIGCHLD, 0, 0, 0, 0), st;
		    if (!c) _exit(unshare(0x400) == -1 && errno == EMFILE ? 7 : 1);
		    CHECK_EQ(waitpid(c, &st, 0), c); CHECK_EQ(st, 7 << 8); CHECK_ERRNO(fork(), EMFILE);
		    CHECK_OK(close(1500)); c = fork(); if (!c) _exit(0); CHECK_EQ(waitpid(c, &st, 0), c));
	sysctl_put("/proc/sys/fs/nr_open", old);
	sysctl_get("/proc/sys/fs/pipe-max-size", old, sizeof(old));
	sysctl_put("/proc/sys/fs/pipe-max-size", "65536");
	CHECK_EXITS(0, become_nobody(); CHECK_OK(pipe(p));
		    CHECK_ERRNO(fcntl(p[0], F_SETPIPE_SZ, 131072), EPERM);
		    CHECK_EQ(fcntl(p[0], F_SETPIPE_SZ, 32768), 32768));
	sysctl_put("/proc/sys/fs/pipe-max-size", old);
}

TEST_MAIN
