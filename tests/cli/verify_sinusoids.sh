# A table of positions that is computed is none that can be lost; one with other
# numbers is.
model=$DATA/families/marian
check() {
    gqa-verify --no-run --against "$1" "$2" |
        sed -n '/^weights *parameters/,/^weights *unchanged/p'
    echo "exit ${PIPESTATUS[0]}"
}
table=model.decoder.embed_positions.weight
for name in stored changed; do
    cp -r "$model" $name
    chmod -R u+w $name
    edit_tensors $name/model.safetensors sines model.encoder.embed_positions.weight 20 16 \
        sines $table 20 16
done
gqa-convert -q --remote-code -g 2 "$model" out/
gqa-convert -q --remote-code -g 2 stored kept/
check stored out
check "$model" kept
echo '== with other numbers'
break_weights changed/model.safetensors $table scale 1.01
check changed out
