/*
 * memview's picture of a process's page tables, from /proc/PID/pagetables: a row for each table of 4 KiB entries (2 MiB of addresses), each
 * cell some neighbouring entries in a mix of their colours; a tile for each huge page, tiles of one stretch in one row.
 */
#ifndef MEMVIEW_TABLES_H
#define MEMVIEW_TABLES_H

#include "memview_draw.h"
#include <errno.h>

enum { EMPTY, EXEC, READ, CLEAN, DIRTY, SPECIAL, NOTHING, HUGE2M, HUGE1G, NR_KINDS };
static const struct { const char *name; struct colour c; } kinds[NR_KINDS] = {
	[EMPTY] = { "empty", { 48, 48, 48 } },
	[EXEC] = { "executable", { 255, 95, 95 } },
	[READ] = { "read-only", { 95, 175, 255 } },
	[CLEAN] = { "writable", { 255, 255, 135 } },
	[DIRTY] = { "written", { 255, 175, 95 } },
	[SPECIAL] = { "zero page, vDSO", { 138, 138, 138 } },
	[NOTHING] = { "no right, marker", { 175, 95, 255 } },
	[HUGE2M] = { "2 MiB", { 135, 215, 95 } },
	[HUGE1G] = { "1 GiB", { 0, 215, 175 } },
};

struct row {
	unsigned long start;
	int huge;			/* EMPTY: a table; or the kind of its tiles */
	unsigned long n;		/* tiles */
	unsigned char kind[512];	/* of a table's entries */
};
static struct row rows[512];
static int nr_rows, nr_more;
static char totals[2][256]; /* the lines "tables ..." and "pages ..." */

static int kind_of(const char *flags)
{
	if (flags[7] == 'm' || flags[7] == 'n')
		return NOTHING;
	if (flags[6] == 's')
		return SPECIAL;
	return flags[2] == 'x' ? EXEC : flags[1] != 'w' ? READ : flags[5] == 'D' ? DIRTY : CLEAN;
}

static struct row *new_row(unsigned long start, int huge)
{
	if (nr_rows == 512) {
		nr_more++;
		return NULL;
	}
	rows[nr_rows] = (struct row){ .start = start, .huge = huge };
	return &rows[nr_rows++];
}

static void add_range(const char *level, unsigned long start, unsigned long end, const char *flags, unsigned long n)
{
	struct row *r = nr_rows ? &rows[nr_rows - 1] : NULL;

	if (!strcmp(level, "L1"))
		new_row(start, EMPTY);
	else if (!strcmp(level, "4k") && r && r->huge == EMPTY)
		for (unsigned long a = start; a < end; a += 4096)
			r->kind[(a - r->start) / 4096 % 512] = kind_of(flags);
	else if (!strcmp(level, "2M") || !strcmp(level, "1G")) {
		r = new_row(start, level[0] == '2' ? HUGE2M : HUGE1G);
		if (r)
			r->n = n;
	}
}

static int load_tables(long pid)
{
	char path[64], line[256], level[8], flags[16];
	unsigned long a, b, n;
	int lines = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%ld/pagetables", pid);
	f = fopen(path, "r");
	if (!f)
		return complain(path, strerror(errno));
	nr_rows = nr_more = 0;
	for (; fgets(line, sizeof line, f); lines++) {
		line[strcspn(line, "\n")] = 0;
		if (!strncmp(line, "tables ", 7) || !strncmp(line, "pages ", 6))
			snprintf(totals[line[0] == 'p'], sizeof totals[0], "%s", line);
		else if (sscanf(line, " %7s %lx-%lx %15s %lu", level, &a, &b, flags, &n) == 5 && strlen(flags) == 8)
			add_range(level, a, b, flags, n);
	}
	fclose(f);
	return lines ? 0 : complain(path, "the process has no address space");
}

/* The mix of the entries in use, half as bright when they are few. */
static struct colour mix_of(const unsigned char *kind, unsigned n)
{
	struct colour mix = { 0, 0, 0 };
	unsigned used = 0;

	for (unsigned i = 0; i < n; i++) {
		struct colour k = kinds[kind[i]].c;

		if (kind[i] == EMPTY)
			continue;
		mix = (struct colour){ mix.r + k.r, mix.g + k.g, mix.b + k.b };
		used++;
	}
	if (!used)
		return kinds[EMPTY].c;
	used = used * 2 * n / (n + used);
	return (struct colour){ mix.r / used, mix.g / used, mix.b / used };
}

static void draw_table(const struct row *r, int cells)
{
	int per = 512 / cells;

	for (int c = 0; c < cells; c++) {
		ink(mix_of(&r->kind[c * per], per));
		fputs("\u2587", stdout);
	}
}

static void draw_tables(long pid, int width, int height)
{
	int cells = width >= 144 ? 128 : 64, shown = 0;

	printf("\033[H\033[1mmemview\033[0m  page tables of %ld: %s; %s; a row is 2 MiB, a cell %d pages; q quits", pid, totals[0], totals[1], 512 / cells);
	end_line();
	for (int k = 0; k < NR_KINDS; k++) {
		ink(kinds[k].c);
		printf("\u2587\u2587\033[0m %s  ", kinds[k].name);
	}
	end_line();
	for (; shown < nr_rows && shown + 4 < height; shown++) {
		const struct row *r = &rows[shown];

		printf("%014lx ", r->start);
		if (r->huge == EMPTY)
			draw_table(r, cells);
		for (unsigned long i = 0; r->huge != EMPTY && i < r->n && i < (unsigned)cells / 2; i++)
			tile_line(kinds[r->huge].c, 0, 1);
		if (r->huge != EMPTY)
			printf("\033[0m %lu", r->n);
		end_line();
	}
	if (shown < nr_rows + nr_more) {
		printf("and %d more", nr_rows + nr_more - shown);
		end_line();
	}
	printf("\033[J");
	fflush(stdout);
}

#endif
