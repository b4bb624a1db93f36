/*
 * memview - draws physical memory, live, and the page tables of a process.
 *
 * The source is /proc/quoin/memmap: one line for each run of equal 2 MiB blocks, with the pages of each kind of owner; and /proc/buddyinfo
 * for the sizes of free blocks. Live (memview_draw.h), every block is a tile, or half a character cell where memory is large, in a mix of
 * its owners' colours; below, a column for each picture tells how it went. With --once a block is a letter, the owner of most of it, below a
 * table of sums. --pid shows /proc/PID/pagetables: the count of tables and pages, and the tree; with --live as a picture (memview_tables.h).
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

#include "memview_draw.h"
#include "memview_tables.h"

/* ---- the source ---- */

static int room;

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
	memset(z, 0, sizeof(*z));
	if (nr_zones < 255 && sscanf(line, "zone %d %15s %lx %lx %lu %lu %d %d", &z->node, z->name, &z->start, &z->end, &z->managed, &z->free,
				     &z->largest, &z->unusable) == 8)
		nr_zones++;
	return true;
}

/* How many free blocks there are of each order. */
static void load_orders(void)
{
	FILE *f = fopen("/proc/buddyinfo", "r");
	char line[256], name[16];
	int node, at;

	while (f && fgets(line, sizeof line, f)) {
		if (sscanf(line, "Node %d, zone %15s%n", &node, name, &at) != 2)
			continue;
		for (int i = 0; i < nr_zones; i++) {
			char *p = line + at;

			if (zones[i].node == node && !strcmp(zones[i].name, name))
				for (int o = 0; o < ORDERS; o++)
					zones[i].blocks[o] = strtoul(p, &p, 10);
		}
	}
	if (f)
		fclose(f);
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
	load_orders();
	return 0;
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

static struct termios saved;
static volatile sig_atomic_t stop;
static void on_signal(int sig) { stop = sig; }

/* @pid 0: physical memory. */
static int frame(long pid, int width, int height)
{
	int r = pid ? load_tables(pid) : load();

	if (r)
		return r;
	if (pid)
		draw_tables(pid, width, height);
	else
		draw(width, height);
	return 0;
}

static int live(long pid, double interval)
{
	struct winsize ws;
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
	setvbuf(stdout, NULL, _IOFBF, 1 << 18); /* a picture at a time */
	printf("\033[2J\033[?25l");
	while (!stop) {
		if (ioctl(1, TIOCGWINSZ, &ws) || !ws.ws_col || !ws.ws_row)
			ws = (struct winsize){ .ws_row = 25, .ws_col = 80 };
		r = frame(pid, ws.ws_col, ws.ws_row);
		if (r || (poll(&in, tty, interval * 1000) > 0 && (read(0, &c, 1) != 1 || c == 'q')))
			break;
	}
	printf("\033[0m\033[?25h\n");
	fflush(stdout);
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
		    "       memview --pid PID [--live]\n"
		    "  --interval S  time between two pictures (0.05 to 3600, default 1)\n"
		    "  --once        a table and a map of letters, then end\n"
		    "  --columns N   letters a line with --once (default 64)\n"
		    "  --pid PID     the page tables of a process, as text\n"
		    "  --live        as a picture\n"
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
		{ "pid", required_argument, NULL, 'p' }, { "live", no_argument, NULL, 'l' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	double interval = 1, columns = 64, pid = 0;
	bool once = false, picture = false;
	int o;

	while ((o = getopt_long(argc, argv, "i:oc:p:lh", options, NULL)) >= 0) {
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
		case 'l':
			picture = true;
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
	if (pid && !picture)
		return tables((long)pid);
	if (pid || !once)
		return live((long)pid, interval);
	o = load();
	if (!o)
		text((int)columns);
	return o;
}
