# The configuration of a converted model is the original's: one key changed at
# a time. A re-save by transformers 5 changes none.
cp -r "$DATA/runtime/llama-mqa" llama
cp -r "$DATA/runtime/t5-v1_1" t5
cp -r "$DATA/runtime/llama-longrope-factor" llama-longrope

# ORIGINAL SED: what becomes of the copy when its config.json is edited.
try() {
    local status=0
    sed "$2" "$DATA/runtime/$1/config.json" >"${1%-*}/config.json"
    gqa-verify --no-run --against "$DATA/runtime/$1" "${1%-*}" >out ||
        status=$?
    echo "== $2 -> $status"
    sed -n '/^file *config/,/^file *content/{/^file *content/!p;}' out
}

try llama-mqa ''
try llama-mqa 's/"rope_theta": .*,/"rope_theta": 500000.0,/'
try llama-mqa '/"rope_theta"/d; s/"vocab_size"/"rope_parameters": {"rope_theta": 10000.0}, &/'
try llama-mqa 's/"rms_norm_eps": .*,/"rms_norm_eps": 1e-3,/; s/"silu"/"gelu"/'
try llama-mqa 's/"hidden_act": "silu"/"hidden_act": "mish"/'
try llama-mqa 's/"model_type": "llama"/"model_type": "lama"/'
try llama-mqa 's/"num_attention_heads": 6/"num_attention_heads": 3/; s/"head_dim": .*,//'
try llama-mqa '/"num_key_value_heads"/d'
try llama-mqa 's/"num_hidden_layers": 2/"num_hidden_layers": 3/'
try llama-mqa 's/"torch_dtype": .*,/"torch_dtype": "float16",/; s/"dtype": .*,/"dtype": "float16",/'
try llama-mqa 's/"vocab_size"/"attn_logit_softcapping": 50.0, &/'
try llama-mqa 's/"use_cache": true/"use_cache": false/'
try llama-mqa 's/"rope_theta": .*,/"rope_theta": null,/'
try llama-mqa 's/"vocab_size": [0-9]*/"_name_or_path": ""/'
try llama-longrope-factor 's/9.0,/8.0,/'
try llama-longrope-factor 's/"attention_factor": 0.75/"attention_factor": 1.0/'
try t5-v1_1 's/"tie_word_embeddings": false/"tie_word_embeddings": true/'
try t5-v1_1 's/"tie_word_embeddings": false/"tie_word_embeddings": true/; s/"scale_decoder_outputs": false/"scale_decoder_outputs": true/'
try t5-v1_1 's/"decoder_start_token_id": 0/"decoder_start_token_id": 1/'
try t5-v1_1 's/"relative_attention_max_distance": 16/"relative_attention_max_distance": 20/'
# What loaders would take, or not, says a model by itself too.
alone() {
    local status=0
    sed "$2" "$DATA/runtime/$1/config.json" >"${1%-*}/config.json"
    gqa-verify --no-run "${1%-*}" >out || status=$?
    echo "== $2 alone -> $status"
    sed -n '/^file *config/,/^file *content/{/^file *content/!p;}' out
}

alone llama-mqa 's/"vocab_size": [0-9]*/"_name_or_path": ""/; /"intermediate_size"/d'
alone llama-mqa 's/"num_hidden_layers": 2/"num_hidden_layers": 2.0/'
alone llama-mqa 's/"hidden_size": .*,/"hidden_size": null,/'
alone llama-mqa 's/"rope_theta": .*,/"rope_theta": null,/'
# Classes have a number of KV heads of their own.
cp -r "$DATA/families/qwen3" qwen3
own() {
    sed "$1" "$DATA/families/qwen3/config.json" >qwen3/config.json
    gqa-verify --no-run qwen3 | grep -A 3 '^file *config'
}
own '/"num_key_value_heads"/d'
own 's/"num_key_value_heads": .*,/"num_key_value_heads": null,/'
rm llama/config.json
gqa-verify --no-run --against "$DATA/runtime/llama-mqa" llama |
    grep -A 5 '^file *config'
