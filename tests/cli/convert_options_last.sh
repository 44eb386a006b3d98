gqa-convert "$DATA/sample/t5-tiny16/tf_model.h5" model.gqa -q --groups 4
ls
