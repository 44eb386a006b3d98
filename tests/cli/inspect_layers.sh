# Models of real sizes, of which only the headers are there: what is alike
# shares a row, and no line is longer than 80 columns.
begin() {
    header=''
    offset=0
}
# add NAME ROWS [COLUMNS]
add() {
    local n=$((2 * $2 * ${3:-1}))
    header+=${header:+,}"\"$1\":{\"dtype\":\"BF16\",\"shape\":[$2${3:+,$3}],"
    header+="\"data_offsets\":[$offset,$((offset + n))]}"
    offset=$((offset + n))
}
finish() {
    header="{$header}"
    printf '%016x' ${#header} |
        sed -E 's/(..)(..)(..)(..)(..)(..)(..)(..)/\\x\8\\x\7\\x\6\\x\5\\x\4\\x\3\\x\2\\x\1/' >length
    printf '%b' "$(cat length)" >"$1"
    printf '%s' "$header" >>"$1"
    truncate -s $((8 + ${#header} + offset)) "$1"
}
show() {
    echo "== $*"
    gqa-inspect "$@" >out 2>err || echo "exit $?"
    grep -E '.{81}' out && exit 1
    sed -n '/^stack/,/^$/p; /^dtype/,$p' out
}

# Llama 2 70B: 80 layers
begin
add lm_head.weight 32000 8192
add model.embed_tokens.weight 32000 8192
add model.norm.weight 8192
for ((l = 0; l < 80; l++)); do
    layer=model.layers.$l
    add $layer.input_layernorm.weight 8192
    add $layer.post_attention_layernorm.weight 8192
    add $layer.mlp.down_proj.weight 8192 28672
    add $layer.mlp.gate_proj.weight 28672 8192
    add $layer.mlp.up_proj.weight 28672 8192
    add $layer.self_attn.q_proj.weight 8192 8192
    add $layer.self_attn.k_proj.weight 1024 8192
    add $layer.self_attn.v_proj.weight 1024 8192
    add $layer.self_attn.o_proj.weight 8192 8192
done
finish llama.safetensors
show --n-heads 64 llama.safetensors
show --tensors llama.safetensors
gqa-inspect --tensors --all-rows llama.safetensors >out
grep -E '.{81}' out
wc -l <out
gqa-inspect --json --n-heads 64 llama.safetensors | grep -c '"layer":'
gqa-inspect --kv-cache --n-heads 64 --context 128K --batch 256 llama.safetensors

# Layers of two kinds that alternate, as the KV heads of some hybrids
begin
for ((l = 0; l < 32; l++)); do
    layer=model.layers.$l.self_attn
    add $layer.q_proj.weight 512 512
    add $layer.k_proj.weight $((l == 7 || l % 2 ? 512 : 128)) 512
    add $layer.v_proj.weight $((l == 7 || l % 2 ? 512 : 128)) 512
    add $layer.o_proj.weight 512 512
done
finish hybrid.safetensors
show --n-heads 8 hybrid.safetensors

# Experts, in a family that is not known
begin
for ((l = 0; l < 32; l++)); do
    layer=model.layers.$l.block_sparse_moe
    add $layer.gate.weight 8 4096
    for ((e = 0; e < 8; e++)); do
        add $layer.experts.$e.w1.weight 14336 4096
        add $layer.experts.$e.w2.weight 4096 14336
        add $layer.experts.$e.w3.weight 14336 4096
    done
    add model.layers.$l.self_attn.sinks.and_more_of_a_name.that_is_long.weight 64
done
add model.layers.8.block_sparse_moe.experts.8.w1.weight 14336 4096
finish experts.safetensors
show experts.safetensors

begin
add shared.weight 32128 1024
for stack in encoder decoder; do
    for ((l = 0; l < 24; l++)); do
        block=$stack.block.$l.layer
        for p in q k v o; do
            add $block.0.SelfAttention.$p.weight 1024 1024
            [[ $stack = encoder ]] || add $block.1.EncDecAttention.$p.weight 1024 1024
        done
    done
    add $stack.block.0.layer.0.SelfAttention.relative_attention_bias.weight 32 16
done
finish t5.safetensors
show t5.safetensors
show --tensors t5.safetensors

begin
add gpt_neox.embed_in.weight 50432 6144
for ((l = 0; l < 44; l++)); do
    add gpt_neox.layers.$l.attention.query_key_value.weight 18432 6144
    add gpt_neox.layers.$l.attention.query_key_value.bias 18432
    add gpt_neox.layers.$l.attention.dense.weight 6144 6144
    add gpt_neox.layers.$l.attention.dense.bias 6144
done
finish neox.safetensors
show --n-heads 64 neox.safetensors

begin
add transformer.wte.weight 50257 1600
for ((l = 0; l < 48; l++)); do
    add transformer.h.$l.attn.c_attn.weight 1600 4800
    add transformer.h.$l.attn.c_attn.bias 4800
    add transformer.h.$l.attn.c_proj.weight 1600 1600
    add transformer.h.$l.attn.c_proj.bias 1600
    add transformer.h.$l.ln_1.weight 1600
    add transformer.h.$l.ln_2.weight 1600
done
finish gpt2.safetensors
show --n-heads 25 gpt2.safetensors
show --tensors gpt2.safetensors
exit 0
