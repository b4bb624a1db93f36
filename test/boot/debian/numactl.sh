#!/bin/bash
# TIMEOUT: 60
# BOOT: --smp 4 --memory 1G --numa 2
# numactl's programs: what the machine has, policies for a command, moving a process
numactl --hardware | grep -E '^available|node distances|^node +0 +1'
numactl --show | grep -E '^policy|^membind'
for p in --interleave=all --membind=1 --preferred=1 --localalloc; do
	numactl $p numactl --show | grep '^policy'
done
numactl --membind=1 bash -c 'grep -c bind:1 /proc/self/numa_maps >/dev/null && echo bound'
numactl --membind=0 sleep 30 &
sleep 1
migratepages $! 0 1 && echo moved
# its own pages are on node 1 now; those of the libraries, which others share, are on either
grep -E 'heap|stack' /proc/$!/numa_maps | grep -c N0=
kill $!
numastat -n >/dev/null && numastat | grep -cE '^(numa_hit|numa_miss|numa_foreign|interleave_hit|local_node|other_node)'
numactl --physcpubind=0 --membind=0 true && echo ran
numactl --membind=7 true 2>/dev/null || echo refused
exit 0
