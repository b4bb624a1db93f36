/*
 * /proc and /sys as programs read them: the formats, and that the numbers tell the truth.
 */
// VARIANTS: musl
// BOOT: --smp 4 --memory 1G --numa 2
#include "check.h"
#include <time.h>
#include <stdatomic.h>
#include <pthread.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>

#define MIB (1l << 20)

static char text[1 << 20];

/* A whole file in text[]; read in small pieces, as a careless program does. */
static char *slurp(const char *path)
{
	int fd = open(path, O_RDONLY);
	size_t len = 0;
	ssize_t n;

	text[0] = 0;
	if (fd < 0) {
		CHECK_FAIL_("%s: %s", path, strerror(errno));
		return text;
	}
	while (len < sizeof text - 1 && (n = read(fd, text + len, 777)) > 0)
		len += n;
	text[len] = 0;
	close(fd);
	return text;
}

static long meminfo(const char *key)
{
	char *p = strstr(slurp("/proc/meminfo"), key);

	if (!p) {
		CHECK_FAIL_("no %s in /proc/meminfo", key);
		return -1;
	}
	return atol(p + strlen(key) + 1);
}

TEST(memory_numbers)
{
	static const char *const keys[] = {
		"MemTotal:", "MemFree:", "MemAvailable:", "Buffers:", "Cached:", "SwapTotal:", "SwapFree:",
		"Active:", "Inactive:", "AnonPages:", "Mapped:", "Shmem:", "Slab:", "KernelStack:",
		"PageTables:", "CommitLimit:", "Committed_AS:", "VmallocTotal:", "HugePages_Total:",
		"Hugepagesize:", "DirectMap4k:", "DirectMap2M:",
	};

	for (int i = 0; i < (int)(sizeof keys / sizeof *keys); i++)
		CHECK_GE(meminfo(keys[i]), 0);
	long total = meminfo("MemTotal:"), before = meminfo("MemFree:");
	CHECK(total > 800 * 1024 && total < 1024 * 1024);
	CHECK(before < total);
	long anon = meminfo("AnonPages:");
	char *p = mmap(NULL, 64 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(p, 1, 64 * MIB);
	long after = meminfo("MemFree:");
	CHECK(before - after > 62 * 1024 && before - after < 68 * 1024);
	long anon2 = meminfo("AnonPages:");
	CHECK(anon2 - anon > 63 * 1024 && anon2 - anon < 66 * 1024);
	munmap(p, 64 * MIB);
	usleep(200000);
	CHECK(labs(meminfo("MemFree:") - before) < 16384);
	struct sysinfo si;
	sysinfo(&si);
	CHECK_EQ(si.totalram / 1024 * si.mem_unit, total);
}

/* Free blocks by order sum up to the free pages of the zones. */
TEST(buddyinfo)
{
	long pages = 0, zones = 0, nodes = 0;
	char line[512], name[32];
	int node;
	FILE *f = fopen("/proc/buddyinfo", "r");

	REQUIRE(f);
	while (fgets(line, sizeof line, f)) {
		int at = 0, order = 0, n;
		long count;

		REQUIRE(sscanf(line, "Node %d, zone %31s %n", &node, name, &at) == 2);
		for (char *p = line + at; sscanf(p, "%ld%n", &count, &n) == 1; p += n, order++)
			pages += count << order;
		CHECK_GE(order, 11);
		zones++;
		nodes = node + 1 > nodes ? node + 1 : nodes;
	}
	fclose(f);
	CHECK_GE(zones, 2);
	CHECK_EQ(nodes, 2);
	/* what CPUs hold in lists of their own is free but in no block: at most 16 MiB each */
	CHECK(labs(pages * 4 - meminfo("MemFree:")) < 16384 * sysconf(_SC_NPROCESSORS_ONLN));
	CHECK(strstr(slurp("/proc/zoneinfo"), "Node 1, zone") != NULL);
	CHECK(strstr(text, "nr_free_pages") != NULL);
}

TEST(iomem)
{
	unsigned long a, b, ram = 0;
	char line[256];
	bool kernel = false;
	FILE *f = fopen("/proc/iomem", "r");

	REQUIRE(f);
	while (fgets(line, sizeof line, f)) {
		REQUIRE(sscanf(line, " %lx-%lx :", &a, &b) == 2);
		CHECK_LE(a, b);
		if (line[0] != ' ' && strstr(line, "System RAM"))
			ram += b - a + 1;
		kernel |= strstr(line, "Kernel code") != NULL;
	}
	fclose(f);
	CHECK(kernel);
	CHECK(ram > 900 * MIB && ram <= 1024 * MIB);
}

TEST(cpus)
{
	int n = 0;

	for (char *p = slurp("/proc/cpuinfo"); (p = strstr(p, "processor\t:")); p++)
		n++;
	CHECK_EQ(n, 4);
	CHECK(strstr(text, "model name\t:") && strstr(text, "flags\t\t:") && strstr(text, "apicid\t\t:"));
	CHECK(strstr(text, " fpu ") && strstr(text, " sse2 "));
	CHECK_STR(slurp("/sys/devices/system/cpu/online"), "0-3\n");
	CHECK_STR(slurp("/sys/devices/system/node/online"), "0-1\n");
	CHECK_STR(slurp("/sys/devices/system/cpu/cpu3/topology/thread_siblings_list"), "3\n"); /* every CPU has its directory */
	/* a cache's size is what its parts come to, and it is the CPU's own or shared by more */
	#define CACHE "/sys/devices/system/cpu/cpu2/cache/index0/"
	CHECK_STR(slurp(CACHE "level"), "1\n");
	CHECK(!strcmp(slurp(CACHE "type"), "Data\n") || !strcmp(text, "Instruction\n"));
	long parts = atol(slurp(CACHE "coherency_line_size"));
	parts *= atol(slurp(CACHE "physical_line_partition")) * atol(slurp(CACHE "ways_of_associativity"));
	parts *= atol(slurp(CACHE "number_of_sets"));
	CHECK_GT(parts, 0);
	CHECK_EQ(atol(slurp(CACHE "size")) * 1024, parts);
	CHECK(strstr(slurp(CACHE "size"), "K\n") != NULL);
	CHECK(strchr(slurp(CACHE "shared_cpu_list"), '2') || !strcmp(text, "0-3\n"));
	CHECK(strtol(slurp(CACHE "shared_cpu_map"), NULL, 16) & 4);
	CHECK_STR(slurp("/sys/devices/system/node/node0/cpulist"), "0-1\n");
	CHECK_STR(slurp("/sys/devices/system/node/node1/distance"), "21 10\n");
	CHECK(strstr(slurp("/sys/devices/system/node/node1/meminfo"), "Node 1 MemTotal:") != NULL);
	n = 0;
	for (char *p = slurp("/proc/stat"); (p = strstr(p, "\ncpu")); p++)
		n++;
	CHECK_EQ(n, 4);
	CHECK(strstr(text, "btime ") && strstr(text, "processes ") && strstr(text, "ctxt "));
	CHECK(strstr(slurp("/proc/interrupts"), "CPU3") != NULL);
	CHECK(strstr(slurp("/proc/interrupts"), "TLB: ") != NULL);
}

TEST(lists_of_the_system)
{
	CHECK(strstr(slurp("/proc/filesystems"), "nodev\ttmpfs\n") != NULL);
	CHECK(strstr(slurp("/proc/mounts"), " /proc proc ") != NULL);
	CHECK(strstr(slurp("/proc/self/mountinfo"), " / / ") != NULL);
	CHECK(strstr(slurp("/proc/devices"), "Character devices:") != NULL);
	CHECK(!strncmp(slurp("/proc/version"), "Linux version ", 14));
	CHECK(strstr(slurp("/proc/slabinfo"), "slabinfo - version: 2.1\n# name") != NULL);
	CHECK(strstr(slurp("/proc/vmstat"), "pgfault ") != NULL);
	CHECK(strlen(slurp("/proc/cmdline")) > 0);
	double a, b;
	CHECK(sscanf(slurp("/proc/uptime"), "%lf %lf", &a, &b) == 2 && a > 0);
	CHECK(sscanf(slurp("/proc/loadavg"), "%lf %lf", &a, &b) == 2);
}

static long field(const char *path, int n)
{
	char *p = strrchr(slurp(path), ')');	/* the name may hold blanks */

	for (n -= 2; p && n > 0; n--)
		p = strchr(p + 1, ' ');
	return p ? atol(p + 1) : -1;
}

TEST(of_a_process)
{
	char path[64], link[256];
	fflush(NULL);
	pid_t pid = fork();

	if (!pid) {
		pause();
		_exit(0);
	}
	usleep(50000);
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	CHECK_EQ(atol(slurp(path)), pid);
	CHECK_EQ(field(path, 4), getpid());
	char *state = strrchr(slurp(path), ')');
	CHECK(state && state[2] == 'S');
	snprintf(path, sizeof path, "/proc/%d/status", pid);
	slurp(path);
	CHECK(strstr(text, "State:\tS (sleeping)") && strstr(text, "VmRSS:") && strstr(text, "Threads:\t1\n"));
	CHECK(strstr(text, "SigCgt:") && strstr(text, "Uid:\t0\t0\t0\t0\n"));
	snprintf(path, sizeof path, "/proc/%d/exe", pid);
	ssize_t n = readlink(path, link, sizeof link - 1);
	CHECK_GT(n, 0);
	link[n > 0 ? n : 0] = 0;
	CHECK(strstr(link, "procfs"));
	snprintf(path, sizeof path, "/proc/%d/comm", pid);
	CHECK_STR(slurp(path), "procfs\n");
	snprintf(path, sizeof path, "/proc/%d/task/%d/stat", pid, pid);
	CHECK_EQ(atol(slurp(path)), pid);
	snprintf(path, sizeof path, "/proc/%d/limits", pid);
	CHECK(strstr(slurp(path), "Max open files") != NULL);
	snprintf(path, sizeof path, "/proc/%d/statm", pid);
	long size = 0, rss = 0;
	CHECK(sscanf(slurp(path), "%ld %ld", &size, &rss) == 2 && size >= rss && rss > 0);
	snprintf(path, sizeof path, "/proc/%d", pid);
	int dir = open(path, O_RDONLY | O_DIRECTORY);
	kill(pid, SIGKILL);
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
	CHECK_ERRNO(openat(dir, "stat", O_RDONLY), ESRCH);	/* the process is gone */
	CHECK_ERRNO(open(path, O_RDONLY), ENOENT);
	close(dir);
}

TEST(self)
{
	char link[64];
	ssize_t n = readlink("/proc/self", link, sizeof link - 1);

	link[n > 0 ? n : 0] = 0;
	CHECK_EQ(atoi(link), getpid());
	CHECK(strstr(slurp("/proc/self/cmdline"), "procfs") != NULL);
	setenv("PROCFS_TEST", "1", 1);
	CHECK_EXITS(0, execl("/bin/sh", "sh", "-c", "tr '\\0' '\\n' </proc/$$/environ | grep -q PROCFS_TEST=1", NULL));
	int fd = open("/dev/null", O_RDWR);
	snprintf(text, 64, "/proc/self/fd/%d", fd);
	n = readlink(text, link, sizeof link - 1);
	link[n > 0 ? n : 0] = 0;
	CHECK_STR(link, "/dev/null");
	snprintf(text, 64, "/proc/self/fdinfo/%d", fd);
	CHECK(strstr(slurp(text), "pos:\t0\nflags:") != NULL);
	CHECK(strstr(slurp("/proc/self/smaps"), "Rss:") != NULL);
	CHECK(strstr(slurp("/proc/self/smaps_rollup"), "[rollup]") != NULL);
	close(fd);
}

TEST(every_file_can_be_read)
{
	/* Every readable regular file of /proc and of one process: no crash, no endless file. */
	static const char *const dirs[] = { "/proc", "/proc/self", "/proc/1", "/proc/sys/kernel", "/proc/sys/vm" };

	for (int i = 0; i < 5; i++) {
		DIR *d = opendir(dirs[i]);

		if (!d)
			continue;
		for (struct dirent *e; (e = readdir(d));) {
			char path[512];
			struct stat st;

			snprintf(path, sizeof path, "%s/%s", dirs[i], e->d_name);
			if (lstat(path, &st) || !S_ISREG(st.st_mode) || !(st.st_mode & 0444) ||
			    strstr(path, "kcore") || strstr(path, "kmsg") || strstr(path, "sched_debug") ||
			    strstr(path, "pagemap") || strstr(path, "/mem") || strstr(path, "kpage"))
				continue;
			int fd = open(path, O_RDONLY | O_NONBLOCK);
			long total = 0;
			ssize_t n;
			while (fd >= 0 && (n = read(fd, text, sizeof text)) > 0 && total < 64 * MIB)
				total += n;
			if (total >= 64 * MIB)
				CHECK_FAIL_("%s does not end", path);
			if (fd >= 0)
				close(fd);
		}
		closedir(d);
	}
}

TEST(sysctl)
{
	int fd = open("/proc/sys/vm/overcommit_memory", O_RDWR);
	char c = 0;

	CHECK_EQ(read(fd, &c, 1), 1);
	CHECK_EQ(c, '0');
	CHECK_EQ(pwrite(fd, "1\n", 2, 0), 2);
	CHECK_EQ(pread(fd, &c, 1, 0), 1);
	CHECK_EQ(c, '1');
	CHECK_EQ(pwrite(fd, "0\n", 2, 0), 2);
	CHECK_ERRNO(pwrite(fd, "77\n", 3, 0), EINVAL);
	close(fd);
	CHECK_GT(atol(slurp("/proc/sys/kernel/pid_max")), 1000);
	CHECK_GT(strlen(slurp("/proc/sys/kernel/osrelease")), 3);
}

static atomic_int stop;

static void *list_proc(void *arg)
{
	(void)arg;
	while (!stop) {
		DIR *d = opendir("/proc");

		while (d && readdir(d))
			;
		closedir(d);
	}
	return NULL;
}

/* Reading the directory took its lock twice: with somebody who wanted it for writing in between, for ever. */
TEST(names_while_it_is_read)
{
	pthread_t t;
	char path[64];
	struct timespec now, end;

	REQUIRE(pthread_create(&t, NULL, list_proc, NULL) == 0);
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_nsec += 300000000;
	do {
		for (int i = 1; i < 300; i++) {
			snprintf(path, sizeof path, "/proc/%d/comm", i);
			close(open(path, O_RDONLY));
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - end.tv_sec) * 1000000000ll + now.tv_nsec - end.tv_nsec < 0);
	stop = 1;
	pthread_join(t, NULL);
}

TEST(threads_max_limits_fork)
{
	int fd = open("/proc/sys/kernel/threads-max", O_RDWR), err = 0, made = 0;
	char was[16] = "";
	pid_t pid;

	CHECK(read(fd, was, sizeof was - 1) > 0);
	CHECK_ERRNO(pwrite(fd, "19\n", 3, 0), EINVAL);
	CHECK_EQ(pwrite(fd, "20\n", 3, 0), 3);
	CHECK_EQ(atol(slurp("/proc/sys/kernel/threads-max")), 20);
	while (made < 30 && (pid = fork()) >= 0) {
		if (!pid) {
			pause();
			_exit(0);
		}
		made++;
		if (kill(pid, SIGKILL))
			break;
	}
	err = errno;
	CHECK_EQ(pwrite(fd, was, strlen(was), 0), strlen(was));
	CHECK_LT(made, 30);
	CHECK_EQ(err, EAGAIN);
	for (; made; made--)
		CHECK(wait(NULL) > 0);
	close(fd);
}

TEST_MAIN
