# Where transformers has no word for what KerasHub computes, or nobody knows
# which it is, nothing is converted.
try() {
    local from=$1 edit=$2

    rm -rf in
    mkdir in
    cp "$DATA/kerashub/$from/model.weights.h5" in
    sed -E "$edit" "$DATA/kerashub/$from/config.json" >in/config.json
    gqa-convert -q -g 2 in out.gqa
    echo "exit $?"
}
# Decoders
try gemma 's/"final_logit_soft_cap": null/"final_logit_soft_cap": 30.0/'
try gemma 's/"use_sliding_window_attention": false/"use_sliding_window_attention": true/'
try gemma 's/"use_post_ffw_norm": false/"use_post_ffw_norm": true/'
try gemma 's/"query_head_dim_normalize": true/"query_head_dim_normalize": false/'
try gemma 's/"layer_norm_epsilon": 1e-06/"layer_norm_epsilon": 1e-05/'
try gemma 's/"intermediate_dim": 20/"intermediate_dim": "20"/'
try gemma2 's/"use_post_attention_norm": true/"use_post_attention_norm": false/'
try gemma2 's/"query_head_dim_normalize": true/"query_head_dim_normalize": false/'
try gemma2 's/"use_sliding_window_attention": true/"use_sliding_window_attention": false/; s/"num_layers": 2/"num_layers": 9999999/'
try qwen3 's/"sliding_window_size": 32768/"sliding_window_size": 8/'
try qwen_moe 's/"decoder_sparse_step": 1/"decoder_sparse_step": 2/'
try qwen_moe 's/"mlp_only_layers": \[\]/"mlp_only_layers": [1]/'
try qwen_moe 's/"use_sliding_window_attention": false/"use_sliding_window_attention": true/'
try qwen3_moe 's/"layer_norm_epsilon": 1e-06/"layer_norm_epsilon": 1e-05/'
try qwen3_moe 's/"sliding_window_size": 32768/"sliding_window_size": 8/'
try gemma3 's/"use_query_key_norm": true/"use_query_key_norm": false/'
try gemma3 's/"attention_logit_soft_cap": null/"attention_logit_soft_cap": 50.0/'
try gemma3 's/"local_rope_scaling_factor": 1.0/"local_rope_scaling_factor": 2.0/'
try gemma3 's/"global_rope_scaling_factor": 1.0/"global_rope_scaling_factor": -8/'
try gemma3 's/"use_bidirectional_attention": false/"use_bidirectional_attention": true/'
try gemma3 's/"vision_encoder": null/"vision_encoder": {"class_name": "Gemma3VisionEncoder"}/'
try gemma3 's/"query_head_dim_normalize": true/"query_head_dim_normalize": false/'
try smollm3 's/"attention_bias": false/"attention_bias": true/'
try smollm3 's/"partial_rotary_factor": 1.0/"partial_rotary_factor": 0.5/'
try smollm3 ':a;N;$!ba;s/("rope_layer_enabled_list": \[)[^]]*/\1 "no" /'
try smollm3 's/"num_layers": 2/"num_layers": 2.5/'
try t5gemma 's/"hidden_activation": "gelu_approximate"/"hidden_activation": "leaky_relu"/'
try t5gemma 's/"decoder_num_layers": 2/"decoder_num_layers": 3/'
ls

# Others
try t5-gelu-approximate 's/"keras_hub>gelu_approximate"/"tanh"/'
try t5-gelu-approximate 's/"keras_hub>gelu_approximate"/"mine>gelu"/'
try gpt_neox 's/"dropout"/"alibi": true, "dropout"/'
try mistral 's/"rope_scaling_factor": 2.5/"rope_scaling_factor": "2.5"/'
try mistral 's/"rope_scaling_factor": 2.5/"rope_low_freq_factor": 1.0/'
try mistral 's/"dropout"/"rope_low_freq_factor": 1.0, "dropout"/'
try mistral 's/"dropout"/"rope_position_scaling_factor": 2.0, "dropout"/'
try mistral 's/"dropout"/"use_sliding_window_attention": true, "dropout"/'
try mistral 's/MistralBackbone/GemmaBackbone/g'
try phi3 's/"rope_scaling_type": null/"rope_scaling_type": "su"/'
try falcon 's/"layer_norm_epsilon": 1e-05/"layer_norm_epsilon": 1e-06/'
try whisper 's/"max_encoder_sequence_length": 33/"max_encoder_sequence_length": 1/'
try bloom 's/"intermediate_dim": 48/"intermediate_dim": 47/'
try mistral 's/"preprocessor": null/"teacher": {"class_name": "MistralBackbone", "config": {}}/'

# Said by hand it is read.
gqa-convert -q -g 2 --expand "$DATA/kerashub/mistral" stock/
gqa-convert -q -g 2 --config stock/config.json in out.gqa
echo "exit $?"
# One of another model than that which holds it is none.
gqa-convert -q -g 1 --config stock/config.json "$DATA/kerashub/t5gemma" no.gqa
echo "exit $?"
gqa-convert -q -g 2 "$DATA/kerashub/t5gemma" t5gemma/
gqa-convert -q -g 1 --config t5gemma/config.json "$DATA/kerashub/t5gemma" said/ &&
    diff t5gemma/config.json said/config.json
ls

# A little otherwise: told of.
rm out.gqa
sed 's/"layer_norm_epsilon": 1e-05/"layer_norm_epsilon": 1e-06/' \
    "$DATA/kerashub/qwen3/config.json" >in/config.json
cp "$DATA/kerashub/qwen3/model.weights.h5" in
gqa-convert -g 2 in out.gqa | grep '^model'
