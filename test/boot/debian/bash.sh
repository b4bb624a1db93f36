#!/bin/bash
# bash: pipes, here-documents, process substitution, arrays, traps, job control
set -m
echo one two three | tr ' ' '\n' | sort -r | head -n 2
cat <<END
here: $((6 * 7)) ${BASH_VERSINFO[0]}
END
cat <<<"here string"
diff <(seq 3) <(seq 2 4)
a=(x y z); a[5]=w; echo "${a[@]}" "${#a[@]}" "${!a[@]}"
declare -A m=([k]=v [q]=r); echo "${m[k]}" "${m[q]}"
f() { local v=$1; [ "$v" -le 1 ] && echo 1 || echo $((v * $(f $((v - 1))))); }
f 10
(exit 3); echo "status $?"
false | true; echo "pipestatus ${PIPESTATUS[*]}"
trap 'echo got usr1' USR1; kill -USR1 $$
(trap 'echo leaving' EXIT; echo body)
sleep 100 & sleep 0.3; kill %1; wait %1 2>/dev/null; echo "killed $?"
sleep 0.2 & sleep 0.1 & wait; echo waited
{ sleep 0.3; echo background; } & wait $!
exec 3>out; echo to three >&3; exec 3>&-; cat out
read -r x y <<<"left right rest"; echo "$y|$x"
shopt -s extglob; v=aaabbb; echo "${v##+(a)}" "${v/b/-}" "${v^^}"
printf '%05d|%-6s|%x\n' 42 ab 255
for ((i = 0; i < 3; i++)); do printf '%s ' "$i"; done; echo
coproc CAT { cat; }; echo through >&"${CAT[1]}"; read -r line <&"${CAT[0]}"; echo "$line"
[[ abc123 =~ ^([a-z]+)([0-9]+)$ ]] && echo "${BASH_REMATCH[2]} ${BASH_REMATCH[1]}"
mapfile -t lines < <(seq 5); echo "${#lines[@]} ${lines[4]}"
