# A configuration of a model of another size is refused, with both numbers.
# changed KEY OLD NEW: of the fixture's configuration
changed() {
    cp -r "$DATA/runtime/$fixture" model
    chmod -R u+w model
    sed -i "s/\"$1\": $2/\"$1\": $3/" model/config.json
    gqa-convert --groups 1 model out.gqa && echo "converted: $*"
    rm -rf model out.gqa
}
fixture=llama
changed hidden_size '[0-9]*' 64
changed intermediate_size '[0-9]*' 64
changed vocab_size '[0-9]*' 60
changed num_hidden_layers '[0-9]*' 5
changed head_dim '[0-9]*' 3
fixture=gpt2
changed n_inner 31 null
changed n_positions 24 25
fixture=llama-grouped
changed num_key_value_heads '[0-9]*' null
