// DEBUG: -
/*
 * userfaultfd(2), ioctl_userfaultfd(2), read and poll of messages, events, /dev/userfaultfd and the sysctl.
 */
// BOOT: --smp 2
// TIMEOUT: 60
#include "check.h"
#include "uffd.h"
#include <pthread.h>
#include <signal.h>

/* --- a handler thread --- */

static struct pager {
	int fd;
	pthread_t thread;
	struct msg seen[64];
	int n, want;
	char page[4096] __attribute__((aligned(4096)));
	char *minor; /* another mapping of the object */
	int child_fd;
} pager;

static void *pager_run(void *arg)
{
	struct pager *g = arg;

	while (g->n < g->want && next(g->fd, &g->seen[g->n])) {
		struct msg *m = &g->seen[g->n++];
		char *at = (char *)(m->b & ~(PAGE - 1));

		if (m->event == EV_FORK)
			g->child_fd = (int)(uint32_t)m->a;
		if (m->event != EV_FAULT)
			continue;
		if (m->a & 2) {
			protect(g->fd, at, PAGE, 0);
		} else if (m->a & 4) {
			struct fill f = { { (u64)at, PAGE }, 0, 0 };

			ioctl(g->fd, UFFDIO_CONTINUE, &f);
		} else {
			memset(g->page, 0x40 + g->n, PAGE);
			copy_in(g->fd, at, g->page, PAGE, 0);
		}
	}
	return NULL;
}

static void pager_start(int fd, int want)
{
	pager.fd = fd;
	pager.n = 0;
	pager.want = want;
	pager.child_fd = -1;
	pthread_create(&pager.thread, NULL, pager_run, &pager);
}

TEST(creation)
{
	struct api a = { 0xaa, 0, 0 };
	struct msg m;
	int fd;

	CHECK_ERRNO(uffd_raw(4), EINVAL);
	CHECK_ERRNO(uffd_raw(0x10000000), EINVAL);
	fd = uffd_raw(O_CLOEXEC);
	REQUIRE(fd >= 0);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDONLY);
	CHECK_ERRNO(read(fd, &m, sizeof m), EINVAL);
	CHECK_ERRNO(add(fd, (void *)0x10000000, PAGE, MISSING), EINVAL);
	struct pollfd p = { fd, POLLIN, 0 };
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLERR);
	a.api = 0xab;
	CHECK_ERRNO(ioctl(fd, UFFDIO_API, &a), EINVAL);
	CHECK_EQ(a.features, 0);
	a = (struct api){ 0xaa, 1ull << 40, 7 };
	CHECK_ERRNO(ioctl(fd, UFFDIO_API, &a), EINVAL);
	CHECK_EQ(a.api, 0);
	CHECK_EQ(a.ioctls, 0);
	CHECK_ERRNO(ioctl(fd, UFFDIO_API, (void *)8), EFAULT);
	a = (struct api){ 0xaa, 0, 0 };
	CHECK_OK(ioctl(fd, UFFDIO_API, &a));
	CHECK_EQ(a.ioctls, 1ull << 63 | 3);
	CHECK_EQ(a.features & 0xdef, 0xdef);
	a = (struct api){ 0xaa, 0, 0 };
	CHECK_ERRNO(ioctl(fd, UFFDIO_API, &a), EINVAL);
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLERR); /* blocking: never says readable */
	CHECK_ERRNO(ioctl(fd, 0x1234, &a), EINVAL);
	CHECK_ERRNO(read(fd, &m, 31), EINVAL);
	CHECK_OK(fcntl(fd, F_SETFL, O_NONBLOCK));
	CHECK_ERRNO(read(fd, &m, sizeof m), EAGAIN);
	CHECK_EQ(poll(&p, 1, 0), 0);
	close(fd);
}

TEST(rights)
{
	char buf[8] = "";
	int fd = open("/proc/sys/vm/unprivileged_userfaultfd", O_RDONLY);

	REQUIRE(fd >= 0);
	CHECK_EQ(read(fd, buf, 8), 2);
	CHECK_STR(buf, "0\n");
	close(fd);
	CHECK_EXITS(0, {
		struct api a = { 0xaa, F_FORK, 0 };
		CHECK_OK(setuid(1000));
		CHECK_ERRNO(uffd_raw(0), EPERM);
		CHECK_ERRNO(open("/dev/userfaultfd", O_RDWR), EACCES);
		fd = uffd_raw(1);
		CHECK_GE(fd, 0);
		CHECK_ERRNO(ioctl(fd, UFFDIO_API, &a), EPERM);
		a = (struct api){ 0xaa, 0, 0 };
		CHECK_OK(ioctl(fd, UFFDIO_API, &a));
	});
	fd = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	REQUIRE(fd >= 0);
	CHECK_ERRNO(ioctl(fd, 0x1234, 0), EINVAL);
	CHECK_ERRNO(ioctl(fd, USERFAULTFD_IOC_NEW, 4), EINVAL);
	int u = ioctl(fd, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
	CHECK_GE(u, 0);
	CHECK_EQ(fcntl(u, F_GETFD), FD_CLOEXEC);
	close(u);
	close(fd);
}

TEST(ranges)
{
	int fd = uffd_open(0), fd2 = uffd_open(0);
	char *p = mmap(NULL, 8 * PAGE, RW, ANON, -1, 0), *src = mmap(NULL, 2 * PAGE, RW, ANON, -1, 0);
	struct reg r = { { (u64)p, 4 * PAGE }, MISSING, 0 };
	struct range w;

	REQUIRE(fd >= 0 && p != MAP_FAILED);
	CHECK_ERRNO(add(fd, p, PAGE, 0), EINVAL);
	CHECK_ERRNO(add(fd, p, PAGE, 8), EINVAL);
	CHECK_ERRNO(add(fd, p + 1, PAGE, MISSING), EINVAL);
	CHECK_ERRNO(add(fd, p, 100, MISSING), EINVAL);
	CHECK_ERRNO(add(fd, p, 0, MISSING), EINVAL);
	CHECK_ERRNO(add(fd, (void *)PAGE, PAGE, MISSING), EINVAL);
	CHECK_ERRNO(add(fd, p, ~0ull << 13, MISSING), EINVAL);
	CHECK_ERRNO(add(fd, p, PAGE, MINOR), EINVAL); /* not shared memory */
	CHECK_OK(ioctl(fd, UFFDIO_REGISTER, &r));
	CHECK_EQ(r.ioctls, 1 << 2 | 1 << 3 | 1 << 4);
	CHECK_ERRNO(add(fd2, p, PAGE, MISSING), EBUSY);
	r.mode = MISSING | WP;
	CHECK_OK(ioctl(fd, UFFDIO_REGISTER, &r));
	CHECK_EQ(r.ioctls, 1 << 2 | 1 << 3 | 1 << 4 | 1 << 6);
	/* copy */
	struct copy c = { (u64)p, (u64)src, PAGE, 0, 5 };
	memset(src, 'x', 2 * PAGE);
	CHECK_OK(ioctl(fd, UFFDIO_COPY, &c));
	CHECK_EQ(c.copy, PAGE);
	CHECK_EQ(p[77], 'x');
	CHECK_ERRNO(ioctl(fd, UFFDIO_COPY, &c), EEXIST);
	CHECK_EQ(c.copy, -EEXIST);
	c.mode = 4;
	CHECK_ERRNO(ioctl(fd, UFFDIO_COPY, &c), EINVAL);
	c = (struct copy){ (u64)p + PAGE + 1, (u64)src, PAGE, 0, 0 };
	CHECK_ERRNO(ioctl(fd, UFFDIO_COPY, &c), EINVAL);
	c = (struct copy){ (u64)p + 4 * PAGE, (u64)src, PAGE, 0, 0 };
	CHECK_ERRNO(ioctl(fd, UFFDIO_COPY, &c), ENOENT); /* not registered */
	c = (struct copy){ (u64)p + 3 * PAGE, (u64)src, 2 * PAGE, 0, 0 };
	CHECK_ERRNO(ioctl(fd, UFFDIO_COPY, &c), ENOENT); /* leaves the mapping */
	c = (struct copy){ (u64)p + PAGE, 8, PAGE, 0, 0 };
	CHECK_ERRNO(ioctl(fd, UFFDIO_COPY, &c), EFAULT);
	CHECK_EQ(c.copy, -EFAULT);
	/* a part is EAGAIN and tells how much */
	c = (struct copy){ (u64)p + 2 * PAGE, (u64)src, PAGE, 0, 0 };
	CHECK_OK(ioctl(fd, UFFDIO_COPY, &c));
	c = (struct copy){ (u64)p + PAGE, (u64)src, 2 * PAGE, 0, 0 };
	CHECK_ERRNO(ioctl(fd, UFFDIO_COPY, &c), EAGAIN);
	CHECK_EQ(c.copy, PAGE);
	/* zero page */
	struct fill z = { { (u64)p + 3 * PAGE, PAGE }, 0, 0 };
	CHECK_OK(ioctl(fd, UFFDIO_ZEROPAGE, &z));
	CHECK_EQ(z.done, PAGE);
	CHECK_EQ(p[3 * PAGE], 0);
	p[3 * PAGE] = 1;
	CHECK_ERRNO(ioctl(fd, UFFDIO_ZEROPAGE, &z), EEXIST);
	CHECK_ERRNO(ioctl(fd, UFFDIO_CONTINUE, &z), EINVAL);
	z.mode = 2;
	CHECK_ERRNO(ioctl(fd, UFFDIO_ZEROPAGE, &z), EINVAL);
	/* protect */
	CHECK_ERRNO(protect(fd, p, PAGE, 3), EINVAL);
	CHECK_ERRNO(protect(fd, p, PAGE, 4), EINVAL);
	CHECK_ERRNO(protect(fd, p + 4 * PAGE, PAGE, 1), ENOENT);
	w = (struct range){ (u64)p, PAGE };
	CHECK_OK(ioctl(fd, UFFDIO_WAKE, &w));
	w.len = 5;
	CHECK_ERRNO(ioctl(fd, UFFDIO_WAKE, &w), EINVAL);
	w = (struct range){ (u64)p, 8 * PAGE };
	CHECK_OK(ioctl(fd, UFFDIO_UNREGISTER, &w));
	CHECK_ERRNO(protect(fd, p, PAGE, 1), ENOENT);
	CHECK_OK(add(fd2, p, PAGE, MISSING));
	munmap(p, 8 * PAGE);
	CHECK_ERRNO(ioctl(fd, UFFDIO_UNREGISTER, &w), EINVAL);
	/* a file that is no shared memory, and one that may not be written */
	int prog = open("/proc/self/maps", O_RDONLY);
	close(prog);
	close(fd);
	close(fd2);
}

TEST(missing)
{
	int fd = uffd_open(F_TID | F_EXACT);
	char *p = mmap(NULL, 8 * PAGE, RW, ANON, -1, 0);
	int pipefd[2];

	REQUIRE(fd >= 0 && p != MAP_FAILED);
	CHECK_OK(add(fd, p, 8 * PAGE, MISSING));
	pager_start(fd, 4);
	CHECK_EQ(p[5], 0x41);
	p[PAGE + 7] = 1;
	CHECK_EQ(p[PAGE + 8], 0x42);
	CHECK_EQ(p[PAGE + 7], 1);
	CHECK_OK(pipe(pipefd));
	CHECK_EQ(write(pipefd[1], p + 2 * PAGE, 10), 10); /* the kernel faults */
	CHECK_EQ(read(pipefd[0], p + 3 * PAGE, 10), 10);
	CHECK_EQ(p[3 * PAGE], 0x43);
	CHECK_EQ(p[3 * PAGE + 10], 0x44);
	pthread_join(pager.thread, NULL);
	CHECK_EQ(pager.seen[0].event, EV_FAULT);
	CHECK_EQ(pager.seen[0].a, 0);
	CHECK_EQ(pager.seen[0].b, (u64)p + 5);
	CHECK_EQ(pager.seen[0].c, getpid());
	CHECK_EQ(pager.seen[1].a, 1);
	CHECK_EQ(pager.seen[1].b, (u64)p + PAGE + 7);
	/* closing ends it: the rest is plain memory, nothing waits */
	close(fd);
	CHECK_EQ(p[6 * PAGE], 0);
	munmap(p, 8 * PAGE);
	close(pipefd[0]);
	close(pipefd[1]);
}

static void *touch(void *p)
{
	return (void *)(long)*(volatile char *)p;
}

TEST(close_and_wake)
{
	int fd = uffd_open(0);
	char *p = mmap(NULL, 4 * PAGE, RW, ANON, -1, 0);
	struct range w = { (u64)p, PAGE };
	struct msg m;
	pthread_t t;
	void *got = (void *)1;

	REQUIRE(fd >= 0);
	CHECK_OK(add(fd, p, 4 * PAGE, MISSING));
	pthread_create(&t, NULL, touch, p);
	CHECK(next(fd, &m));
	CHECK_ERRNO(read(fd, &m, sizeof m), EAGAIN);
	/* woken without a page it asks again */
	CHECK_OK(ioctl(fd, UFFDIO_WAKE, &w));
	CHECK(next(fd, &m));
	CHECK_EQ(m.b, (u64)p);
	/* DONTWAKE, then wake */
	struct fill z = { w, 1, 0 };
	CHECK_OK(ioctl(fd, UFFDIO_ZEROPAGE, &z));
	CHECK_OK(ioctl(fd, UFFDIO_WAKE, &w));
	pthread_join(t, &got);
	CHECK_EQ((long)got, 0);
	pthread_create(&t, NULL, touch, p + PAGE);
	CHECK(next(fd, &m));
	close(fd);
	pthread_join(t, &got);
	CHECK_EQ((long)got, 0);
	/* unregistering lets them go too */
	fd = uffd_open(0);
	CHECK_OK(add(fd, p + 2 * PAGE, PAGE, MISSING));
	pthread_create(&t, NULL, touch, p + 2 * PAGE);
	CHECK(next(fd, &m));
	w.start = (u64)p + 2 * PAGE;
	CHECK_OK(ioctl(fd, UFFDIO_UNREGISTER, &w));
	pthread_join(t, &got);
	close(fd);
	munmap(p, 4 * PAGE);
}

TEST(sigbus_and_user_only)
{
	struct api a = { 0xaa, 0, 0 };
	int fd = uffd_open(F_SIGBUS), pipefd[2];
	char *p = mmap(NULL, 4 * PAGE, RW, ANON, -1, 0);

	REQUIRE(fd >= 0);
	CHECK_OK(pipe(pipefd));
	CHECK_OK(add(fd, p, PAGE, MISSING));
	CHECK_ERRNO(write(pipefd[1], p, 1), EFAULT);
	/* the child's copy is not registered */
	CHECK_EXITS(0, CHECK_EQ(p[0], 0));
	CHECK_KILLED(SIGBUS, {
		int own = uffd_open(F_SIGBUS);
		add(own, p + PAGE, PAGE, MISSING);
		p[PAGE] = 1;
	});
	close(fd);
	fd = uffd_raw(1 | O_NONBLOCK);
	CHECK_OK(ioctl(fd, UFFDIO_API, &a));
	CHECK_OK(add(fd, p + 2 * PAGE, PAGE, MISSING));
	CHECK_ERRNO(write(pipefd[1], p + 2 * PAGE, 1), EFAULT);
	pager_start(fd, 1);
	CHECK_EQ(p[2 * PAGE], 0x41);
	pthread_join(pager.thread, NULL);
	close(fd);
	munmap(p, 4 * PAGE);
}

static volatile int alarms;
static void on_alarm(int sig) { alarms++; }

static void *wait_then_fill(void *arg)
{
	char *p = arg;

	while (!alarms)
		usleep(1000);
	memset(pager.page, 'q', PAGE);
	copy_in(pager.fd, p, pager.page, PAGE, 0);
	return NULL;
}

/* A waiting fault is left for a signal handler and goes on waiting. */
TEST(signal_while_waiting)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	char *p = mmap(NULL, PAGE, RW, ANON, -1, 0);
	pthread_t t;

	pager.fd = uffd_open(0);
	REQUIRE(pager.fd >= 0);
	CHECK_OK(add(pager.fd, p, PAGE, MISSING));
	sigaction(SIGALRM, &sa, NULL);
	sigset_t set, old;
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigprocmask(SIG_BLOCK, &set, &old);
	pthread_create(&t, NULL, wait_then_fill, p);
	sigprocmask(SIG_SETMASK, &old, NULL);
	alarm(1);
	CHECK_EQ(p[9], 'q');
	CHECK_EQ(alarms, 1);
	pthread_join(t, NULL);
	close(pager.fd);
	munmap(p, PAGE);
}

TEST(write_protect)
{
	int fd = uffd_open(F_WP);
	char *p = mmap(NULL, 8 * PAGE, RW, ANON, -1, 0), page[PAGE];

	REQUIRE(fd >= 0);
	CHECK_OK(add(fd, p, 8 * PAGE, MISSING | WP));
	memset(page, 'a', PAGE);
	for (int i = 0; i < 4; i++)
		CHECK_OK(copy_in(fd, p + i * PAGE, page, PAGE, i == 3 ? 2 : 0)); /* the last one comes protected */
	p[0] = 'b';
	CHECK_OK(protect(fd, p, 2 * PAGE, 1));
	CHECK_EQ(p[0], 'b'); /* reading is allowed */
	p[2 * PAGE] = 'c';
	pager_start(fd, 2);
	p[1] = 'd';
	p[3 * PAGE] = 'e';
	pthread_join(pager.thread, NULL);
	CHECK_EQ(pager.seen[0].a, 3);
	CHECK_EQ(pager.seen[0].b, (u64)p);
	CHECK_EQ(pager.seen[1].b, (u64)p + 3 * PAGE);
	CHECK_EQ(p[1], 'd');
	CHECK_EQ(p[0], 'b');
	CHECK_EQ(p[3 * PAGE], 'e');
	CHECK_EQ(p[3 * PAGE + 1], 'a');
	/* a fork's child is not protected, nor made writable in the parent's eyes */
	CHECK_OK(protect(fd, p, PAGE, 1));
	CHECK_EXITS(0, { p[0] = 'z'; CHECK_EQ(p[0], 'z'); });
	CHECK_EQ(p[0], 'b');
	/* mprotect does not lift it */
	CHECK_OK(mprotect(p, PAGE, PROT_READ));
	CHECK_OK(mprotect(p, PAGE, RW));
	pager_start(fd, 1);
	p[0] = 'f';
	pthread_join(pager.thread, NULL);
	CHECK_EQ(pager.n, 1);
	/* closing lifts all */
	CHECK_OK(protect(fd, p, 4 * PAGE, 1));
	close(fd);
	p[2 * PAGE] = 'g';
	CHECK_EQ(p[2 * PAGE], 'g');
	munmap(p, 8 * PAGE);
}

TEST(write_protect_huge)
{
	size_t len = 4ul << 20;
	char *p = mmap(NULL, len, RW, ANON, -1, 0);
	int fd = uffd_open(F_WP);

	REQUIRE(fd >= 0);
	madvise(p, len, MADV_HUGEPAGE);
	memset(p, 1, len);
	CHECK_OK(add(fd, p, len, WP));
	CHECK_OK(protect(fd, p, len, 1));
	pager_start(fd, 3);
	p[0] = 2;
	p[len / 2 + 9 * PAGE] = 3;
	p[len - 1] = 4;
	pthread_join(pager.thread, NULL);
	CHECK_EQ(pager.seen[1].b, (u64)p + len / 2 + 9 * PAGE);
	CHECK_EQ(p[0] + p[1] + p[len / 2 + 9 * PAGE] + p[len - 1], 2 + 1 + 3 + 4);
	close(fd);
	munmap(p, len);
}

TEST(shared_memory)
{
	int fd = uffd_open(0), mem = memfd_create("x", 0);
	char *p, *q, page[PAGE], *prv;
	struct fill f;

	REQUIRE(fd >= 0 && mem >= 0);
	CHECK_OK(ftruncate(mem, 8 * PAGE));
	p = mmap(NULL, 8 * PAGE, RW, MAP_SHARED, mem, 0);
	q = mmap(NULL, 8 * PAGE, RW, MAP_SHARED, mem, 0);
	prv = mmap(NULL, 8 * PAGE, RW, MAP_PRIVATE, mem, 0);
	CHECK_OK(add(fd, p, PAGE, WP));
	CHECK_OK(add(fd, p, 8 * PAGE, MISSING));
	CHECK_OK(add(fd, prv, 8 * PAGE, MISSING));
	memset(page, 's', PAGE);
	CHECK_OK(copy_in(fd, p, page, PAGE, 0));
	CHECK_EQ(q[3], 's');
	q[4] = 't';
	CHECK_EQ(p[4], 't');
	CHECK_ERRNO(copy_in(fd, p, page, PAGE, 0), EEXIST);
	q[PAGE] = 'u'; /* in the object: not missing any more */
	CHECK_EQ(p[PAGE], 'u');
	f = (struct fill){ { (u64)p + 2 * PAGE, PAGE }, 0, 0 };
	CHECK_OK(ioctl(fd, UFFDIO_ZEROPAGE, &f));
	CHECK_EQ(p[2 * PAGE], 0);
	pager_start(fd, 2);
	CHECK_EQ(p[3 * PAGE], 0x41);
	CHECK_EQ(prv[4 * PAGE], 0x42); /* private: the object gets nothing */
	pthread_join(pager.thread, NULL);
	CHECK_EQ(q[3 * PAGE], 0x41);
	CHECK_EQ(q[4 * PAGE], 0);
	CHECK_OK(ftruncate(mem, 6 * PAGE));
	CHECK_ERRNO(copy_in(fd, p + 7 * PAGE, page, PAGE, 0), EFAULT);
	close(fd);
	/* minor faults: the page is there, but not for us */
	fd = uffd_open(0);
	REQUIRE(fd >= 0);
	munmap(p, 8 * PAGE);
	p = mmap(NULL, 6 * PAGE, RW, MAP_SHARED, mem, 0);
	struct reg r = { { (u64)p, 6 * PAGE }, MINOR, 0 };
	CHECK_OK(ioctl(fd, UFFDIO_REGISTER, &r));
	CHECK_EQ(r.ioctls, 1 << 2 | 1 << 3 | 1 << 4 | 1 << 7);
	pager_start(fd, 2);
	CHECK_EQ(p[3], 's');
	p[PAGE + 1] = 'v';
	pthread_join(pager.thread, NULL);
	CHECK_EQ(pager.seen[0].a, 4);
	CHECK_EQ(pager.seen[1].a, 5);
	CHECK_EQ(q[PAGE + 1], 'v');
	f = (struct fill){ { (u64)p + 5 * PAGE, PAGE }, 0, 0 };
	CHECK_ERRNO(ioctl(fd, UFFDIO_CONTINUE, &f), EFAULT); /* not in the object */
	f.range = (struct range){ (u64)p + 2 * PAGE, PAGE };
	CHECK_OK(ioctl(fd, UFFDIO_CONTINUE, &f));
	CHECK_EQ(f.done, PAGE);
	CHECK_ERRNO(ioctl(fd, UFFDIO_CONTINUE, &f), EEXIST);
	close(fd);
	munmap(p, 6 * PAGE);
	munmap(q, 8 * PAGE);
	munmap(prv, 8 * PAGE);
	close(mem);
}

TEST(events)
{
	int fd = uffd_open(F_FORK | F_REMAP | F_REMOVE | F_UNMAP);
	char *p = mmap(NULL, 16 * PAGE, RW, ANON, -1, 0), *q;

	REQUIRE(fd >= 0);
	CHECK_OK(add(fd, p, 16 * PAGE, MISSING));
	pager_start(fd, 7);
	p[0] = 1;
	CHECK_OK(madvise(p, 2 * PAGE, MADV_DONTNEED));
	CHECK_EQ(p[0], 0x43); /* asked for again */
	CHECK_OK(munmap(p + 14 * PAGE, 2 * PAGE));
	q = mremap(p, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + 20 * PAGE);
	CHECK(q == p + 20 * PAGE);
	CHECK_EQ(q[0], 0x43);
	CHECK_EQ(q[PAGE], 0x47);
	pthread_join(pager.thread, NULL);
	struct msg *s = pager.seen;
	CHECK_EQ(s[0].event, EV_FAULT);
	CHECK_EQ(s[1].event, EV_REMOVE);
	CHECK_EQ(s[1].a, (u64)p);
	CHECK_EQ(s[1].b, (u64)p + 2 * PAGE);
	CHECK_EQ(s[2].event, EV_FAULT);
	CHECK_EQ(s[3].event, EV_UNMAP);
	CHECK_EQ(s[3].a, (u64)p + 14 * PAGE);
	CHECK_EQ(s[3].b, (u64)p + 16 * PAGE);
	CHECK_EQ(s[4].event, EV_REMAP);
	CHECK_EQ(s[4].a, (u64)p);
	CHECK_EQ(s[4].b, (u64)q);
	CHECK_EQ(s[4].c, 4 * PAGE);
	CHECK_EQ(s[5].event, EV_UNMAP);
	CHECK_EQ(s[6].event, EV_FAULT);
	CHECK_EQ(s[6].b, (u64)q + PAGE);
	/* fork: the child has a descriptor of its own here */
	pager_start(fd, 1);
	pid_t child = fork();
	if (!child)
		_exit(q[2 * PAGE]);
	pthread_join(pager.thread, NULL);
	CHECK_EQ(s[0].event, EV_FORK);
	int cfd = pager.child_fd;
	CHECK_GE(cfd, 0);
	struct msg m;
	CHECK(next(cfd, &m));
	CHECK_EQ(m.b, (u64)q + 2 * PAGE);
	memset(pager.page, 0x55, PAGE);
	CHECK_OK(copy_in(cfd, q + 2 * PAGE, pager.page, PAGE, 0));
	int status = 0;
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(WEXITSTATUS(status), 0x55);
	CHECK_ERRNO(copy_in(cfd, q + 3 * PAGE, pager.page, PAGE, 0), ESRCH);
	close(cfd);
	close(fd);
	munmap(q, 4 * PAGE);
	munmap(p, 14 * PAGE);
}

/* Who waits can be killed. */
TEST(killed_while_waiting)
{
	int fd = uffd_open(F_FORK);
	char *p = mmap(NULL, PAGE, RW, ANON, -1, 0);
	int status;

	REQUIRE(fd >= 0);
	CHECK_OK(add(fd, p, PAGE, MISSING));
	pager_start(fd, 1);
	pid_t child = fork();
	if (!child)
		_exit(p[0] + write(1, p, 1));
	pthread_join(pager.thread, NULL);
	struct msg m;
	CHECK(next(pager.child_fd, &m));
	kill(child, SIGKILL);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, SIGKILL);
	close(pager.child_fd);
	close(fd);
	munmap(p, PAGE);
}

/* Blocking reads return what there is, many at once; fdinfo counts. */
TEST(many)
{
	enum { N = 8 };
	int fd = uffd_open(0);
	char *p = mmap(NULL, N * PAGE, RW, ANON, -1, 0), line[256] = "";
	struct msg m[N + 1];
	pthread_t t[N];
	void *got;

	REQUIRE(fd >= 0);
	CHECK_OK(add(fd, p, N * PAGE, MISSING));
	CHECK_OK(fcntl(fd, F_SETFL, 0));
	for (long i = 0; i < N; i++)
		pthread_create(&t[i], NULL, touch, p + i * PAGE);
	for (int n = 0; n < N;) {
		ssize_t k = read(fd, m + n, sizeof m - n * sizeof *m);
		REQUIRE(k > 0 && k % (ssize_t)sizeof *m == 0);
		n += k / sizeof *m;
	}
	snprintf(line, sizeof line, "/proc/self/fdinfo/%d", fd);
	FILE *f = fopen(line, "r");
	bool counted = false;
	while (f && fgets(line, sizeof line, f))
		counted |= !strcmp(line, "total:\t8\n");
	if (f)
		fclose(f);
	CHECK(counted);
	for (int i = 0; i < N; i++) {
		memset(pager.page, 100 + i, PAGE);
		CHECK_OK(copy_in(fd, p + i * PAGE, pager.page, PAGE, 0));
	}
	for (int i = 0; i < N; i++) {
		pthread_join(t[i], &got);
		CHECK_EQ((long)got, 100 + i);
	}
	close(fd);
	munmap(p, N * PAGE);
}

TEST_MAIN
