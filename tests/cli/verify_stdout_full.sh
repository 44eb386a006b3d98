gqa-verify "$DATA/good/llama" >/dev/full
