// BOOT: --smp 4 --memory 1G
// VARIANTS: musl
/* conf_handle.c - file handles: name_to_handle_at(2), open_by_handle_at(2), on a tmpfs. */
#include "conf.h"
#include <pthread.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/uio.h>

struct handle { unsigned bytes; int type; unsigned char f[128]; };

static int name_to(int dir, const char *name, struct handle *h, int *mnt, int flags)
{
	h->bytes = 128;
	return syscall(SYS_name_to_handle_at, dir, name, h, mnt, flags);
}

static int open_by(int mnt, struct handle *h, int flags)
{
	return syscall(SYS_open_by_handle_at, mnt, h, flags);
}

static void enter_tmpfs(void)
{
	mkdir("/tmp/handles", 0755);
	CHECK_OK(mount("none", "/tmp/handles", "tmpfs", 0, NULL));
	CHECK_OK(chdir("/tmp/handles"));
}

static void leave_tmpfs(void)
{
	CHECK_OK(chdir("/"));
	CHECK_OK(umount2("/tmp/handles", MNT_DETACH));
}

TEST(names_to_handles)
{
	struct handle h, g;
	int mnt = -1, fd;

	enter_tmpfs();
	CHECK_OK(mkdir("a", 0755));
	CHECK_OK(mkdir("a/b", 0755));
	touch("a/b/file", 0644);
	CHECK_OK(symlink("a/b/file", "link"));
	CHECK_OK(name_to(AT_FDCWD, "a/b/file", &h, &mnt, 0));
	CHECK_GE(mnt, 1);
	CHECK_GT(h.bytes, 0);
	CHECK_LE(h.bytes, 128);
	CHECK_OK(name_to(AT_FDCWD, "link", &g, &mnt, AT_SYMLINK_FOLLOW));
	CHECK(g.bytes == h.bytes && g.type == h.type && !memcmp(g.f, h.f, h.bytes));
	CHECK_OK(name_to(AT_FDCWD, "link", &g, &mnt, 0));
	CHECK(memcmp(g.f, h.f, h.bytes));
	fd = open("a/b/file", O_PATH);
	CHECK_OK(name_to(fd, "", &g, &mnt, AT_EMPTY_PATH));
	CHECK(!memcmp(g.f, h.f, h.bytes));
	close(fd);
	g.bytes = 0;
	CHECK_ERRNO(syscall(SYS_name_to_handle_at, AT_FDCWD, "link", &g, &mnt, 0), EOVERFLOW);
	CHECK_EQ(g.bytes, h.bytes); /* what it needs */
	g.bytes = 129;
	CHECK_ERRNO(syscall(SYS_name_to_handle_at, AT_FDCWD, "link", &g, &mnt, 0), EINVAL);
	CHECK_ERRNO(name_to(AT_FDCWD, "link", &g, &mnt, 1), EINVAL);
	CHECK_ERRNO(name_to(AT_FDCWD, "none", &g, &mnt, 0), ENOENT);
	CHECK_ERRNO(name_to(AT_FDCWD, "", &g, &mnt, 0), ENOENT);
	CHECK_ERRNO(name_to(AT_FDCWD, "link", &g, BAD, 0), EFAULT);
	CHECK_ERRNO(name_to(AT_FDCWD, "/proc/self/stat", &g, &mnt, 0), EOPNOTSUPP);
	leave_tmpfs();
}

TEST(handles_to_files)
{
	struct handle h, d, l, other;
	int mnt, root, fd;
	struct stat a, b;
	char buf[8] = { 0 };

	enter_tmpfs();
	root = open(".", O_RDONLY | O_DIRECTORY);
	CHECK_OK(mkdir("a", 0755));
	CHECK_OK(mkdir("a/b", 0755));
	for (int i = 0; i < 50; i++) {
		char name[32];
		snprintf(name, sizeof(name), "a/n%d", i);
		touch(name, 0644);
	}
	fd = scratch("a/b/file");
	CHECK_EQ(write(fd, "inside", 6), 6);
	CHECK_OK(fstat(fd, &a));
	close(fd);
	CHECK_OK(symlink("nowhere", "link"));
	CHECK_OK(name_to(AT_FDCWD, "a/b/file", &h, &mnt, 0));
	CHECK_OK(name_to(AT_FDCWD, "a/b", &d, &mnt, 0));
	CHECK_OK(name_to(AT_FDCWD, "link", &l, &mnt, 0));
	CHECK_OK(rename("a/b/file", "a/moved")); /* the handle is not of the name */
	fd = open_by(root, &h, O_RDWR | O_CLOEXEC);
	CHECK_GE(fd, 0);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(read(fd, buf, 8), 6);
	CHECK(!strcmp(buf, "inside"));
	CHECK_OK(fstat(fd, &b));
	CHECK_EQ(a.st_ino, b.st_ino);
	close(fd);
	fd = open_by(AT_FDCWD, &h, O_WRONLY | O_TRUNC);
	CHECK_OK(fstat(fd, &b));
	CHECK_EQ(b.st_size, 0);
	close(fd);
	fd = open_by(root, &d, O_RDONLY | O_DIRECTORY);
	CHECK_OK(fchdir(fd));
	CHECK(strstr(getcwd(NULL, 0), "/a/b"));
	CHECK_OK(fchdir(root));
	close(fd);
	CHECK_ERRNO(open_by(root, &h, O_RDONLY | O_DIRECTORY), ENOTDIR);
	CHECK_ERRNO(open_by(root, &d, O_RDWR), EISDIR);
	CHECK_ERRNO(open_by(root, &l, O_RDONLY), ELOOP);
	fd = open_by(root, &l, O_PATH);
	CHECK_EQ(readlinkat(fd, "", buf, 8), 7);
	close(fd);
	CHECK_ERRNO(open_by(-1, &h, O_RDONLY), EBADF);
	CHECK_ERRNO(syscall(SYS_open_by_handle_at, root, BAD, 0), EFAULT);
	other = h;
	other.bytes = 0;
	CHECK_ERRNO(open_by(root, &other, O_RDONLY), EINVAL);
	other.bytes = 129;
	CHECK_ERRNO(open_by(root, &other, O_RDONLY), EINVAL);
	other = h;
	other.f[8] ^= 0x55; /* a number nobody has: the low bits may be a neighbour's */
	CHECK_ERRNO(open_by(root, &other, O_RDONLY), ESTALE);
	CHECK_EXITS(0, become_nobody(); CHECK_ERRNO(open_by(root, &h, O_RDONLY), EPERM));
	CHECK_OK(unlink("a/moved"));
	CHECK_ERRNO(open_by(root, &h, O_RDONLY), ESTALE);
	close(root);
	leave_tmpfs();
}

static volatile int stop;
static void *shuffle(void *arg)
{
	(void)arg;
	for (int i = 0; !stop; i++) {
		(void)!rename(i & 1 ? "x/t" : "y/t", i & 1 ? "y/t" : "x/t");
		(void)!mkdir("y/new", 0755);
		(void)!rmdir("y/new");
	}
	return NULL;
}

/* The tree changes while it is walked: what has not moved is found nearly always, and nothing else instead. */
TEST(handles_while_names_change)
{
	struct handle h;
	struct stat a, b;
	pthread_t t;
	int mnt, found = 0;

	enter_tmpfs();
	CHECK_OK(mkdir("x", 0755));
	CHECK_OK(mkdir("y", 0755));
	CHECK_OK(mkdir("y/t", 0755));
	CHECK_OK(mkdir("z", 0755));
	touch("z/file", 0644);
	CHECK_OK(stat("z/file", &a));
	CHECK_OK(name_to(AT_FDCWD, "z/file", &h, &mnt, 0));
	REQUIRE(!pthread_create(&t, NULL, shuffle, NULL));
	for (int i = 0; i < 300; i++) {
		int fd = open_by(AT_FDCWD, &h, O_RDONLY);
		if (fd < 0) {
			CHECK_EQ(errno, ESTALE);
			continue;
		}
		CHECK_OK(fstat(fd, &b));
		CHECK_EQ(a.st_ino, b.st_ino);
		close(fd);
		found++;
	}
	CHECK_GT(found, 200);
	stop = 1;
	pthread_join(t, NULL);
	leave_tmpfs();
}

/* What /proc tells of a watch names the file by its handle. */
TEST(handle_of_a_watch)
{
	struct handle h;
	char path[64], line[512], hex[300] = "f_handle:";
	int mnt, in = inotify_init1(0), n = 0;

	enter_tmpfs();
	touch("file", 0644);
	CHECK_OK(name_to(AT_FDCWD, "file", &h, &mnt, 0));
	CHECK_EQ(inotify_add_watch(in, "file", IN_MODIFY), 1);
	for (unsigned i = 0; i < h.bytes; i++)
		sprintf(hex + strlen(hex), "%02x", h.f[i]);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", in);
	FILE *f = fopen(path, "r");
	REQUIRE(f);
	while (fgets(line, sizeof(line), f))
		n += !strncmp(line, "inotify wd:1 ", 13) && strstr(line, " mask:2 ignored_mask:0 ") && strstr(line, hex);
	CHECK_EQ(n, 1);
	fclose(f);
	close(in);
	leave_tmpfs();
}

/* Descriptors in two parts of one message arrive as one. */
TEST(rights_in_two_parts)
{
	int s[2], fd[2];
	union { char buf[2 * CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } out = { 0 }, in = { 0 };
	struct iovec v = { "x", 1 };
	char byte;
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = out.buf, .msg_controllen = sizeof(out.buf) };

	REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	for (int i = 0; i < 2; i++) {
		*c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(c), &s[i], sizeof(int));
		c = (struct cmsghdr *)(out.buf + CMSG_SPACE(sizeof(int)));
	}
	CHECK_EQ(sendmsg(s[0], &m, 0), 1);
	v.iov_base = &byte;
	m.msg_control = in.buf;
	m.msg_controllen = sizeof(in.buf);
	CHECK_EQ(recvmsg(s[1], &m, 0), 1);
	c = CMSG_FIRSTHDR(&m);
	REQUIRE(c && c->cmsg_type == SCM_RIGHTS);
	CHECK_EQ(c->cmsg_len, CMSG_LEN(2 * sizeof(int)));
	memcpy(fd, CMSG_DATA(c), sizeof(fd));
	CHECK_EQ(write(fd[0], "y", 1), 1);
	CHECK_EQ(read(fd[1], &byte, 1), 1);
	for (int i = 0; i < 2; i++) {
		close(fd[i]);
		close(s[i]);
	}
}

TEST_MAIN
