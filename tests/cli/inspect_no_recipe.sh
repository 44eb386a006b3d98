gqa-inspect --recipe "$DATA/good/gpt2"
