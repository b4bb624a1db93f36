// VARIANTS: musl
/* conf_dnotify.c - F_NOTIFY: signals about what happens in a directory. */
#include "conf.h"

#ifndef F_NOTIFY
#define F_NOTIFY 1026
#endif

static volatile int count, last_fd, last_code;

static void on_event(int sig, siginfo_t *si, void *uc)
{
	(void)sig, (void)uc;
	count++;
	last_fd = si->si_fd;
	last_code = si->si_code;
}

static int told(void)
{
	int n = count;

	count = 0;
	return n;
}

static int watch(unsigned what)
{
	int fd = open("d", O_RDONLY | O_DIRECTORY);

	CHECK_OK(fcntl(fd, F_SETSIG, SIGRTMIN));
	CHECK_OK(fcntl(fd, F_NOTIFY, what));
	return fd;
}

TEST(events_of_a_directory)
{
	struct sigaction sa = { .sa_sigaction = on_event, .sa_flags = SA_SIGINFO };
	struct stat st;
	int fd, f;

	sigaction(SIGRTMIN, &sa, NULL);
	mkdir("d", 0755);
	fd = watch(DN_CREATE | DN_DELETE | DN_MULTISHOT);
	f = scratch("d/a");
	CHECK_EQ(told(), 1);
	CHECK_EQ(last_fd, fd);
	CHECK_EQ(last_code, POLL_MSG);
	CHECK_EQ(write(f, "x", 1), 1);
	CHECK_OK(fchmod(f, 0600));
	CHECK_EQ(told(), 0);
	CHECK_OK(mkdir("d/sub", 0755));
	CHECK_EQ(told(), 1);
	CHECK_OK(rmdir("d/sub"));
	CHECK_EQ(told(), 1);
	CHECK_OK(rename("d/a", "b")); /* gone from here is deleted, and back made */
	CHECK_EQ(told(), 1);
	CHECK_OK(rename("b", "d/a"));
	CHECK_EQ(told(), 1);
	CHECK_OK(fcntl(fd, F_NOTIFY, DN_MODIFY | DN_ATTRIB)); /* added to the others */
	CHECK_EQ(write(f, "x", 1), 1);
	CHECK_EQ(told(), 1);
	CHECK_OK(fchmod(f, 0644));
	CHECK_EQ(told(), 1);
	CHECK_OK(stat("d/a", &st));
	CHECK_EQ(told(), 0);
	CHECK_OK(fcntl(fd, F_NOTIFY, 0));
	CHECK_EQ(write(f, "x", 1), 1);
	CHECK_EQ(told(), 0);
	close(f);
	close(fd);
	CHECK_OK(unlink("d/a"));
}

TEST(once_and_until_closed)
{
	int fd = watch(DN_CREATE | DN_RENAME), f, other;

	f = scratch("d/one");
	CHECK_EQ(told(), 1);
	close(f);
	f = scratch("d/two"); /* once only */
	CHECK_EQ(told(), 0);
	close(f);
	CHECK_OK(fcntl(fd, F_NOTIFY, DN_RENAME | DN_MULTISHOT));
	CHECK_OK(rename("d/one", "d/three"));
	CHECK_EQ(told(), 1);
	other = dup(fd);
	close(fd); /* one of the file's numbers goes, and the mark with it */
	CHECK_OK(rename("d/three", "d/one"));
	CHECK_EQ(told(), 0);
	close(other);
	/* the signal goes to who asked, not to who does it */
	fd = watch(DN_DELETE);
	CHECK_EXITS(0, count = 0; CHECK_OK(unlink("d/one")); CHECK_EQ(told(), 0));
	for (int i = 0; i < 1000 && !count; i++)
		usleep(1000);
	CHECK_EQ(told(), 1);
	CHECK_OK(unlink("d/two"));
	close(fd);
	f = scratch("file");
	CHECK_ERRNO(fcntl(f, F_NOTIFY, DN_CREATE), ENOTDIR);
	CHECK_OK(fcntl(f, F_NOTIFY, 0));
	close(f);
}

TEST_MAIN
