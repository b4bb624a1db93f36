// BOOT: --smp 4 --memory 1G
/*
 * Who is interrupted by an edit of an address space: CPUs that run in it, once for all pages of a call; not idle ones that still
 * have its tables loaded, and not those that run something else. Told by nr_tlb_* of /proc/vmstat, which count the whole
 * machine, so limits are wide against what else may go on.
 */
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define P 4096ul
#define RW (PROT_READ | PROT_WRITE)

static atomic_int phase;

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static long counter(const char *name)
{
	char line[128];
	long v = -1;
	FILE *f = fopen("/proc/vmstat", "r");

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ' ')
			v = atol(line + strlen(name));
	fclose(f);
	return v;
}

static char *touched(int pages)
{
	char *p = mmap(NULL, (size_t)pages * P, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (int i = 0; i < pages; i++)
		p[i * P] = 1;
	return p;
}

/* Takes rights and gives them back, n times: n edits that take something away. */
static void toggle(char *p, int n)
{
	for (int i = 0; i < n; i++) {
		mprotect(p, P, PROT_READ);
		mprotect(p, P, RW);
		*p = 1;
	}
}

static void *helper(void *arg)
{
	pin(1 + (int)(intptr_t)arg);
	atomic_fetch_add(&phase, 1);
	if (arg)
		while (atomic_load(&phase) < 100)
			__builtin_ia32_pause();
	else
		while (atomic_load(&phase) < 100)
			usleep(50000);
	return NULL;
}

TEST(there_are_counters)
{
	static const char *const names[] = { "nr_tlb_remote_flush", "nr_tlb_remote_flush_received", "nr_tlb_ipis_sent",
					     "nr_tlb_ipis_avoided", "nr_tlb_ipis_merged", "nr_tlb_local_flush_all",
					     "nr_tlb_local_flush_one" };

	for (unsigned i = 0; i < 7; i++)
		CHECK(counter(names[i]) >= 0);
}

/* A thread of ours sleeps: its CPU is idle and lazy. */
TEST(idle_cpus_are_left_alone)
{
	pthread_t t;
	char *p = touched(1);

	pin(0);
	phase = 0;
	pthread_create(&t, NULL, helper, (void *)0);
	while (phase < 1)
		usleep(1000);
	usleep(20000);
	long sent = counter("nr_tlb_ipis_sent"), avoided = counter("nr_tlb_ipis_avoided");
	toggle(p, 500);
	sent = counter("nr_tlb_ipis_sent") - sent, avoided = counter("nr_tlb_ipis_avoided") - avoided;
	printf("  idle: %ld sent, %ld avoided\n", sent, avoided);
	CHECK(sent < 100);
	CHECK(avoided > 250);
	phase = 100;
	pthread_join(t, NULL);
	munmap(p, P);
}

/* A thread of ours runs on another CPU: asked once per edit, and once for all pages of a call. */
TEST(running_cpus_are_asked_once)
{
	pthread_t t;
	char *p = touched(1), *q = touched(64);

	pin(0);
	phase = 0;
	pthread_create(&t, NULL, helper, (void *)1);
	while (phase < 1)
		usleep(1000);
	long asked = counter("nr_tlb_ipis_sent") + counter("nr_tlb_ipis_merged"), requests = counter("nr_tlb_remote_flush");
	toggle(p, 200);
	long n = counter("nr_tlb_ipis_sent") + counter("nr_tlb_ipis_merged") - asked;
	requests = counter("nr_tlb_remote_flush") - requests;
	printf("  running: %ld asked by %ld requests\n", n, requests);
	CHECK(n >= 180 && n < 500);
	CHECK(requests >= 180 && requests < 500);
	asked = counter("nr_tlb_ipis_sent") + counter("nr_tlb_ipis_merged");
	munmap(q, 64 * P);
	n = counter("nr_tlb_ipis_sent") + counter("nr_tlb_ipis_merged") - asked;
	printf("  64 pages: %ld asked\n", n);
	CHECK(n < 20);
	phase = 100;
	pthread_join(t, NULL);
	munmap(p, P);
}

/* Another process runs on another CPU: none of its business. */
TEST(strangers_are_left_alone)
{
	char *p = touched(1);
	pid_t pid = fork();

	if (!pid) {
		pin(3);
		for (;;)
			__builtin_ia32_pause();
	}
	pin(0);
	usleep(50000);
	*p = 1;
	long asked = counter("nr_tlb_ipis_sent") + counter("nr_tlb_ipis_merged");
	toggle(p, 500);
	asked = counter("nr_tlb_ipis_sent") + counter("nr_tlb_ipis_merged") - asked;
	printf("  stranger: %ld asked\n", asked);
	CHECK(asked < 100);
	kill(pid, 9);
	waitpid(pid, NULL, 0);
	munmap(p, P);
}

TEST_MAIN
