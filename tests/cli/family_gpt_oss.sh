# GPT-OSS: sinks of query heads, experts whose gate and up alternate.
model=$DATA/families/gpt_oss
gqa-inspect "$model" | sed -n '4,$p'
for groups in 1 2; do
    gqa-convert -q -f -g "$groups" "$model" out.gqa
    gqa-verify --samples 2 --length 16 --against "$model" out.gqa |
        grep -E "^(weights|exact)" | cut -c 1-50
done
gqa-convert -q -g 2 --expand "$model" expanded/
gqa-verify -q --samples 2 --length 16 --against "$model" expanded && echo equal
# Trained, an attention by itself and all together.
gqa-convert -q -f -g 1 "$model" far.gqa
gqa-uptrain -q --steps 4 --layerwise --layer-steps 4 --batch 4 --length 32 \
    --samples 8 --eval-sequences 4 --teacher "$model" far.gqa near.gqa
gqa-verify --trained --samples 2 --length 16 --against "$model" near.gqa |
    grep -E '^(weights +(grouped|trained)|runtime)' | cut -c 1-34
gqa-convert -q -f -m aligned -g 2 "$model" out.gqa || echo "-> $?"
# What is missing, and what does not fit
try() {
    rm -rf broken
    cp -R "$model" broken
    chmod -R u+w broken
    edit_tensors broken/model.safetensors "$@"
    gqa-convert -q -f -g 2 broken out.gqa || echo "-> $?"
}
layer=model.layers.1
try drop $layer.self_attn.sinks
try drop $layer.self_attn.sinks add $layer.self_attn.sinks F32 3
try drop $layer.mlp.experts.gate_up_proj_bias
down=$layer.mlp.experts.down_proj
try drop "$down" add "$down" F32 4,5,32 add "${down}_bias" F32 4,32
gqa-verify -q --against broken broken || echo "-> $?"
down=model.layers.0.mlp.experts.down_proj
try drop "$down" add "$down" F32 4,5,32 add "${down}_bias" F32 4,32
# What versions of transformers read differently
cp -R "$model" other
chmod -R u+w other
sed -i 's/"hidden_act"/"swiglu_limit": 6.0, &/' other/config.json
gqa-inspect other >/dev/null
sed -i '/"rope_scaling"/,/}/d' other/config.json
gqa-verify -q --against other other || echo "-> $?"
# As it is published, with experts in MXFP4: heads are shown all the same.
cp -R "$model" packed
chmod -R u+w packed
for layer in 0 1; do
    experts=model.layers.$layer.mlp.experts
    rename() {
        edit_tensors packed/model.safetensors rename "$experts.$1" "$experts.$2"
    }
    for part in gate_up_proj down_proj; do
        rename ${part}_bias kept
        edit_tensors packed/model.safetensors drop $experts.$part \
            add $experts.${part}_blocks U8 4,12,1,16 \
            add $experts.${part}_scales U8 4,12,1
        rename kept ${part}_bias
    done
done
sed -i 's/"hidden_act"/"quantization_config": {"quant_method": "mxfp4"}, &/' \
    packed/config.json
gqa-inspect packed | grep -E '^(decoder|KV)'
gqa-convert -q -f -g 2 packed out.gqa || echo "-> $?"
gqa-verify -q --against packed packed || echo "-> $?"
