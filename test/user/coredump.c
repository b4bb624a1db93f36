// VARIANTS: musl glibc
// BOOT: --smp 2
/*
 * coredump.c - core(5): who leaves a core and where, what wait says, and what is in the file.  The same
 * program passes on Linux (as root, with core_pattern "core").
 */
#include "conf.h"
#include <elf.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/procfs.h>

static volatile long marker = 0x0dd0c0ffee0dd001;
static pthread_barrier_t bar;

static void limit(rlim_t n)
{
	struct rlimit l = { n, n };

	setrlimit(RLIMIT_CORE, &l);
}

static int crash(void (*fn)(void))
{
	int st;

	unlink("core");
	pid_t p = fork();
	if (!p) {
		limit(RLIM_INFINITY);
		fn();
		_exit(0);
	}
	waitpid(p, &st, 0);
	return st;
}

static void *waits(void *a)
{
	pthread_barrier_wait(&bar);
	for (;;)
		pause();
	return a;
}
static void threads_abort(void)
{
	pthread_t t;

	pthread_barrier_init(&bar, NULL, 3);
	pthread_create(&t, NULL, waits, NULL);
	pthread_create(&t, NULL, waits, NULL);
	pthread_barrier_wait(&bar);
	marker = 0x1234567;
	abort();
}
static void segv(void) { *(volatile int *)8 = 1; }
static void quit(void) { kill(getpid(), SIGQUIT); }
static void term(void) { kill(getpid(), SIGTERM); }
static void small(void) { limit(4095); segv(); }
static void cut(void) { limit(8192); segv(); }
static void undumpable(void) { prctl(PR_SET_DUMPABLE, 0); segv(); }
static void nowhere(void) { chdir("/proc"); segv(); }

static char *core;
static long core_size;
static void load_core(void)
{
	int fd = open("core", O_RDONLY);
	struct stat st;

	fstat(fd, &st);
	core_size = st.st_size;
	core = mmap(NULL, core_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
}

TEST(who_dumps)
{
	char pattern[16] = "";
	int fd = open("/proc/sys/kernel/core_pattern", O_RDONLY);

	read(fd, pattern, 5);
	close(fd);
	CHECK_STR(pattern, "core\n");
	CHECK_EQ(crash(segv), SIGSEGV | 0x80);
	struct stat st;
	CHECK_OK(stat("core", &st));
	CHECK_EQ(st.st_mode, S_IFREG | 0600);
	CHECK_GT(st.st_size, 8192);
	CHECK_EQ(crash(quit), SIGQUIT | 0x80);
	CHECK_OK(stat("core", &st));
	CHECK_EQ(crash(term), SIGTERM);
	CHECK_ERRNO(stat("core", &st), ENOENT);
	CHECK_EQ(crash(small), SIGSEGV);
	CHECK_ERRNO(stat("core", &st), ENOENT);
	CHECK_EQ(crash(undumpable), SIGSEGV);
	CHECK_EQ(crash(nowhere), SIGSEGV);
	CHECK_EQ(crash(cut) & 0x7f, SIGSEGV);
	unlink("core");
	/* waitid says it in its own way */
	siginfo_t si;
	pid_t p = fork();
	if (!p) {
		limit(RLIM_INFINITY);
		abort();
	}
	CHECK_OK(waitid(P_PID, p, &si, WEXITED));
	CHECK_EQ(si.si_code, CLD_DUMPED);
	CHECK_EQ(si.si_status, SIGABRT);
}

TEST(what_is_inside)
{
	int threads = 0, files = 0, auxv = 0, info = 0, ps = 0, fpregs = 0, loads = 0;
	long found = 0;

	CHECK_EQ(crash(threads_abort), SIGABRT | 0x80);
	load_core();
	REQUIRE(core != MAP_FAILED);
	Elf64_Ehdr *e = (void *)core;
	Elf64_Phdr *p = (void *)(core + e->e_phoff);
	CHECK(!memcmp(e->e_ident, "\177ELF\2\1\1", 7));
	CHECK_EQ(e->e_type, ET_CORE);
	CHECK_EQ(e->e_machine, EM_X86_64);
	CHECK_EQ(p[0].p_type, PT_NOTE);
	for (char *n = core + p[0].p_offset, *end = n + p[0].p_filesz; n < end;) {
		Elf64_Nhdr *h = (void *)n;
		char *desc = n + sizeof(*h) + ((h->n_namesz + 3) & ~3);
		struct elf_prstatus *s = (void *)desc;

		if (h->n_type == NT_PRSTATUS) {
			CHECK_EQ(h->n_descsz, 336);
			CHECK_EQ(s->pr_cursig, SIGABRT);
			CHECK_GT(s->pr_reg[16], 4096UL); /* rip */
			threads++;
		}
		files += h->n_type == NT_FILE;
		auxv += h->n_type == NT_AUXV;
		fpregs += h->n_type == NT_FPREGSET;
		if (h->n_type == NT_SIGINFO) {
			info++;
			CHECK_EQ(*(int *)desc, SIGABRT);
		}
		if (h->n_type == NT_PRPSINFO) {
			ps++;
			CHECK(strstr(((struct elf_prpsinfo *)desc)->pr_psargs, "coredump"));
		}
		n = desc + ((h->n_descsz + 3) & ~3);
	}
	CHECK_EQ(threads, 3);
	CHECK_EQ(fpregs, 3);
	CHECK_EQ(files, 1);
	CHECK_EQ(auxv, 1);
	CHECK_EQ(info, 1);
	CHECK_EQ(ps, 1);
	for (int i = 1; i < e->e_phnum; i++) {
		unsigned long at = (unsigned long)&marker;
		CHECK_EQ(p[i].p_type, PT_LOAD);
		loads++;
		if (at >= p[i].p_vaddr && at < p[i].p_vaddr + p[i].p_filesz && p[i].p_offset + p[i].p_filesz <= (unsigned long)core_size)
			found = *(long *)(core + p[i].p_offset + (at - p[i].p_vaddr));
	}
	CHECK_GT(loads, 5);
	CHECK_EQ(found, 0x1234567);
	unlink("core");
}

TEST(filter)
{
	char b[16] = "";
	int fd = open("/proc/self/coredump_filter", O_RDWR);

	CHECK_EQ(read(fd, b, 16), 9);
	CHECK_STR(b, "00000033\n");
	CHECK_EQ(write(fd, "0x7f", 4), 4);
	CHECK_EXITS(0, fd = open("/proc/self/coredump_filter", O_RDONLY); CHECK_EQ(read(fd, b, 16), 9); CHECK_STR(b, "0000007f\n"));
	close(fd);
}

TEST_MAIN
