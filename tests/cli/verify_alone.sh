gqa-verify "$DATA/good/llama"
