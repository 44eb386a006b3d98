gqa-verify --against "$DATA/good/gpt2" "$DATA/good/qwen2"
