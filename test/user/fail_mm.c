// TIMEOUT: 120
// BOOT: --smp 4 --memory 1G --numa 2
/*
 * Calls that change an address space, with every allocation made to fail in turn (fail.h). A call that fails leaves each page of the range as
 * it was: mapped or not, readable or not, with its bytes. Those that work mapping by mapping (mprotect, madvise, mlock and mbind over
 * several) may have changed the first ones, on Linux as well, so the range is one mapping here.
 */
#include "fail.h"
#include <sys/uio.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#define N 16 /* pages of the range */

/* ---- the range: page i holds i + 1; what maps says of each page ---- */

static char *m, *far;
static char seen[N + 1], far_seen[N + 1];

/* One letter for each page: '-' no mapping, else 'n', 'r', 'w' by its rights. */
static void look(const char *at, char *to)
{
	static char text[32768];
	unsigned long start, end;
	char r, w;

	memset(to, '-', N);
	to[N] = 0;
	leaks_slurp("/proc/self/maps", text, sizeof text);
	for (char *l = text; l && *l; l = strchr(l, '\n'), l = l ? l + 1 : l) {
		if (sscanf(l, "%lx-%lx %c%c", &start, &end, &r, &w) != 4)
			continue;
		for (int i = 0; i < N; i++)
			if ((unsigned long)at + i * P >= start && (unsigned long)at + i * P < end)
				to[i] = w == 'w' ? 'w' : r == 'r' ? 'r' : 'n';
	}
}

static int set_range(void)
{
	m = mmap(NULL, N * P, RW, ANON, -1, 0);
	if (m == MAP_FAILED)
		return errno;
	madvise(m, N * P, MADV_NOHUGEPAGE);
	for (int i = 0; i < N; i++)
		m[i * P] = i + 1;
	look(m, seen);
	return 0;
}

static int bytes(const char *at, int from, int to, int first)
{
	for (int i = from; i < to; i++)
		if (at[i * P] != first + i - from)
			return EIO;
	return 0;
}

static int drop(int err)
{
	munmap(m, N * P);
	return err;
}

/* The letters as wanted, or as before when the call failed; all bytes of what can be read. */
static int is_now(int err, const char *want)
{
	char now[N + 1];

	look(m, now);
	if (strcmp(now, err ? seen : want))
		return EPROTO;
	for (int i = 0; i < N; i++)
		if ((now[i] == 'w' || now[i] == 'r') && m[i * P] != i + 1)
			return EIO;
	return 0;
}

/* ---- mapping and unmapping ---- */

static int c_mmap(void)
{
	far = mmap(NULL, 4 * P, RW, ANON, -1, 0);
	return far == MAP_FAILED ? errno : 0;
}
static int u_mmap(int err)
{
	int bad = err ? far != MAP_FAILED : munmap(far, 4 * P);

	return drop(bad || is_now(0, seen));
}

static int c_over(void)
{
	return fail_of((long)mmap(m + 4 * P, 4 * P, PROT_READ, ANON | MAP_FIXED, -1, 0));
}
static int u_over(int err)
{
	char now[N + 1];

	look(m, now);
	if (err) /* Linux 6.1 may leave a hole; we do not */
		return drop(is_now(err, seen));
	return drop(strcmp(now, "wwwwrrrrwwwwwwww") || bytes(m, 0, 4, 1) || bytes(m, 8, N, 9) || m[4 * P]);
}

static int c_populate(void)
{
	far = mmap(NULL, 8 * P, RW, ANON | MAP_POPULATE, -1, 0);
	return far == MAP_FAILED ? errno : 0;
}
static int u_populate(int err)
{
	int bad = 0;

	if (!err) {
		memset(far, 1, 8 * P);
		bad = munmap(far, 8 * P);
	}
	return drop(bad || is_now(0, seen));
}

static int c_unmap(void)
{
	return fail_of(munmap(m + 4 * P, 4 * P));
}
static int u_unmap(int err)
{
	return drop(is_now(err, "wwww----wwwwwwww"));
}

static int c_protect(void)
{
	return fail_of(mprotect(m + 4 * P, 4 * P, PROT_READ));
}
static int u_protect(int err)
{
	return drop(is_now(err, "wwwwrrrrwwwwwwww"));
}

static int set_halves(void)
{
	int err = set_range();

	if (!err && mprotect(m, 8 * P, PROT_READ))
		return errno;
	look(m, seen);
	return err;
}
static int c_protect_merge(void)
{
	return fail_of(mprotect(m + 6 * P, 2 * P, RW));
}
static int u_protect_merge(int err)
{
	return drop(is_now(err, "rrrrrrwwwwwwwwww"));
}

static int pkey;
static int c_pkey(void)
{
	int err = 0;

	pkey = syscall(SYS_pkey_alloc, 0, 0);
	if (pkey < 0 && errno == ENOSPC) /* no keys on this processor: -1 is the one of none */
		pkey = -1;
	TRY(syscall(SYS_pkey_mprotect, m + 4 * P, 4 * P, PROT_READ, pkey));
out:
	return err;
}
static int u_pkey(int err)
{
	if (pkey > 0)
		syscall(SYS_pkey_free, pkey);
	return u_protect(err);
}

static char *brk0;
static int c_brk(void)
{
	brk0 = (char *)syscall(SYS_brk, 0);
	return (char *)syscall(SYS_brk, brk0 + 8 * P) == brk0 + 8 * P ? 0 : ENOMEM;
}
static int u_brk(int err)
{
	char *now = (char *)syscall(SYS_brk, 0);

	if (now != brk0 + (err ? 0 : 8 * P))
		return drop(EPROTO);
	if (!err)
		brk0[7 * P] = 1;
	return drop((char *)syscall(SYS_brk, brk0) != brk0);
}

/* ---- mremap: the old place untouched when it fails ---- */

static char *moved;
static int set_remap(void)
{
	int err = set_range();

	far = mmap((char *)0x100000000000, N * P, PROT_NONE, ANON | MAP_FIXED, -1, 0); /* no table of pages near it */
	look(far, far_seen);
	return err ? err : far == MAP_FAILED ? errno : 0;
}
static int remap(size_t from, size_t to, int flags)
{
	moved = mremap(m, from * P, to * P, flags, far);
	return moved == MAP_FAILED ? errno : 0;
}
static int c_grow(void) { return remap(N, 4 * N, MREMAP_MAYMOVE); }
static int u_grow(int err)
{
	int bad = err ? is_now(err, seen) : bytes(moved, 0, N, 1) || moved[N * P] || moved[(4 * N - 1) * P];

	munmap(err ? m : moved, (err ? N : 4 * N) * P);
	return munmap(far, N * P) || bad;
}
static int c_shrink(void) { return remap(N, 4, MREMAP_MAYMOVE | MREMAP_FIXED); }
static int c_fixed(void) { return remap(N, N, MREMAP_MAYMOVE | MREMAP_FIXED); }
static int c_part(void)
{
	moved = mremap(m + 4 * P, 4 * P, 4 * P, MREMAP_MAYMOVE | MREMAP_FIXED, far + 4 * P);
	return moved == MAP_FAILED ? errno : 0;
}
/* The target is as it was, or its old mapping has gone, as on Linux. */
static int target_whole(int from, int to)
{
	char now[N + 1], gone[N + 1];

	look(far, now);
	memcpy(gone, far_seen, sizeof gone);
	memset(gone + from, '-', to - from);
	return strcmp(now, far_seen) && strcmp(now, gone) ? EPROTO : 0;
}
static int u_fixed(int err)
{
	int bad = err ? target_whole(0, N) || is_now(err, seen) : bytes(far, 0, N, 1) || is_now(0, "----------------");

	munmap(far, N * P);
	return drop(bad);
}
/* The tail goes first, on Linux as well: it may be what a failure finds gone. */
static int u_shrink(int err)
{
	int bad = err ? target_whole(0, 4) || bytes(m, 0, 4, 1) : bytes(far, 0, 4, 1) || is_now(0, "----------------");

	munmap(far, N * P);
	return drop(bad);
}
static int u_part(int err)
{
	int bad = err ? target_whole(4, 8) || is_now(err, seen) : bytes(far, 4, 8, 5) || is_now(0, "wwww----wwwwwwww");

	munmap(far, N * P);
	return drop(bad);
}
static int c_keep(void) { return remap(N, N, MREMAP_MAYMOVE | MREMAP_DONTUNMAP); }
static int u_keep(int err)
{
	int bad = err ? is_now(err, seen) : bytes(moved, 0, N, 1) || m[0] || m[(N - 1) * P];

	if (!err)
		munmap(moved, N * P);
	munmap(far, N * P);
	return drop(bad);
}

/* ---- advice ---- */

static int advice;
static int set_advice(void)
{
	int err = set_range();

	if (!err && advice >= MADV_POPULATE_WRITE)
		return fail_of(madvise(m + 4 * P, 4 * P, MADV_DONTNEED));
	if (!err && (advice & 1) && advice > 10) /* takes back the one below it */
		return fail_of(madvise(m, N * P, advice - 1));
	return err;
}
static int c_advice(void)
{
	return fail_of(madvise(m + 4 * P, 4 * P, advice));
}
static int u_advice(int err)
{
	char now[N + 1];

	(void)err;
	look(m, now);
	return drop(strcmp(now, seen) || bytes(m, 0, 4, 1) || bytes(m, 8, N, 9) ||
		    (advice >= MADV_POPULATE_WRITE ? m[4 * P] || m[7 * P] : bytes(m, 4, 8, 5)));
}

static int c_process_advice(void)
{
	struct iovec v[12];
	int pidfd = syscall(SYS_pidfd_open, getpid(), 0), err = 0;

	TRY(pidfd);
	for (int i = 0; i < 12; i++) /* more than the ones kept on the stack */
		v[i] = (struct iovec){ m + i * P, P };
	TRY(syscall(SYS_process_madvise, pidfd, v, 12, MADV_COLD, 0));
out:
	close(pidfd);
	return err;
}
static int u_same(int err)
{
	(void)err;
	return drop(is_now(0, seen));
}

/* ---- locks ---- */

static long locked(void)
{
	static char text[4096];

	leaks_slurp("/proc/self/status", text, sizeof text);
	return leaks_field(text, "VmLck:");
}
static int c_mlock(void) { return fail_of(mlock(m + 4 * P, 4 * P)); }
static int c_mlock2(void) { return fail_of(syscall(SYS_mlock2, m + 4 * P, 4 * P, 1)); }
static int u_mlock(int err)
{
	long kib = locked();
	int bad = err ? kib && kib != 16 : kib != 16; /* Linux 6.1 leaves the lock when the pages could not all be had */

	munlock(m, N * P);
	return drop(bad || locked() || is_now(0, seen));
}
static int set_locked(void)
{
	int err = set_range();

	return err ? err : fail_of(mlock(m, N * P));
}
static int c_munlock(void) { return fail_of(munlock(m + 4 * P, 4 * P)); }
static int u_munlock(int err)
{
	return drop(locked() != (err ? 64 : 48) || is_now(0, seen));
}
static int set_empty(void)
{
	int err = set_range();

	return err ? err : fail_of(madvise(m, N * P, MADV_DONTNEED));
}
static int c_mlockall(void) { return fail_of(mlockall(MCL_CURRENT | MCL_FUTURE)); }
static int u_mlockall(int err)
{
	(void)err;
	return drop(munlockall() || locked() || m[0] || m[(N - 1) * P]);
}

/* ---- copies between processes, files ---- */

static int c_vm_readv(void)
{
	static char to[N * P];
	struct iovec l = { to, sizeof to }, r[12];
	long n;

	for (int i = 0; i < 12; i++)
		r[i] = (struct iovec){ m + i * P, P };
	memset(to, 0, sizeof to);
	n = process_vm_readv(getpid(), &l, 1, r, 12, 0);
	if (n < 0)
		return errno;
	return n == 12 * (long)P ? bytes(to, 0, 12, 1) : n % (long)P ? EPROTO : ENOMEM;
}
static int c_vm_writev(void)
{
	static char from[P] = { 3 };
	struct iovec l = { from, P }, r = { m + 2 * P, P };
	long n = process_vm_writev(getpid(), &l, 1, &r, 1, 0);

	return n < 0 ? errno : n == P ? 0 : ENOMEM;
}
static int fd;
static int set_shared(void)
{
	fd = syscall(SYS_memfd_create, "fail", 0);
	if (fd < 0 || ftruncate(fd, N * P))
		return errno;
	m = mmap(NULL, N * P, RW, MAP_SHARED, fd, 0);
	for (int i = 0; i < N; i++)
		m[i * P] = i + 1;
	look(m, seen);
	return 0;
}
static int drop_shared(int err)
{
	close(fd);
	return drop(err);
}
static int c_nonlinear(void)
{
	return fail_of(syscall(SYS_remap_file_pages, m + 4 * P, 4 * P, 0, 8, 0));
}
static int u_nonlinear(int err)
{
	return drop_shared(bytes(m, 0, 4, 1) || bytes(m, 8, N, 9) || bytes(m, 4, 8, err ? 5 : 9));
}
static int c_private(void)
{
	far = mmap(NULL, N * P, RW, MAP_PRIVATE, fd, 0);
	if (far == MAP_FAILED)
		return errno;
	for (int i = 0; i < N; i += 2)
		far[i * P]++;
	return 0;
}
static int u_private(int err)
{
	int bad = bytes(m, 0, N, 1);

	for (int i = 0; i < N && !err; i++)
		bad |= far[i * P] != i + 1 + !(i & 1);
	if (!err)
		munmap(far, N * P);
	return drop_shared(bad);
}
/* ---- policies ---- */

static const unsigned long node1 = 2, both = 3;
static int c_mbind(void) { return fail_of(syscall(SYS_mbind, m + 4 * P, 4 * P, 3 /* INTERLEAVE */, &both, 65, 0)); }
static int c_mbind_move(void) { return fail_of(syscall(SYS_mbind, m + 4 * P, 4 * P, 2 /* BIND */, &node1, 65, 3 /* STRICT | MOVE */)); }
static int policy_of(void *at)
{
	int mode = -1;

	return syscall(SYS_get_mempolicy, &mode, NULL, 0, at, 2) ? -errno : mode;
}
static int u_mbind(int err)
{
	int is = policy_of(m + 5 * P);

	return drop((err ? is != 0 && is != 2 : is != 3) || policy_of(m) || is_now(0, seen));
}
static int u_mbind_move(int err)
{
	int is = policy_of(m + 5 * P);

	return drop((err ? is != 0 && is != 2 : is != 2) || policy_of(m) || is_now(0, seen));
}
static int c_migrate(void)
{
	unsigned long from = 1, to = 2, back = 1;
	long r = syscall(SYS_migrate_pages, 0, 65, &from, &to);

	if (r < 0)
		return errno;
	syscall(SYS_migrate_pages, 0, 65, &to, &back);
	return 0;
}
static int c_move(void)
{
	void *pages[N];
	int nodes[N], status[N], err = 0;

	for (int i = 0; i < N; i++) {
		pages[i] = m + i * P;
		nodes[i] = 1;
		status[i] = -1000;
	}
	TRY(syscall(SYS_move_pages, 0, N, pages, nodes, status, 2));
	for (int i = 0; i < N; i++)
		if (status[i] != 1 && status[i] != -ENOMEM && status[i] != 0)
			return EPROTO;
out:
	return err;
}

static const struct fail_case maps[] = {
	FAIL("mmap", set_range, c_mmap, u_mmap),
	FAIL("mmap over another", set_range, c_over, u_over),
	FAIL("mmap populated", set_range, c_populate, u_populate),
	FAIL("munmap inside", set_range, c_unmap, u_unmap),
	FAIL("mprotect inside", set_range, c_protect, u_protect),
	FAIL("mprotect moving a border", set_halves, c_protect_merge, u_protect_merge, .loose = true),
	FAIL("pkey_mprotect", set_range, c_pkey, u_pkey),
	FAIL("brk", set_range, c_brk, u_brk),
	FAIL("mremap growing", set_remap, c_grow, u_grow),
	FAIL("mremap shrinking away", set_remap, c_shrink, u_shrink),
	FAIL("mremap fixed", set_remap, c_fixed, u_fixed),
	FAIL("mremap of the middle", set_remap, c_part, u_part),
	FAIL("mremap keeping", set_remap, c_keep, u_keep),
	FAIL("process_vm_readv", set_range, c_vm_readv, u_same, .also = { EFAULT }),
	FAIL("process_vm_writev", set_range, c_vm_writev, u_same, .also = { EFAULT }),
	FAIL("process_madvise", set_range, c_process_advice, u_same),
	FAIL("remap_file_pages", set_shared, c_nonlinear, u_nonlinear),
	FAIL("private over shared", set_shared, c_private, u_private),
};

static const struct fail_case locks[] = {
	FAIL("mlock", set_range, c_mlock, u_mlock, .also = { EAGAIN }),
	FAIL("mlock2 on fault", set_range, c_mlock2, u_mlock, .also = { EAGAIN }),
	FAIL("munlock inside", set_locked, c_munlock, u_munlock),
	FAIL("mlockall", set_empty, c_mlockall, u_mlockall, .also = { EAGAIN }, .loose = true),
};

static const struct fail_case policies[] = {
	FAIL("mbind", set_range, c_mbind, u_mbind),
	FAIL("mbind moving", set_range, c_mbind_move, u_mbind_move, .also = { EIO }),
	FAIL("migrate_pages", set_range, c_migrate, u_same, .roof = 8 /* of the whole program's pages */),
	FAIL("move_pages", set_range, c_move, u_same),
};

TEST(address_spaces)
{
	FAIL_FAMILY(maps);
}

TEST(locked_memory)
{
	FAIL_FAMILY(locks);
}

TEST(numa_policies)
{
	FAIL_FAMILY(policies);
}

/* Each kind of advice that splits the mapping it is given for or fills it; EAGAIN is what the first kinds say, madvise(2). */
TEST(kinds_of_advice)
{
	static const int kinds[] = { MADV_RANDOM, MADV_SEQUENTIAL, MADV_DONTFORK, MADV_DOFORK, MADV_MERGEABLE, MADV_UNMERGEABLE,
				     MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_DONTDUMP, MADV_DODUMP, MADV_WIPEONFORK, MADV_KEEPONFORK,
				     MADV_POPULATE_WRITE };
	static char name[24];
	static const struct fail_case c = FAIL(name, set_advice, c_advice, u_advice, .also = { EAGAIN });

	for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		advice = kinds[i];
		snprintf(name, sizeof name, "madvise %d", advice);
		fail_case(&c);
	}
	CHECK_EQ(fail_checkers(), 0);
}

int main(int argc, char **argv)
{
	return fail_main(argc, argv);
}
