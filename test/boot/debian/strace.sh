#!/bin/bash
# strace: following children, counting, attaching, injecting errors; results of the program unchanged
# TIMEOUT: 60
strace -f -o tr /bin/sh -c 'ls /proc/self/fd >/dev/null; exit 3'; echo "exit $?"
grep -c 'execve(' tr; grep -o 'exit_group(3).*' tr; grep -c 'exited with' tr
strace -e trace=openat -e inject=openat:error=EACCES:when=2 cat /etc/passwd 2>&1 | grep -c INJECTED
strace -c -o cnt /bin/true; grep -c execve cnt
strace --seccomp-bpf -f -e trace=execve /bin/sh -c '/bin/true; /bin/true' 2>&1 | grep -c '^\(\[pid *[0-9]*\] \)\?execve.*= 0'
sleep 100 & s=$!
strace -p $s -o at 2>/dev/null & t=$!
while ! grep -q '^TracerPid:.[1-9]' /proc/$s/status; do sleep 0.1; done
sleep 0.3; kill $s; wait $t; tail -n 1 at
strace -e trace=none -e signal=usr1 sh -c 'trap "echo got it" USR1; kill -USR1 $$' 2>&1 | sed 's/si_pid=[0-9]*/si_pid=N/'
strace -qq -e trace=getpid,kill -e signal=none python3 -c 'import os; os.kill(os.getpid(), 0)' 2>&1 | sed 's/[0-9][0-9]*/N/g' | tr -s ' ' | sort -u
