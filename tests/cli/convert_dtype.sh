gqa-convert -q -g 8 --dtype bf16 "$DATA/sample/t5-tiny16" bf16/
gqa-inspect bf16
