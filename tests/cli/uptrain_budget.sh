# In the time that there is rates are tried and steps made, however many are asked
# for: one rate is not tried for all of it.
gqa-convert -q --groups 1 "$DATA/runtime/llama" model.gqa
train() {
    echo "== $*"
    gqa-uptrain -j -f --batch 1 --length 8 --eval-sequences 2 \
        --teacher "$DATA/runtime/llama" "$@" model.gqa out.gqa >summary
    echo "exit $?"
    sed -nE 's/^    "(steps|rate)": ([1-9].*|0\.0.*),/\1 above 0/p' summary
}
train --steps 1000000 --budget-time 4s
train --steps 1000000 --budget-time 4s --layerwise --layer-steps 2
# All attentions are matched in the time, in fewer steps than were asked for, and
# it leaves some for what comes behind
for steps in 0 1000000; do
    rm -f log
    train --steps $steps --budget-time 4s --layerwise --layer-steps 1000000 \
        --batch 4 --length 16 --eval-sequences 16 --log log
    sed -nE 's/^\{"matched".*"layer": *([0-9]+).*"steps": *([0-9]{1,5})[,}].*/layer \1 in less/p' log
done
rm log
# However far apart measures are by steps, what was best on the way is known
train --steps 1000000 --budget-time 4s --rate 1e-3 --log log
(($(grep -c measured log) > 2)) && echo "measured on the way"
# The rate falls with the time that there is, not with steps that nobody will make;
# a run that is taken up goes on by the plan that it had, but where it is given other
# time
rm log
for time in 2s 2s 5s; do
    train --steps 1000000 --budget-time $time --rate 1e-3 --checkpoint state --log log
done
awk -F '"rate": *' '/^{"step"/ { split($2, rest, ","); last = rest[1] }
    /^{"resumed"/ && !said++ { print last < 0.0008 ? "the rate fell" : "at " last }' log
awk '/^{"planned"/ { planned = 1 }
    /^{"resumed"/ { print runs++ ? "again" : "first", planned ? "planned" : "by its plan"; planned = 0 }
    END { print "other", planned ? "planned" : "by its plan" }' log
rm -r log state
# Where there is time for all steps it decides nothing
train --steps 12 --rate 1e-3
mv out.gqa without.gqa
train --steps 12 --rate 1e-3 --budget-time 10m
cmp without.gqa out.gqa && echo "the same bits"
# Standard input of which no end comes is waited for as long as there is time
mkfifo endless
exec 3<>endless
echo "5 9 2 7" >&3
train --steps 10 --budget-time 1s --data - <&3
exec 3>&-
