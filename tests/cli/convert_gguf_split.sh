# GGUF output in several files, as llama.cpp cuts them: each has some of the
# tensors, the first all keys.
model=$DATA/runtime/gpt2
split() { gqa-convert -q --groups 2 --shard-size "$@"; }
gqa-convert --groups 2 --shard-size 8KB "$model" m.gguf | grep -e ^output -e ^size && ls
gqa-inspect m-00001-of-00004.gguf | grep -E '^(Checkpoint|Grouped)'
gqa-convert -q --groups 2 "$model" one.gguf
gqa-verify -q --against one.gguf m-00001-of-00004.gguf && echo the same
gqa-verify -q --against "$model" m-00001-of-00004.gguf && echo a conversion
gqa-convert --json --groups 2 --shard-size 8KB "$model" told.gguf | grep -e '"output"' -e '"first"'
# What fits is one file.
split 8MB "$model" small.gguf && ls small*
split 8MB "$model" small.gguf
split 8MB --force "$model" small.gguf && echo replaced
# Files of a split model are not replaced, since some could be.
split 8KB --force "$model" m.gguf
rm m-00001-of-00004.gguf
split 8KB --dry-run "$model" m.gguf
split 8KB "$model" missing/m.gguf
split 1 --dry-run "$DATA/sample/t5-tiny16" t5.gguf
split 8KB --to gguf "$model" -
split 8KB "$model" m.safetensors
# A tensor that is larger is a file of its own.
split 1 "$model" each.gguf && ls each-00028*
exit 0
