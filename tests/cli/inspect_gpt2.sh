# Fused [q|k|v] in columns, biases, learned positions.
gqa-inspect "$DATA/good/gpt2"
