/*
 * conf_names.h - what conf_file.c and conf_attr.c begin with: files and links of every kind, and the errors that every call
 * with a name has.
 */
#ifndef CONF_NAMES_H
#define CONF_NAMES_H

#include "conf.h"
#include <dirent.h>
#include <linux/openat2.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <utime.h>
#include "conf_statx.h"

static char long_name[300], long_path[5000];

TEST(prepare)
{
	umask(022);
	chmod(".", 0777);
	memset(long_name, 'x', 256);
	for (int i = 0; i < 4998; i += 2)
		memcpy(long_path + i, "./", 2);
	touch("file", 0644);
	mkdir("dir", 0755);
	symlink("file", "sl");
	symlink("loop2", "loop1");
	symlink("loop1", "loop2");
	symlink("nothere", "dangling");
	mkdir("closed", 0700);
	touch("closed/f", 0666);
	touch("secret", 0600);
}

/* The errors every call with a name has. */
#define NAME_ERRORS(CALL)                                                                        \
	do {                                                                                     \
		const char *N;                                                                   \
		N = BAD; CHECK_ERRNO(CALL, EFAULT);                                              \
		N = ""; CHECK_ERRNO(CALL, ENOENT);                                               \
		N = "nothere/x"; CHECK_ERRNO(CALL, ENOENT);                                      \
		N = "file/x"; CHECK_ERRNO(CALL, ENOTDIR);                                        \
		N = long_name; CHECK_ERRNO(CALL, ENAMETOOLONG);                                  \
		N = long_path; CHECK_ERRNO(CALL, ENAMETOOLONG);                                  \
		N = "loop1/x"; CHECK_ERRNO(CALL, ELOOP);                                         \
		CHECK_EXITS(0, become_nobody(); N = "closed/f"; CHECK_ERRNO(CALL, EACCES));      \
	} while (0)

#endif
