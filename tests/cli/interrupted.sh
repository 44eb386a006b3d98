# SIGINT, SIGTERM and SIGHUP end each tool by that signal; nothing is left of
# what it was about to write, and a loop of a shell stops.
#
# A file of 100 GB, of which only the header is there: no tool is done with it
# before the signal comes.
header=
offset=0
add() {
    header+=${header:+,}"\"$1\":{\"dtype\":\"BF16\",\"shape\":[$2],"
    header+="\"data_offsets\":[$offset,$((offset + 2 * $3))]}"
    offset=$((offset + 2 * $3))
}
for layer in 0 1 2; do
    for part in q k v o; do
        add "model.layers.$layer.self_attn.${part}_proj.weight" 65536,65536 \
            4294967296
    done
    for part in gate up; do
        add "model.layers.$layer.mlp.${part}_proj.weight" 1,65536 65536
    done
    add "model.layers.$layer.mlp.down_proj.weight" 65536,1 65536
    for part in input post_attention; do
        add "model.layers.$layer.${part}_layernorm.weight" 65536 65536
    done
done
add model.norm.weight 65536 65536
add model.embed_tokens.weight 1,65536 65536
header="{$header}"
length=$(printf '%016x' ${#header} |
    sed -E 's/(..)(..)(..)(..)(..)(..)(..)(..)/\\x\8\\x\7\\x\6\\x\5\\x\4\\x\3\\x\2\\x\1/')
{
    printf '%b' "$length"
    printf '%s' "$header"
} >big.safetensors
truncate -s $((8 + ${#header} + offset)) big.safetensors
echo old >model.gqa

# state PID FIELD: of /proc/PID/status.
state() { sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status" 2>/dev/null; }

# works PID NAME: until that tool is at work: convert catches signals when it
# begins to write (bit 1 of the mask: SIGINT), verify when it starts, and
# inspect, which has nothing to clean up, never.
works() {
    until [[ $(state "$1" Name) == "$2" ]]; do sleep 0.05; done
    [[ $2 == gqa-inspect ]] && return
    until ((0x$(state "$1" SigCgt) & 2)); do sleep 0.05; done
}

interrupt() {
    local signal=$1 pid status=0
    shift
    # Jobs of a script ignore SIGINT, but for one that asks.
    (trap - INT; exec "$@" >out 2>err) &
    pid=$!
    works "$pid" "$1"
    kill "-$signal" "$pid"
    { wait "$pid" || status=$?; } 2>/dev/null
    echo "$1: $(kill -l "$status")"
    cat out err
}

for signal in INT TERM HUP; do
    interrupt "$signal" gqa-convert -q --force --n-heads 512 -g 256 \
        big.safetensors model.gqa
    interrupt "$signal" gqa-inspect --stats --n-heads 512 big.safetensors
    interrupt "$signal" gqa-verify -q --report report.json --n-heads 512 \
        big.safetensors
done
cat model.gqa
ls -A

# ^C goes to all processes of a terminal's group.
cat >loop <<'END'
for i in 1 2 3; do
    echo "round $i"
    bash -c 'echo $$ >pid; exec gqa-convert -q --force --n-heads 512 -g 256 \
        big.safetensors model.gqa'
done
echo "all rounds"
END
(trap - INT; exec setsid bash loop) &
loop=$!
until [[ -s pid ]]; do sleep 0.05; done
works "$(cat pid)" gqa-convert
kill -INT -- "-$loop"
status=0
wait "$loop" || status=$?
echo "loop: $(kill -l "$status")"
