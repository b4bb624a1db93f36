/*
 * guestinit - PID 1 of a guest that runs one program (test/guest).
 *
 * It makes the usual mounts, reads the argument vector from /.guest/argv (strings ended by NUL),
 * runs the program with an empty standard input and its output on the host channels, reaps whatever
 * is orphaned meanwhile, tells the host the exit code and powers the machine off.
 *
 * The host channels are three byte-wide I/O ports of QEMU's isa-debugcon: 0x4e0 standard output,
 * 0x4e1 standard error, 0x4e2 control.  Quoin shows them as /dev/hostout, /dev/hosterr, /dev/hostctl.
 * On a kernel without these devices (test/guest --linux, which runs the same programs on Linux to see
 * what is right) a child relays pipes to the ports.
 *
 * Control protocol, one line each: "start" before the program runs, "exit N" after it ended (128 +
 * signal when it was killed).  "panic" comes from the kernel.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PORT_OUT = 0x4e0, PORT_ERR = 0x4e1, PORT_CTL = 0x4e2 };

static int relays;	/* children that must end before the exit code is told */
static int ctl_fd = -1;

static void mount_at(const char *type, const char *where, const char *options)
{
	mkdir(where, 0755);
	if (mount(type, where, type, MS_NOSUID, options) && errno != EBUSY)
		fprintf(stderr, "guestinit: mount %s: %s\n", where, strerror(errno));
}

static void relay(int in, unsigned port)
{
	static char buf[65536];
	ssize_t n;

	ioperm(PORT_OUT, 3, 1);
	while ((n = read(in, buf, sizeof buf)) != 0)
		for (ssize_t i = 0; i < n; i++)
			outb(buf[i], port);
	_exit(0);
}

/* The write end of a channel: its device, or a pipe to a relaying child. */
static int channel_open(const char *device, unsigned port)
{
	int fd = open(device, O_WRONLY | O_CLOEXEC), p[2];

	if (fd >= 0)
		return fd;
	if (pipe2(p, O_CLOEXEC))
		return -1;
	if (!fork()) {
		close(p[1]);
		relay(p[0], port);
	}
	close(p[0]);
	relays++;
	return p[1];
}

static void control(const char *line)
{
	if (ctl_fd >= 0) {
		if (write(ctl_fd, line, strlen(line)) < 0)
			perror("guestinit: control");
	} else if (!ioperm(PORT_OUT, 3, 1)) {
		for (; *line; line++)
			outb(*line, PORT_CTL);
		/* children would inherit it, and Linux would pay for it at each return to them */
		ioperm(PORT_OUT, 3, 0);
	}
}

static void on_alarm(int sig)
{
	(void)sig;
}

/* Let the relays empty their pipes; an orphan that keeps one open is given two seconds. */
static void relays_finish(void)
{
	struct sigaction sa = { .sa_handler = on_alarm };

	if (!relays)
		return;
	sigaction(SIGALRM, &sa, NULL);
	alarm(2);
	while (relays && wait(NULL) > 0)
		relays--;
	alarm(0);
}

static void finish(int code)
{
	char line[32];

	snprintf(line, sizeof line, "exit %d\n", code);
	control(line);
	sync();
	reboot(RB_POWER_OFF);
	_exit(code);
}

/* => argv of the program, or NULL with a message printed */
static char **read_argv(void)
{
	static char buf[131072];
	static char *argv[4096];
	int fd = open("/.guest/argv", O_RDONLY | O_CLOEXEC), argc = 0;
	ssize_t len = 0, n;

	if (fd < 0) {
		perror("guestinit: /.guest/argv");
		return NULL;
	}
	while ((n = read(fd, buf + len, sizeof buf - 1 - len)) > 0)
		len += n;
	close(fd);
	for (char *s = buf; s < buf + len && argc < 4095; s += strlen(s) + 1)
		argv[argc++] = s;
	if (!argc)
		fprintf(stderr, "guestinit: no program given\n");
	return argc ? argv : NULL;
}

static void run_program(char **argv, int out, int err)
{
	setsid();
	signal(SIGPIPE, SIG_DFL);
	if (dup2(out, 1) != 1 || dup2(err, 2) != 2)
		_exit(125);
	execvp(argv[0], argv);
	dprintf(2, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static int wait_for(pid_t pid)
{
	int status;

	for (;;) {
		pid_t got = wait(&status);

		if (got < 0 && errno != EINTR)
			return 125;
		if (got == pid)
			break;
	}
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int main(void)
{
	static const char *const links[][2] = {
		{ "/proc/self/fd", "/dev/fd" }, { "fd/0", "/dev/stdin" },
		{ "fd/1", "/dev/stdout" }, { "fd/2", "/dev/stderr" },
	};
	char **argv;
	int in, out, err, code;
	pid_t pid;

	if (getpid() != 1) {
		fprintf(stderr, "guestinit: runs as process 1 only\n");
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	umask(022);
	if (access("/dev/null", F_OK))
		mount_at("devtmpfs", "/dev", "mode=755");
	mount_at("proc", "/proc", NULL);
	mount_at("sysfs", "/sys", NULL);
	mount_at("tmpfs", "/tmp", "mode=1777");
	mount_at("tmpfs", "/run", "mode=755");
	mkdir("/dev/pts", 0755);
	mkdir("/dev/shm", 01777);
	mount_at("devpts", "/dev/pts", "ptmxmode=666");
	mount_at("tmpfs", "/dev/shm", "mode=1777");
	mkdir("/dev/mqueue", 01777);
	mount_at("mqueue", "/dev/mqueue", NULL);
	for (size_t i = 0; i < sizeof links / sizeof *links; i++)
		(void)!symlink(links[i][0], links[i][1]);
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("HOME", "/root", 1);
	setenv("TERM", "linux", 0);
	setenv("USER", "root", 1);
	if (chdir("/root"))
		(void)!chdir("/");

	ctl_fd = open("/dev/hostctl", O_WRONLY | O_CLOEXEC);
	in = open("/dev/null", O_RDONLY);
	if (in > 0) {
		dup2(in, 0);
		close(in);
	}
	argv = read_argv();
	out = channel_open("/dev/hostout", PORT_OUT);
	err = channel_open("/dev/hosterr", PORT_ERR);
	if (!argv || out < 0 || err < 0) {
		fprintf(stderr, "guestinit: cannot start\n");
		finish(125);
	}
	control("start\n");
	pid = fork();
	if (!pid)
		run_program(argv, out, err);
	close(out);
	close(err);
	code = pid < 0 ? 125 : wait_for(pid);
	relays_finish();
	finish(code);
}
