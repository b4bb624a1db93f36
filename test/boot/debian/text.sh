#!/bin/bash
# grep, sed, gawk, findutils, diff
set -e
mkdir -p d/{x,y}/z; for i in 1 2 3 4 5; do echo "line $i of file" >d/x/f$i.txt; done; echo needle >>d/x/f3.txt
cp d/x/f3.txt d/y/z/deep.c
grep -rl needle d | sort; grep -c line d/x/f1.txt; grep -n needle d/x/f3.txt; echo abc123 | grep -oE '[0-9]+'
echo 'foo.bar' | grep -P 'foo\.(?=bar)' ; grep -v line d/x/f3.txt; grep -q absent d/x/f1.txt || echo "absent $?"
sed -n '/needle/p' d/x/f3.txt; sed 's/line \([0-9]\)/row <\1>/' d/x/f2.txt; sed -i 's/file/FILE/' d/x/f1.txt; cat d/x/f1.txt
printf '1\n2\n3\n' | sed -n '$!{h;d};H;x;p' ; seq 6 | sed '2~2d' | tr '\n' ' '; echo
gawk 'BEGIN { for (i = 1; i <= 5; i++) s += i * i; print s, length("quoin"), substr("abcdef", 2, 3), toupper("x") }'
seq 100 | gawk '{ s += $1 } END { print s, NR, s / NR }'
gawk -F: '$3 == 0 { print $1, $NF ~ /sh$/ }' /etc/passwd
gawk 'BEGIN { "echo piped" | getline x; print x; print "to sort 2\nto sort 1" | "sort"; close("sort"); printf "%5.2f|%e\n", 3.14159, 12345.678 }'
gawk 'BEGIN { n = split("c a b", w); asort(w); for (i = 1; i <= n; i++) printf "%s ", w[i]; print ""; print strftime("%Y", 0, 1) }'
find d -type f | sort; find d -name '*.c' -newer /etc/passwd | wc -l; find d -type d -empty
find d -name 'f*.txt' -size -1k | wc -l; find d -name 'f[45].txt' -exec rm {} +; find d -type f | wc -l
find d -type f -print0 | sort -z | xargs -0 -n 2 echo args: ; seq 10 | xargs -P 4 -I{} sh -c 'echo {}' | sort -n | tail -n 1
diff -u d/x/f2.txt d/x/f3.txt | tail -n +3 || true
