// BOOT: --smp 4 --memory 1G
// TIMEOUT: 60
/* Address spaces with many mappings are forked while the checkers walk all of them: a child that is being made is not looked at. */
#include "check.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>

#define MAPS 600
#define P 4096ul

TEST_FORK(forks_under_the_checkers)
{
	char text[16] = "", *m = mmap(NULL, 2 * MAPS * P, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t checker;
	int st, forks = 0;

	REQUIRE(m != MAP_FAILED);
	for (int i = 0; i < MAPS; i++) {
		CHECK_OK(mprotect(m + 2 * i * P, P, PROT_READ | PROT_WRITE));
		m[2 * i * P] = i;
	}
	checker = fork();
	if (!checker) {
		int fd = open("/proc/sys/vm/check", O_RDWR);

		for (int i = 0; i < 25; i++) {
			if (pwrite(fd, "1", 1, 0) != 1 || pread(fd, text, sizeof text - 1, 0) < 1)
				_exit(2);
			if (atoi(text)) {
				printf("  %d mismatches\n", atoi(text));
				fflush(stdout);
				_exit(1);
			}
		}
		_exit(0);
	}
	while (waitpid(checker, &st, WNOHANG) == 0) {
		pid_t p = fork();

		if (!p) {
			for (int i = 0; i < MAPS; i++)
				if (m[2 * i * P] != (char)i)
					_exit(1);
			_exit(0);
		}
		int s = 1;
		waitpid(p, &s, 0);
		CHECK_EQ(s, 0);
		forks++;
	}
	CHECK_EQ(st, 0);
	CHECK_GE(forks, 5);
}

TEST_MAIN
