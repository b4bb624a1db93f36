/*
 * memview - draws physical memory, live, and the page tables of a process.
 *
 * The source is /proc/quoin/memmap: one line for each run of equal 2 MiB blocks, with the pages of each kind of owner. Live, every block
 * is a square, or half a character cell where memory is large, coloured by a mix of its owners' colours (24-bit ANSI, which the framebuffer console shows too); with --once it is one
 * letter, the owner of most of it, below a table of sums. --pid shows /proc/PID/pagetables: the count of tables and pages, and the tree.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

enum { FREE, PCP, ANON, FILEP, SLAB, TABLE, KERNEL, RESERVED, THP, POOL, NR };

static const struct owner { const char *name; char letter; unsigned char r, g, b; } owners[NR] = {
	[FREE] = { "free", '.', 95, 95, 95 },
	[PCP] = { "per-cpu", ',', 70, 78, 92 },
	[ANON] = { "anon", 'a', 230, 150, 40 },
	[FILEP] = { "file", 'f', 60, 140, 230 },
	[SLAB] = { "slab", 's', 170, 90, 220 },
	[TABLE] = { "tables", 't', 240, 230, 80 },
	[KERNEL] = { "kernel", 'k', 200, 60, 60 },
	[RESERVED] = { "reserved", '#', 215, 215, 215 },
	[THP] = { "huge", 'H', 90, 220, 90 },
	[POOL] = { "hugetlb", 'G', 40, 210, 200 },
};

struct zone { int node; char name[16]; unsigned long start, end, managed, free; int largest, unusable; };
struct block { int node; char zone[16]; unsigned long pfn; unsigned n[NR]; int largest; };

static struct zone zones[256];
static struct block *blocks;
static int nr_zones, nr_blocks, room;

static int complain(const char *what, const char *why)
{
	fprintf(stderr, "memview: %s: %s\n", what, why);
	return 1;
}

/* ---- the source ---- */

static bool add_blocks(const struct block *b, unsigned long count)
{
	for (unsigned long i = 0; i < count; i++) {
		if (nr_blocks == room) {
			struct block *more = realloc(blocks, (room = room ? 2 * room : 1024) * sizeof(*blocks));

			if (!more)
				return false;
			blocks = more;
		}
		blocks[nr_blocks] = *b;
		blocks[nr_blocks++].pfn = b->pfn + 512 * i;
	}
	return true;
}

static bool parse_line(const char *line)
{
	struct block b;
	struct zone *z = &zones[nr_zones];
	unsigned long count;
	unsigned *n = b.n;

	if (sscanf(line, "block %lx %lu %d %15s %u %u %u %u %u %u %u %u %u %u %d", &b.pfn, &count, &b.node, b.zone, n, n + 1, n + 2, n + 3,
		   n + 4, n + 5, n + 6, n + 7, n + 8, n + 9, &b.largest) == 15)
		return add_blocks(&b, count);
	if (nr_zones < 256 && sscanf(line, "zone %d %15s %lx %lx %lu %lu %d %d", &z->node, z->name, &z->start, &z->end, &z->managed, &z->free,
				     &z->largest, &z->unusable) == 8)
		nr_zones++;
	return true;
}

static int load(void)
{
	FILE *f = fopen("/proc/quoin/memmap", "r");
	char line[512];
	int version = 0;

	if (!f)
		return complain("/proc/quoin/memmap", strerror(errno));
	nr_zones = nr_blocks = 0;
	if (!fgets(line, sizeof line, f) || sscanf(line, "quoin-memmap %d", &version) != 1 || version != 1) {
		fclose(f);
		return complain("/proc/quoin/memmap", "not a format I know");
	}
	while (fgets(line, sizeof line, f))
		if (!parse_line(line)) {
			fclose(f);
			return complain("blocks", "out of memory");
		}
	fclose(f);
	return 0;
}

static bool in_zone(const struct block *b, const struct zone *z)
{
	return b->node == z->node && !strcmp(b->zone, z->name);
}

static void sum_zone(const struct zone *z, unsigned long sum[NR])
{
	memset(sum, 0, NR * sizeof(*sum));
	for (int i = 0; i < nr_blocks; i++)
		if (!z || in_zone(&blocks[i], z))
			for (int k = 0; k < NR; k++)
				sum[k] += blocks[i].n[k];
}

/* ---- text ---- */

static char letter_of(const struct block *b)
{
	int best = FREE;

	for (int k = 0; k < NR; k++)
		if (b->n[k] > b->n[best])
			best = k;
	return owners[best].letter;
}

static void text_sums(const char *what, unsigned long sum[NR])
{
	printf("%-14s", what);
	for (int k = 0; k < NR; k++)
		printf(" %9lu", sum[k] * 4);
	putchar('\n');
}

static void text_zone(const struct zone *z, int width)
{
	int n = 0;

	printf("\nnode %d zone %s: %lu kB, largest free order %d, %d.%d %% of free memory in small blocks\n", z->node, z->name, z->managed * 4,
	       z->largest, z->unusable / 10, z->unusable % 10);
	for (int i = 0; i < nr_blocks; i++) {
		if (!in_zone(&blocks[i], z))
			continue;
		if (n % width == 0)
			printf("%s%10lx  ", n ? "\n" : "", blocks[i].pfn << 12);
		putchar(letter_of(&blocks[i]));
		n++;
	}
	if (n)
		putchar('\n');
}

static void text(int width)
{
	unsigned long sum[NR];
	char label[32];

	printf("%-14s", "kB");
	for (int k = 0; k < NR; k++)
		printf(" %9s", owners[k].name);
	putchar('\n');
	for (int i = 0; i < nr_zones; i++) {
		sum_zone(&zones[i], sum);
		snprintf(label, sizeof label, "%d/%s", zones[i].node, zones[i].name);
		text_sums(label, sum);
	}
	sum_zone(NULL, sum);
	text_sums("total", sum);
	printf("\n2 MiB a letter, its owner for the most part:");
	for (int k = 0; k < NR; k++)
		printf(" %c %s", owners[k].letter, owners[k].name);
	putchar('\n');
	for (int i = 0; i < nr_zones; i++)
		text_zone(&zones[i], width);
}

/* ---- picture ---- */

struct colour { unsigned r, g, b; };

static struct colour colour_of(const struct block *b)
{
	struct colour c = { 0, 0, 0 };
	unsigned all = 0;

	for (int k = 0; k < NR; k++) {
		c.r += b->n[k] * owners[k].r;
		c.g += b->n[k] * owners[k].g;
		c.b += b->n[k] * owners[k].b;
		all += b->n[k];
	}
	if (all)
		c = (struct colour){ c.r / all, c.g / all, c.b / all };
	return c;
}

static void legend(void)
{
	for (int k = 0; k < NR; k++)
		printf("\033[48;2;%u;%u;%um  \033[0m %s  ", owners[k].r, owners[k].g, owners[k].b, owners[k].name);
	printf("\033[K\n");
}

/* Lines a zone takes with blocks of @scale lines and twice as many cells; 0: two blocks a cell. */
static int lines_for(int n, int width, int scale)
{
	int per_line = scale ? width / (2 * scale) : 2 * width;

	return per_line ? (n + per_line - 1) / per_line * (scale ? scale : 1) : 1 << 20;
}

/* The largest scale at which all zones fit below their titles. */
static int pick_scale(int width, int height)
{
	for (int scale = 4; scale; scale--) {
		int need = 3;

		for (int i = 0; i < nr_zones; i++) {
			int n = 0;

			for (int k = 0; k < nr_blocks; k++)
				n += in_zone(&blocks[k], &zones[i]);
			need += 1 + lines_for(n, width, scale);
		}
		if (need < height)
			return scale;
	}
	return 0;
}

static int draw_large(struct block **of, int n, int width, int lines, int scale)
{
	int per_line = width / (2 * scale), used = 0;

	for (int first = 0; first < n; first += per_line)
		for (int l = 0; l < scale && used < lines; l++, used++) {
			for (int i = first; i < n && i < first + per_line; i++) {
				struct colour c = colour_of(of[i]);

				printf("\033[48;2;%u;%u;%um%*s", c.r, c.g, c.b, 2 * scale, "");
			}
			printf("\033[0m\033[K\n");
		}
	return used;
}

/* Large blocks, or rows of @width cells, two blocks a cell, the upper one first. Returns lines used. */
static int draw_zone(const struct zone *z, int width, int lines, int scale)
{
	struct block **of = malloc((nr_blocks + 1) * sizeof(*of));
	int n = 0, used = 0;

	for (int i = 0; of && i < nr_blocks; i++)
		if (in_zone(&blocks[i], z))
			of[n++] = &blocks[i];
	if (scale) {
		used = draw_large(of, n, width, lines, scale);
		n = 0;
	}
	for (int row = 0; row * 2 * width < n && used < lines; row++, used++) {
		for (int x = 0; x < width && row * 2 * width + x < n; x++) {
			int up = row * 2 * width + x, down = up + width;
			struct colour a = colour_of(of[up]), b = { 0, 0, 0 };

			if (down < n)
				b = colour_of(of[down]);
			printf("\033[38;2;%u;%u;%um\033[48;2;%u;%u;%um\u2580", a.r, a.g, a.b, b.r, b.g, b.b);
		}
		printf("\033[0m\033[K\n");
	}
	free(of);
	return used;
}

static void draw(int width, int height)
{
	unsigned long sum[NR], all = 0;
	int line = 3, scale = pick_scale(width, height);

	sum_zone(NULL, sum);
	for (int k = 0; k < NR; k++)
		all += sum[k];
	printf("\033[H\033[1mmemview\033[0m  %lu MiB, %lu MiB free, huge %lu, hugetlb %lu MiB; %s is 2 MiB; q quits\033[K\n", all >> 8,
	       (sum[FREE] + sum[PCP]) >> 8, sum[THP] >> 8, sum[POOL] >> 8, scale ? "a square" : "half a cell");
	legend();
	for (int i = 0; i < nr_zones && line + 1 < height; i++) {
		struct zone *z = &zones[i];

		sum_zone(z, sum);
		printf("\033[1mnode %d %s\033[0m  %lu MiB, %lu free, largest order %d, small %d.%d %%\033[K\n", z->node, z->name, z->managed >> 8,
		       z->free >> 8, z->largest, z->unusable / 10, z->unusable % 10);
		line++;
		line += draw_zone(z, width, height - line - 1, scale);
	}
	printf("\033[J");
	fflush(stdout);
}

static struct termios saved;
static volatile sig_atomic_t stop;
static void on_signal(int sig) { stop = sig; }

static int live(double interval)
{
	struct winsize ws = { .ws_row = 25, .ws_col = 80 };
	struct termios raw;
	struct pollfd in = { .fd = 0, .events = POLLIN };
	bool tty = !tcgetattr(0, &saved);
	int r = 0;
	char c;

	if (tty) {
		raw = saved;
		raw.c_lflag &= ~(ICANON | ECHO);
		tcsetattr(0, TCSANOW, &raw);
	}
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	printf("\033[2J\033[?25l");
	while (!stop && !(r = load())) {
		if (ioctl(1, TIOCGWINSZ, &ws) || !ws.ws_col || !ws.ws_row)
			ws = (struct winsize){ .ws_row = 25, .ws_col = 80 };
		draw(ws.ws_col, ws.ws_row);
		if (poll(&in, tty, interval * 1000) > 0 && (read(0, &c, 1) != 1 || c == 'q'))
			break;
	}
	printf("\033[0m\033[?25h\n");
	if (tty)
		tcsetattr(0, TCSANOW, &saved);
	return r;
}

/* ---- one process ---- */

static int tables(long pid)
{
	char path[64], line[256];
	bool any = false;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%ld/pagetables", pid);
	f = fopen(path, "r");
	if (!f)
		return complain(path, strerror(errno));
	while (fgets(line, sizeof line, f)) {
		fputs(line, stdout);
		any = true;
	}
	fclose(f);
	if (!any)
		return complain(path, "the process has no address space");
	printf("\nL5 to L1: tables and their used entries; 4k, 2M, 1G: neighbouring entries that are alike, and how many\n"
	       "flags: r present, w, x, u user, A accessed, D dirty, s no page behind it of ours, n mapped without rights, p watched, m marker\n");
	return 0;
}

static int usage(FILE *to, int r)
{
	fprintf(to, "usage: memview [--interval SECONDS] [--once] [--columns N]\n"
		    "       memview --pid PID\n"
		    "  --interval S  time between two pictures (0.05 to 3600, default 1)\n"
		    "  --once        a table and a map of letters, then end\n"
		    "  --columns N   letters a line with --once (default 64)\n"
		    "  --pid PID     the page tables of a process\n"
		    "Live, q ends it.\n");
	return r;
}

static bool number(const char *s, double low, double high, double *v)
{
	char *end;

	errno = 0;
	*v = strtod(s, &end);
	return end != s && !*end && !errno && *v >= low && *v <= high;
}

static int bad(const char *option, const char *value)
{
	fprintf(stderr, "memview: %s: %s is no number in its range\n", option, value);
	return usage(stderr, 2);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "interval", required_argument, NULL, 'i' }, { "once", no_argument, NULL, 'o' }, { "columns", required_argument, NULL, 'c' },
		{ "pid", required_argument, NULL, 'p' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	double interval = 1, columns = 64, pid = 0;
	bool once = false;
	int o;

	while ((o = getopt_long(argc, argv, "i:oc:p:h", options, NULL)) >= 0) {
		switch (o) {
		case 'i':
			if (!number(optarg, 0.05, 3600, &interval))
				return bad("--interval", optarg);
			break;
		case 'c':
			if (!number(optarg, 1, 1000, &columns))
				return bad("--columns", optarg);
			break;
		case 'p':
			if (!number(optarg, 1, 1 << 22, &pid) || pid != (long)pid)
				return bad("--pid", optarg);
			break;
		case 'o':
			once = true;
			break;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, 2);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "memview: %s: what is that?\n", argv[optind]);
		return usage(stderr, 2);
	}
	if (pid)
		return tables((long)pid);
	if (!once)
		return live(interval);
	o = load();
	if (!o)
		text((int)columns);
	return o;
}
