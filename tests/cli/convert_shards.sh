gqa-convert -q -g 8 --shard-size 1M "$DATA/sample/t5-tiny16" sharded
ls sharded
gqa-convert -q -g 8 sharded one.safetensors
gqa-convert -q -g 8 "$DATA/sample/t5-tiny16" two.safetensors
cmp one.safetensors two.safetensors || gqa-inspect --recipe one.safetensors
