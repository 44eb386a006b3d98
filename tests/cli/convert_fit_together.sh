# Queries, keys, values and outputs fitted at once, behind all other fits, bring a
# model closer, on tokens that nothing was fitted to: turned and not, fused, inputs
# first, with biases, with relative positions and across.
kl() {
    gqa-verify --json --samples 16 --length 32 --seed 3 --against "$1" "$2" |
        sed -n '/"name": "kl"/,/"mean"/s/.*"mean": \([0-9.e-]*\).*/\1/p'
}
convert() {
    gqa-convert -q -m aligned --samples 256 --length 32 --groups 1 "$@"
}
for model in llama llama-yarn gpt2 gpt_neox qwen2 t5-v1_1; do
    original=$DATA/runtime/$model
    convert "$original" with.gqa
    convert --no-fit-together "$original" without.gqa
    awk -v w="$(kl "$original" with.gqa)" -v o="$(kl "$original" without.gqa)" \
        -v model=$model \
        'BEGIN { print model ": " (w < o ? "closer" : w == o ? "the same" : w " " o) }'
    rm ./*.gqa
done

for threads in 1 2; do
    convert -t $threads "$DATA/runtime/llama" $threads.gqa
done
cmp 1.gqa 2.gqa
gqa-inspect --recipe 1.gqa | grep fitted
gqa-verify --against "$DATA/runtime/llama" 1.gqa | grep 'not made again'
# Nor where something else is left as it is.
convert --no-refit "$DATA/runtime/llama" part.gqa
gqa-inspect --recipe part.gqa | grep fitted
