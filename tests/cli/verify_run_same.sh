# What must compute the same does: heads that stand there twice, pooled, and
# heads that were not pooled at all.
same() {
    local original=$1 status=0
    shift
    gqa-convert -q --force "$@" "$original" model.gqa
    gqa-verify --backend cpu --format tap --samples 3 --length 24 \
        --profile strict --against "$original" model.gqa >out || status=$?
    echo "== ${original##*/} $* -> $status"
    grep '^not ok' out || true
}

for name in gpt2 gpt_neox t5; do
    same "$DATA/runtime/$name-repeated" --groups 2
done
same "$DATA/runtime/llama-grouped" --groups 4 --expand
same "$DATA/runtime/umt5" --groups 4
same "$DATA/sample/t5-tiny16" --groups 16
# And what does not, is not.
same "$DATA/runtime/qwen2" --groups 1 --method first
