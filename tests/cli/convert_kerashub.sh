# A task's file, its whole model, shards of a compiled one: one backbone each,
# and a configuration that means the same in transformers.
cases=$DATA/kerashub
convert() {
    rm -rf out
    gqa-convert -g 2 --expand "$1" out/ | grep '^model' && cat out/config.json
}
convert "$cases/gpt2/model.h5"
convert "$cases/gpt_neox"
convert "$cases/llama-llama3/model.h5"
convert "$cases/mistral"
convert "$cases/mistral-full"
convert "$cases/opt"
convert "$cases/opt-whole/model.h5"
convert "$cases/bloom"
convert "$cases/bloom-whole/model.h5"
convert "$cases/falcon"
convert "$cases/falcon-whole/model.h5"
convert "$cases/bart"
convert "$cases/bart-whole/model.h5"
convert "$cases/whisper"
convert "$cases/whisper-whole/model.h5"
convert "$cases/qwen-sharded"
convert "$cases/t5-gelu"
convert "$cases/t5-gelu-approximate"
