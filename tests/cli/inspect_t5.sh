# An encoder-decoder: its three kinds of attention.
gqa-inspect "$DATA/good/t5-v1_1"
