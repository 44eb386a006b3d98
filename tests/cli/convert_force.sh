echo old >model.gqa
gqa-convert -q --force -g 4 "$DATA/sample/t5-tiny16/tf_model.h5" model.gqa
zstd -q -t model.gqa
