#!/bin/dash
# dash: the shell of scripts
set -eu
i=0; while [ $i -lt 5 ]; do i=$((i + 1)); printf %s "$i "; done; echo
f() { echo "f: $# $1"; return 3; }
f x y || echo "returned $?"
case hello in h*o) echo glob;; *) echo no;; esac
x=$(echo nested "$(echo deep)"); echo "$x"
echo "${UNSET:-default} ${x#* } ${x%% *} ${#x}"
(trap 'echo child trap' TERM; kill -TERM $(sh -c 'echo $PPID'); echo after) || echo "sub $?"
sleep 5 & kill -9 $!; wait $! || echo "wait $?"
ls /nonexistent 2>/dev/null || echo "ls failed"
cat <<'END' | while read -r a b; do echo "$b-$a"; done
1 one
2 two
END
set -- a b c; shift; echo "$*"
exec 4<<END
fd four
END
cat <&4
umask 027; : >file; ls -l file | cut -c1-10
