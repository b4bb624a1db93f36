/* memview's picture of physical memory: tiles, free orders, and how it went. Colours are 24-bit ANSI, chosen from the 256 every terminal has. */
#ifndef MEMVIEW_DRAW_H
#define MEMVIEW_DRAW_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FREE, PCP, ANON, FILEP, SLAB, TABLE, KERNEL, RESERVED, THP, POOL, NR };
#define ORDERS 11	/* of /proc/buddyinfo; the last stands for all above it, too */

struct colour { unsigned r, g, b; };
static const struct owner { const char *name; char letter; struct colour c; } owners[NR] = {
	[FREE] = { "free", '.', { 48, 48, 48 } },
	[PCP] = { "per-cpu", ',', { 95, 95, 135 } },
	[ANON] = { "anon", 'a', { 255, 175, 95 } },
	[FILEP] = { "file", 'f', { 95, 175, 255 } },
	[SLAB] = { "slab", 's', { 175, 135, 255 } },
	[TABLE] = { "tables", 't', { 255, 255, 95 } },
	[KERNEL] = { "kernel", 'k', { 255, 95, 95 } },
	[RESERVED] = { "reserved", '#', { 138, 138, 138 } },
	[THP] = { "huge", 'H', { 135, 215, 95 } },
	[POOL] = { "hugetlb", 'G', { 0, 215, 175 } },
};
/* bottom to top in bars and in the history: what is used first */
static const int stacked[NR] = { KERNEL, SLAB, TABLE, RESERVED, POOL, THP, ANON, FILEP, PCP, FREE };

struct zone { int node; char name[16]; unsigned long start, end, managed, free; int largest, unusable; unsigned long blocks[ORDERS]; };
struct block { int node; char zone[16]; unsigned long pfn; unsigned n[NR]; int largest; };

static struct zone zones[256];
static struct block *blocks;
static int nr_zones, nr_blocks;

static int complain(const char *what, const char *why)
{
	fprintf(stderr, "memview: %s: %s\n", what, why);
	return 1;
}

static bool in_zone(const struct block *b, const struct zone *z)
{
	return b->node == z->node && !strcmp(b->zone, z->name);
}

/* The pages of each owner in a zone, NULL: in all. => their sum */
static unsigned long sum_zone(const struct zone *z, unsigned long sum[NR])
{
	unsigned long all = 0;

	memset(sum, 0, NR * sizeof(*sum));
	for (int i = 0; i < nr_blocks; i++)
		if (!z || in_zone(&blocks[i], z))
			for (int k = 0; k < NR; k++) {
				sum[k] += blocks[i].n[k];
				all += blocks[i].n[k];
			}
	return all;
}

/* ---- pieces ---- */

static void ink(struct colour c) { printf("\033[38;2;%u;%u;%um", c.r, c.g, c.b); }
static void paper(struct colour c) { printf("\033[48;2;%u;%u;%um", c.r, c.g, c.b); }
static void end_line(void) { printf("\033[0m\033[K\n"); }

static struct colour colour_of(const unsigned n[NR])
{
	struct colour c = { 0, 0, 0 };
	unsigned all = 0;

	for (int k = 0; k < NR; k++) {
		c.r += n[k] * owners[k].c.r;
		c.g += n[k] * owners[k].c.g;
		c.b += n[k] * owners[k].c.b;
		all += n[k];
	}
	return all ? (struct colour){ c.r / all, c.g / all, c.b / all } : c;
}

/* One line of a tile of 2 * @scale cells: a gap above the first, and one behind the last where it has two lines or more. */
static void tile_line(struct colour c, int line, int scale)
{
	ink(c);
	for (int x = 0; x < 2 * scale; x++)
		fputs(line == 0 ? "\u2587" : x == 2 * scale - 1 ? "\u2589" : "\u2588", stdout);
}

static void legend(void)
{
	for (int k = 0; k < NR; k++) {
		ink(owners[k].c);
		printf("\u2587\u2587\033[0m %s  ", owners[k].name);
	}
	end_line();
}

/* @width cells, parted among the owners. */
static void bar(const unsigned long sum[NR], unsigned long all, int width)
{
	unsigned long done = 0;
	int x = 0;

	for (int i = 0; i < NR && all; i++) {
		done += sum[stacked[i]];
		ink(owners[stacked[i]].c);
		for (; x < (int)(done * width / all); x++)
			fputs("\u2587", stdout);
	}
	printf("\033[0m");
}

/* The free memory of a zone by the order of its blocks: an eighth of a line for each eighth of it in one order. */
static void orders(const struct zone *z)
{
	static const char *const size[ORDERS] = { "4k", "8k", "16k", "32k", "64k", "128k", "256k", "512k", "1M", "2M", "4M+" };
	static const char *const step[] = { " ", "\u2581", "\u2582", "\u2583", "\u2584", "\u2585", "\u2586", "\u2587", "\u2588" };
	unsigned long all = 0;

	for (int o = 0; o < ORDERS; o++)
		all += z->blocks[o] << o;
	printf("  free by size ");
	for (int o = 0; o < ORDERS; o++) {
		unsigned long pages = z->blocks[o] << o;

		printf(" \033[38;2;138;138;138m%s", size[o]);
		ink(o < 9 ? owners[ANON].c : owners[THP].c);
		printf("%s", step[all ? (pages * 8 + all - 1) / all : 0]);
	}
	printf("\033[0m   largest order %d, %d.%d %% in blocks below 2 MiB", z->largest, z->unusable / 10, z->unusable % 10);
	end_line();
}

/* ---- zones ---- */

/* Lines a zone takes with tiles of @scale lines and twice as many cells; 0: two blocks a cell. */
static int lines_for(int n, int width, int scale)
{
	int per_line = scale ? width / (2 * scale) : 2 * width;

	return per_line ? (n + per_line - 1) / per_line * (scale ? scale : 1) : 1 << 20;
}

/* The largest scale at which all zones fit below their titles. */
static int pick_scale(int width, int height)
{
	for (int scale = 3; scale; scale--) {
		int need = 3;

		for (int i = 0; i < nr_zones; i++) {
			int n = 0;

			for (int k = 0; k < nr_blocks; k++)
				n += in_zone(&blocks[k], &zones[i]);
			need += 2 + lines_for(n, width, scale);
		}
		if (need < height)
			return scale;
	}
	return 0;
}

static int draw_tiles(struct block **of, int n, int width, int lines, int scale)
{
	int per_line = width / (2 * scale), used = 0;

	for (int first = 0; first < n; first += per_line)
		for (int l = 0; l < scale && used < lines; l++, used++) {
			for (int i = first; i < n && i < first + per_line; i++)
				tile_line(colour_of(of[i]->n), l, scale);
			end_line();
		}
	return used;
}

/* Rows of @width cells, two blocks a cell, the upper one first. */
static int draw_dense(struct block **of, int n, int width, int lines)
{
	int used = 0;

	for (int row = 0; row < n && used < lines; row += 2 * width, used++) {
		for (int up = row; up < n && up < row + width; up++) {
			ink(colour_of(of[up]->n));
			paper(up + width < n ? colour_of(of[up + width]->n) : (struct colour){ 0, 0, 0 });
			fputs("\u2580", stdout);
		}
		end_line();
	}
	return used;
}

/* => lines used */
static int draw_zone(const struct zone *z, int width, int lines, int scale)
{
	struct block **of = malloc((nr_blocks + 1) * sizeof(*of));
	unsigned long sum[NR], all = sum_zone(z, sum);
	int n = 0, used;

	printf("\033[1mnode %d %-8s\033[0m ", z->node, z->name);
	bar(sum, all, width > 100 ? 60 : 30);
	printf("  %lu MiB, %lu free", z->managed >> 8, z->free >> 8);
	end_line();
	orders(z);
	for (int i = 0; of && i < nr_blocks; i++)
		if (in_zone(&blocks[i], z))
			of[n++] = &blocks[i];
	used = scale ? draw_tiles(of, n, width, lines - 2, scale) : draw_dense(of, n, width, lines - 2);
	free(of);
	return used + 2;
}

/* ---- how it went ---- */

#define PAST 512
static unsigned long past[PAST][NR];
static unsigned nr_past;

/* The owner at @level thousandths of the sum from below. */
static int owner_at(const unsigned long sum[NR], unsigned level)
{
	unsigned long all = 0, below = 0;
	int i = 0;

	for (int k = 0; k < NR; k++)
		all += sum[k];
	for (; i < NR - 1 && (below += sum[stacked[i]]) * 1000 <= all * level; i++)
		;
	return stacked[i];
}

/* A column for each picture so far, the newest at the right; each half of a cell shows who has that part of memory. */
static void history(int width, int lines)
{
	int columns = nr_past < (unsigned)width ? (int)nr_past : width;

	columns = columns < PAST ? columns : PAST;
	for (int l = 0; l < lines; l++) {
		printf("%*s", width - columns, "");
		for (int x = columns; x > 0; x--) {
			const unsigned long *sum = past[(nr_past - x) % PAST];

			ink(owners[owner_at(sum, (2 * (lines - l) - 1) * 500 / lines)].c);
			paper(owners[owner_at(sum, (2 * (lines - l) - 2) * 500 / lines)].c);
			fputs("\u2580", stdout);
		}
		end_line();
	}
}

static void draw(int width, int height)
{
	unsigned long sum[NR], all = sum_zone(NULL, sum);
	int line = 2, scale = pick_scale(width, height), left;

	memcpy(past[nr_past++ % PAST], sum, sizeof sum);
	printf("\033[H\033[1mmemview\033[0m  %lu MiB, %lu MiB free, huge %lu, hugetlb %lu MiB; %s is 2 MiB; q quits", all >> 8,
	       (sum[FREE] + sum[PCP]) >> 8, sum[THP] >> 8, sum[POOL] >> 8, scale ? "a tile" : "half a cell");
	end_line();
	legend();
	for (int i = 0; i < nr_zones && line + 3 < height; i++)
		line += draw_zone(&zones[i], width, height - line - 1, scale);
	left = height - line - 2;
	if (left >= 4) {
		printf("\033[1mall memory, a column for each picture, the newest at the right\033[0m");
		end_line();
		history(width, left < 12 ? left : 12);
	}
	printf("\033[J");
	fflush(stdout);
}

#endif
