# What belongs to no part of the model is copied where that is asked for, old
# buffers and heads of a task are always; --dtype rounds weights alone.
cp -r "$DATA/runtime/llama" model
chmod -R u+w model
layer=model.layers.0
edit_tensors model/model.safetensors add step F32 - \
    add $layer.self_attn.rotary_emb.inv_freq F32 4
gqa-convert --groups 1 --quiet model out.gqa
gqa-convert --groups 1 --dtype bf16 --allow-extra --force model out.safetensors |
    grep -v -e size -e time
gqa-inspect --tensors out.safetensors | grep -e step -e inv_freq -e norm

# A class with a head of its own
edit_tensors model/model.safetensors drop step drop lm_head \
    add score.weight F32 2,24
sed -i 's/LlamaForCausalLM/LlamaForSequenceClassification/' model/config.json
gqa-convert --groups 1 --force model out.safetensors | grep KV

# Scales beside weights of 8 bits
edit_tensors model/model.safetensors drop score.weight \
    drop $layer.mlp.up_proj add $layer.mlp.up_proj.weight F8_E4M3 29,24 \
    add $layer.mlp.up_proj.weight_scale F32 -
gqa-convert --groups 1 --force --dtype bf16 model out.safetensors | grep KV
gqa-inspect --tensors out.safetensors | grep up_proj

# Experts as transformers 5 holds them
cp -r "$DATA/families/mixtral" experts
chmod -R u+w experts
edit_tensors experts/model.safetensors drop $layer.block_sparse_moe \
    add $layer.mlp.gate.weight F32 4,32 add $layer.mlp.experts.gate_up_proj F32 4,2,32 \
    add $layer.mlp.experts.down_proj F32 4,32,1
gqa-convert --groups 2 --force experts out.safetensors || echo "exit $?"
