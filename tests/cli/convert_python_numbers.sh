# Numbers of a configuration as Python's json writes them: where no model asks,
# they stay; where one asks, they are refused by name.
with() {
    rm -rf model
    mkdir model
    cp "$DATA/runtime/llama/model.safetensors" model
    sed "s/^{/{$1, /" "$DATA/runtime/llama/config.json" >model/config.json
}
with '"time_step_limit": [0.0, Infinity], "longest": 10000000000000000000000'
gqa-convert -q -g 1 model grouped/
grep -A 6 -e time_step -e longest grouped/config.json
gqa-verify --no-run --quiet --against model grouped
echo "against the model: $?"
gqa-convert -q -g 1 model grouped.gguf

for key in rope_theta rms_norm_eps num_attention_heads; do
    for value in NaN -Infinity 1000000000000000000000000; do
        cp "$DATA/runtime/llama/config.json" model
        sed -i "s/\"$key\": [^,}]*/\"$key\": $value/" model/config.json
        grep -q -e "$value" model/config.json || echo "no $key"
        gqa-convert -q -g 1 model refused.gqa && echo "$key: $value is taken"
        rm -f refused.gqa
    done
done
exit 0
