// TIMEOUT: 120
// BOOT: --smp 4 --memory 1G
/*
 * Files, names, mounts, sockets and the descriptors made of events, with every allocation made to fail in turn (fail.h). A name that could not
 * be made is not there, one that could not be moved is where it was; a message is sent whole with its descriptors, or not at all.
 */
#include "fail.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/xattr.h>

#define DIR_ "/tmp/fail"
#define LONG_ DIR_ "/a_name_longer_than_the_ones_that_are_kept_within_the_entry_of_the_cache"
#define LONG2 DIR_ "/b_name_longer_than_the_ones_that_are_kept_within_the_entry_of_the_cache"

static int fd = -1, fd2 = -1, pair[2];

static bool there(const char *path)
{
	struct stat st;

	return !lstat(path, &st);
}
static int keep(int f) /* a call that gives a descriptor */
{
	fd = f;
	return fail_of(f);
}
static int u_close(int err)
{
	return err ? 0 : close(fd);
}

/* ---- names ---- */

static int set_dir(void)
{
	int err = 0, f = -1;

	TRY(mkdir(DIR_, 0700));
	TRY(f = open(LONG_, O_CREAT | O_RDWR, 0600));
	TRY(write(f, "hello", 5));
out:
	close(f);
	return err;
}
static int drop_dir(int bad)
{
	for (const char *const *n = (const char *const[]){ LONG_, LONG2, DIR_ "/s", NULL }; *n; n++)
		unlink(*n);
	rmdir(DIR_ "/d");
	return rmdir(DIR_) || bad ? EPROTO : 0;
}
static int c_create(void) { return keep(open(LONG2, O_CREAT | O_EXCL | O_RDWR, 0600)); }
static int u_create(int err)
{
	if (!err)
		close(fd);
	return drop_dir(err && there(LONG2)); /* made, but not opened, is not right for O_EXCL */
}
static int c_open(void) { return keep(open(LONG_, O_RDWR)); }
static int u_open(int err)
{
	return drop_dir(u_close(err));
}
static int c_tmpfile(void) { return keep(open(DIR_, O_TMPFILE | O_RDWR, 0600)); }
static int c_mkdir(void) { return fail_of(mkdir(DIR_ "/d", 0700)); }
static int u_mkdir(int err) { return drop_dir(there(DIR_ "/d") == !!err); }
static int c_mknod(void) { return fail_of(mknod(LONG2, S_IFIFO | 0600, 0)); }
static int u_second(int err) { return drop_dir(there(LONG2) == !!err || !there(LONG_)); }
static int c_symlink(void) { return fail_of(symlink("somewhere that is not so very short, so that it takes memory of its own", DIR_ "/s")); }
static int u_symlink(int err)
{
	char text[128];

	return drop_dir(readlink(DIR_ "/s", text, sizeof text) != (err ? -1 : 71) || there(DIR_ "/s") == !!err);
}
static int c_link(void) { return fail_of(link(LONG_, LONG2)); }
static int u_link(int err)
{
	struct stat st;

	return drop_dir(stat(LONG_, &st) || st.st_nlink != (err ? 1 : 2) || there(LONG2) == !!err);
}
static int c_rename(void) { return fail_of(rename(LONG_, LONG2)); }
static int u_rename(int err) { return drop_dir(there(LONG_) != !!err || there(LONG2) == !!err); }
static int c_exchange(void) { return fail_of(syscall(SYS_renameat2, AT_FDCWD, LONG_, AT_FDCWD, DIR_, 2)) == ENOMEM ? ENOMEM : 0; }
static int c_setxattr(void) { return fail_of(setxattr(LONG_, "trusted.name", "a value of some length", 22, 0)); }
static int u_setxattr(int err)
{
	char text[64];

	return drop_dir(getxattr(LONG_, "trusted.name", text, sizeof text) != (err ? -1 : 22));
}
static int c_getcwd(void)
{
	char text[256];

	return syscall(SYS_getcwd, text, sizeof text) < 0 ? errno : 0;
}
static int u_dir(int err)
{
	(void)err;
	return drop_dir(!there(LONG_));
}
/* ---- mounts ---- */

static int mounts(void)
{
	static char text[16384];
	int n = 0;

	leaks_slurp("/proc/self/mountinfo", text, sizeof text);
	for (char *l = text; (l = strstr(l, DIR_)); l++)
		n++;
	return n;
}
static int set_point(void)
{
	int err = set_dir();

	return err ? err : fail_of(mkdir(DIR_ "/d", 0700));
}
static int c_mount(void) { return fail_of(mount("none", DIR_ "/d", "tmpfs", 0, "size=1m,mode=700")); }
static int u_mount(int err)
{
	int bad = mounts() != !err;

	if (!err)
		bad |= umount(DIR_ "/d") != 0;
	return drop_dir(bad);
}
static int set_mounted(void)
{
	int err = set_point();

	return err ? err : c_mount();
}
static int c_bind(void) { return fail_of(mount(DIR_ "/d", DIR_ "/d", NULL, MS_BIND, NULL)); }
static int u_bind(int err)
{
	int bad = mounts() != 1 + 2 * !err; /* it names the place twice */

	if (!err)
		umount(DIR_ "/d");
	return drop_dir(umount(DIR_ "/d") || (bad && mounts()));
}
static int c_umount(void) { return fail_of(umount(DIR_ "/d")); }
static int u_umount(int err)
{
	int bad = mounts() != !!err;

	if (err)
		umount(DIR_ "/d");
	return drop_dir(bad);
}
static int c_remount(void) { return fail_of(mount("none", DIR_ "/d", NULL, MS_REMOUNT | MS_NOEXEC, "size=2m")); }
static int u_mounted(int err)
{
	(void)err;
	return drop_dir(umount(DIR_ "/d"));
}
static int c_move_mount(void) { return fail_of(mount(DIR_ "/d", "/mnt", NULL, MS_MOVE, NULL)); }
static int u_move_mount(int err)
{
	return drop_dir(umount(err ? DIR_ "/d" : "/mnt"));
}

/* ---- local sockets ---- */

static struct sockaddr_un sun = { AF_UNIX, DIR_ "/s" };
static int c_socketpair(void) { return fail_of(socketpair(AF_UNIX, SOCK_STREAM, 0, pair)); }
static int u_socketpair(int err)
{
	return err ? 0 : close(pair[0]) || close(pair[1]);
}
static int set_socket(void)
{
	int err = set_dir();

	return err ? err : keep(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
}
static int c_bind_socket(void) { return fail_of(bind(fd, (void *)&sun, sizeof sun)); }
static int u_bind_socket(int err)
{
	int bad = there(DIR_ "/s") == !!err;

	if (err) /* it can still be bound */
		bad |= bind(fd, (void *)&sun, sizeof sun);
	close(fd);
	return drop_dir(bad);
}
static int c_bind_auto(void) { return fail_of(bind(fd, (void *)&sun, sizeof(short))); }
static int u_socket(int err)
{
	(void)err;
	close(fd);
	return drop_dir(0);
}
static int set_listening(void)
{
	int err = set_socket();

	TRY(bind(fd, (void *)&sun, sizeof sun));
	TRY(listen(fd, 4));
	TRY(fd2 = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
out:
	return err;
}
static int c_connect(void) { return fail_of(connect(fd2, (void *)&sun, sizeof sun)); }
static int u_connect(int err)
{
	int got, bad = 0;

	if (err)
		bad = connect(fd2, (void *)&sun, sizeof sun);
	got = accept(fd, NULL, NULL);
	bad |= got < 0 || accept(fd, NULL, NULL) >= 0; /* one connection, not two */
	close(got);
	close(fd2);
	close(fd);
	return drop_dir(bad);
}
static int set_connected(void)
{
	int err = set_listening();

	return err ? err : c_connect();
}
static int c_accept(void) { return fail_of(pair[0] = accept(fd, NULL, NULL)); }
static int u_accept(int err)
{
	int bad = 0;

	if (err) /* it was not lost */
		bad = (pair[0] = accept(fd, NULL, NULL)) < 0;
	close(pair[0]);
	close(fd2);
	close(fd);
	return drop_dir(bad);
}

static int kind = SOCK_STREAM;
static int set_pair(void) { return fail_of(socketpair(AF_UNIX, kind | SOCK_NONBLOCK, 0, pair)); }
static char text[5000];
static char control[CMSG_SPACE(2 * sizeof(int))];
static struct iovec iov = { text, sizeof text };
static struct msghdr with_fds(void)
{
	return (struct msghdr){ .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
}
static int c_send_fds(void)
{
	struct msghdr mh = with_fds();
	struct cmsghdr *h = CMSG_FIRSTHDR(&mh);
	long n;

	*h = (struct cmsghdr){ .cmsg_len = CMSG_LEN(2 * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(h), pair, 2 * sizeof(int)); /* the socket will hold itself */
	n = sendmsg(pair[0], &mh, 0);
	return n < 0 ? errno : 0;
}
/* How many descriptors come with the message; closes them. -1: there is none. */
static int receive(void)
{
	struct msghdr mh = with_fds();
	struct cmsghdr *h;
	int got[2], n;

	if (recvmsg(pair[1], &mh, 0) < 0)
		return -1;
	h = CMSG_FIRSTHDR(&mh);
	n = h ? (h->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
	memcpy(got, h ? (void *)CMSG_DATA(h) : got, n * sizeof(int));
	for (int i = 0; i < n; i++)
		close(got[i]);
	return n;
}
static int u_send_fds(int err)
{
	int n = receive();

	u_socketpair(0);
	return n != (err ? -1 : 2);
}
static int set_sent(void)
{
	int err = set_pair();

	return err ? err : c_send_fds();
}
static int c_receive(void)
{
	int n = receive();

	return n < 0 ? errno : n == 2 ? 0 : EPROTO;
}
static int u_receive(int err)
{
	bool bad = err && receive() != 2; /* it was not lost */

	return u_socketpair(0) || bad ? EPROTO : 0;
}
static int c_send(void)
{
	long n = write(pair[0], text, sizeof text);

	return n < 0 ? errno : n == sizeof text || kind == SOCK_STREAM ? 0 : EPROTO;
}
static int u_pair(int err)
{
	(void)err;
	return u_socketpair(0);
}

/* ---- descriptors of events ---- */

static int c_epoll(void) { return keep(epoll_create1(0)); }
static int c_eventfd(void) { return keep(eventfd(0, 0)); }
static int c_timerfd(void) { return keep(timerfd_create(CLOCK_MONOTONIC, 0)); }
static int c_signalfd(void)
{
	unsigned long set = 1;

	return keep(syscall(SYS_signalfd4, -1, &set, 8, 0));
}
static int c_inotify(void) { return keep(inotify_init1(IN_NONBLOCK)); }
static int set_epoll(void)
{
	int err = c_epoll();

	return err ? err : fail_of(fd2 = eventfd(1, 0));
}
static struct epoll_event ev = { .events = EPOLLIN };
static int c_epoll_add(void) { return fail_of(epoll_ctl(fd, EPOLL_CTL_ADD, fd2, &ev)); }
static int u_epoll(int err)
{
	int n = epoll_wait(fd, &ev, 1, 0);

	ev.events = EPOLLIN;
	return close(fd) || close(fd2) || n != !err;
}
static int c_epoll_nested(void)
{
	int inner = epoll_create1(0), err = 0;

	TRY(inner);
	TRY(epoll_ctl(inner, EPOLL_CTL_ADD, fd2, &ev));
	TRY(epoll_ctl(fd, EPOLL_CTL_ADD, inner, &ev));
out:
	close(inner);
	return err;
}
static int u_epoll_nested(int err)
{
	(void)err;
	return close(fd) || close(fd2);
}
static int c_poll(void)
{
	struct pollfd p[300]; /* more than the ones kept on the stack */
	int n;

	for (int i = 0; i < 300; i++)
		p[i] = (struct pollfd){ .fd = fd2, .events = POLLIN };
	n = poll(p, 300, 0);
	return n < 0 ? errno : n == 300 ? 0 : EPROTO;
}
static int set_inotify(void)
{
	int err = set_dir();

	return err ? err : c_inotify();
}
static int c_watch(void) { return fail_of(inotify_add_watch(fd, DIR_, IN_ALL_EVENTS)); }
static int u_watch(int err)
{
	char events[512];

	close(open(LONG2, O_CREAT | O_WRONLY, 0600));
	bool told = read(fd, events, sizeof events) > 0;
	close(fd);
	return drop_dir(told == !!err);
}
static int set_watch(void)
{
	int err = set_inotify();

	return err ? err : c_watch();
}
/* The event may be lost, which an overflow event says; the call it is about is not refused. */
static int c_event(void) { return fail_of(mkdir(DIR_ "/d", 0700)); }
static int u_event(int err)
{
	close(fd);
	return drop_dir(there(DIR_ "/d") == !!err);
}

static const struct fail_case names[] = {
	FAIL("create", set_dir, c_create, u_create, .also = { ENOSPC }),
	FAIL("open", set_dir, c_open, u_open),
	FAIL("unnamed", set_dir, c_tmpfile, u_open, .also = { ENOSPC }),
	FAIL("mkdir", set_dir, c_mkdir, u_mkdir, .also = { ENOSPC }),
	FAIL("mknod", set_dir, c_mknod, u_second, .also = { ENOSPC }),
	FAIL("symlink", set_dir, c_symlink, u_symlink, .also = { ENOSPC }),
	FAIL("link", set_dir, c_link, u_link, .also = { ENOSPC }),
	FAIL("rename", set_dir, c_rename, u_rename, .also = { ENOSPC }),
	FAIL("exchange refused", set_dir, c_exchange, u_dir),
	FAIL("setxattr", set_dir, c_setxattr, u_setxattr, .also = { ENOSPC }),
	FAIL("getcwd", set_dir, c_getcwd, u_dir),
};

static const struct fail_case points[] = {
	FAIL("mount", set_point, c_mount, u_mount),
	FAIL("bind", set_mounted, c_bind, u_bind),
	FAIL("umount", set_mounted, c_umount, u_umount),
	FAIL("remount", set_mounted, c_remount, u_mounted),
	FAIL("move", set_mounted, c_move_mount, u_move_mount),
};

static const struct fail_case sockets[] = {
	FAIL("socketpair", NULL, c_socketpair, u_socketpair),
	FAIL("bind", set_socket, c_bind_socket, u_bind_socket, .also = { ENOSPC }),
	FAIL("bind to any", set_socket, c_bind_auto, u_socket),
	FAIL("connect", set_listening, c_connect, u_connect),
	FAIL("accept", set_connected, c_accept, u_accept),
};

static const struct fail_case messages[] = {
	FAIL("send", set_pair, c_send, u_pair, .also = { ENOBUFS }),
	FAIL("send descriptors", set_pair, c_send_fds, u_send_fds, .also = { ENOBUFS }),
	FAIL("receive descriptors", set_sent, c_receive, u_receive),
};

static const struct fail_case events[] = {
	FAIL("epoll_create", NULL, c_epoll, u_close),
	FAIL("epoll_ctl", set_epoll, c_epoll_add, u_epoll),
	FAIL("epoll in epoll", set_epoll, c_epoll_nested, u_epoll_nested),
	FAIL("poll", set_epoll, c_poll, u_epoll_nested),
	FAIL("eventfd", NULL, c_eventfd, u_close),
	FAIL("timerfd", NULL, c_timerfd, u_close),
	FAIL("signalfd", NULL, c_signalfd, u_close),
	FAIL("inotify", NULL, c_inotify, u_close),
	FAIL("watch", set_inotify, c_watch, u_watch, .also = { ENOSPC }),
	FAIL("event", set_watch, c_event, u_event, .also = { ENOSPC }),
};

TEST(directories)
{
	FAIL_FAMILY(names);
}

TEST(mount_points)
{
	FAIL_FAMILY(points);
}

TEST(local_sockets)
{
	FAIL_FAMILY(sockets);
	FAIL_FAMILY(messages);
	kind = SOCK_DGRAM;
	FAIL_FAMILY(messages);
}

TEST(event_descriptors)
{
	FAIL_FAMILY(events);
}

int main(int argc, char **argv)
{
	return fail_main(argc, argv);
}
