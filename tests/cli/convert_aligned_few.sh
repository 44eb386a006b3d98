# What tokens do not show is kept nevertheless: all of it where heads are
# transformed by themselves, and where those that are the same share.
model=$DATA/sample/t5-tiny16
few=(--samples 1 --length 8)
gqa-convert -q -m aligned --no-pooling "${few[@]}" --dtype f64 "$model" turned.gqa
gqa-verify --dtype f64 --samples 2 --length 32 --against "$model" turned.gqa |
    sed -n 's/of logits .* (/of logits (/; /same-function/p'
for model in gemma gemma2; do
    gqa-convert -q -m aligned --no-pooling --no-free-pairs "${few[@]}" --dtype f64 \
        "$DATA/families/$model" $model.gqa
    gqa-verify -q --dtype f64 --samples 2 --length 32 \
        --against "$DATA/families/$model" $model.gqa && echo "$model: the same"
done
model=$DATA/sample/t5-tiny16
gqa-convert -q --groups 4 --expand "$model" repeated.gqa
gqa-convert -q -m aligned "${few[@]}" --groups 4 repeated.gqa shared.gqa
gqa-verify -q --samples 2 --length 32 --max-kl 1e-6 \
    --against repeated.gqa shared.gqa && echo "repeated: equal"

# Where tokens are fewer than the dimensions of two heads, it says so.
for length in 8 16; do
    gqa-convert -f -m aligned --samples 1 --length $length --no-fit-values \
        --groups 8 "$model" out.gqa >/dev/null
done
