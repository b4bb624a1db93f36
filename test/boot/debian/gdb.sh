#!/bin/bash
# gdb: break, run, bt, step, finish, watch, call, signals, attach
# TIMEOUT: 60
cat >p.c <<'E'
#include <stdio.h>
#include <signal.h>
int g, h;
void on(int s)
{
	h = s;
}
int fact(int n)
{
	g = n;
	h++;
	if (n < 2)
		return 1;
	return n * fact(n - 1);
}
int main(int argc, char **argv)
{
	int r;
	signal(SIGUSR1, on);
	r = fact(5);
	raise(SIGUSR1);
	printf("r=%d h=%d\n", r, h);
	return r == 120 ? 7 : 1;
}
E
tcc -g -o p p.c
clean() { sed -n "s/0x[0-9a-f]*/0xN/g; s/process [0-9]*/process N/; s/v=0xN/v=P/g; /$1/,\$p" | grep -v 'load map\|libthread_db\|^$'; }
gdb -batch -nx -ex 'break main' -ex run -ex 'bt' -ex 'break 10 if n == 2' -ex c -ex bt -ex 'p n' -ex finish -ex c ./p 2>&1 | clean 'Breakpoint 1, '
echo ---
gdb -batch -nx -ex 'break 19' -ex run -ex 'watch g' -ex c -ex c -ex 'delete' -ex 'p fact(4)' -ex 'handle SIGUSR1 stop print pass' -ex c -ex 'p $_siginfo.si_signo' -ex 'break on' -ex c -ex 'stepi' -ex 'delete' -ex c ./p 2>&1 |
	clean 'Breakpoint 1, '
echo ---
sleep 100 & p=$!; disown
gdb -batch -nx -p $p -ex "info program" -ex "kill" 2>&1 | grep -c "stopped\|killed"
echo ---
cat >c.c <<'E'
#include <stdlib.h>
int answer = 42;
void deep(int n) { if (n) deep(n - 1); else abort(); }
int main(void) { deep(2); return 0; }
E
tcc -g -o c c.c
{ (ulimit -c unlimited; exec ./c); echo "status $?"; } 2>/dev/null
gdb -batch -nx -ex 'p answer' -ex 'frame function main' -ex 'info auxv' ./c core 2>&1 | clean 'Program terminated' | grep -v 'AT_'
