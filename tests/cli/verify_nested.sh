# What a configuration says beside a language model counts too: whose
# tie_word_embeddings makes the logits, what other parts are, the type of all.
for m in llava gemma3-vision smolvlm qwen2_vl blip2 t5gemma; do
    cp -r "$DATA/families/$m" "$m"
done

# MODEL SED [OPTION...]: what becomes of the copy when its config.json is edited.
try() {
    local model=$1 edit=$2 status=0
    shift 2
    sed "$edit" "$DATA/families/$model/config.json" >"$model/config.json"
    gqa-verify --no-run "$@" "$model" >out || status=$?
    echo "== $model $edit -> $status"
    sed -n '/^file *config/,/^file *content/{/^file *content/!p;}' out
}
against() {
    try "$1" "$2" --against "$DATA/families/$1"
}

against llava ''
against llava 's/"image_seq_length"/"tie_word_embeddings": true, &/'
against llava 's/"image_seq_length"/"tie_word_embeddings": false, &/'
against llava 's/"image_seq_length": .*,//; s/"vision_feature_layer": -2/"vision_feature_layer": -1/'
against llava 's/"model_type": "llava"/"model_type": "vipllava"/'
against llava 's/"dtype": "float16",/"dtype": "bfloat16",/'
against llava 's/"image_seq_length"/"quantization_config": {"quant_method": "x"}, &/'
against gemma3-vision 's/"mm_tokens_per_image"/"tie_word_embeddings": false, &/'
against smolvlm 's/"tie_word_embeddings": false/"tie_word_embeddings": true/'
against smolvlm 's/"patch_size": /&1/'
against qwen2_vl 's/"image_token_id": .*,/"image_token_id": 7,/'
against t5gemma 's/"transformers_version"/"tie_word_embeddings": false, &/'
# The language model's alone.
against blip2 's/"num_query_tokens"/"tie_word_embeddings": false, &/'

# The two levels, and no matrix of its own.
try gemma3-vision 's/"mm_tokens_per_image"/"tie_word_embeddings": false, &/'
edit_tensors llava/model.safetensors drop language_model.lm_head
try llava ''
try llava 's/"image_seq_length"/"tie_word_embeddings": true, &/'
try llava 's/"LlavaForConditionalGeneration"/"LlavaModel"/'

# Beside a file that has one inside.
mkdir beside
gqa-convert -q --groups 2 "$DATA/families/smolvlm" beside/model.gqa
sed 's/"num_key_value_heads": 4/"num_key_value_heads": 2/' \
    "$DATA/families/smolvlm/config.json" >beside/config.json
gqa-verify --no-run beside/model.gqa | grep -A 1 '^file *config'
sed -i 's/"scale_factor": 1/"scale_factor": 2/' beside/config.json
gqa-verify --no-run beside/model.gqa | grep -A 3 '^file *config'
