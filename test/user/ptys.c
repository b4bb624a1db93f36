/*
 * Terminals through a pseudo terminal: cooked and raw input, echo, control characters, signals to the
 * foreground group, window size, hang-up, controlling terminals, background reads.
 */
// VARIANTS: musl glibc
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <termios.h>

static int master, slave;

static void pair(void)
{
	struct termios t;

	master = posix_openpt(O_RDWR | O_NOCTTY);
	CHECK_GE(master, 0);
	CHECK_OK(grantpt(master));
	CHECK_OK(unlockpt(master));
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	CHECK_GE(slave, 0);
	CHECK_OK(tcgetattr(slave, &t));
}

static void unpair(void)
{
	close(master);
	close(slave);
}

/* Read what is there within a second into a string. */
static char *take(int fd)
{
	static char buf[4096];
	struct pollfd f = { .fd = fd, .events = POLLIN };
	ssize_t n = 0;

	if (poll(&f, 1, 1000) == 1)
		n = read(fd, buf, sizeof buf - 1);
	buf[n > 0 ? n : 0] = 0;
	return buf;
}

static void type(const char *text)
{
	CHECK_EQ(write(master, text, strlen(text)), strlen(text));
}

TEST(cooked)
{
	struct pollfd f;

	pair();
	CHECK(isatty(slave));
	type("hel");
	f = (struct pollfd){ .fd = slave, .events = POLLIN };
	CHECK_EQ(poll(&f, 1, 50), 0);		/* no line yet */
	type("px\177\177lo\n");			/* two erased */
	CHECK_STR(take(slave), "hello\n");
	CHECK_STR(take(master), "helpx\b \b\b \blo\r\n");
	type("gone\025kept\n");			/* ^U kills the line */
	CHECK_STR(take(slave), "kept\n");
	take(master);
	CHECK_EQ(write(slave, "out\n", 4), 4);
	CHECK_STR(take(master), "out\r\n");
	type("a\nb\n");
	CHECK_STR(take(slave), "a\n");
	CHECK_STR(take(slave), "b\n");
	type("\004");				/* ^D on an empty line is end of file */
	char c;
	CHECK_EQ(read(slave, &c, 1), 0);
	type("xy\004");
	CHECK_STR(take(slave), "xy");
	unpair();
}

TEST(raw)
{
	struct termios t;

	pair();
	tcgetattr(slave, &t);
	cfmakeraw(&t);
	CHECK_OK(tcsetattr(slave, TCSANOW, &t));
	type("a\003\r");
	CHECK_STR(take(slave), "a\003\r");
	CHECK_EQ(write(slave, "x\n", 2), 2);
	CHECK_STR(take(master), "x\n");
	t.c_cc[VMIN] = 0;
	t.c_cc[VTIME] = 1;
	CHECK_OK(tcsetattr(slave, TCSAFLUSH, &t));
	char c;
	CHECK_EQ(read(slave, &c, 1), 0);	/* after a tenth of a second */
	unpair();
}

TEST(window_size)
{
	struct winsize w = { .ws_row = 40, .ws_col = 132 }, got;

	pair();
	CHECK_OK(ioctl(master, TIOCSWINSZ, &w));
	CHECK_OK(ioctl(slave, TIOCGWINSZ, &got));
	CHECK_EQ(got.ws_row, 40);
	CHECK_EQ(got.ws_col, 132);
	unpair();
}

/* Run fn in a child whose controlling terminal is the slave. */
static pid_t on_terminal(void (*fn)(void))
{
	fflush(NULL);
	pid_t pid = fork();

	if (!pid) {
		setsid();
		if (ioctl(slave, TIOCSCTTY, 0))
			_exit(90);
		dup2(slave, 0);
		close(master);
		fn();
		_exit(91);
	}
	return pid;
}

static void ready_and_wait(void)
{
	(void)!write(slave, "ready\n", 6);
	for (;;)
		pause();
}

static volatile int hits;

static void hit(int sig)
{
	hits++;
}

static void count_winch(void)
{
	signal(SIGWINCH, hit);
	(void)!write(slave, "ready\n", 6);
	while (!hits)
		usleep(1000);
	_exit(17);
}

static void read_in_background(void)
{
	char c;
	int status;
	pid_t pid = fork();

	if (!pid) {
		setpgid(0, 0);
		(void)!read(0, &c, 1);
		_exit(1);
	}
	setpgid(pid, pid);
	waitpid(pid, &status, WUNTRACED);
	if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTTIN)
		_exit(60);
	if (tcgetpgrp(0) != getpid())
		_exit(61);
	kill(pid, SIGKILL);
	_exit(18);
}

static void open_dev_tty(void)
{
	int fd = open("/dev/tty", O_RDWR);

	if (fd < 0 || !isatty(fd) || tcgetsid(fd) != getpid())
		_exit(62);
	(void)!write(fd, "tty\n", 4);
	_exit(19);
}

TEST(signals_from_keys)
{
	static const struct {
		const char *key;
		int sig;
	} keys[] = { { "\003", SIGINT }, { "\034", SIGQUIT } };
	int status;

	for (int i = 0; i < 2; i++) {
		pair();
		pid_t pid = on_terminal(ready_and_wait);
		CHECK_STR(take(master), "ready\r\n");
		type(keys[i].key);
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK_EQ(WTERMSIG(status), keys[i].sig);
		unpair();
	}
	pair();
	pid_t pid = on_terminal(ready_and_wait);
	take(master);
	CHECK_EQ(tcgetpgrp(master), pid);
	unpair();				/* the master closes: hang-up */
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(WTERMSIG(status), SIGHUP);
}

TEST(job_control)
{
	struct winsize w = { .ws_row = 10, .ws_col = 20 };
	int status;
	pid_t pid;

	pair();
	pid = on_terminal(count_winch);
	take(master);
	CHECK_OK(ioctl(master, TIOCSWINSZ, &w));
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(WEXITSTATUS(status), 17);
	unpair();
	pair();
	pid = on_terminal(read_in_background);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(WEXITSTATUS(status), 18);
	unpair();
	pair();
	pid = on_terminal(open_dev_tty);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(WEXITSTATUS(status), 19);
	CHECK_STR(take(master), "tty\r\n");
	unpair();
}

TEST(ends)
{
	char c;

	pair();
	close(slave);
	CHECK_ERRNO(read(master, &c, 1), EIO);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	CHECK_GE(slave, 0);
	close(master);
	CHECK_EQ(read(slave, &c, 1), 0);
	close(slave);
	CHECK_ERRNO(ioctl(open("/dev/null", O_RDONLY), TIOCSCTTY, 0), ENOTTY);
}

/* The calls of old, and what root locks. */
TEST(termio_and_locks)
{
	struct { unsigned short iflag, oflag, cflag, lflag; unsigned char line, cc[8]; } io;
	struct { unsigned iflag, oflag, cflag, lflag; unsigned char line, cc[19]; } lk = { 0 }, got = { 0 };
	struct termios t;
	int m = posix_openpt(O_RDWR | O_NOCTTY), s;

	REQUIRE(m >= 0 && grantpt(m) == 0 && unlockpt(m) == 0);
	s = open(ptsname(m), O_RDWR | O_NOCTTY);
	CHECK_OK(ioctl(s, 0x5405 /* TCGETA */, &io));
	CHECK(io.lflag & ECHO);
	io.lflag &= ~ECHO;
	for (unsigned req = 0x5406; req <= 0x5408; req++) /* TCSETA, TCSETAW, TCSETAF */
		CHECK_OK(ioctl(s, req, &io));
	CHECK_OK(tcgetattr(s, &t));
	CHECK(!(t.c_lflag & ECHO) && t.c_lflag & ICANON);
	CHECK_OK(ioctl(s, 0x5456 /* TIOCGLCKTRMIOS */, &got));
	CHECK_EQ(got.lflag, 0);
	lk.lflag = ICANON;
	CHECK_OK(ioctl(s, 0x5457 /* TIOCSLCKTRMIOS */, &lk));
	t.c_lflag = ISIG;
	CHECK_OK(tcsetattr(s, TCSANOW, &t));
	CHECK_OK(tcgetattr(s, &t));
	CHECK_EQ(t.c_lflag & (ICANON | ISIG | ECHO), ICANON | ISIG);
	close(s);
	close(m);
}

/* Job control is a process' business, whichever of its threads asks: only the leading one is in the lists of the group and the session. */
#define WANT(cond)                                                                               \
	do {                                                                                     \
		if (!(cond))                                                                     \
			_exit(__LINE__ % 200 + 40);                                              \
	} while (0)

static void *touches_the_terminal(void *how)
{
	char c;

	if (*(char *)how == 'r')
		(void)!read(0, &c, 1);
	else
		(void)tcsetpgrp(0, getpgrp());
	_exit(errno == EIO ? 33 : 34);
}

/* A process in the background, of which a second thread touches the terminal: its wait status. */
static int from_background(const char *how, void (*handler)(int))
{
	int status;
	pthread_t t;
	pid_t pid = fork();

	if (!pid) {
		signal(*how == 'r' ? SIGTTIN : SIGTTOU, handler);
		setpgid(0, 0);
		pthread_create(&t, NULL, touches_the_terminal, (void *)how);
		for (;;)
			pause();
	}
	setpgid(pid, pid);
	WANT(waitpid(pid, &status, WUNTRACED) == pid);
	if (WIFSTOPPED(status)) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return status;
}

static void *asks_about_the_terminal(void *unused)
{
	int status;
	pid_t pid;

	WANT(tcgetpgrp(0) == getpid() && tcgetsid(0) == getpid());
	status = from_background("r", SIG_DFL);
	WANT(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTIN);
	status = from_background("r", SIG_IGN);
	WANT(WIFEXITED(status) && WEXITSTATUS(status) == 33);
	status = from_background("s", SIG_DFL);
	WANT(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTOU);
	signal(SIGTTOU, SIG_IGN);
	pid = fork();
	if (!pid)
		for (;;)
			pause();
	WANT(!setpgid(pid, pid) && !tcsetpgrp(0, pid) && tcgetpgrp(0) == pid);
	WANT(!tcsetpgrp(0, getpgrp()) && tcgetpgrp(0) == getpid());
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	WANT(tcsetpgrp(0, pid) == -1 && errno == ESRCH);
	signal(SIGHUP, SIG_IGN);
	WANT(!ioctl(0, TIOCNOTTY) && open("/dev/tty", O_RDWR) == -1 && errno == ENXIO);
	WANT(!ioctl(0, TIOCSCTTY, 0) && tcgetpgrp(0) == getpid() && !ioctl(0, TIOCSCTTY, 0));
	WANT(setsid() == -1 && errno == EPERM);
	_exit(20);
}

static void in_another_thread(void)
{
	pthread_t t;

	pthread_create(&t, NULL, asks_about_the_terminal, NULL);
	pthread_join(t, NULL);
}

TEST(job_control_from_threads_that_do_not_lead)
{
	int status;

	pair();
	pid_t pid = on_terminal(in_another_thread);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(WEXITSTATUS(status), 20);
	unpair();
}

/* The terminal goes (its master closes, vhangup) while the session's processes ask for it and hang it up themselves. */
static void *hangs_up(void *unused)
{
	for (;;)
		syscall(SYS_vhangup);
	return NULL;
}

static void hangs_up_in_threads(void)
{
	pthread_t t;

	signal(SIGHUP, SIG_IGN);
	(void)!write(slave, "ready\n", 6);
	for (int i = 0; i < 3; i++)
		pthread_create(&t, NULL, hangs_up, NULL);
	for (int i = 0; i < 200; i++)
		ioctl(0, TIOCSCTTY, 0);
	_exit(21);
}

TEST(hang_up_while_the_terminal_goes)
{
	int status;

	for (int i = 0; i < 10; i++) {
		pair();
		pid_t pid = on_terminal(hangs_up_in_threads);
		CHECK_STR(take(master), "ready\r\n");
		usleep(2000);
		unpair();
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK_EQ(WEXITSTATUS(status), 21);
	}
}

TEST_MAIN
