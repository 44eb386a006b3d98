# Aligned weights are made again from the original by the transforms that were
# kept, bit for bit, in each container and after other conversions; a wrong
# weight, transform or order of heads is found.
weights() {
    gqa-verify --no-run --format tap --against "$@" >report.tap
    local status=$?
    sed -n '/ weights recipe/,/ weights grouped/{/recipe\|grouped/p;}' report.tap
    grep -A 1 '^not ok' report.tap | sed 's/-nan/nan/'
    echo "exit $status"
}
convert() {
    gqa-convert -q -f -m aligned --calibrate none --no-free-pairs "$@"
}
model=$DATA/runtime/llama
for output in out.gqa out.safetensors out/; do
    echo "== $output"
    convert --groups 1 --dtype f32 "$model" $output
    weights "$model" $output
done
ls out
gqa-inspect out.gqa | grep '^Transforms'
gqa-inspect --tensors out.gqa | grep -c gqa.transforms

echo "== repacked, grouped and expanded once more"
gqa-convert -q --groups 1 out.gqa repacked/
weights "$model" repacked/
t5=$DATA/runtime/t5-repeated
convert --groups 3 "$t5" three/
convert --groups 1 --expand three/ one.gqa
weights "$t5" one.gqa
gqa-convert -q --groups 1 --dtype bf16 three/ mean.gqa
weights "$t5" mean.gqa

echo "== broken"
v=model.layers.1.self_attn.v_proj.weight
o=model.layers.0.self_attn.o_proj.weight
for tensor in $v $o; do
    cp -r out broken
    break_weights broken/model.safetensors "$tensor" flip 7
    weights "$model" broken/
    rm -r broken
done

echo "== broken transforms"
change() {
    cp -r out broken
    "$@"
    weights "$model" broken/
    rm -r broken
}
overwrite() {
    printf '\377%.0s' {1..16} |
        dd of=$file bs=1 seek=2000 conv=notrunc 2>/dev/null
}
file=broken/gqa-transforms.dat
first=gqa.transforms.1.decoder.self.0.k
change overwrite
change rm $file
change cp out/model.safetensors $file
change edit_tensors $file drop $first
change edit_tensors $file drop $first add $first F64 1,8,8
change edit_tensors $file drop $first add $first F32 1,8,16
change edit_tensors $file add gqa.transforms.2.decoder.self.0.k F64 1,8,16
change edit_tensors $file add gqa.transforms.x F32 -
cp out.safetensors broken.safetensors
edit_tensors broken.safetensors drop $first
weights "$model" broken.safetensors

echo "== fitted"
gqa-convert -q -m aligned --no-free-pairs --samples 8 --length 16 --groups 2 \
    "$DATA/runtime/gpt2" fitted/
weights "$DATA/runtime/gpt2" fitted/
gqa-verify --no-run --against "$DATA/runtime/gpt2" fitted/ | grep -A 1 "fitted, and"
