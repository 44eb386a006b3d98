# Tokens that are pinned, masked and cut.
llama=$DATA/runtime/llama
t5=$DATA/runtime/t5-v1_1
gqa-convert -q --groups 1 "$llama" llama.gqa
gqa-convert -q --groups 2 "$t5" t5.gqa

# What a run drew, in a file: the same figures, to the bit.
figures() {
    gqa-verify -j --backend cpu "$@" >report.json
    grep -A 20 '"group": "fidelity"' report.json | grep -v seconds
}
for model in llama t5; do
    figures --samples 3 --length 20 --dump-logits $model.safetensors \
        --against "${!model}" $model.gqa >drawn
    figures --tokens $model.safetensors --dump-logits again.safetensors \
        --against "${!model}" $model.gqa >pinned
    cmp drawn pinned && cmp $model.safetensors again.safetensors &&
        echo "$model: the same"
done
# So with labels that mask.
echo '5 6 7 8 9 | -100 -100 7 -100 9
3 4 | -100 4' >masked
figures --tokens masked --dump-logits llama.safetensors \
    --against "$llama" llama.gqa >drawn
figures --tokens llama.safetensors --against "$llama" llama.gqa >pinned
cmp drawn pinned && echo "masked: the same"

show() {
    gqa-verify --backend cpu --against "$@" |
        grep -E '^(data|fidelity +(finite|kl|perplexity) )'
}
show "$llama" --tokens masked llama.gqa
show "$llama" --tokens masked --length 3 llama.gqa
echo '1 5 9 60 | 3 -100 4' >masked
show "$t5" --tokens masked t5.gqa
show "$t5" --tokens masked --length 2 t5.gqa

# A converted model is fed its own start token.
gqa-convert -q --groups 4 "$t5" other/
show "$t5" --tokens masked other
sed -i 's/"decoder_start_token_id": 0/"decoder_start_token_id": 7/' other/config.json
show "$t5" --tokens masked other
