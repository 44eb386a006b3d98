# Attentions of all makes learn: each comes nearer to its original, and nothing
# else of it changes.
for name in llama llama-grouped llama-longrope gpt2 gpt_neox gpt_neox-sequential \
    qwen2-tied t5-v1_1 families/phi families/olmo2 families/roberta-decoder; do
    folder=$DATA/runtime/$name
    [[ $name == families/* ]] && folder=$DATA/$name
    echo "== $name"
    gqa-convert -q -f -g 1 "$folder" grouped.gqa
    gqa-uptrain -q -f --steps 4 --batch 4 --length 12 --eval-sequences 4 \
        --rate 1e-3 --teacher "$folder" grouped.gqa healed.gqa
    echo "exit $?"
    gqa-verify --no-run --against "$folder" healed.gqa |
        grep -E '^weights +(unchanged|grouped)'
done
