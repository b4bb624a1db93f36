#!/bin/sh
# ROOT: small
# TIMEOUT: 180
# 1,000 fork+exec of /bin/true leave free pages and slab objects where they were
state() {
	awk '/^(MemFree|Slab|PageTables|KernelStack):/ { print $1, $2 }' /proc/meminfo
	awk 'NR > 2 { print "slab", $1, $2 }' /proc/slabinfo
}
loop() { i=0; while [ $i -lt "$1" ]; do /bin/true; i=$((i + 1)); done; }
loop 100
sleep 1; state >before
loop 1000
sleep 1; state >after
# what a page or two per CPU in free lists and magazines may hide
awk 'NR == FNR { v[$1 $2] = $NF; next }
	$1 == "slab" { d = $3 - v[$1 $2]; if (d > 64) { print "leak:", $2, v[$1 $2], "->", $3; bad = 1 } next }
	{ d = $2 - v[$1 $2] }
	END { exit bad }' before after || bad=1
awk '/^MemFree/ { print $2 }' before after | { read -r a; read -r b; [ $((a - b)) -lt 512 ] ||
	{ echo "free memory fell from $a to $b KiB"; exit 1; }; } || bad=1
[ -z "$bad" ] && echo "no leak"
