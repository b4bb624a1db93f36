/*
 * Files of process directories that tell what a process maps and waits for: map_files, smaps_rollup, syscall, stack, wchan,
 * children, ns; directories of kernel threads; and a walk over all of /proc that reads whatever may be read.
 */
#define _GNU_SOURCE
#include "check.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static ssize_t slurp(const char *path, char *buf, size_t n)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK);
	ssize_t got = 0, r = 0;

	if (fd < 0)
		return -1;
	while (got < (ssize_t)n - 1 && (r = read(fd, buf + got, n - 1 - got)) > 0)
		got += r;
	close(fd);
	buf[got] = 0;
	return r < 0 ? -1 : got;
}

TEST(map_files)
{
	char name[128], target[PATH_MAX];
	int fd = open("/proc/self/exe", O_RDONLY);
	char *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);

	CHECK(p != MAP_FAILED);
	sprintf(name, "/proc/self/map_files/%lx-%lx", (long)p, (long)p + 4096);
	ssize_t n = readlink(name, target, sizeof(target) - 1);
	CHECK(n > 0);
	target[n > 0 ? n : 0] = 0;
	char exe[PATH_MAX] = "";
	CHECK(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	CHECK(!strcmp(exe, target));
	struct stat a, b;
	CHECK_OK(fstat(fd, &a));
	CHECK_OK(stat(name, &b)); /* root may follow */
	CHECK(a.st_ino == b.st_ino);
	CHECK_OK(lstat(name, &b));
	CHECK_EQ(b.st_mode, S_IFLNK | 0400);
	static const char *const wrong[] = { "0%lx-%lx", "%lx-0%lx", "%lx-%lx ", " %lx-%lx", "%lx -%lx", "10000000000000000%lx-%lx", "%lx-%lx-" };
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		char format[64];
		sprintf(format, "/proc/self/map_files/%s", wrong[i]);
		sprintf(name, format, (long)p, (long)p + 4096);
		CHECK(readlink(name, target, sizeof(target)) == -1 && errno == ENOENT);
	}
	/* the list has it, and each name in it is a link */
	DIR *d = opendir("/proc/self/map_files");
	int seen = 0;
	CHECK(d);
	sprintf(name, "%lx-%lx", (long)p, (long)p + 4096);
	for (struct dirent *e; (e = readdir(d));) {
		if (e->d_name[0] == '.')
			continue;
		CHECK_EQ(e->d_type, DT_LNK);
		CHECK(readlinkat(dirfd(d), e->d_name, target, sizeof(target)) > 0);
		seen += !strcmp(e->d_name, name);
	}
	CHECK_EQ(seen, 1);
	closedir(d);
	munmap(p, 4096);
	CHECK(open(name, O_RDONLY) == -1 && errno == ENOENT);
	close(fd);
}

/* Without capabilities the links can be read, but not followed. */
TEST(map_files_of_a_user)
{
	char name[128], buf[PATH_MAX];
	int status;
	pid_t pid = fork();

	if (!pid) {
		int fd = open("/etc/passwd", O_RDONLY);
		CHECK(fd >= 0);
		char *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
		CHECK_OK(setgid(1000));
		CHECK_OK(setuid(1000));
		CHECK_OK(syscall(SYS_prctl, 4 /* PR_SET_DUMPABLE */, 1, 0, 0, 0));
		sprintf(name, "/proc/self/map_files/%lx-%lx", (long)p, (long)p + 4096);
		CHECK(readlink(name, buf, sizeof(buf)) > 0);
		CHECK(open(name, O_RDONLY) == -1 && errno == EPERM);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
}

TEST(waiting)
{
	char path[64], buf[4096];
	long nr = -1, a0 = -1;
	int p[2];

	CHECK_OK(pipe(p));
	pid_t pid = fork();
	if (!pid) {
		char c;
		read(p[0], &c, 1);
		_exit(0);
	}
	sprintf(path, "/proc/%d/syscall", pid);
	do {
		CHECK(slurp(path, buf, sizeof(buf)) > 0);
	} while (!strcmp(buf, "running\n"));
	CHECK_EQ(sscanf(buf, "%ld 0x%lx", &nr, (unsigned long *)&a0), 2);
	CHECK_EQ(nr, SYS_read);
	CHECK_EQ(a0, p[0]);
	sprintf(path, "/proc/%d/wchan", pid);
	CHECK(slurp(path, buf, sizeof(buf)) > 1 && strstr(buf, "pipe"));
	sprintf(path, "/proc/%d/stack", pid);
	CHECK(slurp(path, buf, sizeof(buf)) > 0 && strstr(buf, "sys_read+0x"));
	sprintf(path, "/proc/self/task/%d/children", (int)syscall(SYS_gettid));
	sprintf(buf + 2048, "%d ", pid);
	CHECK(slurp(path, buf, 1024) > 0 && !strcmp(buf, buf + 2048));
	CHECK(open("/proc/self/children", O_RDONLY) == -1 && errno == ENOENT);
	write(p[1], "x", 1);
	waitpid(pid, NULL, 0);
	CHECK_EQ(slurp(path, buf, sizeof(buf)), 0);
	/* one's own: the read that asks */
	int fd = open("/proc/self/syscall", O_RDONLY);
	ssize_t n = read(fd, buf, sizeof(buf) - 1);
	CHECK(n > 0);
	unsigned long args[3];
	CHECK_EQ(sscanf(buf, "%ld 0x%lx 0x%lx 0x%lx", &nr, &args[0], &args[1], &args[2]), 4);
	CHECK(nr == SYS_read && args[0] == (unsigned long)fd && args[1] == (unsigned long)buf && args[2] == sizeof(buf) - 1);
	close(fd);
}

TEST(namespaces)
{
	char a[64] = "", b[64] = "", path[64];
	struct stat st;

	sprintf(path, "/proc/%d/ns/user", getppid());
	CHECK_EQ(readlink(path, a, 63), 17);
	CHECK_EQ(readlink("/proc/self/ns/user", b, 63), 17);
	CHECK(!strcmp(a, b) && !strcmp(a, "user:[4026531837]"));
	int fd = open("/proc/self/ns/uts", O_RDONLY);
	CHECK(fd >= 0);
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_ino, 4026531838u);
	CHECK_EQ(ioctl(fd, 0xb703), 0x04000000); /* NS_GET_NSTYPE: CLONE_NEWUTS */
	CHECK(ioctl(fd, 0xb701) == -1 && errno == EPERM);
	close(fd);
}

TEST(kernel_threads)
{
	DIR *d = opendir("/proc");
	int found = 0;

	for (struct dirent *e; (e = readdir(d));) {
		char path[300], buf[4096];
		sprintf(path, "/proc/%s/status", e->d_name);
		if (e->d_name[0] < '0' || e->d_name[0] > '9' || slurp(path, buf, sizeof(buf)) < 0 || strstr(buf, "VmSize"))
			continue;
		sprintf(path, "/proc/%s/fd", e->d_name);
		DIR *fds = opendir(path);
		if (!fds)
			continue; /* a process on its way out */
		struct dirent *f = readdir(fds);
		CHECK(f && !strcmp(f->d_name, "."));
		f = readdir(fds);
		CHECK(f && !strcmp(f->d_name, ".."));
		CHECK(!readdir(fds));
		closedir(fds);
		found++;
	}
	closedir(d);
	CHECK(found > 0);
}

#define MANY 600
static char whole[4 << 20], parts[4 << 20];

/* Reads the file in parts of @n bytes. => its length */
static size_t read_by(int fd, char *to, size_t n)
{
	size_t len = 0;
	ssize_t r;

	lseek(fd, 0, SEEK_SET);
	while (len < sizeof(whole) && (r = read(fd, to + len, n < sizeof(whole) - len ? n : sizeof(whole) - len)) > 0)
		len += r;
	return len;
}

static size_t lines_with(const char *p, size_t len, const char *word)
{
	size_t n = 0;

	for (const char *end = p + len; p && p < end; p = memchr(p, '\n', end - p), p += !!p)
		n += (size_t)(end - p) >= strlen(word) && !memcmp(p, word, strlen(word));
	return n;
}

/* More text than is made at once: it is the same however it is read, and ends well when mappings go meanwhile. */
TEST(long_texts)
{
	static const char *const files[] = { "/proc/self/maps", "/proc/self/smaps", "/proc/self/numa_maps" };
	char *area = mmap(NULL, MANY * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (int i = 0; i < MANY; i += 2)
		CHECK_OK(mprotect(area + i * 4096l, 4096, PROT_READ | PROT_WRITE));
	memset(whole, 1, sizeof(whole));
	memset(parts, 1, sizeof(parts));
	for (int f = 0; f < 3; f++) {
		int fd = open(files[f], O_RDONLY);
		size_t len = read_by(fd, whole, sizeof(whole));

		CHECK(len > MANY * 20 && len < sizeof(whole));
		CHECK_EQ(read_by(fd, parts, 1013), len);
		CHECK(f || !memcmp(whole, parts, len));
		if (f == 1)
			CHECK_GE(lines_with(whole, len, "VmFlags:"), MANY);
		if (!f)
			for (size_t i = 0; i < 200; i++) {
				char some[700];
				size_t at = i * 7919 % (len - sizeof(some));
				CHECK_EQ(pread(fd, some, sizeof(some), at), sizeof(some));
				REQUIRE(!memcmp(some, whole + at, sizeof(some)));
			}
		CHECK_EQ(pread(fd, parts, 10, len), 0);
		close(fd);
	}
	int fd = open(files[0], O_RDONLY);
	unsigned long last = 0, start;
	CHECK_EQ(read(fd, parts, 100), 100);
	CHECK_OK(munmap(area, MANY * 4096));
	size_t len = 100 + (size_t)read(fd, parts + 100, sizeof(parts) - 101);
	parts[len] = 0;
	CHECK(strstr(parts, "[stack]"));
	for (char *p = parts; *p; p = strchr(p, '\n') + 1) {
		CHECK_EQ(sscanf(p, "%lx-", &start), 1);
		REQUIRE(start > last);
		last = start;
	}
	close(fd);
}

TEST(rollup_of_nothing)
{
	static char buf[4096];
	int p[2], status;

	CHECK_OK(pipe(p));
	pid_t pid = fork();
	if (!pid) {
		/* nothing is mapped after this: the next instruction's fault ends it, so somebody must look before */
		CHECK_OK(syscall(SYS_ptrace, 0 /* PTRACE_TRACEME */, 0, 0, 0));
		syscall(SYS_munmap, 0, (1ul << 47) - 4096);
		_exit(1);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSEGV);
	char path[64];
	sprintf(path, "/proc/%d/smaps_rollup", pid);
	CHECK(slurp(path, buf, sizeof(buf)) > 0);
	CHECK(!strncmp(buf, "00000000-00000000 ---p 00000000 00:00 0                                  [rollup]\nRss:                   0 kB\n", 110));
	sprintf(path, "/proc/%d/maps", pid);
	CHECK_EQ(slurp(path, buf, sizeof(buf)), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static int files;

/* Everything below @dir; writes nothing. */
static void read_all(int dir, const char *where, int depth)
{
	DIR *d = fdopendir(dir);
	char buf[4096];

	CHECK(d);
	for (struct dirent *e; d && (e = readdir(d));) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (e->d_type == DT_DIR && depth < 5) {
			int sub = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY);
			if (sub >= 0)
				read_all(sub, e->d_name, depth + 1);
		} else if (e->d_type == DT_LNK) {
			readlinkat(dirfd(d), e->d_name, buf, sizeof(buf));
		} else if (e->d_type == DT_REG) {
			int fd = openat(dirfd(d), e->d_name, O_RDONLY | O_NONBLOCK);
			if (fd < 0)
				continue;
			lseek(fd, 0, SEEK_SET);
			ssize_t n = read(fd, buf, sizeof(buf));
			if (n > (ssize_t)sizeof(buf))
				printf("  %s/%s: %zd\n", where, e->d_name, n);
			CHECK(n <= (ssize_t)sizeof(buf));
			close(fd);
			files++;
		} else {
			printf("  %s/%s has type %d\n", where, e->d_name, e->d_type);
			CHECK(0);
		}
	}
	if (d)
		closedir(d);
}

TEST(everything)
{
	int fd = open("/proc", O_RDONLY | O_DIRECTORY);

	CHECK(fd >= 0);
	read_all(fd, "/proc", 0);
	CHECK(files > 300);
	printf("  %d files\n", files);
}

int main(int argc, char **argv)
{
	return check_main(argc, argv);
}
