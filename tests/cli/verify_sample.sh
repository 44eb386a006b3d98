sample=$DATA/sample/t5-tiny16/tf_model.h5
gqa-convert -q --groups 8 "$sample" model.gqa
gqa-verify --against "$sample" model.gqa
