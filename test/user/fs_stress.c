// DEBUG: 5
/*
 * Names under concurrent change. Threads create, remove, link, rename (over each other, across directories, exchanging)
 * and mount at random in a small tree, while others check what must hold at every moment:
 *   - a name that is only ever replaced by rename is always there, with one of its contents;
 *   - two names that are only ever exchanged are always both there;
 *   - a deep path that nobody touches is always found, its neighbours' renames notwithstanding;
 *   - a name that is never made is never there;
 *   - getcwd in a directory that moves names one of its places;
 *   - a descriptor names the file it was opened for, however the shared table churns.
 * The seconds to run are the first argument that is a number (3). At the end everything is removed and the checkers run.
 */
#define _GNU_SOURCE
#include "check.h"
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

static int seconds = 3;
static atomic_int stop, bad;
static atomic_ulong rounds[16];

#define HOLDS(cond)                                                                     \
	do {                                                                            \
		if (!(cond) && atomic_fetch_add(&bad, 1) < 10)                          \
			printf("  %s:%d: %s does not hold (errno %d)\n", __FILE__, __LINE__, #cond, errno); \
	} while (0)

static uint32_t rnd(uint64_t *s)
{
	*s = *s * 6364136223846793005ull + 1442695040888963407ull;
	return *s >> 33;
}

static void random_path(uint64_t *s, char *out)
{
	static const char *const dirs[] = { "d0", "d1", "d2", "d0/s", "d1/s", "d2/../d0", "d1/s/t", "ld" };

	sprintf(out, "%s/n%u", dirs[rnd(s) % 8], rnd(s) % 6);
}

static void one_change(uint64_t *s)
{
	char a[64], b[64];
	struct stat st;
	int fd;

	random_path(s, a);
	random_path(s, b);
	switch (rnd(s) % 14) {
	case 0:
	case 1:
		fd = open(a, O_CREAT | O_RDWR, 0644);
		if (fd >= 0) {
			write(fd, a, strlen(a));
			close(fd);
		}
		break;
	case 2:
		unlink(a);
		break;
	case 3:
	case 4:
		rename(a, b);
		break;
	case 5:
		syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 2);
		break;
	case 6:
		link(a, b);
		break;
	case 7:
		symlink(rnd(s) & 1 ? "../d1" : "n3", a);
		break;
	case 8:
		mkdir(a, 0755);
		break;
	case 9:
		rmdir(a);
		break;
	case 10:
		strcat(a, "/n1");
		stat(a, &st);
		mkdir(a, 0755);
		break;
	case 11:
		if (rename("d0/s", "d1/s2"))
			rename("d1/s2", "d0/s");
		break;
	case 12:
		strcat(a, "/n2");
		rename(a, b);
		break;
	case 13:
		lstat(a, &st);
		chmod(b, 0700 + rnd(s) % 0100);
	}
}

static void *changer(void *arg)
{
	uint64_t s = (uintptr_t)arg * 77777 + 1;

	while (!stop) {
		one_change(&s);
		rounds[0]++;
	}
	return NULL;
}

static void *replacer(void *arg)
{
	char tmp[32];

	for (int i = 0; !stop; i++) {
		sprintf(tmp, "tmp%d-%d", (int)(intptr_t)arg, i & 3);
		int fd = open(tmp, O_CREAT | O_TRUNC | O_WRONLY, 0644);
		HOLDS(fd >= 0);
		HOLDS(write(fd, "complete", 8) == 8);
		close(fd);
		HOLDS(!rename(tmp, "atomic"));
		HOLDS(!syscall(SYS_renameat2, AT_FDCWD, "x", AT_FDCWD, "d2/y", 2));
		rounds[1]++;
	}
	return NULL;
}

static void *reader(void *arg)
{
	char buf[16];
	struct stat st;

	while (!stop) {
		int fd = open("atomic", O_RDONLY);
		HOLDS(fd >= 0);
		if (fd >= 0) {
			HOLDS(read(fd, buf, 16) == 8 && !memcmp(buf, "complete", 8));
			HOLDS(!fstat(fd, &st) && st.st_size == 8 && st.st_nlink <= 1);
			close(fd);
		}
		HOLDS(!stat("atomic", &st) && S_ISREG(st.st_mode));
		HOLDS(!stat("x", &st));
		HOLDS(!stat("d2/y", &st));
		HOLDS(!stat("p/q/r/file", &st) && st.st_size == 4);
		HOLDS(!stat("p/q/../q/r/./file", &st));
		HOLDS(!stat("plink/r/file", &st));
		HOLDS(stat("d2/never-made", &st) && errno == ENOENT);
		HOLDS(stat("p/q/r/never-made", &st) && errno == ENOENT);
		HOLDS(open("never-made", O_RDONLY) < 0 && errno == ENOENT);
		rounds[2]++;
	}
	return NULL;
}

static void *neighbour(void *arg)
{
	while (!stop) {
		rename("p/q/r/other", "p/q/r/another-name-that-is-too-long-to-lie-in-the-dentry-itself");
		rename("p/q/r/another-name-that-is-too-long-to-lie-in-the-dentry-itself", "p/other");
		rename("p/other", "p/q/r/other");
		rounds[3]++;
	}
	return NULL;
}

static void *lister(void *arg)
{
	while (!stop) {
		DIR *d = opendir("d0");
		int dots = 0;
		if (!d)
			continue;
		for (struct dirent *e; (e = readdir(d));)
			dots += e->d_name[0] == '.';
		HOLDS(dots == 2);
		closedir(d);
		rounds[4]++;
	}
	return NULL;
}

/* Descriptors: every thread opens one of two files, dups it about, and looks whether it is still that file. */
static void *descriptors(void *arg)
{
	struct stat want, st;
	const char *name = (uintptr_t)arg & 1 ? "p/q/r/file" : "p/file2";

	HOLDS(!stat(name, &want));
	while (!stop) {
		int a = open(name, O_RDONLY), b = dup(a), c = fcntl(a, F_DUPFD, 100);
		HOLDS(a >= 0 && b >= 0 && c >= 100);
		close(a);
		HOLDS(!fstat(b, &st) && st.st_ino == want.st_ino);
		HOLDS(!fstat(c, &st) && st.st_ino == want.st_ino);
		close(b);
		HOLDS(!fstat(c, &st) && st.st_ino == want.st_ino);
		close(c);
		rounds[5]++;
	}
	return NULL;
}

static void *mounter(void *arg)
{
	struct stat st;

	while (!stop) {
		if (!mount("none", "m", "tmpfs", 0, "size=64k")) {
			int fd = open("m/inside", O_CREAT | O_RDWR, 0600);
			HOLDS(fd >= 0);
			close(fd);
			HOLDS(!stat("m/inside", &st));
			HOLDS(!umount2("m", MNT_DETACH));
		}
		rounds[6]++;
	}
	return NULL;
}

static void *mount_walker(void *arg)
{
	struct stat st;

	while (!stop) {
		HOLDS(!stat("m", &st));
		HOLDS(!stat("m/..", &st));
		HOLDS(!stat("m/../p/q/r/file", &st));
		int fd = open("m/inside", O_RDONLY);
		if (fd >= 0) {
			HOLDS(!fstat(fd, &st));
			close(fd);
		}
		rounds[7]++;
	}
	return NULL;
}

/* A process of its own: its working directory is moved while it asks where it is. */
static void cwd_process(void)
{
	char buf[PATH_MAX];

	while (chdir("move/here") && chdir("moved-away/here"))
		; /* it moves already */
	for (time_t end = time(NULL) + seconds; time(NULL) < end;) {
		for (int i = 0; i < 100; i++) {
			if (syscall(SYS_getcwd, buf, sizeof(buf)) < 0)
				_exit(2);
			char *at = strstr(buf, "/move");
			if (!at || (strcmp(at, "/move/here") && strcmp(at, "/moved-away/here")))
				_exit(3);
			if (access("file", F_OK))
				_exit(4);
		}
	}
	_exit(0);
}

static void *cwd_mover(void *arg)
{
	while (!stop) {
		HOLDS(!rename("move", "moved-away"));
		HOLDS(!rename("moved-away", "move"));
		rounds[8]++;
	}
	return NULL;
}

static void make(const char *name, const char *text)
{
	int fd = open(name, O_CREAT | O_WRONLY, 0644);

	CHECK(fd >= 0);
	write(fd, text, strlen(text));
	close(fd);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	return remove(path);
}

static unsigned long slab_active(const char *name)
{
	char line[512], n[64];
	unsigned long active = 0, v;
	FILE *f = fopen("/proc/slabinfo", "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %lu", n, &v) == 2 && !strcmp(n, name))
			active = v;
	if (f)
		fclose(f);
	return active;
}

/* "m/.." is the directory that m is in, whether m is mounted on, was a moment ago, or is no more. */
TEST(dotdot_of_a_mount_taken_away)
{
	pthread_t t[3];

	CHECK_OK(mkdir("detach", 0755));
	CHECK_OK(chdir("detach"));
	CHECK_OK(mkdir("p", 0755));
	CHECK_OK(mkdir("p/q", 0755));
	CHECK_OK(mkdir("p/q/r", 0755));
	make("p/q/r/file", "data");
	CHECK_OK(mkdir("m", 0755));
	CHECK(!pthread_create(&t[0], NULL, mounter, NULL));
	CHECK(!pthread_create(&t[1], NULL, mount_walker, NULL));
	CHECK(!pthread_create(&t[2], NULL, mount_walker, NULL));
	/* a second of it, or as long as a slow machine takes to have tried at all: a hang ends by the guest's time limit */
	do
		sleep(1);
	while (!bad && (rounds[6] <= 10 || rounds[7] <= 100));
	stop = 1;
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	CHECK_EQ(bad, 0);
	CHECK_OK(chdir(".."));
	stop = 0;
}

TEST(names_under_change)
{
	static const struct { void *(*fn)(void *); int n; } kinds[] = {
		{ changer, 3 }, { replacer, 1 }, { reader, 2 }, { neighbour, 1 }, { lister, 1 },
		{ descriptors, 2 }, { mounter, 1 }, { mount_walker, 1 }, { cwd_mover, 1 },
	};
	pthread_t t[32];
	int n = 0, status;

	for (const char *const *d = (const char *const[]){ "d0", "d1", "d2", "d0/s", "d1/s", "d1/s/t", "p", "p/q", "p/q/r", "m", "move", "move/here", NULL }; *d; d++)
		CHECK_OK(mkdir(*d, 0755));
	CHECK_OK(symlink("d2", "ld"));
	CHECK_OK(symlink("p/q", "plink"));
	make("p/q/r/file", "data");
	make("p/file2", "data");
	make("p/q/r/other", "o");
	make("atomic", "complete");
	make("x", "1");
	make("d2/y", "2");
	make("move/here/file", "x");
	fflush(NULL);
	pid_t pid = fork();
	if (!pid)
		cwd_process();
	for (unsigned k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
		for (int i = 0; i < kinds[k].n; i++) {
				CHECK(!pthread_create(&t[n], NULL, kinds[k].fn, (void *)(intptr_t)n));
				n++;
			}
	sleep(seconds);
	stop = 1;
	while (n)
		pthread_join(t[--n], NULL);
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
	CHECK_EQ(bad, 0);
	for (int i = 0; i < 9; i++)
		printf("  rounds %d: %lu\n", i, (unsigned long)rounds[i]);
}

int main(int argc, char **argv)
{
	char base[] = "/tmp/stress";

	if (argc > 1 && atoi(argv[1])) {
		seconds = atoi(argv[1]);
		argc = 1;
	}
	mkdir("/tmp", 01777);
	mkdir(base, 0755);
	if (chdir(base))
		return 1;
	unsigned long dentries = slab_active("dentry"), inodes = slab_active("inode");
	int r = check_main(argc, argv);
	chdir("/");
	while (nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS))
		;
	sleep(1);
	printf("dentries %lu -> %lu, inodes %lu -> %lu\n", dentries, slab_active("dentry"), inodes, slab_active("inode"));
	FILE *f = fopen("/proc/sys/vm/check", "w"); /* not on Linux */
	if (f) {
		fputs("1", f);
		if (fclose(f)) {
			printf("the checkers found something\n");
			r = 1;
		}
	}
	return r;
}
