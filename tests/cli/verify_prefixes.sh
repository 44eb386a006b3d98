# A model with its head and one without have names that begin otherwise, which
# transformers takes for the same, and so is each held against the other.
check() {
    gqa-verify --no-run --against "$1" "$2" |
        sed -n '/^weights *parameters/,/^weights *unchanged/p'
    echo "exit ${PIPESTATUS[0]}"
}
base() {
    cp -r "$DATA/families/$1" "$1"
    chmod -R u+w "$1"
    edit_tensors "$1/model.safetensors" repeat "$2" "$3" drop "$2"
}
base opt model.decoder. decoder.
gqa-convert -q --remote-code -g 2 "$DATA/families/opt" whole/
gqa-convert -q --remote-code -g 2 opt base/
echo '== the converted one has its head'
check opt whole
echo '== the original has it'
check "$DATA/families/opt" base
echo '== one name is not among them'
edit_tensors whole/model.safetensors rename model.decoder.layers.0.fc1.bias other.layers.0.fc1.bias
check opt whole
echo '== names of another model of the family'
base bloom transformer. ''
gqa-convert -q --remote-code -g 2 "$DATA/families/bloom" bloom-2/
check bloom bloom-2
echo "== a model within another, as its class calls its parts"
cp -r "$DATA/families/llava" llava
chmod -R u+w llava
edit_tensors llava/model.safetensors repeat language_model.model. model.language_model. \
    drop language_model.model. rename language_model.lm_head.weight lm_head.weight \
    repeat multi_modal_projector. model.multi_modal_projector. drop multi_modal_projector. \
    repeat vision_tower. model.vision_tower. drop vision_tower.
gqa-convert -q -g 2 llava llava-2/
check "$DATA/families/llava" llava-2
edit_tensors llava-2/model.safetensors rename \
    model.multi_modal_projector.linear_1.bias model.other.linear_1.bias
check "$DATA/families/llava" llava-2
