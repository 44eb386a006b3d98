gqa-convert -q --groups 2 "$DATA/good/llama" model/
sed -i 's/"num_key_value_heads": 2/"num_key_value_heads": 1/' model/config.json
gqa-verify --against "$DATA/good/llama" model
