# Aligned weights are made again from the original by the transforms that were
# kept, bit for bit, in each container and after other conversions; a wrong
# weight, transform or order of heads is found.
weights() {
    gqa-verify --no-run --format tap --against "$@" >report.tap
    local status=$?
    sed -n '/ weights recipe/,/ weights grouped/{/recipe\|grouped/p;}' report.tap
    grep -A 1 '^not ok' report.tap
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
    break_weights broken/model.safetensors $tensor flip 7
    weights "$model" broken/
    rm -r broken
done
cp -r out broken
printf '\377' | dd of=broken/gqa-transforms.dat bs=1 seek=2000 conv=notrunc \
    2>/dev/null
weights "$model" broken/
rm broken/gqa-transforms.dat
weights "$model" broken/
cp out/model.safetensors broken/gqa-transforms.dat
weights "$model" broken/
