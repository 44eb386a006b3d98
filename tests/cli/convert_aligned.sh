# Heads that stand there twice share a space without loss, however they lie;
# others with less of it than a mean has; on any number of threads alike.
for model in gpt2 gpt_neox t5; do
    original=$DATA/runtime/$model-repeated
    gqa-convert -q -m aligned --calibrate none --groups 2 "$original" none.gqa
    gqa-convert -q -m aligned --samples 8 --length 16 --groups 2 "$original" \
        self.gqa
    for output in none self; do
        gqa-verify -q --samples 4 --length 16 --max-kl 1e-6 \
            --against "$original" $output.gqa && echo "$model, $output: equal"
    done
    rm ./*.gqa
done

kl() {
    gqa-verify --json --samples 8 --length 32 --seed 3 --against "$1" "$2" |
        sed -n '/"name": "kl"/,/"mean"/s/.*"mean": \([0-9.e-]*\).*/\1/p'
}
for model in llama llama-grouped gpt_neox-nobias t5-v1_1; do
    original=$DATA/runtime/$model
    gqa-convert -q --groups 1 "$original" mean.gqa
    gqa-convert -q -m aligned --calibrate none --groups 1 "$original" none.gqa
    gqa-convert -q -m aligned --samples 16 --length 32 --groups 1 "$original" \
        self.gqa
    awk -v m="$(kl "$original" mean.gqa)" -v n="$(kl "$original" none.gqa)" \
        -v s="$(kl "$original" self.gqa)" -v model=$model \
        'BEGIN { print model ": " (s < n && n < m ? "less and less" : s " " n " " m) }'
    rm ./*.gqa
done

for threads in 1 3; do
    gqa-convert -q -t $threads -m aligned --samples 8 --length 32 --groups 1 \
        "$DATA/runtime/llama" $threads.gqa
done
cmp 1.gqa 3.gqa

# A folder's card says what can be checked.
gqa-convert -q -m aligned --calibrate none --groups 1 "$DATA/runtime/llama" out/
grep -A 2 '^`gqa-verify' out/README.md

# What it learnt from is in the recipe, and what else was changed is found.
gqa-inspect --recipe 1.gqa | sed -n '/^method/p; /^alignment/,/refitted/p'
