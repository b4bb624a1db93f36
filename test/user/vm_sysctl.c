// BOOT: --smp 2 --memory 256M
// TIMEOUT: 90
/*
 * /proc/sys/vm: what is written takes effect, bounds and errors are Linux 6.1's.
 */
#include "check.h"
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>

#define VM "/proc/sys/vm/"

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	int r = write(fd, text, strlen(text)) < 0 ? -1 : 0, err = errno;

	close(fd);
	errno = err;
	return r;
}

static int put_number(const char *path, long v)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld\n", v);
	return put(path, text);
}

static long get(const char *path)
{
	char text[32] = "";
	int fd = open(path, O_RDONLY);
	long n = read(fd, text, sizeof(text) - 1);

	close(fd);
	return n > 0 ? atol(text) : -1;
}

/* The sum of all lines of a file whose first word is this one. */
static long sum(const char *path, const char *word)
{
	char line[256], name[64];
	long v, s = 0;
	FILE *f = fopen(path, "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %ld", name, &v) == 2 && !strcmp(name, word))
			s += v;
	if (f)
		fclose(f);
	return s;
}

TEST(bounds)
{
	static const struct { const char *path, *least, *below, *most, *above; long is; } t[] = {
		{ VM "min_free_kbytes", NULL, "-1", NULL, "2147483648", -1 },
		{ VM "watermark_scale_factor", "1", "0", "3000", "3001", 10 },
		{ VM "panic_on_oom", "0", "-1", "2", "3", 0 },
		{ VM "memory_failure_early_kill", "0", "-1", "1", "2", 0 },
		{ VM "mmap_rnd_bits", "28", "27", "32", "33", 28 },
		{ VM "legacy_va_layout", "0", "-1", NULL, NULL, 0 },
		{ VM "oom_kill_allocating_task", "0", NULL, NULL, NULL, 0 },
		{ VM "hugetlb_shm_group", "0", NULL, NULL, NULL, 0 },
		{ VM "admin_reserve_kbytes", "0", NULL, NULL, NULL, 8192 },
	};

	for (unsigned i = 0; i < sizeof(t) / sizeof(*t); i++) {
		long old = get(t[i].path);

		CHECK(t[i].is < 0 ? old > 0 : old == t[i].is);
		for (int k = 0; k < 2; k++) {
			const char *in = k ? t[i].most : t[i].least, *out = k ? t[i].above : t[i].below;
			if (out)
				CHECK_ERRNO(put(t[i].path, out), EINVAL);
			if (in) {
				CHECK_OK(put(t[i].path, in));
				CHECK_EQ(get(t[i].path), atol(in));
			}
		}
		CHECK_ERRNO(put(t[i].path, "x"), EINVAL);
		CHECK_OK(put_number(t[i].path, old));
		CHECK_EQ(get(t[i].path), old);
		CHECK_EXITS(EACCES, setuid(65534); _exit(open(t[i].path, O_WRONLY) < 0 ? errno : 0));
	}
	struct stat st;
	CHECK_OK(stat(VM "mmap_rnd_bits", &st));
	CHECK_EQ(st.st_mode & 07777, 0600);
}

/* As zoneinfo shows them: min is what was written, low and high are one and two steps above. */
static void check_marks(long kb, long scale)
{
	long min = sum("/proc/zoneinfo", "min"), managed = sum("/proc/zoneinfo", "managed");
	long step = min / 4 > managed * scale / 10000 ? min / 4 : managed * scale / 10000;

	CHECK(labs(min - kb / 4) <= 4);
	CHECK(labs(sum("/proc/zoneinfo", "low") - min - step) <= 8);
	CHECK(labs(sum("/proc/zoneinfo", "high") - min - 2 * step) <= 8);
}

TEST(watermarks)
{
	long kb = get(VM "min_free_kbytes"), total = sum("/proc/meminfo", "MemTotal:");

	CHECK(kb * kb > total * 15 && kb * kb <= total * 16);
	check_marks(kb, 10);
	long available = sum("/proc/meminfo", "MemAvailable:");
	CHECK_OK(put(VM "min_free_kbytes", "20000"));
	check_marks(20000, 10);
	CHECK_LT(sum("/proc/meminfo", "MemAvailable:"), available - 10000);
	CHECK_OK(put(VM "watermark_scale_factor", "1000"));
	check_marks(20000, 1000);
	CHECK_OK(put(VM "min_free_kbytes", "0"));
	check_marks(0, 1000);
	CHECK_OK(put(VM "watermark_scale_factor", "10"));
	CHECK_OK(put_number(VM "min_free_kbytes", kb));
	check_marks(kb, 10);
}

static void adj(const char *text)
{
	CHECK_OK(put("/proc/self/oom_score_adj", text));
}

/* How many MiB a child can touch until it is killed. */
static long until_killed(void)
{
	volatile long *mb = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK_KILLED(SIGKILL, adj("1000");
		     char *p = mmap(NULL, 1ul << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		     for (; p != MAP_FAILED && *mb < 1024; ++*mb) memset(p + (*mb << 20), 1, 1 << 20));
	long r = *mb;
	munmap((void *)mb, 4096);
	return r;
}

TEST(what_is_kept_free_is_not_given_out)
{
	long kb = get(VM "min_free_kbytes"), all = until_killed();

	CHECK_GT(all, 100);
	CHECK_OK(put_number(VM "min_free_kbytes", kb + 80 * 1024));
	long less = until_killed();
	CHECK(less < all - 65 && less > all - 95);
	/* more than there is: nobody gets anything, and it can be taken back */
	CHECK_OK(put(VM "min_free_kbytes", "1000000"));
	usleep(100000);
	CHECK_OK(put_number(VM "min_free_kbytes", kb));
	CHECK_GT(until_killed(), all - 15);
}

/* One holds much and sleeps, another asks for more than there is: who goes? */
static void holder_and_eater(bool holder_dies)
{
	int ready[2];
	char c;

	CHECK_OK(pipe(ready));
	pid_t holder = fork();
	if (!holder) {
		adj("1000");
		char *p = mmap(NULL, 60 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		_exit(p == MAP_FAILED || write(ready[1], "r", 1) != 1 || (pause(), 0));
	}
	CHECK_EQ(read(ready[0], &c, 1), 1);
	CHECK_KILLED(SIGKILL, adj("0");
		     char *p = mmap(NULL, 1ul << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		     for (long i = 0; p != MAP_FAILED && i < 1024; i++) memset(p + (i << 20), 1, 1 << 20));
	CHECK_EQ(waitpid(holder, NULL, WNOHANG), holder_dies ? holder : 0);
	if (!holder_dies) {
		kill(holder, SIGKILL);
		CHECK_EQ(waitpid(holder, NULL, 0), holder);
	}
	close(ready[0]);
	close(ready[1]);
}

TEST(oom_kill_allocating_task)
{
	holder_and_eater(true);
	CHECK_OK(put(VM "oom_kill_allocating_task", "1"));
	holder_and_eater(false);
	CHECK_OK(put(VM "oom_kill_allocating_task", "0"));
}

/* In the new program, asked for by the environment: writes where the kernel puts a mapping. */
__attribute__((constructor)) static void tell_place(void)
{
	const char *fd = getenv("TELL_PLACE");

	if (fd) {
		void *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		_exit(write(atoi(fd), &p, sizeof(p)) != sizeof(p));
	}
}

static unsigned long place(void)
{
	char text[12];
	unsigned long p = 0;
	int fd[2];

	CHECK_OK(pipe(fd));
	snprintf(text, sizeof(text), "%d", fd[1]);
	CHECK_EXITS(0, setenv("TELL_PLACE", text, 1); execl("/proc/self/exe", "self", NULL));
	CHECK_EQ(read(fd[0], &p, sizeof(p)), sizeof(p));
	close(fd[0]);
	close(fd[1]);
	return p;
}

/* Of 28 bits of pages mappings lie within 1 TiB; of 32 bits within 16, and of 20 not all fall into one. */
static unsigned long spread(void)
{
	unsigned long low = ~0ul, high = 0;

	for (int i = 0; i < 20; i++) {
		unsigned long p = place();
		low = p < low ? p : low;
		high = p > high ? p : high;
	}
	return high - low;
}

TEST(layout)
{
	CHECK_LE(spread(), 1ul << 40);
	CHECK_OK(put(VM "mmap_rnd_bits", "32"));
	CHECK_GT(spread(), 1ul << 40);
	CHECK_OK(put(VM "mmap_rnd_bits", "28"));
	CHECK_GT(place(), 1ul << 46);
	CHECK_OK(put(VM "legacy_va_layout", "1"));
	CHECK_LT(place(), 1ul << 46);
	CHECK_OK(put(VM "legacy_va_layout", "0"));
}

static int try_map(long mb)
{
	return mmap(NULL, mb << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno : 0;
}

/* What is kept for an administrator is not promised to others. */
TEST(admin_reserve)
{
	CHECK_OK(put(VM "overcommit_ratio", "100"));
	CHECK_OK(put(VM "overcommit_memory", "2"));
	CHECK_OK(put(VM "admin_reserve_kbytes", "250000"));
	CHECK_EXITS(0, _exit(try_map(20)));
	CHECK_EXITS(ENOMEM, setuid(65534); _exit(try_map(20)));
	CHECK_OK(put(VM "admin_reserve_kbytes", "8192"));
	CHECK_EXITS(0, setuid(65534); _exit(try_map(20)));
	CHECK_OK(put(VM "overcommit_memory", "0"));
	CHECK_OK(put(VM "overcommit_ratio", "50"));
}

static int shm_as(gid_t group)
{
	int id = setgroups(0, NULL) || setgid(group) || setuid(65534) ? -1 : shmget(IPC_PRIVATE, 2 << 20, SHM_HUGETLB | IPC_CREAT | 0600);

	return id < 0 ? errno : shmctl(id, IPC_RMID, NULL) ? errno : 0;
}

TEST(hugetlb_shm_group)
{
	CHECK_OK(put(VM "nr_hugepages", "2"));
	CHECK_EXITS(EPERM, _exit(shm_as(1234)));
	CHECK_EXITS(0, _exit(shm_as(0)));
	CHECK_OK(put(VM "hugetlb_shm_group", "1234"));
	CHECK_EXITS(0, _exit(shm_as(1234)));
	CHECK_EXITS(EPERM, _exit(shm_as(0)));
	CHECK_OK(put(VM "hugetlb_shm_group", "0"));
	CHECK_OK(put(VM "nr_hugepages", "0"));
}

TEST_MAIN
