# Attentions one after another: alone, and as a first stage.
sample=$DATA/sample/t5-tiny16/tf_model.h5
gqa-convert -q --groups 4 "$sample" model.gqa
options=(--batch 4 --length 24 --samples 32 --eval-sequences 4 --layerwise
    --layer-steps 12 --teacher "$sample")
gqa-uptrain -j "${options[@]}" --steps 0 --log log --html page.html model.gqa \
    alone.gqa >summary
echo "exit $?"
sed -nE 's/^  "(gained|written|n_trained|n_values|dry_run)"/\1/p' summary
# Each comes nearer, and the whole with them.
grep -c '"gained": true' summary
grep -oE '"kl": *[-+.e0-9]+' summary | sed 's/.*: *//' |
    awk '{ v[NR] = $1 } END { print NR, (v[2] < v[1] / 2) ? "less than half" : "no" }'
cut -d : -f 1 log | sort | uniq -c | sed 's/^ *//'
gqa-verify --no-run --against "$sample" alone.gqa |
    grep -E '^weights' | sed 's/  *$//'
gqa-inspect --recipe alone.gqa | sed -n '/^  layers/,/^  curve/p' |
    sed -E 's/ +[0-9.e-]+ +[0-9.e-]+ +[0-9.e-]+ +12 +yes/ yes/; s/  +/ /g'
gqa-uptrain -q "${options[@]}" --steps 0 --threads 1 model.gqa one.gqa
cmp alone.gqa one.gqa && echo "one thread: the same"
gqa-uptrain -n "${options[@]}" --steps 0 model.gqa none.gqa |
    grep -vE '^(memory|device|original| )'
# Then steps of the whole; what went on from a state is the same.
train() {
    gqa-uptrain -q "${options[@]}" --steps 6 --eval-every 3 "$@"
}
train --log both.log model.gqa both.gqa
echo "exit $?"
cut -d : -f 1 both.log | grep -v tried_rate | uniq -c | sed 's/^ *//'
train --checkpoint state model.gqa first.gqa
train --checkpoint state --log state.log model.gqa second.gqa
cut -d : -f 1-2 state.log | grep -vE '"(step|measured)"'
cmp both.gqa second.gqa && echo "from the state: the same"
train --checkpoint state --layer-steps 13 model.gqa other.gqa
echo "exit $?"
# Attentions of all makes, of files that the original has no part in
seq -s ' ' 1 40 | sed p >tokens
for name in llama gpt2 gpt_neox gpt_neox-sequential t5-v1_1 families/phi; do
    folder=$DATA/runtime/$name
    [[ $name == families/* ]] && folder=$DATA/$name
    echo "== $name"
    gqa-convert -q -f -g 1 "$folder" grouped.gqa
    gqa-uptrain -q -f --steps 0 --layerwise --layer-steps 12 --batch 2 \
        --length 12 --tokens tokens --teacher "$folder" \
        grouped.gqa healed.gqa 2>/dev/null
    echo "exit $?"
    gqa-verify --no-run --against "$folder" healed.gqa |
        grep -E '^weights +(unchanged|grouped)'
done
# What makes no sense
try() {
    echo "== $*"
    gqa-uptrain -q --teacher "$sample" "$@" model.gqa out.gqa
    echo "exit $?"
}
try --steps 0
try --layer-steps 5
try --layerwise --steps 0 --checkpoint state
try --layerwise --train '*DenseReluDense*'
