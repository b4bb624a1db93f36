/* What tests of userfaultfd share: the structures of ioctl_userfaultfd(2) and short forms of its calls. */
#ifndef UFFD_H
#define UFFD_H

#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define PAGE 4096ul
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

typedef uint64_t u64;
struct range { u64 start, len; };
struct api { u64 api, features, ioctls; };
struct reg { struct range range; u64 mode, ioctls; };
struct copy { u64 dst, src, len, mode; int64_t copy; };
struct fill { struct range range; u64 mode; int64_t done; };
struct protect { struct range range; u64 mode; };
struct msg {
	uint8_t event, r1;
	uint16_t r2;
	uint32_t r3;
	u64 a, b, c;
};
#define UFFDIO_API _IOWR(0xaa, 0x3f, struct api)
#define UFFDIO_REGISTER _IOWR(0xaa, 0, struct reg)
#define UFFDIO_UNREGISTER _IOR(0xaa, 1, struct range)
#define UFFDIO_WAKE _IOR(0xaa, 2, struct range)
#define UFFDIO_COPY _IOWR(0xaa, 3, struct copy)
#define UFFDIO_ZEROPAGE _IOWR(0xaa, 4, struct fill)
#define UFFDIO_WRITEPROTECT _IOWR(0xaa, 6, struct protect)
#define UFFDIO_CONTINUE _IOWR(0xaa, 7, struct fill)
#define USERFAULTFD_IOC_NEW _IO(0xaa, 0)
enum { MISSING = 1, WP = 2, MINOR = 4 };
enum { F_WP = 1, F_FORK = 2, F_REMAP = 4, F_REMOVE = 8, F_UNMAP = 64, F_SIGBUS = 128, F_TID = 256, F_MINOR_SHMEM = 1024, F_EXACT = 2048 };
enum { EV_FAULT = 0x12, EV_FORK, EV_REMAP, EV_REMOVE, EV_UNMAP };

static inline int uffd_raw(int flags)
{
	return syscall(SYS_userfaultfd, flags);
}

static inline int uffd_open(u64 features)
{
	struct api a = { 0xaa, features, 0 };
	int fd = uffd_raw(O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 && ioctl(fd, UFFDIO_API, &a)) {
		close(fd);
		return -1;
	}
	return fd;
}

static inline int add(int fd, void *p, size_t len, u64 mode)
{
	struct reg r = { { (u64)p, len }, mode, 0 };

	return ioctl(fd, UFFDIO_REGISTER, &r);
}

static inline int copy_in(int fd, void *dst, const void *src, size_t len, u64 mode)
{
	struct copy c = { (u64)dst, (u64)src, len, mode, 0 };

	return ioctl(fd, UFFDIO_COPY, &c);
}

static inline int protect(int fd, void *p, size_t len, u64 mode)
{
	struct protect w = { { (u64)p, len }, mode };

	return ioctl(fd, UFFDIO_WRITEPROTECT, &w);
}

static inline bool next(int fd, struct msg *m)
{
	struct pollfd p = { fd, POLLIN, 0 };

	memset(m, 0, sizeof *m);
	return poll(&p, 1, 5000) == 1 && p.revents == POLLIN && read(fd, m, sizeof *m) == sizeof *m;
}

#endif
