sample=$DATA/sample/t5-tiny16/tf_model.h5
gqa-convert -q --groups 8 "$sample" model.gqa
gqa-verify --samples 3 --length 12 --against "$sample" model.gqa |
    sed -E -f "$CLI/join.sed" | sed -E -f "$CLI/rounding.sed"
