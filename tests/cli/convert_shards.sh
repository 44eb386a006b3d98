gqa-convert -q -g 8 --shard-size 1M "$DATA/sample/t5-tiny16" sharded/
ls sharded
# Put together again, the shards hold what one file does. Headers differ in
# where they say it came from.
gqa-convert -q -g 8 sharded together.safetensors
gqa-convert -q -g 8 "$DATA/sample/t5-tiny16" one.safetensors
cmp <(tail -c 3287040 together.safetensors) <(tail -c 3287040 one.safetensors)
