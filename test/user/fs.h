/*
 * fs.h - what fs_errno.c, fs_more.c and fs_mounts.c share: a directory for each test.
 */
#ifndef FS_H
#define FS_H

#define _GNU_SOURCE
#include "check.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#define BAD ((void *)-4096L)

static char base[PATH_MAX];

/* Each test has a directory of its own. */
static inline void fresh(const char *name)
{
	CHECK_OK(chdir(base));
	mkdir(name, 0755);
	CHECK_OK(chdir(name));
}

/* A file with this text, open. */
static inline int put(const char *name, const char *text)
{
	int fd = open(name, O_CREAT | O_TRUNC | O_RDWR, 0644);

	CHECK(fd >= 0);
	CHECK_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	return fd;
}

static inline int fs_main(int argc, char **argv)
{
	umask(022);
	mkdir("/tmp", 01777);
	if (chdir("/tmp") || !getcwd(base, sizeof(base)))
		return 1;
	return check_main(argc, argv);
}

#endif
