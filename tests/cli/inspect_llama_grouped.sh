# Already grouped at its source, RoPE, the file itself instead of the folder.
gqa-inspect "$DATA/good/llama-grouped/model.safetensors"
