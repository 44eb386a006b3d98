# Shards of two conversions are no checkpoint.
gqa-convert -q -g 4 --shard-size 1M "$DATA/sample/t5-tiny16" out/
set -- out/*-00002-of-*.safetensors
sed -i 's/gqa-convert [0-9.]*[0-9]/gqa-convert 9.9.9/' "$1"
gqa-verify --no-run --against "$DATA/sample/t5-tiny16" out | sed -n '/FAILED/,/^file *content/p'
echo "${PIPESTATUS[0]}"
