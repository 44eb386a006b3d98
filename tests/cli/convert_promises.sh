# A configuration that promises what the tensors do not have is refused, and
# fails verification: stock loaders would draw it at random, or load nothing.

# promise FIXTURE KEY VALUE
promise() {
    cp -r "$DATA/runtime/$1" model
    chmod -R u+w model
    sed -i -e "/\"$2\"/d" -e "1s/{/{\"$2\": $3,/" model/config.json
    gqa-convert --groups 2 model out.gqa && echo "converted: $*"
    gqa-verify model | grep FAILED
    rm -rf model out.gqa
}

promise llama quantization_config '{"quant_method": "awq", "bits": 4}'
promise t5-v1_0 load_in_8bit true
promise gpt2 add_cross_attention true
promise gpt2-base add_cross_attention true
promise gpt2 tie_word_embeddings false
promise llama attention_bias true
promise llama mlp_bias true
