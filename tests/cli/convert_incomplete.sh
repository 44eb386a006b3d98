# What stock loaders would draw afresh or leave out is refused: parameters that
# are missing, of another shape, left over; with the likely cause.
refused() {
    gqa-convert --groups 2 "$@" model out.gqa && echo "converted: $*"
    rm -rf model out.gqa
}

# model FIXTURE EDIT...: the fixture, its tensors edited
model() {
    cp -r "$DATA/runtime/$1" model
    chmod -R u+w model
    rm -f model/reference.safetensors
    edit_tensors model/model.safetensors "${@:2}"
}
layer=model.layers.1

model llama drop $layer.mlp.down_proj.weight
refused
model llama drop model.norm drop lm_head
mv model/model.safetensors model/model-00001-of-00002.safetensors
refused
model llama drop $layer
refused
model llama drop $layer.mlp.up_proj.weight add $layer.mlp.up_proj.weight F32 8,7
refused
model gpt2 drop transformer.h.0.mlp.c_fc.weight \
    add transformer.h.0.mlp.c_fc.weight F32 31,20
refused
model llama add $layer.mlp.up_proj.lora_A.default.weight F32 4,8 \
    add $layer.mlp.up_proj.lora_B.default.weight F32 8,4
refused
model llama rename $layer.self_attn.q_proj.weight \
    $layer.self_attn.q_proj.base_layer.weight
refused
model llama add vision_model.encoder.layers.0.self_attn.k_proj.weight F32 8,8
refused --allow-extra
model llama add v_head.summary.weight F32 1,8
refused
model llama drop $layer.mlp.up_proj add $layer.mlp.up_proj.qweight I32 1,8 \
    add $layer.mlp.up_proj.scales F16 1,8
refused
model t5-v1_0 \
    rename encoder.block.1.layer.0.SelfAttention.q.weight \
    encoder.block.1.layer.0.LocalSelfAttention.q.weight
refused --allow-extra
model t5-v1_0 add encoder.block.0.layer.0.TransientGlobalSelfAttention.q.weight \
    F32 8,8
refused --allow-extra
model llama prefix language_model.
refused
# A wrapper of one layer, of one module
model llama rename $layer.self_attn.k_proj.weight \
    $layer.module.self_attn.k_proj.weight
refused
model llama rename $layer.self_attn.k_proj.weight \
    $layer.self_attn.module.k_proj.weight
refused
