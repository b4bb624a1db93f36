// TIMEOUT: 120
// BOOT: --smp 4 --memory 1G --numa 2
/*
 * Huge pages of both kinds, userfaultfd, equal pages made one and memory files, with every allocation made to fail in turn (fail.h): a fault
 * is served with what there is, no byte is lost when a huge page is split, moved, copied or put together.
 */
#include "uffd.h"
#include "fail.h"
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define H (2ul << 20)
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static char *m;	/* an aligned huge page within the mapping at low */
static char *low;

/* ---- transparent huge pages ---- */

static int set_empty(void)
{
	low = mmap(NULL, 3 * H, RW, ANON, -1, 0);
	if (low == MAP_FAILED)
		return errno;
	m = (char *)(((unsigned long)low + H - 1) & ~(H - 1));
	return fail_of(madvise(low, 3 * H, MADV_HUGEPAGE));
}
static void mark(void)
{
	for (unsigned long i = 0; i < H; i += 64 * P)
		m[i] = 1 + i / (64 * P);
}
static int marked(void)
{
	for (unsigned long i = 0; i < H; i += 64 * P)
		if (m[i] != (char)(1 + i / (64 * P)) || m[i + P])
			return EIO;
	return 0;
}
static int set_huge(void)
{
	int err = set_empty();

	if (!err)
		mark();
	return err;
}
static int set_small(void)
{
	int err = set_empty();

	if (!err)
		err = fail_of(madvise(low, 3 * H, MADV_NOHUGEPAGE));
	for (unsigned long i = 0; !err && i < H; i += P)
		m[i + 1] = 0;
	mark();
	return err ? err : fail_of(madvise(low, 3 * H, MADV_HUGEPAGE));
}
static int drop(int bad)
{
	return munmap(low, 3 * H) || bad ? EIO : 0;
}
static int u_marked(int err)
{
	(void)err;
	return drop(marked());
}
static int c_touch(void)
{
	mark();
	return 0;
}
static int c_split_protect(void) { return fail_of(mprotect(m + 9 * P, 3 * P, PROT_READ)); }
static int c_split_unmap(void) { return fail_of(munmap(m + 9 * P, 3 * P)); }
static int u_split_unmap(int err)
{
	static unsigned char v[3];

	/* the three pages are all there or all away */
	if (mincore(m + 9 * P, 3 * P, v) ? errno != ENOMEM || err : !err)
		return drop(EPROTO);
	for (unsigned long i = 0; i < H; i += 64 * P)
		if (m[i] != (char)(1 + i / (64 * P)))
			return drop(EIO);
	return drop(0);
}
static int c_split_forget(void) { return fail_of(madvise(m + 9 * P, 3 * P, MADV_DONTNEED)); }
static int c_split_lock(void) { return fail_of(mlock(m + 9 * P, 3 * P)); }
static int c_split_free(void) { return fail_of(madvise(m + 9 * P, 3 * P, MADV_FREE)); }
static int c_collapse(void) { return fail_of(madvise(m, H, MADV_COLLAPSE)); }

static char *to;
static int c_move(void)
{
	to = mremap(m, H, H, MREMAP_MAYMOVE | MREMAP_FIXED, (char *)0x200000001000); /* where it cannot stay huge */
	return to == MAP_FAILED ? errno : 0;
}
static int u_move(int err)
{
	if (err)
		return drop(marked());
	char *was = m;
	m = to;
	int bad = marked();
	munmap(to, H);
	munmap(low, was - low);
	munmap(was + H, low + 3 * H - (was + H));
	return bad;
}

/* A child that only sleeps keeps the pages shared; ours are copied, or the huge page parts. */
static pid_t sleeper;
static int c_fork(void)
{
	sleeper = fork();
	if (!sleeper) {
		pause();
		_exit(0);
	}
	return sleeper < 0 ? errno : 0;
}
static int set_forked(void)
{
	int err = set_huge();

	return err ? err : c_fork();
}
static void reap(void)
{
	kill(sleeper, SIGKILL);
	waitpid(sleeper, NULL, 0);
}
static int u_forked(int err)
{
	if (!err)
		reap();
	return drop(marked());
}
static int u_cow(int err)
{
	(void)err;
	reap();
	return drop(marked());
}

/* ---- the pool ---- */

static int pool(int n)
{
	char text[16];
	int fd = open("/proc/sys/vm/nr_hugepages", O_WRONLY), len = snprintf(text, sizeof text, "%d", n), err = 0;

	TRY(fd);
	TRY(write(fd, text, len));
out:
	close(fd);
	return err;
}
static int set_pool(void) { return pool(4); }
static long pool_field(const char *name)
{
	static char text[4096];

	leaks_slurp("/proc/meminfo", text, sizeof text);
	return leaks_field(text, name);
}
/* No page taken, no promise open. */
static int pool_whole(int bad)
{
	if (bad || pool_field("HugePages_Free:") != pool_field("HugePages_Total:") || pool_field("HugePages_Rsvd:"))
		bad = EPROTO;
	pool(0);
	return pool_field("HugePages_Total:") ? EPROTO : bad;
}
static int c_map_huge(int flags)
{
	m = mmap(NULL, 2 * H, RW, MAP_ANONYMOUS | MAP_HUGETLB | flags, -1, 0);
	if (m == MAP_FAILED)
		return errno;
	m[0] = 5;
	m[H] = 6;
	return 0;
}
static int c_huge_private(void) { return c_map_huge(MAP_PRIVATE); }
static int c_huge_shared(void) { return c_map_huge(MAP_SHARED); }
static int u_map_huge(int err)
{
	return pool_whole(!err && (m[0] != 5 || m[H] != 6 || m[P] || munmap(m, 2 * H)));
}
static int set_huge_private(void)
{
	int err = set_pool();

	return err ? err : c_huge_private();
}
static int set_huge_forked(void)
{
	int err = set_huge_private();

	return err ? err : c_fork();
}
static int u_huge_forked(int err)
{
	if (!err)
		reap();
	return u_map_huge(0);
}
static int c_huge_cow(void)
{
	m[0] = 5;
	m[H] = 6;
	return 0;
}
static int u_huge_cow(int err)
{
	reap();
	return u_map_huge(err);
}
static int c_huge_split(void)
{
	return fail_of(mprotect(m, H, PROT_READ));
}
static int c_huge_shm(void)
{
	int id = shmget(IPC_PRIVATE, 2 * H, IPC_CREAT | SHM_HUGETLB | 0600), err = 0;

	TRY(id);
	m = shmat(id, NULL, 0);
	err = fail_of((long)m);
	shmctl(id, IPC_RMID, NULL); /* goes when the child goes */
	if (!err) {
		m[H] = 1;
		shmdt(m);
	}
out:
	return err;
}
static int u_pool(int err)
{
	(void)err;
	return pool_whole(0);
}
/* ---- userfaultfd ---- */

static int fd = -1;
static int c_uffd(void)
{
	fd = uffd_open(0);
	return fail_of(fd);
}
static int u_uffd(int err)
{
	if (!err)
		close(fd);
	return 0;
}
static int set_uffd(void)
{
	m = mmap((char *)0x210000000000, 16 * P, RW, ANON | MAP_FIXED, -1, 0); /* no table of pages near it */
	if (m == MAP_FAILED)
		return errno;
	fd = uffd_open(F_WP | F_FORK);
	return fail_of(fd);
}
static int drop_uffd(int bad)
{
	close(fd);
	return munmap(m, 16 * P) || bad ? EPROTO : 0;
}
static int c_register(void) { return fail_of(add(fd, m + 4 * P, 4 * P, MISSING | WP)); }
static int u_register(int err)
{
	struct range r = { (unsigned long)(m + 4 * P), 4 * P };

	if (err)
		m[4 * P] = m[8 * P] = 1; /* nobody is asked */
	else if (ioctl(fd, UFFDIO_UNREGISTER, &r))
		return drop_uffd(errno);
	m[5 * P] = 1;
	return drop_uffd(0);
}
static int set_registered(void)
{
	int err = set_uffd();

	return err ? err : fail_of(add(fd, m, 16 * P, MISSING | WP));
}
static int c_unregister(void)
{
	struct range r = { (unsigned long)(m + 4 * P), 4 * P };

	return fail_of(ioctl(fd, UFFDIO_UNREGISTER, &r));
}
static int u_unregister(int err)
{
	if (!err)
		m[4 * P] = m[7 * P] = 1;
	return drop_uffd(0);
}
static char src[P] = { 9 };
static int c_copy(void)
{
	struct copy c = { (u64)m, (u64)src, P, 0, 0 };

	return fail_of(ioctl(fd, UFFDIO_COPY, &c));
}
static int u_copy(int err)
{
	if (!err && m[0] != 9)
		return drop_uffd(EIO);
	return drop_uffd(copy_in(fd, m + P, src, P, 0) || m[P] != 9 || (err && (copy_in(fd, m, src, P, 0) || m[0] != 9)));
}
static int c_wp_copy(void) { return fail_of(copy_in(fd, m, src, P, 2 /* protected */)); }
static int c_zeropage(void)
{
	struct fill f = { { (u64)m, 2 * P }, 0, 0 };

	return fail_of(ioctl(fd, UFFDIO_ZEROPAGE, &f));
}
static int u_zeropage(int err)
{
	return drop_uffd(!err && (m[0] || m[P]));
}
static int c_uffd_fork(void)
{
	sleeper = fork(); /* the event waits to be read: only what cannot fail any more does */
	if (!sleeper)
		_exit(0);
	return sleeper < 0 ? errno : 0;
}
/* Without its event to read fork would wait for ever: a descriptor without F_FORK. */
static int set_uffd_plain(void)
{
	m = mmap(NULL, 16 * P, RW, ANON, -1, 0);
	fd = uffd_open(F_WP);
	return m == MAP_FAILED || fd < 0 ? errno : fail_of(add(fd, m, 16 * P, MISSING | WP));
}
static int u_uffd_fork(int err)
{
	if (!err)
		waitpid(sleeper, NULL, 0);
	return drop_uffd(copy_in(fd, m, src, P, 0) || m[0] != 9);
}
/* ---- equal pages ---- */

static int set_equal(void)
{
	m = mmap(NULL, 64 * P, RW, ANON, -1, 0);
	if (m == MAP_FAILED)
		return errno;
	madvise(m, 64 * P, MADV_NOHUGEPAGE);
	memset(m, 7, 64 * P);
	return fail_of(madvise(m, 64 * P, MADV_MERGEABLE));
}
static int drop_equal(int err)
{
	int bad = 0;

	(void)err;
	for (unsigned long i = 0; i < 64; i++)
		bad |= m[i * P] != 7 && m[i * P] != (char)i;
	return munmap(m, 64 * P) || bad ? EIO : 0;
}
static int c_unmerge(void) { return fail_of(madvise(m, 64 * P, MADV_UNMERGEABLE)); }
static int c_write_equal(void)
{
	for (unsigned long i = 0; i < 64; i += 7)
		m[i * P] = i;
	return 0;
}
static int ksm(const char *name, const char *value)
{
	char path[64];
	int f, err = 0;

	snprintf(path, sizeof path, "/sys/kernel/mm/ksm/%s", name);
	TRY(f = open(path, O_WRONLY));
	TRY(write(f, value, strlen(value)));
out:
	close(f);
	return err;
}
static int set_merged(void)
{
	static char text[64];
	int err = set_equal();

	for (int i = 0; !err && i < 400; i++) {
		leaks_slurp("/sys/kernel/mm/ksm/pages_sharing", text, sizeof text);
		if (atoi(text) > 30)
			return 0;
		usleep(5000);
	}
	return err ? err : ETIME;
}

/* ---- memory files ---- */

static int c_memfd(void)
{
	int err = 0;

	TRY(fd = syscall(SYS_memfd_create, "fail", 2 /* sealing */));
out:
	return err;
}
static int set_memfd(void)
{
	int err = c_memfd();

	return err ? err : fail_of(ftruncate(fd, 16 * P));
}
static int u_create(int err)
{
	return err ? 0 : close(fd);
}
static int u_memfd(int err)
{
	(void)err;
	return close(fd);
}
/* fallocate: all pages, or size and pages of before. */
static long pages(void)
{
	struct stat st;

	return fstat(fd, &st) ? -1 : st.st_blocks * 512 / (long)P;
}
static int c_fallocate(void) { return fail_of(fallocate(fd, 0, 4 * P, 20 * P)); }
static int u_fallocate(int err)
{
	off_t size = lseek(fd, 0, SEEK_END);
	int bad = err ? size != 16 * (off_t)P || pages() != 0 : size != 24 * (off_t)P || pages() != 20;

	return close(fd) || bad ? EPROTO : 0;
}
static int c_punch(void)
{
	return fail_of(pwrite(fd, src, P, 5 * P) == (long)P ? fallocate(fd, 3, 4 * P, 4 * P) : -1);
}
static int c_write(void)
{
	static char text[6 * P];
	long n = pwrite(fd, text, sizeof text, 100);

	return n < 0 ? errno : n == sizeof text ? 0 : ENOMEM;
}

static const struct fail_case thp[] = {
	FAIL("write fault", set_empty, c_touch, u_marked),
	FAIL("split by mprotect", set_huge, c_split_protect, u_marked),
	FAIL("split by munmap", set_huge, c_split_unmap, u_split_unmap),
	FAIL("split by MADV_DONTNEED", set_huge, c_split_forget, u_marked, .also = { EAGAIN }),
	FAIL("split by MADV_FREE", set_huge, c_split_free, u_marked, .also = { EAGAIN }),
	FAIL("split by mlock", set_huge, c_split_lock, u_marked, .also = { EAGAIN }),
	FAIL("collapse", set_small, c_collapse, u_marked, .also = { EAGAIN, EBUSY, EINVAL }),
	FAIL("mremap", set_huge, c_move, u_move),
	FAIL("fork", set_huge, c_fork, u_forked, .also = { EAGAIN }),
	FAIL("copy on write", set_forked, c_touch, u_cow),
};

static const struct fail_case hugetlb[] = {
	FAIL("pool size", NULL, set_pool, u_pool),
	FAIL("private", set_pool, c_huge_private, u_map_huge, .child = true),
	FAIL("shared", set_pool, c_huge_shared, u_map_huge, .child = true),
	FAIL("segment", set_pool, c_huge_shm, u_pool, .child = true),
	FAIL("mprotect", set_huge_private, c_huge_split, u_huge_forked),
	FAIL("fork", set_huge_private, c_fork, u_huge_forked, .also = { EAGAIN }),
	FAIL("copy on write", set_huge_forked, c_huge_cow, u_huge_cow, .child = true),
};

static const struct fail_case uffd[] = {
	FAIL("userfaultfd", NULL, c_uffd, u_uffd),
	FAIL("register", set_uffd, c_register, u_register),
	FAIL("unregister", set_registered, c_unregister, u_unregister),
	FAIL("copy", set_registered, c_copy, u_copy),
	FAIL("copy protected", set_registered, c_wp_copy, u_copy),
	FAIL("zero page", set_registered, c_zeropage, u_zeropage),
	FAIL("fork", set_uffd_plain, c_uffd_fork, u_uffd_fork, .also = { EAGAIN }),
};

static const struct fail_case equal[] = {
	FAIL("unmerge", set_merged, c_unmerge, drop_equal, .also = { EAGAIN }, .roof = 12),
	FAIL("write", set_merged, c_write_equal, drop_equal),
};

static const struct fail_case memfd[] = {
	FAIL("memfd_create", NULL, c_memfd, u_create),
	FAIL("fallocate", set_memfd, c_fallocate, u_fallocate, .also = { ENOSPC }),
	FAIL("write", set_memfd, c_write, u_memfd, .also = { ENOSPC }),
	FAIL("punch", set_memfd, c_punch, u_memfd, .also = { ENOSPC }),
};

TEST(transparent_huge_pages)
{
	FAIL_FAMILY(thp);
}

TEST(pool_of_huge_pages)
{
	FAIL_FAMILY(hugetlb);
}

TEST(user_faults)
{
	FAIL_FAMILY(uffd);
}

TEST(equal_pages)
{
	REQUIRE(!ksm("sleep_millisecs", "1") && !ksm("pages_to_scan", "10000") && !ksm("run", "1"));
	FAIL_FAMILY(equal);
	CHECK_EQ(ksm("run", "2"), 0);
	CHECK_EQ(ksm("run", "0"), 0);
}

TEST(memory_files)
{
	FAIL_FAMILY(memfd);
}

int main(int argc, char **argv)
{
	return fail_main(argc, argv);
}
