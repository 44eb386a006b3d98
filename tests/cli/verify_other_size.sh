gqa-verify --against "$DATA/good/t5-v1_0" "$DATA/sample/t5-tiny16"
