# Fused per head, RoPE on a part of each head.
gqa-inspect "$DATA/good/gpt_neox"
