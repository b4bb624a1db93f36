// DEBUG: parts beyond_the_end collapse nothing_torn_or_lost by_itself failed_page
// VARIANTS: musl
// BOOT: --smp 4 --memory 1G
// TIMEOUT: 120
/*
 * Huge pages of shared memory: made by faults, writes and fallocate as the policy says, mapped by one entry where that fits, broken by
 * everything that touches a part, made again by MADV_COLLAPSE and the background thread, while another mapping reads and loses no byte.
 */
#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <time.h>

#define P 4096ul
#define H (2ul << 20)
#define RW (PROT_READ | PROT_WRITE)
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#define MADV_POPULATE_WRITE_ 23
#define THP "/sys/kernel/mm/transparent_hugepage/"

static bool put(const char *path, const char *word)
{
	int fd = open(path, O_WRONLY);
	bool ok = fd >= 0 && write(fd, word, strlen(word)) == (ssize_t)strlen(word);

	close(fd);
	return ok;
}

static bool policy(const char *word) { return put(THP "shmem_enabled", word); }

/* A number behind a name in a file of /proc. */
static long number(const char *path, const char *name)
{
	FILE *f = fopen(path, "r");
	char line[256];
	size_t n = strlen(name);
	long v = -1;

	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, name, n) && (line[n] == ' ' || line[n] == ':'))
			v = atol(line + n + 1);
	if (f)
		fclose(f);
	return v;
}

static long vmstat(const char *name) { return number("/proc/vmstat", name); }
static long meminfo(const char *name) { return number("/proc/meminfo", name); }

/* Sum of a field of smaps over mappings that meet [start, end), in KiB. */
static long smaps(const char *field, const char *start, const char *end)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[512];
	unsigned long a, b;
	bool inside = false;
	long sum = 0, kb;

	while (f && fgets(line, sizeof line, f)) {
		if (sscanf(line, "%lx-%lx ", &a, &b) == 2 && strchr(line, '-') < strchr(line, ' '))
			inside = a < (unsigned long)end && b > (unsigned long)start;
		else if (inside && !strncmp(line, field, strlen(field)) && line[strlen(field)] == ':' &&
			 sscanf(line + strlen(field) + 1, "%ld", &kb) == 1)
			sum += kb;
	}
	if (f)
		fclose(f);
	return sum;
}

static long pmds(const char *p, size_t len) { return smaps("ShmemPmdMapped", p, p + len) / 2048; }

static long checkers(void)
{
	long bad = -1;
	FILE *f;

	if (!put("/proc/sys/vm/check", "1"))
		return -1;
	f = fopen("/proc/sys/vm/check", "r");
	if (!f || fscanf(f, "%ld", &bad) != 1)
		bad = -1;
	if (f)
		fclose(f);
	return bad;
}

static void fill(char *p, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i += P)
		*(unsigned *)(p + i) = *(unsigned *)(p + i + P - 4) = seed + i / P;
}

static bool filled(const char *p, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i += P)
		if (*(unsigned *)(p + i) != seed + i / P || *(unsigned *)(p + i + P - 4) != seed + i / P)
			return false;
	return true;
}

static bool zeros(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i += 8)
		if (*(long *)(p + i))
			return false;
	return true;
}

static int object(size_t len)
{
	int fd = memfd_create("huge", MFD_ALLOW_SEALING);

	return fd >= 0 && !ftruncate(fd, len) ? fd : -1;
}

static char *map(int fd, size_t len, off_t at) { return mmap(NULL, len, RW, MAP_SHARED, fd, at); }

TEST(names)
{
	static const char *const all[] = { "always", "within_size", "advise", "never", "deny", "force" };
	char buf[128], want[32];
	int fd;

	for (int i = 0; i < 6; i++) {
		CHECK(policy(all[i]));
		fd = open(THP "shmem_enabled", O_RDONLY);
		REQUIRE(fd >= 0);
		buf[0] = 0;
		buf[read(fd, buf, sizeof buf - 1)] = 0;
		close(fd);
		sprintf(want, "[%s]", all[i]);
		CHECK(strstr(buf, want) != NULL);
	}
	CHECK(!policy("sometimes"));
	CHECK(policy("never"));
}

TEST(anonymous)
{
	long alloc, mapped, huge;
	char *p;

	REQUIRE(policy("always"));
	alloc = vmstat("thp_file_alloc");
	mapped = vmstat("thp_file_mapped");
	huge = meminfo("ShmemHugePages");
	p = mmap(NULL, 4 * H, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	REQUIRE(p != MAP_FAILED);
	CHECK_EQ((unsigned long)p % H, 0);
	fill(p, 4 * H, 1);
	CHECK_EQ(pmds(p, 4 * H), 4);
	CHECK_EQ(vmstat("thp_file_alloc") - alloc, 4);
	CHECK_EQ(vmstat("thp_file_mapped") - mapped, 4);
	CHECK_EQ(meminfo("ShmemHugePages") - huge, 4 * 2048);
	CHECK_EQ(smaps("Rss", p, p + 4 * H), 4 * 2048);
	CHECK_EQ(smaps("Pss", p, p + 4 * H), 4 * 2048);
	CHECK_EQ(IN_CHILD({
		CHECK(filled(p, 4 * H, 1));
		CHECK_EQ(pmds(p, 4 * H), 4);
		fill(p, H, 77);
	}), 0);
	CHECK(filled(p, H, 77));
	CHECK_EQ(checkers(), 0);
	munmap(p, 4 * H);
	CHECK_EQ(meminfo("ShmemHugePages"), huge);
}

TEST(what_each_word_does)
{
	static const struct { const char *word; int plain, advised, small_file; } want[] = {
		{ "always", 1, 1, 1 }, { "within_size", 1, 1, 0 }, { "advise", 0, 1, 0 }, { "never", 0, 0, 0 },
		{ "deny", 0, 0, 0 }, { "force", 1, 1, 1 },
	};

	for (int i = 0; i < 6; i++) {
		int fd = object(2 * H), small = object(0);
		char *p = map(fd, 2 * H, 0);
		long huge;

		REQUIRE(policy(want[i].word) && p != MAP_FAILED);
		if ((unsigned long)p % H) { /* nobody asked for an aligned place then */
			munmap(p, 2 * H);
			p = mmap((void *)0x700000000000, 2 * H, RW, MAP_SHARED, fd, 0);
			REQUIRE((unsigned long)p == 0x700000000000);
		}
		*p = 1;
		CHECK_EQ(pmds(p, 2 * H), want[i].plain);
		CHECK_OK(madvise(p + H, H, MADV_HUGEPAGE)); /* khugepaged may come for what was touched before it was advised */
		p[H] = 1;
		CHECK_EQ(pmds(p, 2 * H), want[i].plain + want[i].advised);
		CHECK_OK(madvise(p, 2 * H, MADV_NOHUGEPAGE));
		CHECK_OK(madvise(p, 2 * H, MADV_DONTNEED));
		CHECK_EQ(*p, 1);
		CHECK_EQ(pmds(p, 2 * H), 0);
		huge = meminfo("ShmemHugePages");
		CHECK_EQ(write(small, "hello", 5), 5);
		CHECK_EQ(meminfo("ShmemHugePages") - huge, want[i].small_file * 2048);
		munmap(p, 2 * H);
		close(fd);
		close(small);
	}
	CHECK(policy("never"));
}

TEST(another_place)
{
	int fd = object(4 * H);
	char *p, *q, *r;

	REQUIRE(policy("always"));
	p = map(fd, 4 * H, 0);
	q = map(fd, 3 * H, H / 2); /* offset and address do not fit */
	r = mmap(NULL, 4 * H, RW, MAP_PRIVATE, fd, 0);
	REQUIRE(p != MAP_FAILED && q != MAP_FAILED && r != MAP_FAILED);
	fill(p, 4 * H, 3);
	CHECK_EQ(pmds(p, 4 * H), 4);
	CHECK(filled(q, 3 * H, 3 + H / 2 / P));
	CHECK_EQ(pmds(q, 3 * H), 0);
	CHECK(filled(r, 4 * H, 3));
	fill(r, 4 * H, 9); /* copies */
	CHECK(filled(p, 4 * H, 3));
	fill(q, 3 * H, 100);
	CHECK(filled(p + H / 2, 3 * H, 100));
	CHECK(filled(r, 4 * H, 9));
	CHECK_EQ(checkers(), 0);
	munmap(p, 4 * H);
	munmap(q, 3 * H);
	munmap(r, 4 * H);
	close(fd);
}

TEST(parts)
{
	int fd = object(4 * H);
	char *p, *q;
	long shmem;

	REQUIRE(policy("always") && (p = map(fd, 4 * H, 0)) != MAP_FAILED);
	fill(p, 4 * H, 5);
	CHECK_EQ(pmds(p, 4 * H), 4);
	CHECK_OK(mprotect(p + 7 * P, P, PROT_READ));
	CHECK(filled(p, 4 * H, 5));
	CHECK_EQ(pmds(p, 4 * H), 3);
	CHECK_OK(mprotect(p + 7 * P, P, RW));
	fill(p, 4 * H, 6);
	q = mremap(p + H, H, H, MREMAP_MAYMOVE | MREMAP_FIXED, p + 64 * H);
	REQUIRE(q == p + 64 * H);
	CHECK(filled(q, H, 6 + H / P));
	CHECK_EQ(pmds(q, H), 1); /* moved as it is */
	CHECK_OK(munmap(q, H / 2));
	CHECK(filled(q + H / 2, H / 2, 6 + 3 * (H / 2) / P));
	CHECK_OK(munmap(q + H / 2, H / 2));
	shmem = meminfo("Shmem");
	CHECK_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * H + 10 * P, 20 * P));
	CHECK_EQ(shmem - meminfo("Shmem"), 80); /* at once */
	CHECK(zeros(p + 2 * H + 10 * P, 20 * P));
	CHECK(filled(p + 2 * H, 10 * P, 6 + 2 * H / P));
	CHECK(filled(p + 2 * H + 30 * P, H - 30 * P, 6 + 2 * H / P + 30));
	CHECK_OK(ftruncate(fd, 3 * H + 5 * P));
	CHECK(filled(p + 3 * H, 5 * P, 6 + 3 * H / P));
	CHECK_OK(ftruncate(fd, 4 * H));
	CHECK(zeros(p + 3 * H + 5 * P, H - 5 * P));
	CHECK_EQ(checkers(), 0);
	munmap(p, H);
	munmap(p + 2 * H, 2 * H);
	close(fd);
}

TEST(seals_locks_and_advice)
{
	int fd = object(2 * H);
	char *p;
	unsigned char vec[512];

	REQUIRE(policy("always") && (p = map(fd, 2 * H, 0)) != MAP_FAILED);
	CHECK_OK(mlock(p, 2 * H));
	CHECK_EQ(pmds(p, 2 * H), 2);
	CHECK_EQ(smaps("Locked", p, p + 2 * H), 4096);
	CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
	CHECK_OK(munlock(p, P));
	fill(p, 2 * H, 8);
	CHECK_OK(munlock(p, 2 * H));
	CHECK_OK(madvise(p + H + P, P, MADV_DONTNEED));
	CHECK_OK(mincore(p + H, H, vec));
	CHECK_EQ(vec[1] & 1, 1);
	CHECK(filled(p, 2 * H, 8));
	CHECK_OK(munmap(p, 2 * H));
	CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	p = mmap(NULL, 2 * H, PROT_READ, MAP_SHARED, fd, 0);
	REQUIRE(p != MAP_FAILED);
	CHECK(filled(p, 2 * H, 8));
	CHECK_EQ(pmds(p, 2 * H), 2);
	CHECK_ERRNO(mprotect(p, P, RW), EACCES);
	munmap(p, 2 * H);
	close(fd);
}

TEST(segment)
{
	int id;
	char *p, *q;

	REQUIRE(policy("always"));
	id = shmget(IPC_PRIVATE, 2 * H, IPC_CREAT | 0600);
	REQUIRE(id >= 0);
	p = shmat(id, NULL, 0);
	q = shmat(id, NULL, SHM_RDONLY);
	REQUIRE(p != (void *)-1 && q != (void *)-1);
	CHECK_OK(shmctl(id, IPC_RMID, NULL));
	fill(p, 2 * H, 4);
	CHECK(filled(q, 2 * H, 4));
	CHECK_EQ(pmds(p, 2 * H), 2);
	CHECK_EQ(pmds(q, 2 * H), 2);
	CHECK_OK(shmdt(p));
	CHECK_OK(shmdt(q));
}

TEST(mounted)
{
	char path[] = "/tmp/huge", line[512];
	bool shown = false;
	struct stat st;
	char *p;
	FILE *f;
	int fd;

	REQUIRE(policy("never"));
	mkdir(path, 0755);
	CHECK_ERRNO(mount("t", path, "tmpfs", 0, "huge=sometimes"), EINVAL);
	REQUIRE(!mount("t", path, "tmpfs", 0, "huge=always,size=5m"));
	f = fopen("/proc/mounts", "r");
	while (f && fgets(line, sizeof line, f))
		shown |= strstr(line, path) && strstr(line, "huge=always");
	fclose(f);
	CHECK(shown);
	fd = open("/tmp/huge/file", O_CREAT | O_RDWR, 0600);
	REQUIRE(fd >= 0);
	CHECK_EQ(write(fd, "hello", 5), 5);
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_blocks, 4096);
	CHECK_OK(ftruncate(fd, 3 * H));
	p = map(fd, 3 * H, 0);
	REQUIRE(p != MAP_FAILED);
	CHECK_STR(p, "hello");
	p[H] = 1;
	CHECK_EQ(pmds(p, 3 * H), 2);
	CHECK_EQ(IN_CHILD({ fill(p + 2 * H, H / 2, 1); }), 0); /* no room for a third, but for what is left */
	CHECK_EQ(pmds(p, 3 * H), 2);
	CHECK(WIFSIGNALED(IN_CHILD({ fill(p + 2 * H, H / 2 + P, 1); })));
	CHECK_OK(mount(NULL, path, NULL, MS_REMOUNT, "huge=never"));
	CHECK_OK(ftruncate(fd, 0));
	CHECK_OK(ftruncate(fd, 3 * H));
	p[0] = 1;
	CHECK_EQ(pmds(p, 3 * H), 0);
	munmap(p, 3 * H);
	close(fd);
	CHECK_OK(unlink("/tmp/huge/file"));
	CHECK_OK(umount(path));
	rmdir(path);
}

TEST(beyond_the_end)
{
	int fd = object(0), fd2 = object(0);
	long shmem;

	REQUIRE(policy("always"));
	shmem = meminfo("Shmem");
	CHECK_EQ(write(fd, "hello", 5), 5);
	CHECK_OK(fallocate(fd2, FALLOC_FL_KEEP_SIZE, 0, 10 * P)); /* asked for: stays */
	CHECK_EQ(meminfo("Shmem") - shmem, 4096);
	CHECK(put("/proc/sys/vm/drop_caches", "2"));
	CHECK_EQ(meminfo("Shmem") - shmem, 2052);
	CHECK_EQ(meminfo("ShmemHugePages"), 2048);
	CHECK_EQ(checkers(), 0);
	char buf[8] = "";

	CHECK_EQ(pread(fd, buf, 8, 0), 5);
	CHECK_STR(buf, "hello");
	close(fd);
	close(fd2);
	CHECK_EQ(meminfo("Shmem"), shmem);
}

TEST(allocated_ahead)
{
	int fd = object(2 * H);
	char *p;

	REQUIRE(policy("always") && (p = map(fd, 2 * H, 0)) != MAP_FAILED);
	CHECK_OK(fallocate(fd, 0, 0, 2 * H));
	CHECK_EQ(meminfo("ShmemHugePages"), 4096);
	CHECK_ERRNO(lseek(fd, 0, SEEK_DATA), ENXIO);
	CHECK(zeros(p, 2 * H));
	CHECK_EQ(pmds(p, 2 * H), 2);
	munmap(p, 2 * H);
	close(fd);
}

TEST(collapse)
{
	int fd = object(3 * H);
	char *p = map(fd, 3 * H, 0), *q;
	long copied, joined;

	REQUIRE(policy("never") && p != MAP_FAILED);
	munmap(p, 3 * H);
	p = mmap((void *)0x700000000000, 3 * H, RW, MAP_SHARED, fd, 0);
	q = map(fd, 3 * H, 0);
	REQUIRE(p != MAP_FAILED && q != MAP_FAILED);
	copied = vmstat("thp_collapse_alloc");
	joined = vmstat("thp_collapse_inplace");
	CHECK_ERRNO(madvise(p, H, MADV_COLLAPSE), EINVAL); /* nothing there */
	fill(q, H, 5);
	fill(q + H, 40 * P, 6);
	CHECK_OK(madvise(p, 2 * H, MADV_COLLAPSE));
	CHECK_EQ(pmds(p, 3 * H), 2);
	CHECK_EQ(vmstat("thp_collapse_alloc") + vmstat("thp_collapse_inplace") - copied - joined, 2);
	CHECK(filled(p, H, 5));
	CHECK(filled(q + H, 40 * P, 6));
	CHECK(zeros(p + H + 40 * P, H - 40 * P));
	CHECK_OK(madvise(p, 2 * H, MADV_COLLAPSE)); /* is so already */
	CHECK_OK(mprotect(p, P, PROT_READ)); /* a table again, the run stays: */
	CHECK_OK(mprotect(p, P, RW));
	CHECK_EQ(pmds(p, 3 * H), 1);
	CHECK_OK(madvise(p, H, MADV_COLLAPSE));
	CHECK_EQ(pmds(p, 3 * H), 2);
	CHECK(filled(q, H, 5));
	CHECK_OK(ftruncate(fd, 2 * H + P));
	p[2 * H] = 1;
	CHECK_ERRNO(madvise(p + 2 * H, H, MADV_COLLAPSE), EINVAL); /* beyond the end */
	CHECK_EQ(checkers(), 0);
	munmap(p, 3 * H);
	munmap(q, 3 * H);
	close(fd);
}

/* While one makes and breaks, others read and count up words: every word is there, none goes back. */
#define WORKERS 3
static volatile bool stop;
static volatile unsigned long *words[WORKERS]; /* each through a mapping of its own */
static unsigned long counted[WORKERS];

static void *count_up(void *arg)
{
	long me = (long)arg;
	unsigned long n = 0, at;

	for (; !stop; n++) {
		at = n * 677 % (2 * H / P) * (P / 8) + (unsigned long)me; /* a word of ours in each page */
		if (words[me][at] != n / (2 * H / P)) {
			printf("  page %lu, word %ld: %lu after %lu rounds\n", at * 8 / P, me, words[me][at], n / (2 * H / P));
			return (void *)1;
		}
		words[me][at]++;
	}
	counted[me] = n;
	return NULL;
}

TEST(nothing_torn_or_lost)
{
	int fd = object(2 * H);
	char *p = mmap((void *)0x700000000000, 2 * H, RW, MAP_SHARED, fd, 0);
	pthread_t t[WORKERS];
	long collapsed = 0;
	void *bad;

	REQUIRE(p != MAP_FAILED && policy("never"));
	for (long i = 0; i < WORKERS; i++) {
		words[i] = (void *)map(fd, 2 * H, 0);
		REQUIRE(words[i] != MAP_FAILED && !pthread_create(&t[i], NULL, count_up, (void *)i));
	}
	for (int i = 0; i < 50; i++) {
		char *at = p + (i & 1) * H, buf[64];

		collapsed += !madvise(at, H, MADV_COLLAPSE);
		if (i % 3 == 0) { /* through the reads of a system call, too */
			CHECK_EQ(pread(fd, buf, sizeof buf, i * 7919 % (2 * H - 64)), 64);
		}
		if (i % 4 == 3)
			CHECK_OK(mprotect(at + (i * 37 % 512) * P, P, PROT_READ));
		if (i % 4 == 3)
			CHECK_OK(mprotect(at + (i * 37 % 512) * P, P, RW));
		if (i % 5 == 4) { /* a page of the run moves: it is none any more */
			CHECK_OK(madvise(at + (i * 11 % 512) * P, P, 101 /* MADV_SOFT_OFFLINE */));
		}
	}
	stop = true;
	for (int i = 0; i < WORKERS; i++) {
		CHECK_EQ(pthread_join(t[i], &bad), 0);
		CHECK(!bad);
		CHECK_GT(counted[i], 0);
		munmap((void *)words[i], 2 * H);
	}
	CHECK_GT(collapsed, 15);
	CHECK_EQ(checkers(), 0);
	munmap(p, 2 * H);
	close(fd);
}

TEST(by_itself)
{
	int fd = object(8 * H);
	char *p = mmap((void *)0x700000000000, 8 * H, RW, MAP_SHARED, fd, 0);
	long full = 0;

	REQUIRE(p != MAP_FAILED && policy("never"));
	fill(p, 8 * H, 12);
	REQUIRE(put(THP "khugepaged/scan_sleep_millisecs", "20") && policy("always"));
	for (int i = 0; i < 200 && full < 8; i++) {
		nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
		full = pmds(p, 8 * H);
	}
	CHECK_EQ(full, 8);
	CHECK(filled(p, 8 * H, 12));
	CHECK(put(THP "khugepaged/scan_sleep_millisecs", "10000"));
	munmap(p, 8 * H);
	close(fd);
}

TEST(failed_page)
{
	int fd = object(H);
	char *p = map(fd, H, 0), *q = map(fd, H, 0), c;

	REQUIRE(policy("always") && p != MAP_FAILED && q != MAP_FAILED);
	munmap(p, H);
	p = mmap((void *)0x700000000000, H, RW, MAP_SHARED, fd, 0);
	fill(p, H, 2);
	CHECK_EQ(pmds(p, H), 1);
	REQUIRE(*(volatile char *)q == 2);
	CHECK_OK(madvise(p + 5 * P, P, 100 /* MADV_HWPOISON */));
	CHECK(filled(p, 5 * P, 2));
	CHECK(filled(q + 6 * P, H - 6 * P, 8));
	CHECK(WIFSIGNALED(IN_CHILD({ c = *(volatile char *)(p + 5 * P); (void)c; })));
	CHECK(WIFSIGNALED(IN_CHILD({ c = *(volatile char *)(q + 5 * P); (void)c; })));
	CHECK_ERRNO(madvise(p, H, MADV_COLLAPSE), EAGAIN);
	CHECK_EQ(checkers(), 0);
	munmap(p, H);
	munmap(q, H);
	close(fd);
}

/* What was emptied before its end is forgotten: the shrinker looks at those that have huge pages, or had, and not at their old memory. */
TEST(emptied_and_gone)
{
	char *p = MAP_FAILED, name[240] = "";

	REQUIRE(policy("always"));
	for (int i = 0, fd; i < 101; i++) {
		p = map(fd = object(H), H, 0);
		p[0] = 1;
		CHECK(i == 100 || (!munmap(p, H) && !ftruncate(fd, 0))); /* the last one stays: a reason to look */
		close(fd);
	}
	CHECK_EQ(pmds(p, H), 1);
	usleep(200000); /* freed after a grace period */
	CHECK(put("/proc/sys/vm/drop_caches", "2"));
	memset(name, 'a', sizeof(name) - 1); /* the kernel uses their memory for something else */
	for (int i = 0; i < 3000; i++)
		CHECK_OK(close(memfd_create(name, 0)));
	CHECK(put("/proc/sys/vm/drop_caches", "2"));
	CHECK_EQ(checkers(), 0);
	munmap(p, H);
}

/* The n-th allocation of the program fails: small pages do, and what was promised is kept. */
TEST(without_memory)
{
	for (int n = 1; n <= 40; n++) {
		int fd = object(H), fail, len;
		char path[64], *p = mmap((void *)0x700000000000, H, RW, MAP_SHARED, fd, 0), text[8];

		sprintf(path, "/proc/self/task/%d/fail-nth", getpid());
		fail = open(path, O_RDWR);
		REQUIRE(policy("always") && p != MAP_FAILED && fail >= 0);
		len = sprintf(text, "%d", n);
		CHECK_EQ(write(fail, text, len), len);
		(void)!madvise(p, H, MADV_POPULATE_WRITE_);
		(void)!madvise(p, H, MADV_COLLAPSE);
		(void)!mprotect(p + 3 * P, P, PROT_READ);
		while (pwrite(fail, "0", 1, 0) != 1) /* that may be what fails */
			;
		close(fail);
		munmap(p, H);
		close(fd);
	}
	CHECK_EQ(checkers(), 0);
	CHECK(policy("never"));
}

TEST_MAIN
