gqa-convert --quiet -g 4 "$DATA/sample/t5-tiny16/tf_model.h5" model.gqa
ls
