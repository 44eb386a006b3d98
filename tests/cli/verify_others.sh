# Conversions that others make are right, and what differs is said; one wrong
# bit in them is found.
llama=$DATA/runtime/llama
lk=model.layers.0.self_attn.k_proj.weight

gqa-convert -q --groups 3 "$llama" original.safetensors
gqa-convert -q --groups 1 "$llama" llama/
forget_recipe llama/model.safetensors

verdict() {
    local status=0
    gqa-verify --no-run --format tap --against "$@" >out || status=$?
    grep -A 1 'weights [^u]' out
    echo "exit $status"
}

echo "== means in float32"
for layer in 0 1; do
    for part in k v; do
        break_weights llama/model.safetensors \
            model.layers.$layer.self_attn.${part}_proj.weight \
            float32 original.safetensors 8
    done
done
verdict "$llama" llama

echo "== a wrong bit in one"
break_weights llama/model.safetensors $lk flip 17
verdict "$llama" llama

echo "== rounded to bf16, and widened"
gqa-convert -q --groups 3 --dtype bf16 "$llama" bf16.safetensors
gqa-convert -q --groups 1 bf16.safetensors narrow.safetensors
gqa-convert -q --groups 1 --dtype f32 narrow.safetensors wide/
forget_recipe wide/model.safetensors
verdict bf16.safetensors wide

echo "== rounded twice"
gqa-convert -q --groups 1 --dtype f32 bf16.safetensors twice/
forget_recipe twice/model.safetensors
break_weights twice/model.safetensors $lk narrow original.safetensors 8
verdict bf16.safetensors twice

echo "== a wrong bit in a bias"
gqa-convert -q --groups 3 --dtype f32 "$DATA/runtime/gpt_neox-sequential" neox/
gqa-convert -q --groups 1 --expand neox bias/
forget_recipe bias/model.safetensors
verdict neox bias
break_weights bias/model.safetensors \
    gpt_neox.layers.0.attention.query_key_value.bias flip 8
verdict neox bias
