// BOOT: --smp 4 --memory 256M
// TIMEOUT: 60
/*
 * Memory runs out: before a process is killed, the caches give back what nobody uses. Names of /proc are looked at (dentries
 * and inodes, kept in magazines and slabs), many threads end (kernel stacks, kept by the CPUs), and then a child takes all memory.
 */
#include "check.h"

#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define THREADS 60

static unsigned long word_of(const char *file, const char *name)
{
	char line[256], key[128];
	unsigned long v = 0, x;
	FILE *f = fopen(file, "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%127[^: ]%*[: ]%lu", key, &x) == 2 && !strcmp(key, name))
			v = x;
	if (f)
		fclose(f);
	return v;
}

/* Sums are of one moment: RCU gives objects back meanwhile. */
static void slab_adds_up(void)
{
	unsigned long all = 0, kernel = 0, some = 0, rest = 0, x;
	char line[256];
	FILE *f = fopen("/proc/meminfo", "r");

	REQUIRE(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Slab: %lu", &x) == 1)
			all = x;
		else if (sscanf(line, "KReclaimable: %lu", &x) == 1)
			kernel = x;
		else if (sscanf(line, "SReclaimable: %lu", &x) == 1)
			some = x;
		else if (sscanf(line, "SUnreclaim: %lu", &x) == 1)
			rest = x;
	}
	fclose(f);
	CHECK(some > 0 && rest > 0);
	CHECK_EQ(kernel, some);
	CHECK_EQ(all, some + rest);
}

static unsigned long names;

static int seen(const char *path, const struct stat *st, int type, struct FTW *w)
{
	(void)path, (void)st, (void)type, (void)w;
	names++;
	return 0;
}

static pthread_barrier_t all;

static void *wait_for_all(void *arg)
{
	pthread_barrier_wait(&all);
	return arg;
}

static void use_stacks(void)
{
	pthread_t t[THREADS];

	pthread_barrier_init(&all, NULL, THREADS);
	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, wait_for_all, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
}

static void adj(const char *text)
{
	FILE *f = fopen("/proc/self/oom_score_adj", "w");

	CHECK(f && fputs(text, f) >= 0 && !fclose(f));
}

TEST(caches_shrink)
{
	unsigned long stacks, slab, stalls = word_of("/proc/vmstat", "allocstall_normal");
	int status;
	pid_t pid;

	nftw("/proc", seen, 20, FTW_PHYS);
	nftw("/sys", seen, 20, FTW_PHYS);
	CHECK(names > 300);
	use_stacks();
	stacks = word_of("/proc/meminfo", "KernelStack");
	slab = word_of("/proc/meminfo", "SReclaimable");
	CHECK(slab > 0);
	slab_adds_up();
	adj("-1000");
	pid = fork();
	if (!pid) {
		adj("1000");
		for (;;)
			memset(mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1, 1 << 20);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	adj("0");
	printf("%lu names; SReclaimable %lu -> %lu kB, KernelStack %lu -> %lu kB\n", names, slab, word_of("/proc/meminfo", "SReclaimable"),
	       stacks, word_of("/proc/meminfo", "KernelStack"));
	CHECK(word_of("/proc/vmstat", "allocstall_normal") > stalls);
	CHECK(word_of("/proc/meminfo", "SReclaimable") < slab);
	CHECK(word_of("/proc/meminfo", "KernelStack") < stacks);
}

TEST_MAIN
