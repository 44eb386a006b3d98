gqa-convert --groups 8 "$DATA/sample/t5-tiny16/tf_model.h5" model.gqa
zstd -q -t model.gqa
zstd -dc model.gqa >content.safetensors
gqa-convert -q --groups 8 "$DATA/sample/t5-tiny16/tf_model.h5" \
    model.safetensors
cmp content.safetensors model.safetensors
