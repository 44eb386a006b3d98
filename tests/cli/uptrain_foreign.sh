# Values that are none of the original's, outside of what was grouped
sample=$DATA/sample/t5-tiny16/tf_model.h5
gqa-convert -q --groups 2 "$sample" model.safetensors
gqa-convert -q --groups 16 "$sample" same.safetensors
wi=encoder.block.0.layer.1.DenseReluDense.wi_0.weight
cross=decoder.block.1.layer.1.EncDecAttention.k.weight
try() {
    local what=$1
    shift
    gqa-uptrain -q --steps 2 --batch 2 --length 16 --eval-sequences 2 \
        --rate 1e-3 --force "$@" out.gqa
    echo "$what: exit $?"
}
broken() {
    cp model.safetensors broken.safetensors
    break_weights broken.safetensors "$@"
}
broken "$wi" nan 7
try "NaN, not trained" --teacher "$sample" broken.safetensors
broken "$cross" nan 0
try "NaN, trained" --teacher "$sample" --allow-different broken.safetensors
cp same.safetensors teacher.safetensors
break_weights teacher.safetensors "$wi" nan 7
try "NaN in the original" --teacher teacher.safetensors model.safetensors
broken "$wi" flip 7
try "a bit" --teacher "$sample" broken.safetensors
broken shared.weight scale 1.5
try "all" --teacher "$sample" --train '*.DenseReluDense.*' broken.safetensors
try "allowed" --teacher "$sample" --allow-different broken.safetensors
# Rounded, once and twice, is the same
gqa-convert -q --dtype bf16 --groups 2 "$sample" narrow.gqa
try "narrow" --teacher "$sample" narrow.gqa
gqa-convert -q --dtype f32 --groups 2 narrow.gqa wide.gqa
try "wide again" --teacher "$sample" wide.gqa
# What training has changed may go on
try "all of it" --teacher "$sample" --train all model.safetensors
cp out.gqa healed.gqa
try "once more" --teacher "$sample" healed.gqa
# Of other shapes: feed-forwards that are narrower
gqa-convert -q --groups 1 "$DATA/runtime/llama" pruned/
sed -i 's/"intermediate_size": [0-9]*/"intermediate_size": 8/' pruned/config.json
edits=()
for layer in 0 1; do
    mlp=model.layers.$layer.mlp
    edits+=(drop "$mlp" add "$mlp.gate_proj.weight" F32 "8,24"
        add "$mlp.up_proj.weight" F32 "8,24"
        add "$mlp.down_proj.weight" F32 "24,8")
done
edit_tensors pruned/model.safetensors "${edits[@]}"
try "pruned" --teacher "$DATA/runtime/llama" pruned
try "pruned, allowed" --teacher "$DATA/runtime/llama" --allow-different pruned
