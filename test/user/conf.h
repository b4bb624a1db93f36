/*
 * conf.h - what the programs conf_*.c share: they hold the kernel to the manual pages, call by call,
 * and pass on Linux too.
 */
#ifndef CONF_H
#define CONF_H

#include "check.h"
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

/* A call that waits until SIGALRM ends it; the signal comes again should it have come too early. */
#define CHECK_INTERRUPTED(call, want)                                                            \
	do {                                                                                     \
		ualarm(20000, 20000);                                                            \
		CHECK_ERRNO(call, want);                                                         \
		ualarm(0, 0);                                                                    \
	} while (0)

#define BAD ((void *)-4096L)
#define NOPID 0x3fffffff

static inline void become_nobody(void)
{
	setgroups(0, NULL);
	if (setgid(65534) || setuid(65534))
		_exit(99);
}

static volatile int caught;
static siginfo_t caught_info;
static inline void on_signal(int sig, siginfo_t *si, void *uc)
{
	(void)uc;
	caught = sig;
	caught_info = *si;
}
static inline void catch(int sig, int flags)
{
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | flags };

	caught = 0;
	sigaction(sig, &sa, NULL);
}

static inline int scratch(const char *name)
{
	return open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
}

static inline void touch(const char *n, int mode)
{
	int fd = open(n, O_RDWR | O_CREAT | O_TRUNC, mode);

	fchmod(fd, mode);
	close(fd);
}

static inline pid_t sleeper(void)
{
	pid_t p = fork();

	if (!p) {
		for (;;)
			pause();
	}
	return p;
}

static inline int finish(pid_t p)
{
	int st;

	kill(p, SIGKILL);
	waitpid(p, &st, 0);
	return st;
}

#endif
