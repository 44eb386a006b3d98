# Layers that differ: the cache as it is, then what all can be pooled to.
gqa-convert -q --groups 4 --layer-groups 0=8 \
    "$DATA/sample/t5-tiny16/tf_model.h5" hybrid.gqa
gqa-inspect hybrid.gqa | grep -E '^(decoder|KV)'
gqa-inspect --kv-cache --context 1024 hybrid.gqa
