# A language model within a larger one: what it is, and what is wrong where its
# configuration is not there, or is of something else.
gqa-inspect "$DATA/families/llava_next" | sed -n 3,20p
cp -R "$DATA/families/llava" llava
chmod u+w llava/config.json
try() {
    sed "$1" "$DATA/families/llava/config.json" >llava/config.json
    gqa-convert -q -f -g 2 llava out.gqa
    echo "exit $?"
}
try 's/"model_type": "llama"/"model_type": "lama"/'
try 's/"text_config"/"texts"/'
try 's/"num_attention_heads": 4/"num_attention_heads": 3/'
[[ ! -e out.gqa ]]
# Older files of Qwen2-VL say of the language model what they say, and no
# object apart.
mkdir flat
cp "$DATA/families/qwen2_vl/model.safetensors" flat
cat >flat/config.json <<'END'
{"model_type": "qwen2_vl", "architectures": ["Qwen2VLForConditionalGeneration"], "hidden_size": 32,
 "intermediate_size": 29, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4,
 "vocab_size": 47, "rms_norm_eps": 1e-05, "rope_theta": 1000000.0, "use_sliding_window": false,
 "rope_scaling": {"type": "mrope", "mrope_section": [2, 1, 1]}, "vision_config": {"depth": 1}}
END
gqa-inspect flat | sed -n 4,6p
gqa-convert -q -g 2 flat flat.gqa
gqa-verify -q --against flat flat.gqa
