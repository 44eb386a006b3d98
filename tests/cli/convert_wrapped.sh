# Names that a wrapper of a module, or a class of another task, made others: read
# where no model has such names, else the cause is named, whatever is missing
# without them.

# wrapped EDIT...
wrapped() {
    cp -r "$DATA/runtime/llama" model
    chmod -R u+w model
    edit_tensors model/model.safetensors "$@"
    gqa-convert --quiet --groups 1 model out.gqa && echo "converted: $*"
    rm -rf model out.gqa
}

norm=model.norm.weight
up=mlp.up_proj.weight
q=self_attn.q_proj.weight
layer=model.layers.1
for part in _orig_mod _checkpoint_wrapped_module _fsdp_wrapped_module \
    _fpw_module _forward_module module; do
    wrapped rename $layer.$up $layer.$part.$up
done
wrapped rename $layer.$q $layer.self_attn._orig_mod.q_proj.weight
wrapped rename $layer.$q $layer.self_attn.q_proj._orig_mod.weight
wrapped rename lm_head.weight lm_head._orig_mod.weight
wrapped rename $norm _orig_mod.$norm
wrapped prefix _fsdp_wrapped_module.
wrapped prefix transformer.

# An encoder is told of as any other model.
encoder() {
    cp -r "$DATA/encoders/bert" model
    chmod -R u+w model
    edit_tensors model/model.safetensors "$@"
    gqa-convert --quiet --attention encoder --groups 1 model out.gqa &&
        echo "converted: $*"
    rm -rf model out.gqa
}

encoder prefix _fsdp_wrapped_module.
encoder rename bert.encoder.layer.0.attention.self.key.weight \
    bert.encoder.layer.0.attention.self._orig_mod.key.weight
encoder drop bert.encoder.layer.0.attention.self.key.weight
