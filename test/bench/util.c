/*
 * What several operations need: memory, files, children, CPUs.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "bench.h"

char *map_anon(size_t len, size_t align, int prot)
{
	size_t room = len + (align > PAGE ? align : 0);
	char *p = mmap(NULL, room, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *at = p;

	NEED(p != MAP_FAILED);
	if (align > PAGE) {
		at = (char *)(((uintptr_t)p + align - 1) & -align);
		if (at > p)
			munmap(p, at - p);
		if (p + room > at + len)
			munmap(at + len, p + room - (at + len));
	}
	return at;
}

char *map_small(size_t len)
{
	char *p = map_anon(len, HUGE, PROT_READ | PROT_WRITE);

	/* a kernel without huge pages refuses, which is as good */
	madvise(p, len, MADV_NOHUGEPAGE);
	return p;
}

void touch(char *p, size_t len)
{
	for (size_t i = 0; i < len; i += PAGE)
		*(volatile char *)(p + i) = pattern(i);
}

char *in_dir(const char *name)
{
	static char path[4][256];
	static unsigned next;
	char *p = path[next++ % 4];

	snprintf(p, sizeof path[0], "%s/b-%s", bench_dir, name);
	return p;
}

int make_file(const char *name, size_t len)
{
	static char buf[65536];
	int fd = open(in_dir(name), O_RDWR | O_CREAT | O_TRUNC, 0644);

	NEED(fd >= 0);
	for (size_t at = 0; at < len; at += sizeof buf) {
		size_t n = len - at < sizeof buf ? len - at : sizeof buf;

		for (size_t i = 0; i < n; i++)
			buf[i] = pattern(at + i);
		NEED(pwrite(fd, buf, n, at) == (ssize_t)n);
	}
	return fd;
}

bool exits_with(pid_t pid, int code)
{
	int status = 0;

	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == code;
}

uint64_t memory_available(void)
{
	FILE *f = fopen("/proc/meminfo", "r");
	unsigned long long kib = 0;
	char text[128];

	while (f && fgets(text, sizeof text, f))
		if (sscanf(text, "MemAvailable: %llu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib << 10;
}

int cpus_online(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
}

void pin_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	NEED(!sched_setaffinity(0, sizeof set, &set));
}

bool tune(const char *path, long value)
{
	int fd = bench_tune ? open(path, O_WRONLY) : -1;
	char text[24];
	int n = snprintf(text, sizeof text, "%ld\n", value);
	bool ok = fd >= 0 && write(fd, text, n) == n;

	if (fd >= 0)
		close(fd);
	return ok;
}

const char *tiny_program(void)
{
	static char path[256];
	size_t len = tiny_elf_end - tiny_elf;
	int fd;

	snprintf(path, sizeof path, "%s/b-tiny", bench_dir);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
	NEED(fd >= 0);
	NEED(write(fd, tiny_elf, len) == (ssize_t)len);
	close(fd);
	return path;
}
