// DEBUG: -
// TIMEOUT: 60
/*
 * Local sockets that are in flight in each other's queues: closed for good when nobody can receive them, and only then.
 */
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

static int send_fds(int sock, const int *fds, int n, char c)
{
	char control[CMSG_SPACE(8 * sizeof(int))] = { 0 };
	struct iovec iov = { &c, 1 };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(n * sizeof(int)) };
	struct cmsghdr *h = CMSG_FIRSTHDR(&mh);

	*h = (struct cmsghdr){ .cmsg_len = CMSG_LEN(n * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(h), fds, n * sizeof(int));
	return sendmsg(sock, &mh, 0);
}

/* The number of descriptors received, -1 for an error. */
static int recv_fds(int sock, int *fds, int flags)
{
	char control[CMSG_SPACE(8 * sizeof(int))] = { 0 }, c;
	struct iovec iov = { &c, 1 };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	struct cmsghdr *h = CMSG_FIRSTHDR(&mh);

	if (recvmsg(sock, &mh, flags) < 0)
		return -1;
	if (mh.msg_controllen < sizeof(struct cmsghdr))
		return 0;
	int n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(h), n * sizeof(int));
	return n;
}

/* The writer of a pipe comes along in what is thrown away: its reader sees the end when that was closed. */
static int canary(int *reader)
{
	int p[2];

	if (pipe(p))
		return -1;
	*reader = p[0];
	return p[1];
}

/* Closing any socket looks for cycles. */
static void collect(void)
{
	close(socket(AF_UNIX, SOCK_STREAM, 0));
}

static bool closed_soon(int reader)
{
	struct pollfd p = { .fd = reader, .events = POLLIN };

	collect();
	return poll(&p, 1, 3000) == 1 && p.revents & POLLHUP;
}

static bool still_open(int reader)
{
	struct pollfd p = { .fd = reader, .events = POLLIN };

	return poll(&p, 1, 50) == 0;
}

TEST(a_pair_that_holds_itself)
{
	for (int i = 0; i < 300; i++) {
		int s[2], r, w = canary(&r);

		REQUIRE(socketpair(AF_UNIX, i % 2 ? SOCK_STREAM : SOCK_DGRAM, 0, s) == 0);
		CHECK_EQ(send_fds(s[0], (int[]){ s[0], s[1], w }, 3, 'x'), 1);
		close(w);
		close(s[0]);
		close(s[1]);
		CHECK(closed_soon(r));
		close(r);
	}
}

TEST(a_ring_of_pairs)
{
	int s[6][2], r, w = canary(&r);

	for (int i = 0; i < 6; i++)
		REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, s[i]) == 0);
	for (int i = 0; i < 6; i++) /* each into the queue of the next; the other ends as well, so that nothing outside is left */
		CHECK_EQ(send_fds(s[(i + 1) % 6][0], (int[]){ s[i][0], s[i][1], w }, 3, 'x'), 1);
	close(w);
	for (int i = 0; i < 5; i++) {
		close(s[i][0]);
		close(s[i][1]);
	}
	collect();
	CHECK(still_open(r)); /* the last pair leads to all */
	close(s[5][0]);
	close(s[5][1]);
	CHECK(closed_soon(r));
	close(r);
}

TEST(what_can_be_received_stays)
{
	int live[2], s[2], got[8], r, w = canary(&r);
	char c;

	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, live) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	CHECK_EQ(send_fds(s[0], (int[]){ s[0], s[1], w }, 3, 'x'), 1); /* holds itself */
	CHECK_EQ(send_fds(live[0], s, 2, 'y'), 1); /* but is on its way here, too */
	close(w);
	close(s[0]);
	close(s[1]);
	collect();
	CHECK(still_open(r));
	CHECK_EQ(recv_fds(live[1], got, MSG_PEEK), 2);
	close(got[0]);
	close(got[1]);
	collect();
	CHECK(still_open(r));
	CHECK_EQ(recv_fds(live[1], got, 0), 2);
	collect();
	s[0] = got[0];
	s[1] = got[1];
	CHECK_EQ(write(s[0], "z", 1), 1);
	CHECK_EQ(recv_fds(s[1], got, 0), 3);
	CHECK_EQ(read(s[1], &c, 1), 1);
	CHECK_EQ(c, 'z');
	for (int i = 0; i < 3; i++)
		close(got[i]);
	close(s[0]);
	close(s[1]);
	CHECK(closed_soon(r));
	close(r);
	close(live[0]);
	close(live[1]);
}

TEST(a_listener_in_the_queue_of_its_connection)
{
	struct sockaddr_un a = { AF_UNIX, "\0cycles" };
	int l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0), r, w = canary(&r);

	CHECK_OK(bind(l, (void *)&a, 10));
	CHECK_OK(listen(l, 3));
	CHECK_OK(connect(c, (void *)&a, 10));
	CHECK_EQ(send_fds(c, (int[]){ l, c, w }, 3, 'x'), 1); /* never accepted */
	close(w);
	close(l);
	CHECK(still_open(r));
	close(c);
	CHECK(closed_soon(r));
	close(r);
	l = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_OK(bind(l, (void *)&a, 10)); /* the name is free */
	close(l);
}

/* Each in the queue of the next: closing the last closes all, without a stack as deep. */
TEST_FORK(a_long_chain)
{
	int last[2], r, w = canary(&r);

	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, last) == 0);
	CHECK_EQ(send_fds(last[0], &w, 1, 'x'), 1);
	close(w);
	for (int i = 0; i < 3000; i++) {
		int next[2];

		if (socketpair(AF_UNIX, SOCK_STREAM, 0, next) || send_fds(next[0], last, 2, 'x') != 1) {
			CHECK_OK(-1);
			break;
		}
		close(last[0]);
		close(last[1]);
		memcpy(last, next, sizeof last);
	}
	CHECK(still_open(r));
	close(last[0]);
	close(last[1]);
	CHECK(closed_soon(r));
}

TEST_FORK(the_limit_of_a_user)
{
	struct rlimit rl = { 64, 64 };
	int s[2], sent = 0;

	CHECK_OK(setrlimit(RLIMIT_NOFILE, &rl));
	CHECK_OK(setuid(12345));
	REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0);
	fcntl(s[0], F_SETFL, O_NONBLOCK);
	while (sent < 1000 && send_fds(s[0], (int[]){ 0, 1, 2, 0 }, 4, 'x') == 1)
		sent += 4;
	CHECK_EQ(errno, ETOOMANYREFS);
	CHECK(sent >= 64 && sent <= 72);
	int got[8];
	while (recv_fds(s[1], got, MSG_DONTWAIT) > 0)
		for (int i = 0; i < 4; i++)
			close(got[i]);
	CHECK_EQ(send_fds(s[0], (int[]){ 0 }, 1, 'x'), 1);
}

TEST_MAIN
