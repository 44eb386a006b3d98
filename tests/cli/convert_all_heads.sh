# As many groups as heads: the source's own bytes.
gqa-convert -q -g 12 "$DATA/good/llama" same/
cmp "$DATA/good/llama/model.safetensors" same/model.safetensors
