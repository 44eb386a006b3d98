gqa-verify --no-run --against "$DATA/good/qwen2" "$DATA/good/qwen2"
