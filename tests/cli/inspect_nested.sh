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
