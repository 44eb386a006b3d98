# Meta's and Mistral's own layouts: what is made of them is made of the model in
# Hugging Face's.
data() {
    tail -c "+$(($(od -An -t u8 -N 8 "$1") + 9))" "$1"
}
gqa-convert --quiet --groups 1 --n-heads 4 "$DATA/llama2c/twin.safetensors" \
    twin.safetensors
for name in meta mistral; do
    gqa-convert --quiet --groups 1 "$DATA/original/$name" "$name.safetensors"
    cmp <(data "$name.safetensors") <(data twin.safetensors) && echo "$name"
    gqa-inspect "$DATA/original/$name" | sed "s|$DATA|DATA|" | head -n 10
done
# Several files are parts of a model, as on several devices, and put together.
gqa-convert --quiet --groups 1 --n-heads 4 \
    "$DATA/original/parts-twin.safetensors" whole.safetensors
for name in meta-parts meta3-parts; do
    for of in "$name" "$name/consolidated.00.pth"; do
        gqa-convert --quiet --force --groups 1 "$DATA/original/$of" \
            "$name.safetensors"
        cmp <(data "$name.safetensors") <(data whole.safetensors) && echo "$of"
    done
done
# One of them alone is none.
gqa-inspect "$DATA/original/meta-parts/consolidated.01.pth"
cp -r "$DATA/original/meta-parts" lost
rm lost/consolidated.00.pth
gqa-inspect lost
