#!/bin/bash
# coreutils: files, links, modes, times, text, sums
set -e
mkdir -p a/b/c; cd a
seq 1000 >numbers; wc numbers
head -n 3 numbers | paste -sd+; tail -n 2 numbers; sort -rn numbers | sed -n 5p
sha256sum numbers; md5sum numbers; cksum numbers
cp numbers b/copy; cmp numbers b/copy && echo same
ln b/copy hard; ln -s b/copy soft; stat -c '%h %s %F' hard soft; readlink soft; readlink -f soft | sed "s,$PWD,,"
mv hard b/c/moved; ls -R | head -n 20
chmod 640 b/copy; stat -c %a b/copy; chmod u+x,g-r b/copy; stat -c %A b/copy
touch -d '2020-02-29 12:34:56 UTC' t; date -u -r t '+%F %T'; [ t -ot numbers ] && echo older
dd if=/dev/zero of=zeros bs=4096 count=25 status=none; stat -c %s zeros; truncate -s 1M zeros; stat -c %s zeros
od -An -tx1 -N8 zeros; tr '\0' x <zeros | head -c 5; echo
cut -d: -f1 /etc/passwd | head -n 2; uniq -c <<<$'a\na\nb' | tr -s ' '
printf '%s\n' b a c | tee copy | sort | tr '\n' ' '; echo; cat copy | tac | tr '\n' ' '; echo
join <(printf '1 a\n2 b\n') <(printf '1 x\n2 y\n'); comm -12 <(seq 1 5) <(seq 3 8) | tr '\n' ' '; echo
split -l 300 numbers part.; ls part.* | wc -l; cat part.* | cmp - numbers && echo rejoined
mkfifo p; (echo through fifo >p &); cat p
du -sk --apparent-size b | cut -f1 | grep -qE '^[0-9]+$' && echo du
df -P . | tail -n 1 | grep -q / && echo df
env -i A=b env; nice -n 5 nice; expr 7 \* 6; factor 5040; basename /x/y.c .c; dirname /x/y
timeout 0.5 sleep 10 || echo "timeout $?"
id -u; id -un; whoami; uname -s; nproc | grep -qE '^[1-9]' && echo nproc
mktemp -d | grep -q /tmp && echo mktemp
rm -r b; ls; rmdir missing 2>/dev/null || echo "rmdir fails"; test -e b || echo gone
cd ..; rm -rf a; ls -A
base64 <<<hello; numfmt --to=iec 1048576; seq -s, 5; shuf -i 1-100 | sort -n | md5sum
stat -c %n /proc/self/exe >/dev/null; realpath /bin/ls; sync
