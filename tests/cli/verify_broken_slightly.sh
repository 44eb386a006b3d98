# Mistakes that hardly move the predictions: every figure is within a strict
# budget, and the exact checks fail all the same.
llama=$DATA/runtime/llama
sample=$DATA/sample/t5-tiny16/tf_model.h5
gqa-convert -q --groups 3 "$llama" llama.safetensors
gqa-convert -q --groups 16 "$sample" t5.safetensors

broken() {
    local original=$1 converted=$2 status=0
    shift 2
    cp "$converted" broken.safetensors
    break_weights broken.safetensors "$@"
    gqa-verify --backend cpu --samples 2 --length 24 --format json \
        --profile strict --max-kl 1e-5 --against "$original" \
        broken.safetensors >out || status=$?
    echo "== $2 $1 -> $status"
    grep -B 2 '"verdict": "failed"' out | sed -n 's/.*"name": //p'
    grep -A 1 '"name": "kl"' out | sed -n 's/.*"verdict"/kl/p'
}

broken "$llama" llama.safetensors model.layers.0.self_attn.k_proj.weight flip 7
broken "$llama" llama.safetensors model.layers.1.mlp.up_proj.weight flip 7
broken "$sample" t5.safetensors \
    decoder.block.0.layer.0.SelfAttention.k.weight flip 11
