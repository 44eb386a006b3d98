gqa-inspect "$DATA/sample/t5-tiny16/tf_model.h5"
