/* leaks.h - objects and memory in use before and after. */
#ifndef LEAKS_H
#define LEAKS_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct leaks_state { char text[16384]; long free, last_pid; };

static inline long leaks_field(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? atol(at + strlen(name)) : 0;
}

static inline void leaks_slurp(const char *path, char *text, int size)
{
	int fd = open(path, O_RDONLY), len = 0, n;

	while (fd >= 0 && len < size - 1 && (n = read(fd, text + len, size - 1 - len)) > 0)
		len += n;
	text[len] = 0;
	close(fd);
}

/* What is in use now: objects of each cache, and all memory whose use is known (page structs are made with the first use of each 128 MiB). */
static inline void leaks_look(struct leaks_state *s)
{
	char mem[4096];

	leaks_slurp("/proc/slabinfo", s->text, sizeof s->text);
	leaks_slurp("/proc/loadavg", mem, sizeof mem);
	s->last_pid = strrchr(mem, ' ') ? atol(strrchr(mem, ' ')) : 0;
	leaks_slurp("/proc/meminfo", mem, sizeof mem);
	s->free = leaks_field(mem, "MemFree:") + leaks_field(mem, "Slab:") + leaks_field(mem, "KernelStack:") + leaks_field(mem, "PageTables:") +
		  leaks_field(mem, "Cached:") + leaks_field(mem, "HardwareCorrupted:") + leaks_field(mem, "PageArray:");
}

/* Caches with more than @slack objects in use that were not before, and lost memory. say: print them. */
static inline int leaks_between(const struct leaks_state *a, const struct leaks_state *b, long slack, bool say)
{
	/* numbers of processes: a page for every 512 new ones, and all of them when they begin again */
	long pages = 2 + (b->last_pid < a->last_pid ? 32768 : b->last_pid - a->last_pid) / 512;
	int n = 0;

	for (const char *l = b->text; (l = strchr(l, '\n')) && l[1]; ) {
		char name[40], key[44];
		long used;

		l++;
		if (sscanf(l, "%39s %ld", name, &used) != 2 || !strncmp(name, "magazine", 8))
			continue;
		snprintf(key, sizeof key, "\n%s ", name);
		long before = leaks_field(a->text, key) + (strcmp(name, "kmalloc-4k") ? 0 : pages);
		if (used > before + slack) {
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

#endif
