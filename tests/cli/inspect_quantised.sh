# Of weights whose shapes do not show heads the configuration is told: quantised
# ones, an adapter that was not merged, and one by itself, which has none.
layer=model.layers.0.self_attn

# quantised EDIT...: the model of runtime/llama-grouped, 12 heads on 4.
quantised() {
    cp -r "$DATA/runtime/llama-grouped" model
    chmod -R u+w model
    edit_tensors model/model.safetensors "$@"
    echo "== $2 ${*:3}"
    gqa-inspect model | sed -n '/^Model/,/^KV cache/p'
    echo "exit ${PIPESTATUS[0]}"
    rm -r model
}

quantised add $layer.k_proj.qweight I32 3,24
quantised add $layer.k_proj.g_idx I32 72
quantised add $layer.k_proj.weight_packed I32 24,9
quantised add $layer.k_proj.biases F16 24,2
quantised add $layer.k_proj.SCB F32 24
quantised add $layer.k_proj.W_q U8 24,36
quantised add $layer.k_proj.q_weight I32 9,24
quantised add $layer.k_proj.lora_A.default.weight F32 2,72
quantised add $layer.q_proj.base_layer.weight F32 72,72
echo '== an adapter'
gqa-inspect "$DATA/foreign/peft" | sed -n '/^Model/,/^Tensors/p'
gqa-inspect --json "$DATA/foreign/peft" | grep adapter_for

echo '== an encoder-decoder, and one whose layers differ'
cp -r "$DATA/runtime/t5-v1_1" model
chmod -R u+w model
edit_tensors model/model.safetensors add \
    decoder.block.0.layer.0.SelfAttention.k.SCB F32 8
gqa-inspect model | sed -n '/^Model/,/^KV cache, cross/p'
rm -r model
gqa-convert -q --allow-hybrid -l 0=1,1=2 "$DATA/runtime/mistral-full" model/
edit_tensors model/model.safetensors add $layer.k_proj.SCB F32 8
gqa-inspect model | sed -n '/^Model/,/^KV cache/p'
gqa-inspect --json model | sed -n '/"config_says"/,/}/p'
