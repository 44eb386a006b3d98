# As many groups as heads: the source's own bytes.
gqa-convert -q -g 12 "$DATA/good/hf-llama" same
cmp "$DATA/good/hf-llama/model.safetensors" same/model.safetensors
