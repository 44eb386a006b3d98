# Shards: which tensor lies where. The option stands after the path.
gqa-inspect "$DATA/good/t5-sharded/model.safetensors.index.json" --tensors
