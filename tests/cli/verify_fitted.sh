# What was fitted or trained follows from nothing: it is held against digests in
# the recipe, in each container and type that holds it.
report() {
    gqa-verify --no-run --format tap --against "$@" >report.tap
    local status=$?
    grep -A 1 -e ' weights recipe' -e '^not ok' report.tap |
        grep -v -e '^--' -e '^ok.*parameters' | sed 's/[0-9]* tensors/N tensors/g'
    echo "exit $status"
}
convert() {
    gqa-convert -q -f "$@"
}
repack() {
    convert --groups 1 "$@"
}
model=$DATA/runtime/llama
convert -m aligned --samples 8 --length 32 --groups 1 "$model" out/
gqa-inspect --json --recipe out/ | grep -q '"digests"' && echo recorded
for output in out/ out.gqa out.safetensors out.gguf; do
    echo "== $output"
    [ $output = out/ ] || repack out/ $output
    report "$model" $output
done

echo "== other types"
for dtype in f64 bf16; do
    repack --dtype $dtype out/ $dtype.gqa
    report "$model" $dtype.gqa
done
repack --dtype f32 bf16.gqa back.gqa
report "$model" back.gqa
convert -m aligned --samples 8 --length 32 --groups 1 --dtype bf16 "$model" \
    narrow.gqa
for dtype in f32 f16; do
    repack --dtype $dtype narrow.gqa $dtype.gqa
    report "$model" $dtype.gqa
done

echo "== faults"
at=model.layers.1.self_attn
fault() {
    cp -r out broken
    break_weights broken/model.safetensors "$@"
    report "$model" broken/
    repack broken/ broken.gguf
    report "$model" broken.gguf
    rm -r broken
}
for part in q k v o; do
    fault $at.${part}_proj.weight scale 1.001
done
fault $at.v_proj.weight swap-rows 0 4 4
fault $at.o_proj.weight flip 7

echo "== later conversions"
convert -m aligned --samples 8 --length 32 --groups 2 "$DATA/runtime/gpt2" two/
convert --groups 1 two/ one.gqa
report "$DATA/runtime/gpt2" one.gqa
convert --groups 2 --expand two/ wide.safetensors
report "$DATA/runtime/gpt2" wide.safetensors
convert --groups 2 two/ two.gguf
report "$DATA/runtime/gpt2" two.gguf

echo "== trained"
gqa-uptrain --quiet --write-start --steps 3 --rate 1e-3 --batch 2 --length 16 \
    --teacher "$model" out/ trained/ >/dev/null
for output in trained/ trained.gguf; do
    [ $output = trained/ ] || repack trained/ $output
    report "$model" $output
done
break_weights trained/model.safetensors $at.v_proj.weight scale 1.001
report "$model" trained/
gqa-verify -q --no-run --trained --against "$model" trained/
echo "exit $?"

echo "== digests that are none, or that a recipe of before has not"
for change in 's/\\":\\"F32 \([0-9a-f]\)/\\":\\"X32 \1/g' \
    's/digests\\":/Digests\\":/'; do
    cp -r out broken
    sed -i "$change" broken/model.safetensors
    report "$model" broken/
    rm -r broken
done
