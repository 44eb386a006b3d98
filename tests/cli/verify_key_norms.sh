# Norms of all keys together: their weights move into keys that are pooled, in
# one conversion or two, and what is left is one number of the right size.
model=$DATA/families/olmo2
norm=model.layers.1.self_attn.k_norm.weight
check() {
    gqa-verify --no-run --against "$model" "$1" | sed -n '/^weights *grouped/,/^$/p'
    echo "exit ${PIPESTATUS[0]}"
}
for method in mean first random; do
    gqa-convert -q -f -g 2 -m "$method" "$model" "$method.gqa"
    check "$method.gqa"
done
gqa-convert -q -f -g 1 --expand mean.gqa twice.gqa
check twice.gqa
# Heads that are only written again keep their norms.
gqa-convert -q -f -g 2 --expand "$DATA/families/olmo2-grouped" expanded.gqa
gqa-verify -q --no-run --against "$DATA/families/olmo2-grouped" expanded.gqa
echo "exit $?"
# What another program might have left.
gqa-convert -q -f -g 2 -d f32 "$model" right.safetensors
check right.safetensors
for mistake in "scale 1.01" "flip 3"; do
    cp right.safetensors wrong.safetensors
    # shellcheck disable=SC2086 # words
    break_weights wrong.safetensors "$norm" $mistake
    echo "== $mistake"
    check wrong.safetensors
done
cp right.safetensors wrong.safetensors
break_weights wrong.safetensors model.layers.0.self_attn.k_proj.weight scale 2
check wrong.safetensors
# Made in the original's type, and then saved in a wider one by another program.
gqa-convert -q -f -g 2 "$model" half/
gqa-convert -q -f -g 2 -d f32 half wide/
forget_recipe wide/model.safetensors
check wide
break_weights wide/model.safetensors "$norm" scale 1.01
check wide
