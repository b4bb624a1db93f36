/*
 * Files and directories in tmpfs, reads from the page cache.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "bench.h"

BENCH(open_close, CORE, "a file in tmpfs")
{
	const char *path = in_dir("open");
	int fd = make_file("open", 100);
	char c = 0;

	close(fd);
	while (bench_more(b)) {
		int wrong = 0;

		begin(b);
		for (int i = 0; i < 50; i++) {
			int got = open(path, O_RDONLY);

			wrong |= got != fd || close(got);
		}
		end(b, 50);
		CHECK(!wrong);
	}
	CHECK(open(path, O_RDONLY) == fd && read(fd, &c, 1) == 1 && c == pattern(0));
}

BENCH(stat, CORE, "a file in tmpfs")
{
	const char *path = in_dir("stat");
	struct stat st;

	close(make_file("stat", 12345));
	while (bench_more(b)) {
		int refused = 0;

		st.st_size = 0;
		begin(b);
		for (int i = 0; i < 50; i++)
			refused |= stat(path, &st);
		end(b, 50);
		CHECK(!refused && st.st_size == 12345 && S_ISREG(st.st_mode) && st.st_nlink == 1);
	}
}

/*
 * Inodes are freed by RCU, many at a time after a grace period that ticks bring about: the mean has
 * its share of that.
 */
BENCH_MEAN(create_unlink, CORE, "open(O_CREAT|O_EXCL), close, unlink in tmpfs")
{
	const char *path = in_dir("new");
	struct stat st;

	while (bench_more(b)) {
		int wrong = 0;

		begin(b);
		for (int i = 0; i < 500; i++) {
			int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);

			wrong |= fd < 0 || close(fd) || unlink(path);
		}
		end(b, 500);
		CHECK(!wrong && stat(path, &st) < 0 && errno == ENOENT);
	}
}

enum { ENTRIES = 1000 };

BENCH(getdents_1000, CORE, "read a tmpfs directory of 1,000 entries")
{
	static char buf[32768];
	char name[64];
	int dir;

	NEED(!mkdir(in_dir("dir"), 0755) || errno == EEXIST);
	for (int i = 0; i < ENTRIES; i++) {
		int fd;

		snprintf(name, sizeof name, "dir/entry-%04d", i);
		fd = open(in_dir(name), O_WRONLY | O_CREAT, 0644);
		NEED(fd >= 0);
		close(fd);
	}
	dir = open(in_dir("dir"), O_RDONLY | O_DIRECTORY);
	NEED(dir >= 0);
	while (bench_more(b)) {
		long n, sum = 0, count = 0, number = 0;

		begin(b);
		lseek(dir, 0, SEEK_SET);
		while ((n = syscall(SYS_getdents64, dir, buf, sizeof buf)) > 0)
			sum += n;
		end(b, 1);
		CHECK(n == 0 && sum > 0);
		lseek(dir, 0, SEEK_SET);
		while ((n = syscall(SYS_getdents64, dir, buf, sizeof buf)) > 0) {
			for (long at = 0; at < n; at += ((struct dirent *)(buf + at))->d_reclen) {
				const char *is = ((struct dirent *)(buf + at))->d_name;

				if (strncmp(is, "entry-", 6))
					continue;
				count++;
				number += atoi(is + 6);
			}
		}
		CHECK(count == ENTRIES && number == ENTRIES * (ENTRIES - 1) / 2);
	}
}

BENCH(read_64k_cached, CORE, "64 KiB from the page cache")
{
	enum { LEN = 65536 };
	static char buf[LEN];
	int fd = make_file("cached", LEN);

	while (bench_more(b)) {
		int done = 0, wrong = 0;

		memset(buf, 0, LEN);
		begin(b);
		for (int i = 0; i < 10; i++)
			done += pread(fd, buf, LEN, 0);
		end(b, 10);
		for (int i = 0; i < LEN; i++)
			wrong += buf[i] != pattern(i);
		CHECK(done == 10 * LEN && !wrong);
	}
}
