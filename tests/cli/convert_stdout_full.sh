gqa-convert -g 4 "$DATA/sample/t5-tiny16" model.gqa >/dev/full
