# The same mistakes where no recipe is recorded, as in a folder of others:
# the exit status is 1, and the check whose business it is fails.
# shellcheck source=/dev/null
. "$CLI/broken.bash"
sample=$DATA/sample/t5-tiny16/tf_model.h5
qwen=$DATA/good/qwen2
k=decoder.block.1.layer.0.SelfAttention.k.weight
q=decoder.block.1.layer.0.SelfAttention.q.weight
bias=decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight
rope=model.layers.0.self_attn.k_proj.weight

gqa-convert -q --groups 16 "$sample" original.safetensors
gqa-convert -q --groups 8 "$sample" t5/
gqa-convert -q --groups 8 --expand "$sample" expanded/
gqa-convert -q --groups 2 "$qwen" qwen/
for folder in t5 expanded qwen; do
    forget_recipe $folder/model.safetensors
done

broken "$sample" t5 $k flip 8191
broken "$sample" t5 $k swap-rows 0 56 8
broken "$sample" t5 $q swap-rows 0 8 8
broken "$sample" t5 $bias swap-columns 0 1 1
broken "$sample" t5 $k strided original.safetensors 8
broken "$sample" t5 $k narrow original.safetensors 8
broken "$sample" t5 $k nan 100
broken "$sample" expanded $k copy original.safetensors
broken "$qwen" qwen $rope permute 4

# A whole attention left as it was: its K and V fit, and --layer-groups may have
# meant that, so that it is said and fails nothing.
rm -rf broken
cp -R expanded broken
break_weights broken/model.safetensors $k copy original.safetensors
break_weights broken/model.safetensors ${k/.k./.v.} copy original.safetensors
gqa-verify --no-run --format tap --against "$sample" broken |
    grep -A 1 'weights grouped'
