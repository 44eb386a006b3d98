cp "$DATA/sample/t5-tiny16/tf_model.h5" model.h5
gqa-convert -q --groups 8 --head-dim 8 model.h5 model.gqa
gqa-verify -q --no-run --against model.h5 --head-dim 8 model.gqa
gqa-verify -q model.h5
