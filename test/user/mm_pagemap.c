/*
 * What /proc tells about pages: pagemap, clear_refs, kpagecount, kpageflags, smaps, smaps_rollup, statm, status; the
 * overcommit files.
 */
// BOOT: --smp 2
#include "check.h"
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define PAGE 4096ul
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
typedef uint64_t u64;

#define SOFT (1ull << 55)
#define EXCLUSIVE (1ull << 56)
#define FILE_PAGE (1ull << 61)
#define PRESENT (1ull << 63)
#define PFN ((1ull << 55) - 1)

static u64 pagemap(const void *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	u64 v = 0;

	if (pread(fd, &v, 8, (off_t)((u64)p / PAGE * 8)) != 8)
		v = ~0ull;
	close(fd);
	return v;
}

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY), r;

	if (fd < 0)
		return -1;
	r = write(fd, text, strlen(text));
	close(fd);
	return r;
}

static u64 kpage(const char *which, u64 pfn)
{
	int fd = open(which, O_RDONLY);
	u64 v = 0;

	if (pread(fd, &v, 8, (off_t)(pfn * 8)) != 8)
		v = ~0ull;
	close(fd);
	return v;
}

static long field(const char *path, const char *name)
{
	FILE *f = fopen(path, "r");
	char line[256];
	long v = -1;

	while (v < 0 && f && fgets(line, sizeof line, f))
		if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':')
			v = atol(line + strlen(name) + 1);
	if (f)
		fclose(f);
	return v;
}

static char *lone(size_t n)
{
	char *p = mmap(NULL, (n + 2) * PAGE, PROT_NONE, ANON, -1, 0);

	return mprotect(p + PAGE, n * PAGE, RW) ? NULL : p + PAGE;
}

TEST(bits)
{
	char *p = lone(4), *s = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	u64 e;

	CHECK_EQ(pagemap(p) & (PRESENT | FILE_PAGE | PFN), 0);
	p[0] = 1;
	e = pagemap(p);
	CHECK_EQ(e & (PRESENT | EXCLUSIVE | FILE_PAGE), PRESENT | EXCLUSIVE);
	CHECK(e & PFN);
	(void)*(volatile char *)(p + PAGE); /* the zero page is nobody's */
	CHECK_EQ(pagemap(p + PAGE) & (PRESENT | EXCLUSIVE | FILE_PAGE), PRESENT);
	s[0] = 1;
	CHECK_EQ(pagemap(s) & (PRESENT | EXCLUSIVE | FILE_PAGE), PRESENT | EXCLUSIVE | FILE_PAGE);
	CHECK_EXITS(0, {
		CHECK_EQ(pagemap(p) & EXCLUSIVE, 0);
		CHECK_EQ(pagemap(p) & PFN, e & PFN);
		CHECK_EQ(kpage("/proc/kpagecount", e & PFN), 2);
	});
	CHECK_EQ(kpage("/proc/kpagecount", e & PFN), 1);
	u64 f = kpage("/proc/kpageflags", e & PFN);
	CHECK_EQ(f & (1 << 12 | 1 << 11 | 1 << 7 | 1 << 10), 1 << 12 | 1 << 11); /* anonymous, mapped */
	CHECK(kpage("/proc/kpageflags", pagemap(p + PAGE) & PFN) & 1 << 24);
	f = kpage("/proc/kpageflags", pagemap(s) & PFN);
	CHECK_EQ(f & (1 << 12 | 1 << 11), 1 << 11);
	CHECK_EQ(kpage("/proc/kpageflags", 1ull << 40), ~0ull); /* no such frame: end of file */
	int fd = open("/proc/kpagecount", O_RDONLY);
	char buf[16];
	CHECK_ERRNO(read(fd, buf, 7), EINVAL);
	CHECK_ERRNO(pread(fd, buf, 8, 4), EINVAL);
	close(fd);
	fd = open("/proc/self/pagemap", O_RDONLY);
	CHECK_ERRNO(pread(fd, buf, 8, 3), EINVAL);
	CHECK_ERRNO(pread(fd, buf, 3, 0), EINVAL);
	close(fd);
	CHECK_EXITS(0, {
		CHECK_OK(setuid(1000));
		CHECK_ERRNO(open("/proc/kpagecount", O_RDONLY), EACCES);
	});
	munmap(p, 4 * PAGE);
	munmap(s, PAGE);
}

TEST(soft_dirty)
{
	char *p = lone(8), *s = mmap(NULL, 2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK(pagemap(p) & SOFT); /* new */
	memset(p, 1, 8 * PAGE);
	memset(s, 1, 2 * PAGE);
	CHECK(pagemap(p) & SOFT && pagemap(s) & SOFT);
	CHECK_EQ(put("/proc/self/clear_refs", "4"), 1);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(pagemap(p + i * PAGE) & SOFT, 0);
	CHECK_EQ(pagemap(s) & SOFT, 0);
	(void)*(volatile char *)p;
	CHECK_EQ(pagemap(p) & SOFT, 0);
	p[PAGE] = 2;
	s[PAGE] = 2;
	CHECK(pagemap(p + PAGE) & SOFT && pagemap(s + PAGE) & SOFT);
	CHECK_EQ(pagemap(p) & SOFT, 0);
	CHECK_EQ(pagemap(s) & SOFT, 0);
	/* rights that go and come are no writes, and forget none */
	CHECK_OK(mprotect(p, 2 * PAGE, PROT_READ));
	CHECK(pagemap(p + PAGE) & SOFT);
	CHECK_OK(mprotect(p, 2 * PAGE, RW));
	CHECK_EQ(pagemap(p) & SOFT, 0);
	CHECK(pagemap(p + PAGE) & SOFT);
	p[0] = 3;
	CHECK(pagemap(p) & SOFT);
	/* through the kernel, and after fork */
	int fd[2];
	CHECK_OK(pipe(fd));
	CHECK_EQ(write(fd[1], "x", 1), 1);
	CHECK_EQ(read(fd[0], p + 2 * PAGE, 1), 1);
	CHECK(pagemap(p + 2 * PAGE) & SOFT);
	CHECK_EXITS(0, {
		CHECK(pagemap(p) & SOFT);
		CHECK_EQ(pagemap(p + 5 * PAGE) & SOFT, 0);
		p[5 * PAGE] = 1;
		CHECK(pagemap(p + 5 * PAGE) & SOFT);
	});
	CHECK_EQ(pagemap(p + 5 * PAGE) & SOFT, 0);
	/* a new mapping in the same place is new */
	munmap(p + 6 * PAGE, PAGE);
	CHECK(mmap(p + 6 * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0) == p + 6 * PAGE);
	CHECK(pagemap(p + 6 * PAGE) & SOFT);
	close(fd[0]);
	close(fd[1]);
	munmap(p, 8 * PAGE);
	munmap(s, 2 * PAGE);
}

TEST(soft_dirty_huge)
{
	size_t len = 4ul << 20;
	char *p = mmap(NULL, len, RW, ANON, -1, 0);

	madvise(p, len, MADV_HUGEPAGE);
	memset(p, 1, len);
	CHECK_EQ(put("/proc/self/clear_refs", "4"), 1);
	CHECK_EQ(pagemap(p + len / 2) & SOFT, 0);
	p[len / 2] = 2;
	CHECK(pagemap(p + len / 2) & SOFT);
	CHECK_EQ(p[len / 2 + 1], 1);
	munmap(p, len);
}

TEST(clear_refs_files)
{
	char *p = lone(4);
	char path[64];

	memset(p, 1, 4 * PAGE);
	CHECK_ERRNO(put("/proc/self/clear_refs", "0"), EINVAL);
	CHECK_ERRNO(put("/proc/self/clear_refs", "6"), EINVAL);
	long before = field("/proc/self/smaps_rollup", "Referenced");
	CHECK_EQ(put("/proc/self/clear_refs", "1"), 1);
	CHECK_LT(field("/proc/self/smaps_rollup", "Referenced"), before);
	CHECK_EQ(put("/proc/self/clear_refs", "2"), 1);
	CHECK_EQ(put("/proc/self/clear_refs", "3"), 1);
	/* 5: the high-water mark starts again */
	char *q = mmap(NULL, 8 << 20, RW, ANON, -1, 0);
	memset(q, 1, 8 << 20);
	munmap(q, 8 << 20);
	long hwm = field("/proc/self/status", "VmHWM"), rss = field("/proc/self/status", "VmRSS");
	CHECK_GE(hwm, rss + 7000);
	CHECK_EQ(put("/proc/self/clear_refs", "5"), 1);
	CHECK_LT(field("/proc/self/status", "VmHWM"), hwm - 6000);
	/* sums agree */
	snprintf(path, sizeof path, "/proc/%d/smaps_rollup", getpid());
	CHECK_GE(field(path, "Rss"), 16);
	CHECK_GE(field(path, "Private_Dirty"), 16);
	CHECK_EQ(field(path, "Swap"), 0);
	munmap(p, 4 * PAGE);
}

/* Frame numbers are for CAP_SYS_ADMIN only. */
TEST(odd_writes_and_seeks)
{
	int map = open("/proc/self/pagemap", O_RDONLY), mem = open("/proc/self/mem", O_RDWR);

	CHECK_OK(put("/proc/self/clear_refs", "4"));
	CHECK_OK(put("/proc/self/clear_refs", " 4\n"));
	CHECK_ERRNO(put("/proc/self/clear_refs", "44"), EINVAL);
	CHECK_ERRNO(put("/proc/self/clear_refs", "0"), EINVAL);
	CHECK_ERRNO(put("/proc/self/clear_refs", "6"), EINVAL);
	CHECK_ERRNO(put("/proc/self/clear_refs", "4x"), EINVAL);
	CHECK_EQ(lseek(map, 4096, SEEK_SET), 4096);
	CHECK_EQ(lseek(map, 8, SEEK_CUR), 4104);
	CHECK_ERRNO(lseek(map, 0, SEEK_END), EINVAL);
	CHECK_ERRNO(lseek(mem, 0, SEEK_END), EINVAL);
	close(map);
	close(mem);
}

/* Files below /proc/PID are root's while the process may not be dumped (proc(5)); one open meanwhile changes nothing. */
TEST_FORK(owner_follows_dumpable)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	struct stat st;

	CHECK_OK(setgid(1000));
	CHECK_OK(setuid(1000));
	CHECK_OK(stat("/proc/self/pagemap", &st));
	CHECK_EQ(st.st_uid, 0);
	CHECK_ERRNO(open("/proc/self/pagemap", O_RDONLY), EACCES);
	CHECK_OK(stat("/proc/self", &st));
	CHECK_EQ(st.st_uid, 1000);
	CHECK_OK(prctl(PR_SET_DUMPABLE, 1));
	CHECK_OK(stat("/proc/self/pagemap", &st));
	CHECK_EQ(st.st_uid, 1000);
	CHECK_GE(open("/proc/self/pagemap", O_RDONLY), 0);
	close(fd);
}

TEST(frames_hidden)
{
	char *p = lone(1);

	p[0] = 1;
	CHECK_EXITS(0, {
		CHECK_OK(setuid(1000));
		CHECK_OK(prctl(PR_SET_DUMPABLE, 1)); /* or the file is root's */
		p[0] = 2;
		u64 e = pagemap(p);
		CHECK(e != ~0ull && e & PRESENT && !(e & PFN));
	});
	munmap(p, PAGE);
}

TEST(overcommit)
{
	char *p;

	CHECK_EQ(put("/proc/sys/vm/overcommit_kbytes", "100000"), 6);
	CHECK_EQ(field("/proc/meminfo", "CommitLimit"), 100000);
	long free_kb = 100000 - field("/proc/meminfo", "Committed_AS");
	CHECK_EQ(put("/proc/sys/vm/overcommit_memory", "2"), 1);
	if (free_kb > 40000) {
		p = mmap(NULL, 20 << 20, RW, ANON, -1, 0);
		CHECK(p != MAP_FAILED);
		CHECK(mmap(NULL, 100 << 20, RW, ANON, -1, 0) == MAP_FAILED);
		CHECK_EQ(errno, ENOMEM);
		CHECK(mmap(NULL, 100 << 20, RW, ANON | MAP_NORESERVE, -1, 0) == MAP_FAILED); /* ignored here */
		munmap(p, 20 << 20);
		CHECK(mmap(NULL, 100 << 20, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
		CHECK_EQ(errno, ENOMEM);
		long before = field("/proc/meminfo", "Committed_AS");
		p = mmap(NULL, 16 << 20, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		CHECK_GE(field("/proc/meminfo", "Committed_AS"), before + 16000);
		munmap(p, 16 << 20);
		CHECK_LT(field("/proc/meminfo", "Committed_AS"), before + 8000);
		p = mmap(NULL, 100 << 20, PROT_READ, ANON, -1, 0); /* promises nothing */
		CHECK(p != MAP_FAILED);
		CHECK_ERRNO(mprotect(p, 100 << 20, RW), ENOMEM);
		munmap(p, 100 << 20);
	}
	CHECK_EQ(put("/proc/sys/vm/overcommit_memory", "1"), 1);
	p = mmap(NULL, 1ul << 40, RW, ANON, -1, 0);
	CHECK(p != MAP_FAILED);
	munmap(p, 1ul << 40);
	CHECK_EQ(put("/proc/sys/vm/overcommit_memory", "0"), 1);
	CHECK(mmap(NULL, 1ul << 40, RW, ANON, -1, 0) == MAP_FAILED);
	p = mmap(NULL, 1ul << 40, RW, ANON | MAP_NORESERVE, -1, 0);
	CHECK(p != MAP_FAILED);
	munmap(p, 1ul << 40);
	CHECK_ERRNO(put("/proc/sys/vm/overcommit_memory", "3"), EINVAL);
	CHECK_EQ(put("/proc/sys/vm/overcommit_ratio", "50"), 2);
	long total = field("/proc/meminfo", "MemTotal"), limit = field("/proc/meminfo", "CommitLimit");
	CHECK(labs(limit - total / 2) < 8);
}

TEST_MAIN
