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
ls
