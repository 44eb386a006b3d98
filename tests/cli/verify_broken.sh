# Each mistake on its own in a sound conversion that records its recipe:
# the exit status is 1, and the check whose business it is fails.
sample=$DATA/sample/t5-tiny16/tf_model.h5
qwen=$DATA/good/qwen2
k=decoder.block.1.layer.0.SelfAttention.k.weight
q=decoder.block.1.layer.0.SelfAttention.q.weight
bias=decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight
rope=model.layers.0.self_attn.k_proj.weight

gqa-convert -q --groups 16 "$sample" original.safetensors
gqa-convert -q --groups 8 "$sample" t5.safetensors
gqa-convert -q --groups 8 --expand "$sample" expanded.safetensors
gqa-convert -q --groups 2 "$qwen" qwen.safetensors

# broken ORIGINAL CONVERTED TENSOR MISTAKE [ARGUMENT]...
broken() {
    local original=$1 converted=$2 status=0
    shift 2
    cp "$converted" broken.safetensors
    break_weights broken.safetensors "$@"
    echo "== $2"
    gqa-verify --no-run --format tap --against "$original" broken.safetensors >out ||
        status=$?
    grep -A 1 '^not ok' out
    echo "exit $status"
}

broken "$sample" t5.safetensors $k flip 8191
broken "$sample" t5.safetensors $k swap-rows 0 56 8
broken "$sample" t5.safetensors $q swap-rows 0 8 8
broken "$sample" t5.safetensors $bias swap-columns 0 1 1
broken "$sample" t5.safetensors $k strided original.safetensors 8
broken "$sample" t5.safetensors $k narrow original.safetensors 8
broken "$sample" t5.safetensors $k nan 100
broken "$sample" expanded.safetensors $k copy original.safetensors
broken "$qwen" qwen.safetensors $rope permute 4
