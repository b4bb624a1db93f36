#!/bin/bash
# procps: what /proc says about processes and the machine
set -e
sleep 321 & p=$!
ps -o pid=,ppid=,comm= -p $p | awk -v p=$p -v q=$$ '{ print $1 == p, $2 == q, $3 }'
ps -ef | grep -c '[s]leep 321'; ps aux | awk 'NR == 1 { print $1, $2, $11 }'
pgrep -f 'sleep 321' | wc -l; tr '\0' ' ' </proc/$p/cmdline; echo
grep -E '^(State|PPid|Threads|Uid)' /proc/$p/status | awk '{ print $1, ($1 == "PPid:") ? "-" : $2 }'
readlink /proc/$p/exe; readlink /proc/$p/cwd | sed "s,$PWD,here,"; ls /proc/$p/fd | tr '\n' ' '; echo
grep -cE ' r-xp ' /proc/$p/maps | awk '{ print ($1 > 1) }'; grep -c '\[stack\]' /proc/$p/maps
awk '{ print ($1 > 0), ($2 > 0) }' /proc/$p/statm; cut -d' ' -f2,3 /proc/$p/stat
pkill -f 'sleep 321'; wait $p || echo "killed $?"
free -m | awk '/^Mem:/ { print ($2 > 100), ($2 >= $3), NF }'
uptime -p | cut -d' ' -f1; vmstat 1 2 | tail -n 1 | awk '{ print NF }'
awk '{ print NF }' /proc/loadavg; grep -cE '^(MemTotal|MemFree|MemAvailable|Slab):' /proc/meminfo
grep -c '^processor' /proc/cpuinfo | awk -v n="$(nproc)" '{ print $1 == n }'; grep -m1 -c '^btime' /proc/stat
grep -c '^cpu[0-9]' /proc/stat | awk -v n="$(nproc)" '{ print $1 == n }'
top -bn1 | head -n 1 | cut -d' ' -f1; w -h >/dev/null; sysctl -n kernel.ostype; cat /proc/sys/kernel/pid_max | grep -cE '^[0-9]+$'
