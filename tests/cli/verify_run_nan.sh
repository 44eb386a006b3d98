# NaN in either model, or both: what has no figure fails, with a place, and
# is within no budget.
llama=$DATA/runtime/llama
mlp=model.layers.1.mlp.up_proj.weight
k=model.layers.0.self_attn.k_proj.weight
cp -R "$llama" original
gqa-convert -q --groups 1 original converted/
cp -R original original-bad
break_weights original-bad/model.safetensors $mlp nan 5
cp -R converted converted-bad
break_weights converted-bad/model.safetensors $k nan 5
gqa-convert -q --groups 1 original-bad both-bad/

try() {
    local status=0
    gqa-verify --backend cpu --samples 2 --length 12 --format tap \
        --max-kl 1e300 --max-kl-p99 1e300 --min-top1 0 \
        --max-ppl-increase 1e300 --generate 2 --scale --against "$@" >out ||
        status=$?
    echo "== $* -> $status"
    grep '^not ok' out
    grep 'fidelity.*: .*nan' out
    rm out
}

try original converted-bad
try original-bad converted --tokens original/reference.safetensors
try original-bad converted
try original-bad both-bad --tokens original/reference.safetensors
try original-bad both-bad
