// DEBUG: -
// VARIANTS: musl
// BOOT: --smp 2 --memory 4G --append hugepagesz=1G --append hugepages=1
// TIMEOUT: 120
/*
 * Pools of huge pages: their size, promises that make faults safe, private and shared mappings of 2 MiB and 1 GiB, memfd, System V
 * segments, hugetlbfs; what munmap, mprotect, mremap, madvise, mincore, fork do with them; SIGBUS when the pool is empty. The pools end as
 * they began, and the kernel's checkers find nothing.
 */
#include "check.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

#define P 4096ul
#define H (2ul << 20)
#define G (1ul << 30)
#define RW (PROT_READ | PROT_WRITE)
#define HUGE (MAP_ANONYMOUS | MAP_HUGETLB)
#define LOG(n) ((n) << 26)
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

static long number(const char *path)
{
	FILE *f = fopen(path, "r");
	long n = -1;

	if (f && fscanf(f, "%ld", &n) != 1)
		n = -1;
	if (f)
		fclose(f);
	return n;
}

static bool put(const char *path, long n)
{
	FILE *f = fopen(path, "w");
	bool ok = f && fprintf(f, "%ld\n", n) > 0;

	return f && !fclose(f) && ok;
}

#define SYS "/sys/kernel/mm/hugepages/hugepages-2048kB/"
static long nr(void) { return number("/proc/sys/vm/nr_hugepages"); }
static long nr_free(void) { return number(SYS "free_hugepages"); }
static long resv(void) { return number(SYS "resv_hugepages"); }
static long surplus(void) { return number(SYS "surplus_hugepages"); }
static bool pool(long n) { return put("/proc/sys/vm/nr_hugepages", n) && nr() == n; }

static long field(const char *path, const char *key)
{
	FILE *f = fopen(path, "r");
	char line[128];
	long n = -1;

	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, key, strlen(key)) && line[strlen(key)] == ':')
			n = atol(line + strlen(key) + 1);
	if (f)
		fclose(f);
	return n;
}

static long meminfo(const char *key) { return field("/proc/meminfo", key); }

/* A field of the VMA that starts at @start, in KiB. */
static long smaps(const char *key, void *start)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[512];
	unsigned long a, b;
	bool inside = false;
	long n = -1;

	while (f && fgets(line, sizeof line, f)) {
		if (sscanf(line, "%lx-%lx ", &a, &b) == 2)
			inside = a == (unsigned long)start;
		else if (inside && !strncmp(line, key, strlen(key)) && line[strlen(key)] == ':')
			n = atol(line + strlen(key) + 1);
	}
	if (f)
		fclose(f);
	return n;
}

static sigjmp_buf back;
static void on_bus(int sig) { siglongjmp(back, sig); }

/* The signal a write to *p gives, 0 none. */
static int poke(volatile char *p)
{
	struct sigaction sa = { .sa_handler = on_bus }, old[2];
	int r;

	sigaction(SIGBUS, &sa, &old[0]);
	sigaction(SIGSEGV, &sa, &old[1]);
	r = sigsetjmp(back, 1);
	if (!r)
		*p = 1;
	sigaction(SIGBUS, &old[0], NULL);
	sigaction(SIGSEGV, &old[1], NULL);
	return r;
}

static void clean(void)
{
	CHECK_EQ(resv(), 0);
	CHECK_EQ(nr_free(), nr());
	CHECK(put("/proc/sys/vm/check", 1));
	CHECK_EQ(number("/proc/sys/vm/check"), 0);
}

TEST(pool_size)
{
	long before = meminfo("MemFree"), all = meminfo("Hugetlb");

	REQUIRE(pool(8));
	CHECK_EQ(nr_free(), 8);
	CHECK_EQ(meminfo("HugePages_Total"), 8);
	CHECK_EQ(meminfo("Hugetlb") - all, 8 * 2048);
	CHECK(before - meminfo("MemFree") >= 6 * 2048);
	CHECK_EQ(number("/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages"), 8);
	REQUIRE(pool(3));
	CHECK_EQ(nr_free(), 3);
	REQUIRE(pool(0));
	CHECK(mmap(NULL, H, RW, MAP_PRIVATE | HUGE, -1, 0) == MAP_FAILED && errno == ENOMEM);
	CHECK(mmap(NULL, H, RW, MAP_PRIVATE | HUGE | LOG(22), -1, 0) == MAP_FAILED && errno == EINVAL);
	clean();
}

TEST(promises)
{
	char *p, *q;

	REQUIRE(pool(4));
	p = mmap(NULL, 3 * H, RW, MAP_PRIVATE | HUGE, -1, 0);
	REQUIRE(p != MAP_FAILED);
	CHECK_EQ((long)p & (H - 1), 0);
	CHECK_EQ(resv(), 3);
	CHECK_EQ(nr_free(), 4);
	CHECK(mmap(NULL, 2 * H, RW, MAP_SHARED | HUGE, -1, 0) == MAP_FAILED && errno == ENOMEM);
	q = mmap(NULL, 2 * H, RW, MAP_SHARED | HUGE | MAP_NORESERVE, -1, 0);
	REQUIRE(q != MAP_FAILED);
	CHECK_EQ(poke(q), 0);
	CHECK_EQ(poke(q + H), SIGBUS); /* what is left was promised */
	p[0] = p[H] = 1;
	CHECK_EQ(resv(), 1);
	CHECK_EQ(nr_free(), 1);
	CHECK_OK(munmap(p + 2 * H, H)); /* gives its promise back */
	CHECK_EQ(resv(), 0);
	CHECK_EQ(poke(q + H), 0);
	CHECK_OK(munmap(p, H));
	CHECK_EQ(nr_free(), 1);
	munmap(p + H, H);
	munmap(q, 2 * H);
	clean();
}

TEST(surplus_pages)
{
	char *p;

	REQUIRE(pool(1));
	CHECK(put("/proc/sys/vm/nr_overcommit_hugepages", 2));
	p = mmap(NULL, 3 * H, RW, MAP_PRIVATE | HUGE, -1, 0);
	REQUIRE(p != MAP_FAILED);
	CHECK_EQ(surplus(), 2);
	p[0] = p[H] = p[2 * H] = 7;
	CHECK(mmap(NULL, H, RW, MAP_PRIVATE | HUGE, -1, 0) == MAP_FAILED && errno == ENOMEM);
	munmap(p, 3 * H);
	CHECK_EQ(surplus(), 0);
	CHECK_EQ(nr(), 1);
	/* a pool that shrinks below its use has surplus until the pages come back */
	CHECK(put("/proc/sys/vm/nr_overcommit_hugepages", 0));
	REQUIRE(pool(2));
	p = mmap(NULL, 2 * H, RW, MAP_PRIVATE | HUGE | MAP_POPULATE, -1, 0);
	REQUIRE(p != MAP_FAILED);
	CHECK(put("/proc/sys/vm/nr_hugepages", 0));
	CHECK_EQ(nr(), 2);
	CHECK_EQ(surplus(), 2);
	p[H + 5] = 3;
	munmap(p, 2 * H);
	CHECK_EQ(nr(), 0);
	clean();
}

/* MAP_LOCKED makes the pages, but they do not count as locked: a pool's page never goes anyway. */
TEST(not_locked_memory)
{
	long before;
	char *p;

	REQUIRE(pool(2));
	before = field("/proc/self/status", "VmLck");
	p = mmap(NULL, 2 * H, RW, MAP_PRIVATE | HUGE | MAP_LOCKED, -1, 0);
	REQUIRE(p != MAP_FAILED);
	CHECK_EQ(field("/proc/self/status", "VmLck"), before);
	CHECK_EQ(nr_free(), 0);
	CHECK_OK(munmap(p, 2 * H));
	CHECK_EQ(field("/proc/self/status", "VmLck"), before);
	clean();
	REQUIRE(pool(0));
}

TEST(edges)
{
	unsigned char vec[1024];
	char *p, *q;

	REQUIRE(pool(6));
	p = mmap(NULL, 4 * H, RW, MAP_PRIVATE | HUGE, -1, 0);
	REQUIRE(p != MAP_FAILED);
	CHECK_ERRNO(munmap(p, P), EINVAL);
	CHECK_ERRNO(munmap(p + P, H), EINVAL);
	CHECK_ERRNO(mprotect(p, P, PROT_READ), EINVAL);
	CHECK(mmap(p + P, H, RW, MAP_PRIVATE | HUGE | MAP_FIXED, -1, 0) == MAP_FAILED && errno == EINVAL);
	for (int i = 0; i < 4; i++)
		p[i * H] = p[i * H + H - 1] = 'a' + i;
	CHECK_EQ(smaps("KernelPageSize", p), 2048);
	CHECK_EQ(smaps("Private_Hugetlb", p), 8192);
	CHECK_EQ(smaps("Rss", p), 0);
	/* rights, page by page of theirs */
	CHECK_OK(mprotect(p + H, H, PROT_READ));
	CHECK_EQ(poke(p + H), SIGSEGV);
	CHECK_OK(mprotect(p + H, H, PROT_NONE));
	CHECK_EQ(poke(p + H), SIGSEGV);
	CHECK_OK(mprotect(p + H, H, RW));
	CHECK_EQ(p[H], 'b');
	/* mincore */
	CHECK_OK(mincore(p, H, vec));
	CHECK(vec[0] == 1 && vec[511] == 1);
	CHECK_ERRNO(madvise(p + P, H, MADV_DONTNEED), EINVAL);
	CHECK_OK(madvise(p, H + P, MADV_DONTNEED)); /* the part of the second one stays */
	CHECK_OK(mincore(p, 2 * H, vec));
	CHECK(!vec[0] && vec[512] == 1);
	CHECK(p[0] == 0 && p[H] == 'b');
	CHECK_OK(mlock(p, 4 * H));
	CHECK_OK(munlock(p, 4 * H));
	munmap(p, 4 * H);
	/* moving: aligned, never longer, one mapping at a time (parts that once differed stay apart) */
	p = mmap(NULL, 4 * H, RW, MAP_PRIVATE | HUGE, -1, 0);
	REQUIRE(p != MAP_FAILED);
	for (int i = 0; i < 4; i++)
		p[i * H] = p[i * H + H - 1] = 'a' + i;
	q = mmap(NULL, 8 * H, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	q = (char *)(((long)q + H - 1) & ~(H - 1));
	CHECK(mremap(p, 4 * H, 5 * H, MREMAP_MAYMOVE) == MAP_FAILED && errno == EINVAL);
	CHECK(mremap(p, 4 * H, 4 * H, MREMAP_MAYMOVE | MREMAP_FIXED, q + P) == MAP_FAILED && errno == EINVAL);
	CHECK(mremap(p, 4 * H, 4 * H, MREMAP_MAYMOVE | MREMAP_FIXED, q) == q);
	CHECK(q[H] == 'b' && q[2 * H + H - 1] == 'c' && q[3 * H] == 'd');
	CHECK(mremap(q, 4 * H, 3 * H, 0) == q);
	CHECK_EQ(nr_free(), 3);
	munmap(q, 8 * H);
	clean();
}

TEST(moved_promises)
{
	char *p, *q;

	REQUIRE(pool(3));
	p = mmap(NULL, 3 * H, RW, MAP_PRIVATE | HUGE, -1, 0);
	REQUIRE(p != MAP_FAILED);
	p[0] = 1;
	q = mmap(NULL, 4 * H, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	q = (char *)(((long)q + H - 1) & ~(H - 1));
	CHECK(mremap(p + H, H, H, MREMAP_MAYMOVE | MREMAP_FIXED, q) == q);
	CHECK_EQ(resv(), 2);
	q[5] = p[2 * H] = 1;
	CHECK_EQ(resv(), 0);
	munmap(p, 3 * H);
	munmap(q, H);
	clean();
}

TEST(fork_and_copy)
{
	char *p;

	REQUIRE(pool(4));
	p = mmap(NULL, 2 * H, RW, MAP_PRIVATE | HUGE, -1, 0);
	REQUIRE(p != MAP_FAILED);
	memset(p, 'p', 2 * H);
	CHECK_EXITS(0, {
		CHECK_EQ(p[H - 1], 'p');
		memset(p, 'c', H);
		CHECK(p[0] == 'c' && p[H] == 'p');
		CHECK_EQ(nr_free(), 1);
	});
	CHECK(p[0] == 'p' && p[2 * H - 1] == 'p');
	CHECK_EQ(nr_free(), 2);
	p[0] = 'q'; /* alone again: no copy */
	CHECK_EQ(nr_free(), 2);
	munmap(p, 2 * H);
	clean();
}

/* With an empty pool the owner's write takes the page from the child, which dies by SIGBUS when it looks. */
TEST(owner_first)
{
	int go[2], st;
	char *p, c;
	pid_t pid;

	REQUIRE(pool(1));
	p = mmap(NULL, H, RW, MAP_PRIVATE | HUGE, -1, 0);
	REQUIRE(p != MAP_FAILED && !pipe(go));
	p[0] = 1;
	pid = fork();
	if (!pid) {
		close(go[1]);
		(void)!read(go[0], &c, 1);
		_exit(p[0]);
	}
	p[0] = 2;
	CHECK_EQ(p[0], 2);
	close(go[1]);
	CHECK_EQ(waitpid(pid, &st, 0), pid);
	CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGBUS);
	close(go[0]);
	munmap(p, H);
	clean();
}

TEST(shared)
{
	char *p;

	REQUIRE(pool(2));
	p = mmap(NULL, 2 * H, RW, MAP_SHARED | HUGE, -1, 0);
	REQUIRE(p != MAP_FAILED);
	p[0] = 1;
	CHECK_EXITS(0, {
		CHECK_EQ(p[0], 1);
		p[1] = 2;
		p[H] = 3; /* by the file's promise */
		CHECK_EQ(smaps("Shared_Hugetlb", p), 2048);
	});
	CHECK(p[1] == 2 && p[H] == 3);
	CHECK_EQ(resv(), 0);
	munmap(p, 2 * H);
	clean();
}

TEST(memfd)
{
	int fd = syscall(SYS_memfd_create, "big", MFD_HUGETLB | MFD_ALLOW_SEALING);
	struct stat st;
	char *p, *q, buf[16];

	REQUIRE(fd >= 0 && pool(4));
	CHECK_ERRNO(syscall(SYS_memfd_create, "odd", MFD_HUGETLB | LOG(22)), ENODEV);
	CHECK_ERRNO(ftruncate(fd, P), EINVAL);
	CHECK_OK(ftruncate(fd, 3 * H));
	CHECK_OK(fstat(fd, &st));
	CHECK(st.st_size == 3 * H && st.st_blksize == H);
	CHECK_ERRNO(write(fd, "x", 1), EINVAL);
	p = mmap(NULL, 3 * H, RW, MAP_SHARED, fd, 0);
	q = mmap(NULL, H, RW, MAP_PRIVATE, fd, H);
	REQUIRE(p != MAP_FAILED && q != MAP_FAILED);
	CHECK_EQ(resv(), 4);
	strcpy(p + H, "hello");
	CHECK(!strcmp(q, "hello"));
	strcpy(q, "mine");
	CHECK(!strcmp(p + H, "hello"));
	CHECK_EQ(pread(fd, buf, 6, H), 6);
	CHECK(!strcmp(buf, "hello"));
	CHECK_EQ(pread(fd, buf, 16, 3 * H - 8), 8);
	CHECK(mmap(NULL, H, RW, MAP_SHARED, fd, P) == MAP_FAILED && errno == EINVAL);
	/* holes and ends */
	CHECK_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, H, H));
	CHECK_EQ(p[H], 0);
	CHECK(!strcmp(q, "mine"));
	CHECK_OK(ftruncate(fd, H));
	CHECK_EQ(poke(p + H), SIGBUS);
	CHECK_OK(fallocate(fd, 0, 0, 2 * H));
	CHECK_EQ(poke(p + H), 0);
	munmap(p, 3 * H);
	munmap(q, H);
	CHECK_OK(fcntl(fd, 1033 /* F_ADD_SEALS */, 2 /* SHRINK */));
	CHECK_ERRNO(ftruncate(fd, 0), EPERM);
	close(fd);
	clean();
}

TEST(sysv)
{
	int id;
	char *p;

	REQUIRE(pool(2));
	id = shmget(IPC_PRIVATE, 2 * H, IPC_CREAT | 04000 /* SHM_HUGETLB */ | 0600);
	REQUIRE(id >= 0);
	CHECK_EQ(resv(), 2);
	CHECK_ERRNO(shmget(IPC_PRIVATE, H, IPC_CREAT | 04000 | 0600), ENOMEM);
	p = shmat(id, NULL, 0);
	REQUIRE(p != (void *)-1);
	p[0] = p[H] = 4;
	CHECK_EXITS(0, CHECK_EQ(p[H], 4));
	CHECK_ERRNO(munmap(p, P), EINVAL);
	CHECK_OK(shmdt(p));
	CHECK_EQ(nr_free(), 0);
	CHECK_OK(shmctl(id, IPC_RMID, NULL));
	id = shmget(IPC_PRIVATE, H - P - 1, IPC_CREAT | 04000 | 0600);
	REQUIRE(id >= 0);
	p = shmat(id, NULL, 0);
	REQUIRE(p != (void *)-1);
	p[H - 1] = 4; /* the attach is of whole huge pages, as is its end */
	CHECK_OK(shmdt(p));
	CHECK_KILLED(SIGSEGV, p[0] = 1);
	CHECK_OK(shmctl(id, IPC_RMID, NULL));
	clean();
}

TEST(file_system)
{
	struct statfs sf;
	char *p;
	int fd;

	REQUIRE(pool(4));
	mkdir("/run/huge", 0755);
	CHECK_ERRNO(mount("none", "/run/huge", "hugetlbfs", 0, "pagesize=4M"), EINVAL);
	CHECK_OK(mount("none", "/run/huge", "hugetlbfs", 0, "pagesize=2M,size=6M,mode=1770"));
	CHECK_OK(statfs("/run/huge", &sf));
	CHECK(sf.f_type == 0x958458f6 && sf.f_bsize == H && sf.f_blocks == 3 && sf.f_bfree == 3);
	fd = open("/run/huge/a", O_CREAT | O_RDWR, 0600);
	REQUIRE(fd >= 0);
	p = mmap(NULL, 2 * H, RW, MAP_SHARED, fd, 0); /* makes the file as long */
	REQUIRE(p != MAP_FAILED);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 2 * H);
	CHECK_OK(statfs("/run/huge", &sf));
	CHECK_EQ(sf.f_bfree, 1);
	CHECK(mmap(NULL, 2 * H, RW, MAP_PRIVATE, fd, 0) == MAP_FAILED && errno == ENOMEM); /* over the mount's limit */
	p[H] = 9;
	munmap(p, 2 * H);
	CHECK_OK(rename("/run/huge/a", "/run/huge/b"));
	close(fd);
	fd = open("/run/huge/b", O_RDONLY);
	p = mmap(NULL, 2 * H, PROT_READ, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
	CHECK(p != MAP_FAILED && p[H] == 9);
	munmap(p, 2 * H);
	close(fd);
	CHECK_OK(unlink("/run/huge/b"));
	CHECK_OK(statfs("/run/huge", &sf));
	CHECK_EQ(sf.f_bfree, 3);
	CHECK_OK(umount("/run/huge"));
	clean();
}

TEST(gigabyte)
{
	char *p, *q;

	if (access("/sys/kernel/mm/hugepages/hugepages-1048576kB", F_OK)) {
		CHECK(mmap(NULL, G, RW, MAP_PRIVATE | HUGE | LOG(30), -1, 0) == MAP_FAILED && errno == EINVAL);
		return;
	}
	CHECK(put("/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", 1));
	if (number("/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages") != 1) {
		printf("  (no free GiB)\n");
		return;
	}
	p = mmap(NULL, G, RW, MAP_PRIVATE | HUGE | LOG(30), -1, 0);
	REQUIRE(p != MAP_FAILED);
	CHECK_EQ((long)p & (G - 1), 0);
	p[0] = 1;
	p[G - 1] = 2;
	p[G / 2 + H + P] = 3;
	CHECK_EQ(smaps("KernelPageSize", p), 1 << 20);
	CHECK_EQ(smaps("Private_Hugetlb", p), 1 << 20);
	CHECK_ERRNO(munmap(p, H), EINVAL);
	CHECK_OK(mprotect(p, G, PROT_READ));
	CHECK_EQ(poke(p + H), SIGSEGV);
	CHECK_EQ(p[G - 1], 2);
	CHECK_OK(mprotect(p, G, RW));
	CHECK_EXITS(0, {
		CHECK_EQ(p[G / 2 + H + P], 3);
		CHECK_EQ(poke(p), SIGBUS); /* no second one to copy to */
	});
	q = mmap(NULL, 2 * G, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	q = (char *)(((long)q + G - 1) & ~(G - 1));
	CHECK(mremap(p, G, G, MREMAP_MAYMOVE | MREMAP_FIXED, q) == q);
	CHECK(q[0] == 1 && q[G - 1] == 2);
	CHECK(put("/proc/sys/vm/check", 1));
	CHECK_EQ(number("/proc/sys/vm/check"), 0);
	munmap(q, G);
	CHECK(put("/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", 0));
	CHECK_EQ(number("/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages"), 0);
}

TEST(at_the_end)
{
	long before;

	REQUIRE(pool(0));
	before = meminfo("MemFree");
	REQUIRE(pool(16));
	REQUIRE(pool(0));
	CHECK(meminfo("MemFree") >= before - 8192);
	clean();
}

/* A page on its way into the object is not asked for again by who maps the object meanwhile: the pool has just what it needs. */
static long map_over_and_over(int fd, volatile int *on)
{
	long refused = 0;

	while (*on) {
		char *p = mmap(NULL, 4 * H, RW, MAP_SHARED, fd, 0);

		if (p == MAP_FAILED)
			refused++;
		else
			munmap(p, 4 * H);
		if (*on == 1)
			*on = 2; /* it runs */
	}
	return refused;
}

TEST(mapped_while_another_faults)
{
	volatile int *on = mmap(NULL, P, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int fd = memfd_create("exact", MFD_HUGETLB), st;

	REQUIRE(on != MAP_FAILED && fd >= 0 && pool(4) && !ftruncate(fd, 4 * H));
	for (int i = 0; i < 20; i++) {
		char *p = mmap(NULL, 4 * H, RW, MAP_SHARED, fd, 0);
		pid_t pid;

		REQUIRE(p != MAP_FAILED);
		*on = 1;
		pid = fork(); /* an address space of its own: a fault keeps mmap waiting */
		if (!pid)
			_exit(map_over_and_over(fd, on) != 0);
		while (*on == 1)
			usleep(1000);
		for (int k = 0; k < 4; k++)
			p[k * H] = 1;
		*on = 0;
		CHECK_EQ(waitpid(pid, &st, 0), pid);
		CHECK_EQ(st, 0);
		munmap(p, 4 * H);
		CHECK_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4 * H));
	}
	close(fd);
	munmap((void *)on, P);
	CHECK(pool(0));
}

TEST_MAIN
