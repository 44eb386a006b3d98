# Names that a wrapper of a module, or a class of another task, made others:
# the cause is named, whatever is missing without them.

# refused EDIT...
refused() {
    cp -r "$DATA/runtime/llama" model
    chmod -R u+w model
    edit_tensors model/model.safetensors "$@"
    gqa-convert --groups 1 model out.gqa && echo "converted: $*"
    rm -rf model out.gqa
}

norm=model.norm.weight
up=mlp.up_proj.weight
q=self_attn.q_proj.weight
layer=model.layers.1
for part in _orig_mod _checkpoint_wrapped_module _fsdp_wrapped_module \
    _fpw_module _forward_module module; do
    refused rename $layer.$up $layer.$part.$up
done
refused rename $layer.$q $layer.self_attn._orig_mod.q_proj.weight
refused rename $layer.$q $layer.self_attn.q_proj._orig_mod.weight
refused rename lm_head.weight lm_head._orig_mod.weight
refused rename $norm _orig_mod.$norm
refused prefix _fsdp_wrapped_module.
refused prefix transformer.

# An encoder is told of as any other model.
encoder() {
    cp -r "$DATA/encoders/bert" model
    chmod -R u+w model
    edit_tensors model/model.safetensors "$@"
    gqa-convert --attention encoder --groups 1 model out.gqa && echo "converted: $*"
    rm -rf model out.gqa
}

encoder prefix _fsdp_wrapped_module.
encoder rename bert.encoder.layer.0.attention.self.key.weight \
    bert.encoder.layer.0.attention.self._orig_mod.key.weight
encoder drop bert.encoder.layer.0.attention.self.key.weight
