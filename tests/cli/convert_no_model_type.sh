# A folder whose configuration names no type is loaded by nobody: said before
# anything is written. Other outputs keep it as it is.
mkdir folder
cp "$DATA/runtime/llama/model.safetensors" folder
try() {
    gqa-convert -q -g 1 folder "$1"
    echo "$1: $?"
}
for config in '{}' '{"num_attention_heads": 4}' \
    '{"num_attention_heads": 4, "model_type": 5}'; do
    echo "$config" >folder/config.json
    try new/
done
try new.safetensors
ls
