// DEBUG: last
// BOOT: --smp 4 --memory 1G
/*
 * The lock-order checker of debug kernels. On one: mistakes planted with locks that nobody else uses are seen, once each; the programs that
 * ran before this one in the same guest drew no complaint; every lock has a rank and no edge goes against them. On a default kernel there is no checker and no taint.
 */
#include "check.h"
#include <fcntl.h>

#define FILE_NAME "/proc/quoin/locks"

struct count {
	unsigned long classes, edges, unranked, backwards, complaints, planted;
};

static bool checked(void)
{
	return !access(FILE_NAME, F_OK);
}

struct class {
	char name[120];
	unsigned rank;
} class[400];

static unsigned rank_of(const char *name, unsigned long n)
{
	for (unsigned long i = 0; i < n; i++)
		if (!strcmp(class[i].name, name))
			return class[i].rank;
	return 0;
}

/* "class NAME FILE rank R ..." */
static void read_class(struct count *c, char *line)
{
	char *end = strstr(line, " rank ");

	if (!end || c->classes == sizeof(class) / sizeof(*class))
		return;
	*end = 0;
	snprintf(class[c->classes].name, sizeof(class->name), "%s", line);
	class[c->classes].rank = (unsigned)atoi(end + 6);
	if (!class[c->classes].rank && strncmp(line, "planted", 7)) {
		printf("  no rank: %s\n", line);
		c->unranked++;
	}
	c->classes++;
}

/* "edge A file > B file count N" */
static void read_edge(struct count *c, char *line)
{
	char *to = strstr(line, " > "), *end = strstr(line, " count ");

	if (!to || !end)
		return;
	*to = *end = 0;
	c->edges++;
	unsigned from = rank_of(line, c->classes), under = rank_of(to + 3, c->classes);

	if (from && under && from > under) {
		printf("  against the ranks: %s > %s\n", line, to + 3);
		c->backwards++;
	}
}

static struct count look(void)
{
	static char line[512];
	struct count c = { 0 };
	FILE *f = fopen(FILE_NAME, "r");

	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "class ", 6))
			read_class(&c, line + 6);
		else if (!strncmp(line, "edge ", 5))
			read_edge(&c, line + 5);
		else
			sscanf(line, "complaints %lu planted %lu", &c.complaints, &c.planted);
	}
	if (f)
		fclose(f);
	return c;
}

static void plant(const char *what)
{
	int fd = open(FILE_NAME, O_WRONLY);

	CHECK_EQ(write(fd, what, strlen(what)), (long)strlen(what));
	close(fd);
}

static unsigned long taint(void)
{
	unsigned long v = 0;
	FILE *f = fopen("/proc/sys/kernel/tainted", "r");

	CHECK(f && fscanf(f, "%lu", &v) == 1);
	if (f)
		fclose(f);
	return v;
}

TEST(nothing_was_found)
{
	struct count c = look();

	CHECK_EQ(taint() & 1 << 9, 0);
	CHECK_EQ(c.complaints, 0);
	CHECK_EQ(c.planted, 0);
	if (checked()) {
		CHECK_GT(c.classes, 50);
		CHECK_GT(c.edges, 50);
	}
}

TEST(what_was_seen_agrees_with_the_ranks)
{
	struct count c = look();

	CHECK_EQ(c.unranked, 0);
	CHECK_EQ(c.backwards, 0);
}

TEST(planted_mistakes_are_seen_once)
{
	static const char *const what[] = { "cycle", "irq", "unlock", "left" };
	unsigned long before = look().planted;

	if (!checked()) {
		CHECK_ERRNO(open(FILE_NAME, O_RDONLY), ENOENT);
		return;
	}
	for (int round = 0; round < 2; round++)
		for (unsigned i = 0; i < sizeof(what) / sizeof(*what); i++) {
			plant(what[i]);
			CHECK_EQ(look().planted, before + (round ? 4 : i + 1));
		}
	CHECK_EQ(look().complaints, 0);
	CHECK(taint() & 1 << 9);
}

/* The report names both locks and who took them in which order. */
TEST(a_complaint_tells_both_ways)
{
	static char log[1 << 18];
	int fd;
	long n, all = 0;

	if (!checked())
		return;
	fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	REQUIRE(fd >= 0);
	while (all < (long)sizeof(log) - 8192 && ((n = read(fd, log + all, 8192)) > 0 || errno == EPIPE))
		all += n > 0 ? n : 0;
	close(fd);
	CHECK(strstr(log, "(planted) cycle"));
	CHECK(strstr(log, "'planted_b ' taken under 'planted_a '"));
	CHECK(strstr(log, "'planted_a ' taken under 'planted_b '"));
	CHECK(strstr(log, "in_order+"));
}

TEST_MAIN
