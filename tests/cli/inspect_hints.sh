# Without a configuration the number of heads is asked for by name.
cp "$DATA/good/llama-grouped/model.safetensors" .
gqa-inspect model.safetensors
gqa-inspect --n-heads 12 model.safetensors
gqa-inspect -c "$DATA/good/llama-grouped/config.json" model.safetensors |
    grep Config
