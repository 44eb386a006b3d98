# Files of llama2.c: what is made of both forms is the same, and what is made of
# the model in safetensors.
data() {
    tail -c "+$(($(od -An -t u8 -N 8 "$1") + 9))" "$1"
}
for form in v0.bin v1.bin; do
    gqa-convert --quiet --groups 1 "$DATA/llama2c/$form" "$form.safetensors"
done
gqa-convert --quiet --groups 1 --n-heads 4 "$DATA/llama2c/twin.safetensors" \
    twin.safetensors
for form in v0.bin v1.bin; do
    cmp <(data "$form.safetensors") <(data twin.safetensors) && echo "$form"
done
gqa-inspect "$DATA/llama2c/v0.bin" | sed "s|$DATA|DATA|"
gqa-convert --groups 1 --dry-run "$DATA/llama2c/v1.bin" out.gqa
# In a folder, by what it holds
mkdir folder
cp "$DATA/llama2c/v0.bin" folder/model.bin
echo 'no weights at all' >folder/tokenizer.bin
gqa-inspect folder | sed -n 2p
# Heads that were copied and are put together again are what they were.
gqa-convert --quiet --groups 2 "$DATA/llama2c/v0.bin" before.safetensors
gqa-convert --quiet --groups 2 --expand "$DATA/llama2c/v0.bin" wide.safetensors
gqa-convert --quiet --groups 2 wide.safetensors after.safetensors
cmp <(data before.safetensors) <(data after.safetensors) && echo same
