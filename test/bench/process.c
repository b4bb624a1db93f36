/*
 * Processes, threads, and handing the CPU from one to the other.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "bench.h"

static void fork_exit_wait(struct bench *b, long touched)
{
	char *p = touched ? map_small(touched) : NULL;
	int n = touched ? 1 : 4;

	if (p)
		touch(p, touched);
	while (bench_more(b)) {
		int wrong = 0;

		begin(b);
		for (int i = 0; i < n; i++) {
			pid_t pid = fork();

			if (!pid)
				_exit(p ? p[touched / 2] & 0x7f : 7);
			wrong |= !exits_with(pid, p ? pattern(touched / 2) & 0x7f : 7);
		}
		end(b, n);
		CHECK(!wrong);
	}
}

BENCH_ROW(fork_exit_wait, CORE, fork_exit_wait, 0, "a small static process", 7);
BENCH_ROW(fork_exit_wait_64m, CORE, fork_exit_wait, 64 << 20, "with 64 MiB touched, small pages", 5);

/* Each new program has a layout of its own by chance: many, and their mean. */
enum { EXECS = 20 };

BENCH_MEAN(fork_exec_wait, CORE, "a tiny static ELF")
{
	const char *path = tiny_program();
	char *const args[] = { "tiny", NULL }, *const env[] = { NULL };

	while (bench_more(b)) {
		int wrong = 0;

		begin(b);
		for (int i = 0; i < EXECS; i++) {
			pid_t pid = fork();

			if (!pid) {
				execve(path, args, env);
				_exit(1);
			}
			wrong |= !exits_with(pid, TINY_EXIT);
		}
		end(b, EXECS);
		CHECK(!wrong);
	}
}

/* vfork's child runs on our stack: nothing of the caller's lives across it. */
static __attribute__((noinline)) pid_t vfork_exec(const char *path, char *const *args,
						  char *const *env)
{
	pid_t pid = vfork();

	if (!pid) {
		execve(path, args, env);
		_exit(1);
	}
	return pid;
}

BENCH_MEAN(vfork_exec_wait, CORE, "a tiny static ELF")
{
	const char *path = tiny_program();
	char *const args[] = { "tiny", NULL }, *const env[] = { NULL };

	while (bench_more(b)) {
		int wrong = 0;

		begin(b);
		for (int i = 0; i < EXECS; i++)
			wrong |= !exits_with(vfork_exec(path, args, env), TINY_EXIT);
		end(b, EXECS);
		CHECK(!wrong);
	}
}

BENCH_MEAN(posix_spawn, CORE, "a tiny static ELF, and wait")
{
	const char *path = tiny_program();
	char *const args[] = { "tiny", NULL }, *const env[] = { NULL };

	while (bench_more(b)) {
		int wrong = 0;

		begin(b);
		for (int i = 0; i < EXECS; i++) {
			pid_t pid = -1;

			wrong |= posix_spawn(&pid, path, NULL, NULL, args, env);
			wrong |= !exits_with(pid, TINY_EXIT);
		}
		end(b, EXECS);
		CHECK(!wrong);
	}
}

static void *return_twice(void *arg)
{
	return (void *)(2 * (intptr_t)arg);
}

BENCH(thread_create_join, CORE, "pthread_create, pthread_join (musl)")
{
	while (bench_more(b)) {
		intptr_t wrong = 0;

		begin(b);
		for (intptr_t i = 1; i <= 10; i++) {
			pthread_t thread;
			void *got = NULL;

			wrong |= pthread_create(&thread, NULL, return_twice, (void *)i);
			wrong |= pthread_join(thread, &got);
			wrong |= (intptr_t)got != 2 * i;
		}
		end(b, 10);
		CHECK(!wrong);
	}
}

/* A child that sends back what it receives, plus one, until the channel closes. */
static pid_t echo_child(int in, int out, int close1, int close2)
{
	pid_t pid = fork();
	unsigned char c;

	NEED(pid >= 0);
	if (pid)
		return pid;
	close(close1);
	close(close2);
	while (read(in, &c, 1) == 1) {
		c++;
		if (write(out, &c, 1) != 1)
			_exit(1);
	}
	_exit(0);
}

static void ping_pong(struct bench *b, int in, int out)
{
	while (bench_more(b)) {
		int wrong = 0;

		begin(b);
		for (int i = 0; i < 50; i++) {
			unsigned char c = i, back = 0;

			wrong |= write(out, &c, 1) != 1 || read(in, &back, 1) != 1;
			wrong |= back != i + 1;
		}
		end(b, 100);
		CHECK(!wrong);
	}
}

BENCH(pipe_hop, CORE, "one byte one way, with the context switch")
{
	int there[2], back[2];
	pid_t pid;

	NEED(!pipe(there) && !pipe(back));
	pid = echo_child(there[0], back[1], there[1], back[0]);
	close(there[0]);
	close(back[1]);
	ping_pong(b, back[0], there[1]);
	close(there[1]);
	CHECK(exits_with(pid, 0));
}

BENCH(unix_hop, CORE, "one byte one way over a socket pair")
{
	int sv[2];
	pid_t pid;

	NEED(!socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	pid = echo_child(sv[1], sv[1], sv[0], -1);
	close(sv[1]);
	ping_pong(b, sv[0], sv[0]);
	close(sv[0]);
	CHECK(exits_with(pid, 0));
}

static long futex(uint32_t *word, int op, uint32_t value)
{
	return syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

/* Wait until the word has the value. */
static void futex_await(uint32_t *word, uint32_t value)
{
	uint32_t now;

	while ((now = __atomic_load_n(word, __ATOMIC_ACQUIRE)) != value)
		futex(word, FUTEX_WAIT, now);
}

static void futex_set(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
	futex(word, FUTEX_WAKE, 1);
}

BENCH(futex_hop, CORE, "wake the other process, wait for it")
{
	uint32_t *word = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint32_t *stop = word + 1, turn = 0;
	pid_t pid;

	NEED(word != MAP_FAILED);
	pid = fork();
	NEED(pid >= 0);
	if (!pid) {
		for (uint32_t i = 1;; i += 2) {
			futex_await(word, i);
			if (*stop)
				_exit(0);
			futex_set(word, i + 1);
		}
	}
	while (bench_more(b)) {
		begin(b);
		for (int i = 0; i < 50; i++) {
			futex_set(word, turn + 1);
			futex_await(word, turn += 2);
		}
		end(b, 100);
		CHECK(*word == turn);
	}
	*stop = 1;
	futex_set(word, turn + 1);
	CHECK(exits_with(pid, 0));
}

enum { CHUNK = 65536 };

/* Write the pattern for ever. */
static void pipe_source(int fd)
{
	static char buf[CHUNK];

	for (size_t i = 0; i < CHUNK; i++)
		buf[i] = pattern(i);
	for (;;)
		for (ssize_t at = 0, n; at < CHUNK; at += n)
			if ((n = write(fd, buf + at, CHUNK - at)) <= 0)
				_exit(0);
}

BENCH(pipe_bandwidth, CORE, "64 KiB from another process")
{
	static char buf[CHUNK];
	int p[2];
	pid_t pid;

	NEED(!pipe(p));
	pid = fork();
	NEED(pid >= 0);
	if (!pid) {
		close(p[0]);
		pipe_source(p[1]);
	}
	close(p[1]);
	while (bench_more(b)) {
		int wrong = 0;

		memset(buf, 0, CHUNK);
		begin(b);
		for (int i = 0; i < 10; i++)
			for (ssize_t at = 0, n; at < CHUNK; at += n)
				if ((n = read(p[0], buf + at, CHUNK - at)) <= 0)
					bench_skip(errno);
		end(b, 10);
		for (size_t i = 0; i < CHUNK; i++)
			wrong += buf[i] != pattern(i);
		CHECK(!wrong);
	}
	close(p[0]);
	waitpid(pid, NULL, 0);
}
