# Both kinds of cache, then a grouped model, which can be grouped further.
gqa-inspect --kv-cache "$DATA/good/t5-v1_1"
gqa-inspect --context 131072 --batch=16 "$DATA/good/llama-grouped"
