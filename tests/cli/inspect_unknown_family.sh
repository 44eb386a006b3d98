# Tensors are listed all the same; what needs the model is refused.
gqa-inspect "$DATA/good/unknown-family"
gqa-inspect --json "$DATA/good/unknown-family"
gqa-inspect --kv-cache "$DATA/good/unknown-family"
