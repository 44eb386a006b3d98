# What is missing, of another shape or left over fails, alone and against an
# original that has the same fault; so does a configuration of another size.
# verdicts ARGUMENT...: of the checks of names and configuration
verdicts() {
    gqa-verify --format tap --no-run "$@" model.safetensors |
        sed -n '/ file config/,/ file content/{/ file content/!p;}'
    echo "exit ${PIPESTATUS[0]}"
    rm -rf model.safetensors
}

# model FIXTURE EDIT...: its tensors edited
model() {
    cp "$DATA/runtime/$1/model.safetensors" model.safetensors
    cp "$DATA/runtime/$1/config.json" config.json
    chmod u+w model.safetensors config.json
    [[ ! ${2-} ]] || edit_tensors model.safetensors "${@:2}"
}
layer=model.layers.1

model llama drop $layer.mlp.down_proj
verdicts
model llama drop $layer.mlp.down_proj
cp model.safetensors original.safetensors
verdicts --against original.safetensors
model llama drop $layer.mlp.up_proj.weight add $layer.mlp.up_proj.weight F32 8,7
verdicts
model llama add $layer.mlp.up_proj.lora_A.weight F32 4,8
verdicts
model llama add step F32 -
verdicts --allow-extra
model llama add $layer.self_attn.rotary_emb.inv_freq F32 4
verdicts
model llama
sed -i 's/"vocab_size": 61/"vocab_size": 60/' config.json
verdicts
model llama-grouped
sed -i '/num_key_value_heads/d' config.json
verdicts
model llama-grouped
sed -i 's/"num_key_value_heads": 4/"num_key_value_heads": 3/' config.json
verdicts
# The tensor that tells the vocabulary
model gpt2 drop transformer.wte
verdicts --against "$DATA/runtime/gpt2"
