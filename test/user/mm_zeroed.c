// BOOT: --smp 2 --memory 1G
// TIMEOUT: 90
/*
 * Nobody sees what another left in memory: free frames are stained first, then memory is taken by every way there is, and has to be zero
 * wherever the program has not written.
 */
#include "check.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#define P 4096ul
#define H (2ul << 20)
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define THP "/sys/kernel/mm/transparent_hugepage/"
#define POOL "/proc/sys/vm/nr_hugepages"

static bool put(const char *path, const char *word)
{
	int fd = open(path, O_WRONLY);
	bool ok = fd >= 0 && write(fd, word, strlen(word)) == (ssize_t)strlen(word);

	close(fd);
	return ok;
}

/* Most of the free memory, in small pages or in huge ones, has another program's bytes now. */
static bool stain(bool huge)
{
	struct sysinfo si;
	size_t len;
	char *p;

	if (sysinfo(&si))
		return false;
	len = (si.freeram * si.mem_unit / 4 * 3) & -H;
	p = mmap(NULL, len, RW, ANON | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED || madvise(p, len, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		return false;
	memset(p, 0xaa, len);
	return !munmap(p, len);
}

/* The offset of the first byte that is not zero; -1: none. */
static long dirt(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i += 8)
		if (*(const long *)(p + i))
			return (long)i;
	return -1;
}

/* One byte of each page is written, the others are nobody's. */
static long dirt_beside(char *p, size_t len)
{
	for (size_t i = 0; i < len; i += P) {
		*(volatile char *)(p + i) = 1;
		if (p[i] != 1)
			return (long)i;
		*(volatile char *)(p + i) = 0;
	}
	return dirt(p, len);
}

TEST(anonymous)
{
	for (int huge = 0; huge < 2; huge++) {
		REQUIRE(stain(huge));
		char *p = mmap(NULL, 33 * H, RW, ANON, -1, 0), *a = (char *)(((unsigned long)p + H - 1) & -H);

		CHECK_OK(madvise(p, 33 * H, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE));
		CHECK_EQ(dirt_beside(a, 16 * H), -1);
		CHECK_EQ(dirt(a + 16 * H, 16 * H), -1); /* read first */
		CHECK_EQ(dirt_beside(a + 16 * H, 16 * H), -1);
		CHECK_OK(madvise(a, 32 * H, MADV_DONTNEED));
		CHECK_EQ(dirt_beside(a, 32 * H), -1);
		munmap(p, 33 * H);
	}
}

TEST(shared)
{
	for (int huge = 0; huge < 2; huge++) {
		REQUIRE(stain(huge) && put(THP "shmem_enabled", huge ? "always" : "never"));
		char *p = mmap(NULL, 16 * H, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0), byte;
		int fd = memfd_create("m", 0);

		CHECK_EQ(dirt_beside(p, 8 * H), -1);
		CHECK_EQ(dirt(p + 8 * H, 8 * H), -1);
		munmap(p, 16 * H);
		/* written by a call: the rest of the page, and of the huge one */
		CHECK_EQ(pwrite(fd, "x", 1, 8 * H - 1), 1);
		CHECK_EQ(pwrite(fd, "x", 1, 2 * H + 100), 1);
		p = mmap(NULL, 8 * H, RW, MAP_SHARED, fd, 0);
		CHECK_EQ(pread(fd, &byte, 1, 2 * H + 100), 1);
		CHECK_EQ(byte, 'x');
		p[8 * H - 1] = p[2 * H + 100] = 0;
		CHECK_EQ(dirt(p, 8 * H), -1);
		munmap(p, 8 * H);
		close(fd);
	}
	CHECK(put(THP "shmem_enabled", "never"));
}

TEST(allocated_ahead)
{
	static char buf[H];

	for (int huge = 0; huge < 2; huge++) {
		REQUIRE(stain(huge) && put(THP "shmem_enabled", huge ? "always" : "never"));
		int fd = memfd_create("m", 0);

		CHECK_OK(fallocate(fd, 0, 0, 8 * H));
		CHECK_EQ(pread(fd, buf, H, 3 * H), (ssize_t)H);
		CHECK_EQ(dirt(buf, H), -1);
		CHECK_EQ(pwrite(fd, "x", 1, 5 * H + 7), 1);
		char *p = mmap(NULL, 8 * H, RW, MAP_SHARED, fd, 0);
		p[5 * H + 7] = 0;
		CHECK_EQ(dirt_beside(p, 8 * H), -1);
		munmap(p, 8 * H);
		close(fd);
	}
	CHECK(put(THP "shmem_enabled", "never"));
}

TEST(pool)
{
	char *p;

	REQUIRE(stain(true) && put(POOL, "8"));
	p = mmap(NULL, 8 * H, RW, ANON | MAP_HUGETLB, -1, 0);
	REQUIRE(p != MAP_FAILED);
	CHECK_EQ(dirt_beside(p, 8 * H), -1);
	memset(p, 0xaa, 8 * H);
	munmap(p, 8 * H);
	p = mmap(NULL, 8 * H, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0); /* the same frames again */
	REQUIRE(p != MAP_FAILED);
	CHECK_EQ(dirt(p, 4 * H), -1);
	CHECK_EQ(dirt_beside(p + 4 * H, 4 * H), -1);
	munmap(p, 8 * H);
	CHECK(put(POOL, "0"));
}

/* What was cut off or punched out of a file does not come back. */
TEST(file_ends)
{
	int fd = memfd_create("m", 0);
	char *p;

	CHECK_OK(ftruncate(fd, 4 * P));
	p = mmap(NULL, 4 * P, RW, MAP_SHARED, fd, 0);
	memset(p, 0xaa, 4 * P);
	CHECK_OK(ftruncate(fd, P + 104));
	CHECK_OK(ftruncate(fd, 4 * P));
	CHECK_EQ((unsigned char)p[P + 103], 0xaa);
	CHECK_EQ(dirt(p + P + 104, 3 * P - 104), -1);
	memset(p, 0xaa, 4 * P);
	CHECK_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 56, 3 * P));
	CHECK_EQ((unsigned char)p[55], 0xaa);
	CHECK_EQ(dirt(p + 56, 3 * P), -1);
	CHECK_EQ((unsigned char)p[3 * P + 56], 0xaa);
	memset(p, 0xaa, 4 * P);
	CHECK_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * P + 8, 16));
	CHECK_EQ(dirt(p + 2 * P + 8, 16), -1);
	CHECK((unsigned char)p[2 * P + 7] == 0xaa && (unsigned char)p[2 * P + 24] == 0xaa);
	munmap(p, 4 * P);
	close(fd);
}

/* The heap, and a stack that grows. */
TEST_FORK(heap_and_stack)
{
	char *top, *base = mmap(NULL, 4096 * P, PROT_NONE, ANON, -1, 0), *brk = (char *)syscall(12 /* brk */, 0);

	REQUIRE(stain(false));
	brk = (char *)(((unsigned long)brk + P - 1) & -P);
	REQUIRE((char *)syscall(12, brk + 1024 * P) == brk + 1024 * P);
	CHECK_EQ(dirt_beside(brk, 1024 * P), -1);
	memset(brk, 0xaa, 1024 * P);
	REQUIRE((char *)syscall(12, brk) == brk);
	REQUIRE((char *)syscall(12, brk + 1024 * P) == brk + 1024 * P);
	CHECK_EQ(dirt(brk, 1024 * P), -1);
	top = base + 4094 * P;
	munmap(base, 4095 * P);
	REQUIRE(mmap(top, P, RW, ANON | MAP_FIXED | MAP_GROWSDOWN, -1, 0) == top);
	*(volatile char *)(top - 1024 * P) = 0;
	CHECK_EQ(dirt(top - 1024 * P, 1025 * P), -1);
}

TEST_MAIN
