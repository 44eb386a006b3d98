# What DataParallel and torch.compile put before all names of a state dict is
# left out of an original's; an output that has it is none that loaders find
# weights in.
for prefix in module. _orig_mod. module._orig_mod.; do
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
