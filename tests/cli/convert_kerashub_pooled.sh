# Heads that lie in several parts of a variable, or behind others, are pooled to
# the bits that the same model gives once it is written as transformers has it.
data() {
    tail -c "+$((9 + $(od -An -tu8 -N8 "$1")))" "$1"
}
for name in opt bloom falcon bart whisper; do
    gqa-convert -q -g 4 --expand "$DATA/kerashub/$name" "$name/"
    gqa-convert -q -g 2 --expand "$DATA/kerashub/$name" here/
    gqa-convert -q -g 2 --expand "$name" there/
    cmp <(data here/model.safetensors) <(data there/model.safetensors) &&
        echo "$name: the same"
    rm -r here there
done
