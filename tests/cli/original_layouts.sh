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
# Several files are parts of a model, which are not put together here.
mkdir parts
cp "$DATA/original/meta/"* parts
cp parts/consolidated.00.pth parts/consolidated.01.pth
gqa-inspect parts
