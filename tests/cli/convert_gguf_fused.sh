# Models with queries, keys and values in one tensor, which a GGUF file has in
# three: read back it is the conversion, in one.
deep() { # a fixture of two layers with so many
    local edits=()
    cp -R "$DATA/families/$1" "$1-$2"
    chmod -R u+w "$1-$2"
    sed -i "s/\(\"num_hidden_layers\": \)2/\1$2/" "$1-$2/config.json"
    for ((i = 2; i < $2; i++)); do
        edits+=(repeat "model.layers.$((i % 2))." "model.layers.$i.")
    done
    edit_tensors "$1-$2/model.safetensors" "${edits[@]}"
}
alibi=(--family "$DATA/families/baichuan_alibi.json")
family=()
same() {
    gqa-convert --quiet --force "${family[@]}" "${@:2}" "$1" out.gguf
    gqa-verify --no-run "${family[@]}" --against "$1" out.gguf |
        sed -n "s|^exact: |${1#"$DATA/"} ${*:2}: |p"
}
same "$DATA/families/internlm2" --groups 1
same "$DATA/families/internlm2" --groups 2 --dtype bf16
gqa-inspect out.gguf | sed -n '/^Family/p; /^stack/,/^$/p'
gqa-convert --quiet --groups 1 out.gguf back/
gqa-verify --no-run --quiet --against out.gguf back
echo "back: $?"
deep baichuan 32
same baichuan-32 --groups 1
same baichuan-32 --groups 4 --dtype f32
gqa-inspect out.gguf | sed -n '/^Family/p; /^stack/,/^$/p'
deep baichuan_alibi 40
family=("${alibi[@]}")
same baichuan_alibi-40 --groups 2
gqa-inspect "${alibi[@]}" out.gguf | sed -n '/^Family/p; /^stack/,/^$/p'

echo '== refused'
# By what llama.cpp makes of so many layers
gqa-convert --groups 1 "$DATA/families/baichuan" new.gguf
gqa-convert --groups 1 "${alibi[@]}" baichuan-32 new.gguf
deep baichuan 40
gqa-convert --groups 1 baichuan-40 new.gguf
# Logits by normalised rows
edit_tensors baichuan-32/model.safetensors drop lm_head drop model.embed_tokens \
    add lm_head.weight F16 125696,32 add model.embed_tokens.weight F16 125696,32
sed -i 's/"vocab_size": 47/"vocab_size": 125696/' baichuan-32/config.json
gqa-convert --groups 1 baichuan-32 new.gguf
# Biases, which it has no place for
cp -R "$DATA/families/internlm2" biased
chmod -R u+w biased
sed -i 's/"bias": false/"bias": true/' biased/config.json
edit_tensors biased/model.safetensors \
    add model.layers.0.attention.wqkv.bias F16 64 add model.layers.0.attention.wo.bias F16 32 \
    add model.layers.1.attention.wqkv.bias F16 64 add model.layers.1.attention.wo.bias F16 32
gqa-convert --groups 1 biased new.gguf
ls ./*.gguf
