// VARIANTS: musl
/* Mappings of the kernel's own pages, names of mappings, and MADV_REMOVE against seals, as Linux has them. */
#include "check.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define P 4096ul
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 16
#endif

/* The range of a mapping by its name, and its VmFlags in order. */
static bool find(const char *name, char **start, char **end, char *flags)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long a, b;
	bool inside = false, found = false;
	char line[512];

	while (f && fgets(line, sizeof line, f)) {
		if (sscanf(line, "%lx-%lx ", &a, &b) == 2 && strchr(line, '-') < strchr(line, ' ')) {
			inside = strstr(line, name) != NULL;
			if (inside) {
				*start = (char *)a;
				*end = (char *)b;
				found = true;
			}
		} else if (inside && !strncmp(line, "VmFlags: ", 9)) {
			strcpy(flags, line + 9);
			flags[strcspn(flags, "\n")] = 0;
		}
	}
	if (f)
		fclose(f);
	return found;
}

TEST(vvar)
{
	char *a, *b, flags[128] = "", buf[8];
	struct iovec to = { buf, 8 }, from;

	REQUIRE(find("[vvar]", &a, &b, flags));
	CHECK_STR(flags, "rd mr pf io de dd sd ");
	CHECK_ERRNO(mprotect(a, P, PROT_READ | PROT_WRITE), EACCES);
	CHECK_ERRNO(madvise(a, P, MADV_DONTNEED), EINVAL);
	from = (struct iovec){ a, 8 };
	CHECK_ERRNO(process_vm_readv(getpid(), &to, 1, &from, 1, 0), EFAULT);
	CHECK_EQ(IN_CHILD({ CHECK_GE(*(volatile char *)a + 256, 0); }), 0);
}

TEST_FORK(vdso)
{
	char *a, *b, flags[128] = "", was;

	REQUIRE(find("[vdso]", &a, &b, flags));
	CHECK_STR(flags, "rd ex mr mw me de sd ");
	was = a[0];
	CHECK_EQ(was, 0x7f);
	REQUIRE(!mprotect(a, b - a, PROT_READ | PROT_WRITE)); /* a debugger's breakpoint: a copy of our own */
	a[0] = 'x';
	CHECK_EQ(a[1], 'E');
	CHECK_EQ(IN_CHILD({ CHECK_EQ(a[0], 'x'); a[0] = 'y'; }), 0);
	CHECK_EQ(a[0], 'x');
	if (b - a > (long)P)
		CHECK_ERRNO(munmap(a + P, P), EINVAL); /* whole or not at all */
	a[0] = was;
	CHECK_OK(mprotect(a, b - a, PROT_READ | PROT_EXEC));
}

/* They stay as large as they are, and are no memory of the program's to lock or leave out of a core. */
TEST_FORK(vdso_stays_whole)
{
	char *a, *b, flags[128] = "", *to = mmap(NULL, 16 * P, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	REQUIRE(find("[vdso]", &a, &b, flags));
	CHECK_ERRNO((long)mremap(a, b - a, b - a + P, MREMAP_MAYMOVE), EFAULT);
	CHECK_ERRNO((long)mremap(a, b - a, b - a, MREMAP_MAYMOVE | 4 /* DONTUNMAP */, NULL), EINVAL);
	CHECK_ERRNO(madvise(a, b - a, MADV_DODUMP), EINVAL);
	CHECK_OK(mlock(a, b - a));
	CHECK(find("[vdso]", &a, &b, flags) && !strstr(flags, "lo "));
	CHECK(mremap(a, b - a, b - a, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to); /* as checkpoint and restore does */
	CHECK_EQ(to[0], 0x7f);
	if (find("[vvar]", &a, &b, flags))
		CHECK_ERRNO(madvise(a, b - a, MADV_DOFORK), EINVAL);
}

TEST(names)
{
	char *p = mmap(NULL, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	/* Debian's 6.1 is built without CONFIG_ANON_VMA_NAME */
	CHECK_ERRNO(prctl(0x53564d41 /* PR_SET_VMA */, 0 /* PR_SET_VMA_ANON_NAME */, p, P, "name"), EINVAL);
	munmap(p, P);
}

TEST(removal_and_seals)
{
	int fd = memfd_create("seals", MFD_ALLOW_SEALING);
	char *p;

	REQUIRE(fd >= 0 && !ftruncate(fd, 2 * P));
	p = mmap(NULL, 2 * P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	REQUIRE(p != MAP_FAILED);
	memset(p, 1, 2 * P);
	struct stat before, after;
	CHECK_OK(fstat(fd, &before));
	usleep(20000);
	CHECK_OK(madvise(p, P, MADV_REMOVE));
	CHECK_EQ(p[0], 0);
	CHECK_OK(fstat(fd, &after));
	CHECK(memcmp(&before.st_mtim, &after.st_mtim, sizeof(before.st_mtim))); /* the file was written */
	CHECK_OK(mlock(p + P, P));
	CHECK_ERRNO(madvise(p + P, P, MADV_REMOVE), EINVAL);
	CHECK_EQ(p[P], 1);
	CHECK_OK(munlock(p + P, P));
	CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
	CHECK_ERRNO(madvise(p + P, P, MADV_REMOVE), EPERM);
	CHECK_EQ(p[P], 1);
	p[P] = 2; /* this mapping goes on */
	munmap(p, 2 * P);
	CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	p = mmap(NULL, 2 * P, PROT_READ, MAP_SHARED, fd, 0);
	REQUIRE(p != MAP_FAILED);
	CHECK_ERRNO(madvise(p + P, P, MADV_REMOVE), EACCES);
	CHECK_EQ(p[P], 2);
	munmap(p, 2 * P);
	close(fd);
}

static long vmstat(const char *name)
{
	FILE *f = fopen("/proc/vmstat", "r");
	char line[128];
	size_t n = strlen(name);
	long v = -1;

	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, name, n) && line[n] == ' ')
			v = atol(line + n);
	if (f)
		fclose(f);
	return v;
}

static long pins(void) { return vmstat("nr_foll_pin_acquired") - vmstat("nr_foll_pin_released"); }

static long checkers(void)
{
	int fd = open("/proc/sys/vm/check", O_RDWR);
	char text[16] = "-1";

	if (fd < 0 || write(fd, "1", 1) != 1 || pread(fd, text, sizeof text - 1, 0) < 1)
		strcpy(text, "-1");
	close(fd);
	return atol(text);
}

/* A pin of the page of zeros is in the books as any other. */
TEST(pinned_zeros)
{
	char *p = mmap(NULL, 4 * P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec part = { p, 4 * P };
	long before = pins();
	int fd[2];

	REQUIRE(p != MAP_FAILED && !pipe(fd));
	CHECK_EQ(vmsplice(fd[1], &part, 1, 0), 4 * P);
	CHECK_EQ(pins() - before, 4);
	CHECK_EQ(checkers(), 0);
	close(fd[0]);
	close(fd[1]);
	CHECK_EQ(pins(), before);
	munmap(p, 4 * P);
}

TEST_MAIN
