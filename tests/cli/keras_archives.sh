# Keras archives: what is made of them is made of the preset that they pack.
data() {
    tail -c "+$(($(od -An -t u8 -N 8 "$1") + 9))" "$1"
}
gqa-convert --quiet --groups 1 "$DATA/good/kerashub-mistral" preset.safetensors
for form in stored deflated; do
    gqa-convert --quiet --groups 1 "$DATA/keras/$form.keras" "$form.safetensors"
    cmp <(data "$form.safetensors") <(data preset.safetensors) && echo "$form"
    gqa-inspect "$DATA/keras/$form.keras" | sed "s|$DATA|DATA|" | head -n 3
done
# Nothing is left of the copies.
mkdir temporary folder
cp "$DATA/keras/deflated.keras" folder
TMPDIR=temporary gqa-convert --groups 1 --dry-run folder out.gqa | head -n 1
ls temporary
head -c 5000 "$DATA/keras/deflated.keras" >cut.keras
gqa-inspect cut.keras
