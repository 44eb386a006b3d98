gqa-inspect "$DATA/good/gpt2" >/dev/full
