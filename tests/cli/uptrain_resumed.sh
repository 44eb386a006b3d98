# A run that is killed, or stopped, goes on to the same bits; so do other
# numbers of threads.
sample=$DATA/sample/t5-tiny16/tf_model.h5
gqa-convert -q --groups 2 "$sample" model.gqa
options=(-q --steps 12 --batch 2 --length 16 --eval-sequences 2
    --eval-every 2 --teacher "$sample")
train() {
    gqa-uptrain "${options[@]}" "$@"
}
train model.gqa whole.gqa
echo "exit $?"
train --threads 1 model.gqa one.gqa
cmp whole.gqa one.gqa && echo "one thread: the same"
# Wait for a state that comes, then send a signal.
stop() {
    local state=$2/uptrain-state.safetensors

    gqa-uptrain "${options[@]}" --checkpoint "$2" --every 1 model.gqa "$2.gqa" \
        2>/dev/null &
    until [[ -e $state ]]; do :; done
    kill -s "$1" $!
    wait $! 2>/dev/null
    [[ -e $2.gqa ]] && echo "it was too quick"
    train --checkpoint "$2" --every 1 --log "$2.log" model.gqa "$2.gqa"
    echo "exit $?"
    head -c 10 "$2.log"
    echo
    cmp whole.gqa "$2.gqa" && echo "$1: the same"
    ls -A "$2"
}
stop KILL killed
stop TERM stopped
# A run that is over has nothing left to do.
train --checkpoint stopped --force model.gqa stopped.gqa
cmp whole.gqa stopped.gqa && echo "over: the same"
# An output that cannot be written costs nothing that was trained.
(
    ulimit -f 2700
    train --checkpoint full model.gqa full.safetensors
    echo "exit $?"
    train model.gqa full.safetensors
    echo "exit $?"
) 2>&1 | sed 's/after [0-9]* of [0-9]* bytes/after N bytes/'
# Nor where no state can be kept either, which is said as it is
(
    ulimit -f 20
    train --checkpoint less model.gqa less.safetensors
    echo "exit $?"
) 2>&1 | sed 's/after [0-9]* of [0-9]* bytes/after N bytes/'
train --checkpoint full --log full.log model.gqa full.gqa
echo "exit $?"
cut -d : -f 1 full.log
cmp whole.gqa full.gqa && echo "written later: the same"
# Nor does a state.
(
    ulimit -f 2000
    train --checkpoint small --every 5 model.gqa small.gqa
    echo "exit $?"
) 2>&1 | sed 's/after [0-9]* of [0-9]* bytes/after N bytes/'
cmp whole.gqa small.gqa && echo "no state: the same"
touch file
train --checkpoint file model.gqa other.gqa
echo "exit $?"
# States of other runs
train --checkpoint stopped --seed 1 model.gqa other.gqa
echo "exit $?"
train --checkpoint stopped --rate 1e-3 model.gqa other.gqa
echo "exit $?"
train --checkpoint stopped --top-k 9 model.gqa other.gqa
echo "exit $?"
# Whatever changes a bit, or what is written, must be what it was.
for other in '--steps 13' '--batch 3' '--accumulate 2' '--length 15' \
    '--samples 9' '--temperature 0.5' '--loss ce' '--optimiser adafactor' \
    '--weight-decay 0.1' '--clip 0.5' '--schedule cosine' '--warmup 0' \
    '--eval-every 3' '--eval-sequences 3' '--until-kl 1e-9' \
    '--train all' '--data self,notes' "--family $DATA/../../formats/families/opt.json"; do
    echo some notes >notes
    # shellcheck disable=SC2086
    train --checkpoint stopped $other model.gqa other.gqa 2>&1 |
        sed -E 's/.* another ([^:]*):.*/another \1/'
done
gqa-convert -q --groups 8 "$sample" eight.gqa
train --checkpoint stopped eight.gqa other.gqa 2>&1 | sed 's/"[0-9a-f]*"/DIGEST/g'
# A bit that has turned, in what was best and in what is told of the run
for at in -1000 400; do
    cp -r killed damaged
    size=$(stat -c %s damaged/uptrain-state.safetensors)
    ((at > 0)) || at=$((size + at))
    printf '\377' | dd of=damaged/uptrain-state.safetensors bs=1 seek="$at" \
        conv=notrunc status=none
    train --checkpoint damaged model.gqa other.gqa
    echo "exit $?"
    rm -r damaged
done
printf 'nothing' >stopped/uptrain-state.safetensors
train --checkpoint stopped model.gqa other.gqa
echo "exit $?"
ls ./*.gqa
