# Shards: which tensor lies where, each in a row. The option stands after the
# path.
gqa-inspect "$DATA/good/t5-sharded/model.safetensors.index.json" --tensors --all-rows
