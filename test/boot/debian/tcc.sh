#!/bin/bash
# TIMEOUT: 90
# tcc with libc6-dev: compile, link and run in the guest
set -e
cat >prog.c <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <math.h>
static int cmp(const void *a, const void *b) { return *(int *)a - *(int *)b; }
static void *thread(void *arg) { *(int *)arg *= 2; return arg; }
int main(int argc, char **argv)
{
	int v[1000], x = 21;
	pthread_t t;

	for (int i = 0; i < 1000; i++)
		v[i] = (i * 7919) % 1000;
	qsort(v, 1000, sizeof *v, cmp);
	pthread_create(&t, NULL, thread, &x);
	pthread_join(t, NULL);
	printf("%d %d %d %s %.4f\n", v[0], v[999], x, argc > 1 ? argv[1] : "-", sqrt(2));
	return strlen("seven77") == 7 ? 7 : 1;
}
END
tcc -o prog prog.c -lm -lpthread
./prog argument || echo "exit $?"
tcc -c prog.c -o prog.o && test -s prog.o && echo object
tcc -run -lm -lpthread prog.c || echo "run $?"
echo 'int f(int a) { return a * 3; }' >lib.c; tcc -shared -o libf.so lib.c
echo 'int f(int); int printf(const char *, ...); int main(void) { printf("shared %d\n", f(14)); return 0; }' >use.c
tcc -o use use.c -L. -lf; LD_LIBRARY_PATH=. ./use
echo 'int main( { }' >bad.c; tcc bad.c 2>&1 | head -n 1 | cut -d: -f1,2
for i in 1 2 3 4 5; do tcc -o p$i prog.c -lm -lpthread & done; wait; for i in 1 2 3 4 5; do ./p$i $i || true; done
