/*
 * openat2(2) with RESOLVE_IN_ROOT and RESOLVE_BENEATH while a directory inside is exchanged for one outside: whoever says
 * ".." there never gets anything outside of the starting directory, on the same mount and on one below.
 */
#define _GNU_SOURCE
#include "fs.h"
#include <linux/openat2.h>
#include <pthread.h>
#include <stdatomic.h>

static atomic_int stop;

static void *exchange(void *arg)
{
	(void)arg;
	while (!stop)
		syscall(SYS_renameat2, AT_FDCWD, "a/c", AT_FDCWD, "b", 2 /* RENAME_EXCHANGE */);
	return NULL;
}

static int open_in(int dir, const char *path, uint64_t resolve)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = resolve };

	return syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

/* Wants @dir for each path, or EAGAIN or EXDEV. How often it was @dir. */
static int tries(int dir, uint64_t resolve, int n)
{
	static const char path[] = "c/../../c/../../c/../../c/../../c/../../c/../../c/../../c/..";
	static const char once[] = "c/../c/../c/../c/../c/../c/../c/../c/..";
	struct stat want, got;
	int found = 0;

	CHECK_OK(fstat(dir, &want));
	while (n--) {
		int fd = open_in(dir, resolve & RESOLVE_BENEATH ? once : path, resolve);

		if (fd < 0) {
			CHECK(errno == EAGAIN || errno == EXDEV);
			continue;
		}
		CHECK_OK(fstat(fd, &got));
		CHECK(got.st_ino == want.st_ino && got.st_dev == want.st_dev);
		close(fd);
		found++;
	}
	return found;
}

static void attack(uint64_t resolve)
{
	pthread_t t;

	mkdir("a", 0755);
	mkdir("a/c", 0755);
	mkdir("b", 0755);
	int dir = open("a", O_PATH | O_DIRECTORY);
	CHECK(dir >= 0);
	stop = 0;
	CHECK(!pthread_create(&t, NULL, exchange, NULL));
	int found = tries(dir, resolve, 6000);
	stop = 1;
	pthread_join(t, NULL);
	CHECK_EQ(tries(dir, resolve, 10), 10);
	printf("  found %d of 6000\n", found);
	close(dir);
}

TEST(in_root)
{
	fresh("in_root");
	attack(RESOLVE_IN_ROOT);
}

TEST(beneath)
{
	fresh("beneath");
	attack(RESOLVE_BENEATH);
}

TEST(on_a_mount)
{
	fresh("mount");
	CHECK_OK(mkdir("m", 0755));
	CHECK_OK(mount("none", "m", "tmpfs", 0, "size=1m"));
	CHECK_OK(chdir("m"));
	attack(RESOLVE_IN_ROOT);
	CHECK_OK(chdir(".."));
	CHECK_OK(umount2("m", MNT_DETACH));
}

int main(int argc, char **argv)
{
	return fs_main(argc, argv);
}
