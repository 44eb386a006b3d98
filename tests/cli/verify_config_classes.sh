# What classes of transformers read of a configuration, by their own rules: one
# key of a configuration changed at a time.
# NAME SED [BEFORE]: what becomes of the fixture when its config.json is edited,
# where the original's is as BEFORE edits it.
try() {
    local name=$1 status=0
    rm -rf original edited
    cp -r "$DATA/families/$name" original
    sed -i "${3-}" original/config.json
    cp -r original edited
    sed -i "$2" edited/config.json
    gqa-verify --no-run --against original edited >out || status=$?
    echo "== $name $2 -> $status"
    grep '^file *config' out
    sed -n '/^file *config/,/^file *parameters/{/^file/!p;}' out
}

# Falcon's number of KV heads is read by the layouts that have one.
try falcon 's/"num_kv_heads": 8/"num_kv_heads": 7/'
try falcon '/"num_kv_heads"/d'
try falcon-7b 's/"num_kv_heads": 4/"num_kv_heads": 3/'
try falcon 's/"rope_scaling": null/"rope_scaling": 1/'
try gpt_neox_japanese 's/"intermediate_multiple_size": 2/"intermediate_multiple_size": 3/'
try gpt_neox_japanese '/"intermediate_multiple_size"/d'
# Defaults of classes that are like others'.
try pegasus_x '/"decoder_start_token_id"/d'
for name in pegasus_x bigbird_pegasus; do
    try $name '/"scale_embedding"/d' 's/"scale_embedding": true/"scale_embedding": false/'
    try $name '/"scale_embedding"/d'
done
# Sums in so many parts leave biases out, where they are made.
try bloom 's/"pretraining_tp": 1/"pretraining_tp": 2/'
try bloom 's/"pretraining_tp": 1/"pretraining_tp": 2/' 's/"slow_but_exact": false/"slow_but_exact": true/'
# A dropout that evaluation multiplies with.
try nllb_moe 's/"moe_token_dropout": 0.2/"moe_token_dropout": 0.5/'
# Keys that classes have nothing in place of, or of null.
try hunyuan '/"head_dim"/d'
try nemotron '/"num_key_value_heads"/d'
try gemma 's/"num_key_value_heads": 4/"num_key_value_heads": null/'
try t5-tokens 's/"dense_act_fn": .*,/"dense_act_fn": null,/'
try codegen 's/"attn_pdrop": .*,/"attn_pdrop": null,/'
# Null where nothing was moved into a generation_config.json.
try bart 's/"forced_eos_token_id": 2/"forced_eos_token_id": null/'
# Tokens that transformers 5 generates with where a file says them.
try bart '/"decoder_start_token_id"/d'
try bart 's/XX//' '/"decoder_start_token_id"/d'
# What transformers 5 calls the encoder's layers.
try bart 's/"num_hidden_layers": 1/"num_hidden_layers": 2/'
# What versions read differently, in place of what they do not.
try gemma 's/"gelu_pytorch_tanh"/"gelu"/'
try gemma 's/"gelu"/"gelu_pytorch_tanh"/' 's/"gelu_pytorch_tanh"/"gelu"/'
try openai_gpt 's/"gelu"/"gelu_new"/'
try cohere '/"rope_theta"/d'
# What heads of tasks are made of.
try t5-classes 's/"0": "[^"]*",//'
try whisper-encoder 's/"classifier_proj_size": 5/"classifier_proj_size": 6/'
try trocr 's/"cross_attention_hidden_size": 12/"cross_attention_hidden_size": 13/'

# What a model says by itself.
alone() {
    rm -rf edited
    cp -r "$DATA/families/$1" edited
    sed -i "$2" edited/config.json
    echo "== $1 $2 alone"
    gqa-verify --no-run edited >out || echo "-> $?"
    sed -n '/^file *config/,/^file *parameters/{/^file *param/!p;}' out
}
alone gpt_neox_japanese 's/"intermediate_multiple_size": 2/"intermediate_multiple_size": 3/'
alone gpt_neox_japanese '/"intermediate_multiple_size"/d'
alone falcon 's/"num_kv_heads": 8/"num_kv_heads": 7/'
alone mpt 's/"expansion_ratio": [0-9]*/"expansion_ratio": 3/'
# Stock classes make it four times the width; such tensors are converted, and run.
gqa-convert -q -g 2 edited mpt.gqa
gqa-verify -q --samples 1 --length 8 --against edited mpt.gqa && echo verified
alone gemma 's/"num_key_value_heads": 4/"num_key_value_heads": null/'
# Padding that a class puts beyond a small vocabulary is said to be none.
gqa-convert -q -g 1 "$DATA/kerashub/phi3" phi3/
grep pad_token_id phi3/config.json
gqa-verify --no-run --against "$DATA/kerashub/phi3" phi3 >out && grep '^file *config' out
sed -i 's/"pad_token_id": null/"eos_token_id": 2/' phi3/config.json
gqa-verify --no-run --against "$DATA/kerashub/phi3" phi3 >out || echo "-> $?"
sed -n '/^file *config/,/^file *parameters/{/^file *param/!p;}' out
