#!/bin/bash
# tar and gzip: there and back, with links and modes
set -e
mkdir -p src/sub; seq 20000 >src/sub/numbers; echo '#!/bin/sh' >src/run; chmod 755 src/run; ln -s sub/numbers src/link
ln src/run src/hard; head -c 300000 /dev/urandom >src/random; mkdir src/empty
tar czf a.tar.gz src; tar tzf a.tar.gz | sort | tr '\n' ' '; echo
mkdir out; tar xzf a.tar.gz -C out; diff -r src out/src && echo identical
stat -c '%a %h' out/src/run; readlink out/src/link
gzip -k src/sub/numbers; gzip -l src/sub/numbers.gz | awk 'END { print $2, ($1 < $2) }'; gzip -t src/sub/numbers.gz && echo good
zcat src/sub/numbers.gz | tail -n 1; gunzip -c src/sub/numbers.gz | cmp - src/sub/numbers && echo same
head -c 1000 src/sub/numbers.gz | gzip -t 2>/dev/null || echo "truncated $?"
tar cf - -C src . | gzip -1 | gzip -d | tar tf - | wc -l
tar cf b.tar src/run; tar rf b.tar src/link; tar tvf b.tar | awk '{ print $1, $6, $7, $8 }'
zcat /proc/config.gz | grep CONFIG_MMU= # compressed by the kernel build
