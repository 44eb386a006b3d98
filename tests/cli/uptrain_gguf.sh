# A GGUF file is an output, too: what llama.cpp takes is looked at before
# anything is trained, and once.
train() {
    gqa-uptrain --quiet --write-start --steps 3 --rate 1e-3 --batch 2 \
        --length 16 "$@"
    [ $? -lt 2 ] || echo refused
}
train --teacher "$DATA/runtime/gpt2" --groups 2 made.gguf
gqa-verify --no-run --trained --against "$DATA/runtime/gpt2" made.gguf |
    grep -e ' config ' -e '^exact'
gqa-inspect made.gguf | grep -e ^Kind -e Grouped | sed 's/,.*//'
# Of a conversion, and of a file of its own kind
gqa-convert --quiet --groups 1 "$DATA/families/qwen3" grouped/
train --teacher "$DATA/families/qwen3" grouped qwen3.gguf
gqa-verify --no-run --trained --against "$DATA/families/qwen3" \
    qwen3.gguf | grep '^exact'
train --teacher "$DATA/runtime/gpt2" made.gguf again.gguf
gqa-uptrain --dry-run --steps 3 --teacher "$DATA/runtime/gpt2" --groups 2 \
    dry.gguf >out.txt
echo "exit $?"
gqa-uptrain --force --write-start --steps 2 --rate 1e-3 --batch 2 --length 16 \
    --teacher "$DATA/runtime/gpt2" --groups 2 made.gguf 2>&1 >out.txt |
    grep -c 'without a vocabulary'
train --teacher "$DATA/runtime/t5-v1_1" --groups 1 t5.gguf
train --teacher "$DATA/families/gemma2" --method mean --groups 1 gemma2.gguf
train --teacher "$DATA/runtime/gpt2" --groups 2 --remote-code made.gguf
train --teacher "$DATA/runtime/gpt2" --groups 2 --shard-size 8K split.gguf
gqa-uptrain --write-start --steps 2 --rate 1e-3 --batch 2 --length 16 --shard-size 8K \
    --teacher "$DATA/runtime/gpt2" --groups 2 told.gguf 2>/dev/null | grep '^output'
ls
