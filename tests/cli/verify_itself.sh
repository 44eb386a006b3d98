gqa-verify --against "$DATA/good/qwen2" "$DATA/good/qwen2"
