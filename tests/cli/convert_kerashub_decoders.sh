# Families whose heads or experts are blocks of one variable: the configuration
# of each, and heads pooled out of it as out of the folder that it becomes.
cases=$DATA/kerashub
data() {
    tail -c "+$(($(od -An -t u8 -N 8 "$1") + 9))" "$1"
}
convert() {
    local from=$1 heads=$2

    rm -rf out ./*.safetensors
    gqa-convert -g "$heads" "$from" out/ | grep '^model' && cat out/config.json
    gqa-convert -q -g 1 "$from" straight.safetensors
    gqa-convert -q -g 1 out by_way.safetensors
    cmp <(data straight.safetensors) <(data by_way.safetensors) && echo same
}
convert "$cases/gemma" 4
convert "$cases/gemma2" 2
convert "$cases/gemma2-full/model.h5" 4
convert "$cases/mixtral" 2
convert "$cases/qwen3" 2
convert "$cases/qwen3-untied/model.h5" 4
convert "$cases/qwen_moe" 2
convert "$cases/qwen3_moe" 4
convert "$cases/gemma3" 2
convert "$cases/gemma3-full" 4
convert "$cases/smollm3" 2
convert "$cases/smollm3-mha" 4
convert "$cases/gemma-mqa" 1
convert "$cases/gemma2-plain" 4
convert "$cases/mixtral-whole/model.h5" 4
convert "$cases/qwen_moe-whole/model.h5" 4
convert "$cases/qwen3_moe-whole/model.h5" 4
convert "$cases/t5gemma" 2
convert "$cases/t5gemma-mha" 4
convert "$cases/t5gemma-whole/model.h5" 4
