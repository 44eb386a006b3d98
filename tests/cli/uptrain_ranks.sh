# Several processes that train as one: the same sequences, losses equal within
# rounding, one output; when one is gone all end, and nothing is written.
sample=$DATA/sample/t5-tiny16/tf_model.h5
gqa-convert -q --groups 2 "$sample" model.gqa
options=(--backend cpu --threads 1 --batch 3 --length 16 --eval-sequences 2
    --eval-every 3 --rate 1e-3 --teacher "$sample")
export MASTER_PORT=$((20000 + $$ % 12000))
# ranks N OPTION...: rank 0's process is the last, ${pids[0]}.
ranks() {
    local n=$1 rank

    shift
    pids=()
    for ((rank = n - 1; rank >= 0; rank--)); do
        RANK=$rank WORLD_SIZE=$n gqa-uptrain "${options[@]}" "$@" &
        pids[rank]=$!
    done
}
ends() {
    local rank

    for rank in "${!pids[@]}"; do
        wait "${pids[rank]}" 2>/dev/null
        echo "rank $rank: $?"
    done
}
# alike LOG LOG: steps of the second whose losses are not those of the first.
alike() {
    awk '
        { match($0, /"step":[0-9]+/) }
        RSTART == 0 { next }
        {
            step = substr($0, RSTART + 7, RLENGTH - 7)
            match($0, /"loss":[-+.e0-9]+/)
            loss = substr($0, RSTART + 7, RLENGTH - 7)
        }
        NR == FNR { first[step] = loss; next }
        first[step] - loss > 1e-4 * loss || loss - first[step] > 1e-4 * loss {
            print "step " step ": " first[step] ", " loss
        }
        END { print "up to step " step }' "$1" "$2"
}
echo "== alone"
gqa-uptrain -q "${options[@]}" --steps 8 --log one.log model.gqa one.gqa
echo "exit $?"
for n in 2 3; do
    echo "== $n ranks"
    ranks "$n" -q --steps 8 --log "$n.log" model.gqa "$n.gqa"
    ends
    alike one.log "$n.log"
    gqa-inspect --recipe "$n.gqa" | grep -E '^ *ranks'
done
echo "== the same again, to the bit"
ranks 2 -q --steps 8 model.gqa again.gqa
ends
cmp 2.gqa again.gqa
echo "== taken up by another number of them"
ranks 2 -q --steps 8 --checkpoint state --every 1 model.gqa split.gqa 2>/dev/null
until [[ -e state/uptrain-state.safetensors ]]; do :; done
# Bash tells of one that was killed wherever it comes to know it
{ kill -s KILL "${pids[0]}"; ends; } >/dev/null 2>&1 # they may have been quick
rm -f split.gqa
cp -r state other
ranks 3 -q --steps 8 --checkpoint state --log three.log model.gqa split.gqa
ends
alike one.log three.log
gqa-uptrain -q "${options[@]}" --steps 8 --checkpoint other --log alone.log \
    model.gqa alone.gqa
echo "exit $?"
alike one.log alone.log
echo "== layers are matched by the first, for all"
gqa-uptrain -q "${options[@]}" --layerwise --layer-steps 4 --steps 2 \
    --log layers.log model.gqa layers.gqa
ranks 2 -q --layerwise --layer-steps 4 --steps 2 --log two.log model.gqa two.gqa
ends
alike layers.log two.log
echo "== one is killed"
for victim in 0 1; do
    ranks 2 -q --steps 100000 --eval-every 100000 --log "killed$victim.log" \
        model.gqa killed.gqa 2>killed.err
    until [[ -s killed$victim.log ]]; do sleep 0.1; done
    { kill -s KILL "${pids[victim]}"; ends; } 2>/dev/null
    cat killed.err
done
echo "== one is stopped: the first keeps the state"
ranks 2 -q --steps 100000 --eval-every 100000 --log stopped.log \
    --checkpoint stopped model.gqa killed.gqa 2>stopped.err
until grep -q '"step"' stopped.log 2>/dev/null; do sleep 0.1; done
kill -s TERM "${pids[1]}"
wait "${pids[0]}"
echo "rank 0: $?"
wait "${pids[1]}" 2>/dev/null
cat stopped.err
ls stopped
echo "== others than the first"
pids=()
RANK=1 WORLD_SIZE=2 gqa-uptrain "${options[@]}" --seed 4 model.gqa other.gqa &
pids[1]=$!
RANK=0 WORLD_SIZE=2 gqa-uptrain "${options[@]}" model.gqa other.gqa &
pids[0]=$!
ends
echo "== what cannot be"
RANK=2 WORLD_SIZE=2 gqa-uptrain "${options[@]}" model.gqa other.gqa
echo "exit $?"
RANK=0 WORLD_SIZE=4 gqa-uptrain "${options[@]}" model.gqa other.gqa
echo "exit $?"
RANK=0 WORLD_SIZE=2 gqa-uptrain "${options[@]}" - other.gqa <model.gqa
echo "exit $?"
gqa-uptrain --gpus 2 "${options[@]}" model.gqa other.gqa
echo "exit $?"
RANK=0 WORLD_SIZE=2 gqa-uptrain --gpus 2 --teacher "$sample" model.gqa other.gqa
echo "exit $?"
GQA_CUDA_PLUGIN=$PWD/nowhere gqa-uptrain --gpus 2 --teacher "$sample" \
    model.gqa other.gqa 2>&1 | sed "s|$PWD/||"
echo "exit ${PIPESTATUS[0]}"
ls ./*.gqa
