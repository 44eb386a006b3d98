# KV heads within a share of the cache, or as few as a bound allows, each
# attention its own number: never worse than one number for all, and the same on
# any number of threads.
small=(-q -m aligned --samples 16 --length 32)

# number NAME [OBJECT]: of the summary's budget
number() {
    sed -n "/\"${2:-budget}\": {/,/}/s/.*\"$1\": \([^,]*\).*/\1/p" summary.json
}
is() {
    awk "BEGIN { exit !($2) }" && echo "$1"
}

for model in sample/t5-tiny16 runtime/llama; do
    echo "$model"
    gqa-convert "${small[@]}" --json --kv-budget 50% "$DATA/$model" out.gqa \
        >summary.json
    is "within the budget" \
        "$(number kv_bytes chosen) <= 0.5 * $(number source_kv_bytes)"
    # The best one number may be what was chosen.
    other=$(number kl other)
    is "no worse" "$(number kl chosen) <= ${other:-1e9}"
    gqa-inspect --recipe out.gqa >recipe
    grep -q "kv_bytes *$(number kv_bytes chosen)$" recipe &&
        echo "in the recipe"
    gqa-verify -q --against "$DATA/$model" out.gqa && echo "verified"
    rm out.gqa recipe
done

bound=0.8
gqa-convert "${small[@]}" --json --max-kl $bound "$DATA/sample/t5-tiny16" \
    out.gqa >summary.json
is "within the bound" "$(number kl chosen) <= $bound"
is "smaller" "$(number kv_bytes chosen) < $(number source_kv_bytes)"
gqa-convert "${small[@]}" --json --max-kl $bound --uniform \
    "$DATA/sample/t5-tiny16" uniform/ >summary.json
is "one number within the bound" \
    "$(number kl chosen) <= $bound && $(number n_kv_heads chosen) > 0"

for threads in 1 3; do
    gqa-convert "${small[@]}" -t $threads --kv-budget 40% "$DATA/runtime/llama" \
        $threads.gqa
done
cmp 1.gqa 3.gqa

# Nothing is written, and all is chosen.
gqa-convert "${small[@]}" --json -n --kv-budget 50% "$DATA/runtime/llama" dry.gqa \
    >summary.json
is "chosen" "$(number kv_bytes chosen) > 0"
ls

# One number takes no tokens, nor heads that are aligned.
gqa-convert --kv-budget 30% --uniform "$DATA/sample/t5-tiny16" mean.gqa
gqa-inspect --recipe mean.gqa | sed -n '/^budget/,/n_tokens/p'
