# What DataParallel, torch.compile, FSDP, Lightning's modules and PEFT put before
# the names of a state dict is left out of an original's; an output that has it
# is none that loaders find weights in.
for prefix in module. _orig_mod. module._orig_mod. _fsdp_wrapped_module. \
    model. net._orig_mod. base_model.model.; do
    cp -r "$DATA/runtime/llama" model
    chmod -R u+w model
    edit_tensors model/model.safetensors prefix "$prefix"
    gqa-convert -q --groups 1 model out/
    echo "$prefix: $(grep -ao '"[a-z_.]*model\.norm\.weight"' out/model.safetensors)"
    gqa-verify -q --against model out; echo $?
    gqa-verify -q --against "$DATA/runtime/llama" out; echo $?
    gqa-inspect model | sed -n '/^stack/,/^ /p'
    gqa-verify -q model; echo $?
    rm -rf model out
done
# Some names alone
cp -r "$DATA/runtime/llama" model
chmod -R u+w model
edit_tensors model/model.safetensors rename model.norm.weight module.model.norm.weight
gqa-convert -q --groups 1 model out/

# Of modules within
for part in _orig_mod _fsdp_wrapped_module _checkpoint_wrapped_module; do
    cp -r "$DATA/runtime/llama" part
    chmod -R u+w part
    layer=model.layers.1
    edit_tensors part/model.safetensors \
        rename $layer.self_attn.k_proj.weight \
        $layer.$part.self_attn.k_proj.weight \
        rename $layer.mlp.up_proj.weight $layer.mlp.$part.up_proj.weight
    gqa-convert -q --groups 1 part out/
    gqa-verify -q --against "$DATA/runtime/llama" out; echo "$part: $?"
    gqa-verify -q part; echo $?
    rm -rf part out
done
# What is beside the model is left over. Two models are not told apart, and two
# tensors are not made one.
cp "$DATA/runtime/llama/"* .
edit_tensors model.safetensors prefix net. add train_acc.tp F32 1
gqa-convert -q --groups 1 model.safetensors out.gqa
gqa-inspect model.safetensors | sed -n '/^stack/,/^ /p'
edit_tensors model.safetensors drop train_acc.tp \
    add ema.model.layers.0.self_attn.k_proj.weight F32 24,24
gqa-convert -q --groups 1 model.safetensors out.gqa
cp "$DATA/runtime/llama/model.safetensors" .
edit_tensors model.safetensors add model.norm._orig_mod.weight F32 24
gqa-convert -q --groups 1 model.safetensors out.gqa
