# What is not read says what it is and what to do: a folder, and a file alone,
# which has no configuration beside it.
tell() {
    local status=0
    gqa-convert --groups 1 "$1" out.gqa >/dev/null 2>err || status=$?
    sed "s|$DATA/||g; s/^gqa-convert: //" err
    [[ $status = 2 && ! -e out.gqa ]] || echo "exit $status"
}
for folder in "$DATA"/foreign/*; do
    name=${folder##*/}
    echo "== $name"
    tell "$folder"
    [[ $name != t5-encoder ]] || continue
    for file in "$folder"/* "$folder"/.metadata; do
        [[ -f $file && $file != *.json ]] || continue
        rm -rf alone
        mkdir alone
        cp "$file" alone
        tell "alone/${file##*/}"
    done
done

# An encoder that we know is grouped where that is asked for, and keeps no cache.
gqa-convert -q --groups 1 --attention encoder "$DATA/foreign/t5-encoder" out.gqa
gqa-inspect out.gqa | grep cache
rm out.gqa
# Tensors of models that are not ours are listed all the same.
gqa-inspect "$DATA/foreign/mla" 2>/dev/null | grep kv_a
gqa-inspect "$DATA/foreign/peft" 2>/dev/null | grep lora_A
gqa-inspect "$DATA/foreign/peft-bin" 2>/dev/null | grep lora_A

# Files of macOS beside the files are no candidates; parts of TensorRT-LLM's
# checkpoints are no shards.
mkdir mac trt
cp "$DATA/good/llama/"* mac
printf '\0\5\26\7\0\2\0\0Mac OS X' >mac/._model.safetensors
gqa-inspect mac | sed -n 2p
tell mac/._model.safetensors
cp "$DATA/good/llama/model.safetensors" trt/rank0.safetensors
cp "$DATA/good/llama/model.safetensors" trt/rank1.safetensors
tell trt
