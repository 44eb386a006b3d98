# How small it gets is zstd's affair: smaller than it was.
gqa-convert --groups 8 "$DATA/sample/t5-tiny16/tf_model.h5" model.gqa |
    sed -E 's/-> [0-9.]+ MiB \(/-> LESS (/'
zstd -q -t model.gqa
zstd -dc model.gqa >content.safetensors
(($(stat -c %s model.gqa) < $(stat -c %s content.safetensors)))
gqa-convert -q --groups 8 "$DATA/sample/t5-tiny16/tf_model.h5" \
    model.safetensors
cmp content.safetensors model.safetensors
