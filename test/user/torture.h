/* torture.h - what the long random programs share. */
#ifndef TORTURE_H
#define TORTURE_H

#include <stdio.h>

/* The number of mismatches the kernel's own checkers find now; 0 on Linux, which has none. */
static inline int kernel_check(void)
{
	FILE *f = fopen("/proc/sys/vm/check", "r+");
	int n = 0;

	if (!f)
		return 0; /* not Quoin */
	fputs("1", f);
	fflush(f);
	rewind(f);
	if (fscanf(f, "%d", &n) != 1)
		n = -1;
	fclose(f);
	if (n)
		printf("FAIL: the kernel's checkers found %d mismatches\n", n);
	return n;
}

#endif
