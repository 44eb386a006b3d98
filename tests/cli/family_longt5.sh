# LongT5's encoder attends to sums of blocks of the input, too.
longt5=$DATA/families/longt5-global
gqa-inspect "$longt5" | sed -n '4,14p'
gqa-convert -q -g 2 -a all "$longt5" out.gqa
gqa-verify -q --against "$longt5" out.gqa && echo equal
mkdir other
sed 's/transient-global/global/' "$longt5/config.json" >other/config.json
cp "$longt5/model.safetensors" other/
gqa-verify -q --against other other || echo $?

# Inputs that are shorter than a block, and as long as one.
echo '3 4 5 | 7 8' >tokens
echo '3 4 5 6 | 7 8' >>tokens
gqa-verify -q --tokens tokens --against "$longt5" out.gqa && echo equal

# It is trained, too, an attention by itself and all together.
gqa-convert -q -g 1 -a all "$longt5" far.gqa
gqa-uptrain -q --steps 4 --layerwise --layer-steps 4 --batch 4 --length 32 \
    --samples 8 --eval-sequences 4 --teacher "$longt5" far.gqa near.gqa
gqa-verify --trained --samples 4 --length 16 --against "$longt5" near.gqa |
    grep -E '^(weights +(grouped|trained)|runtime)' | cut -c 1-34
rm near.gqa

# Heads that are alike are found wherever they stand: both tables of positions
# follow them.
gqa-convert -q --groups 4 --dtype f32 "$longt5" moved/
file=moved/model.safetensors
change() {
    break_weights "$file" "$@"
}
for layer in 0 1; do
    self=encoder.block.$layer.layer.0.TransientGlobalSelfAttention
    for part in q k v; do
        change $self.$part.weight swap-rows 4 8 4
    done
    change $self.o.weight swap-columns 4 8 4
done
self=encoder.block.0.layer.0.TransientGlobalSelfAttention
for table in relative_attention_bias global_relative_attention_bias; do
    change $self.$table.weight swap-columns 1 2 1
done
# The same heads in another order, for the same function.
gqa-verify --samples 4 --length 16 --max-kl 1e-6 --against "$longt5" moved |
    grep -E -o '^fidelity +kl +passed'
for how in --calibrate=none '--samples=8 --length=16'; do
    # shellcheck disable=SC2086 # two words
    gqa-convert -q -m aligned $how -g 2 -a encoder moved aligned.gqa
    gqa-verify -q --samples 4 --length 16 --max-kl 1e-6 --against moved \
        aligned.gqa && echo "$how: equal"
    rm aligned.gqa
done
gqa-convert -q -m aligned --calibrate none --no-regroup -g 2 -a encoder moved \
    near.gqa
gqa-verify -q --samples 4 --length 16 --max-kl 1e-6 --against moved near.gqa \
    >/dev/null || echo not equal
# What stands in the table of blocks is held to the order, too.
gqa-convert -q -m aligned --calibrate none -g 2 -a encoder moved one/
file=one/model.safetensors
change $self.global_relative_attention_bias.weight swap-columns 0 1 1
change $self.global_relative_attention_bias.weight swap-columns 1 2 1
gqa-verify --no-run --against moved one | grep -A 3 FAILED
