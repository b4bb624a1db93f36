// VARIANTS: musl dynamic
/*
 * Where things lie in a new program: as random as on Linux (28 bits for mmap and position-independent programs, 22 pages' worth
 * for the stack, 13 for brk), and always the same with personality(ADDR_NO_RANDOMIZE). The program executes itself many times
 * and looks which bits of each address ever change.
 */
#include "check.h"
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/personality.h>

#define RUNS 48
enum { STACK, MMAP, BRK, VDSO, PROGRAM, NR };
static const char *const names[NR] = { "stack", "mmap", "brk", "vdso", "program" };

extern char **environ;

/* The child: its addresses to standard output. */
static int tell(void)
{
	char here;
	unsigned long a[NR] = {
		(unsigned long)&here, (unsigned long)mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		(unsigned long)sbrk(0), getauxval(AT_SYSINFO_EHDR), (unsigned long)&tell,
	};

	return write(1, a, sizeof(a)) != sizeof(a);
}

static bool sample(unsigned long a[NR], bool fixed)
{
	int fd[2], status;

	if (pipe(fd))
		return false;
	pid_t pid = fork();
	if (!pid) {
		char *argv[] = { (char *)"aslr", (char *)"--tell", NULL };

		if (fixed)
			personality(ADDR_NO_RANDOMIZE);
		dup2(fd[1], 1);
		execve("/proc/self/exe", argv, environ);
		_exit(1);
	}
	close(fd[1]);
	bool ok = read(fd[0], a, NR * sizeof(*a)) == (long)(NR * sizeof(*a));
	close(fd[0]);
	waitpid(pid, &status, 0);
	return ok && !status;
}

static void changing(unsigned long bits[NR], bool fixed)
{
	unsigned long first[NR], a[NR];

	memset(bits, 0, NR * sizeof(*bits));
	REQUIRE(sample(first, fixed));
	for (int i = 1; i < RUNS; i++) {
		REQUIRE(sample(a, fixed));
		for (int k = 0; k < NR; k++)
			bits[k] |= a[k] ^ first[k];
	}
}

static int pages_bits(unsigned long changed)
{
	return __builtin_popcountl(changed >> 12);
}

TEST(as_random_as_linux)
{
	unsigned long bits[NR];
	bool pie = (unsigned long)&tell > 1ul << 40;

	changing(bits, false);
	for (int k = 0; k < NR; k++)
		printf("  %s: %d bits of page number, mask %#lx\n", names[k], pages_bits(bits[k]), bits[k]);
	CHECK(pages_bits(bits[MMAP]) >= 28);
	CHECK(pages_bits(bits[STACK]) >= 22);
	CHECK(bits[STACK] & 0xff0); /* and inside the page */
	CHECK(pages_bits(bits[BRK]) >= 13);
	CHECK(pages_bits(bits[VDSO]) >= 9);
	if (pie)
		CHECK(pages_bits(bits[PROGRAM]) >= 28);
	else
		CHECK_EQ(bits[PROGRAM], 0);
}

TEST(not_at_all_when_asked)
{
	unsigned long bits[NR];

	changing(bits, true);
	for (int k = 0; k < NR; k++)
		CHECK_EQ(bits[k], 0);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "--tell"))
		return tell();
	return check_main(argc, argv);
}
