gqa-inspect --json --tensors --kv-cache --stats -t 2 "$DATA/good/t5-v1_1"
