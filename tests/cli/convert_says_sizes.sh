# Sizes that a configuration leaves to the tensors, and loaders to a class of
# their own, stand in the output's.
left_out() { # FIXTURE KEY...
    cp -r "$DATA/families/$1" model
    rm -f model/reference.safetensors model/grouped.safetensors
    for key in "${@:2}"; do
        sed -i "s/\"$key\"/\"_$key\"/" model/config.json
    done
    gqa-convert -q --groups 1 --expand model out/
    gqa-verify -q --no-run --against model out || echo "-> $?"
    echo "== $1"
    for key in "${@:2}"; do
        grep "\"$key\"" out/config.json || echo "$key: not said"
    done
    rm -r model out
}

left_out gemma num_key_value_heads num_hidden_layers
left_out qwen3_moe moe_intermediate_size intermediate_size
left_out bart decoder_layers encoder_ffn_dim max_position_embeddings d_model
left_out mixtral intermediate_size hidden_size
left_out opt ffn_dim

# Without its key the decoder has as many heads as in transformers: 16.
sed '/decoder_attention_heads/d' "$DATA/families/bart/config.json" >heads.json
gqa-inspect --config heads.json "$DATA/families/bart/model.safetensors" |
    grep '^decoder'

# Names that transformers has beside those of a class stand for them, and of two
# that differ it takes the one that it reads last.
gpt2() {
    rm -rf gpt2 out
    cp -r "$DATA/runtime/gpt2" gpt2
    sed "$1" "$DATA/runtime/gpt2/config.json" >gpt2/config.json
    gqa-convert -q --groups 1 --expand gpt2 out/ || return 0
    gqa-verify -q --no-run --against "$DATA/runtime/gpt2" out && echo the same
}
gpt2 's/"n_head"/"num_attention_heads"/; s/"n_layer"/"num_hidden_layers"/'
gpt2 's/"n_head"/"num_attention_heads": 1, &/'
gpt2 's/"n_layer"/"num_hidden_layers": 1, &/'

# Nor does a loader take a size that is no number.
cp -r "$DATA/runtime/llama" model
for size in '"24"' 24.0 '[24]' null; do
    sed -E "s/(\"hidden_size\": )[0-9]+/\\1$size/" \
        "$DATA/runtime/llama/config.json" >model/config.json
    gqa-convert -q --force --groups 1 model out/
    grep '"hidden_size"' out/config.json
done
