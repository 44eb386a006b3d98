# A key that says what its class takes for it is no difference from one that is
# not there, either way. (Tokens are one: verify_config_classes.)
without() {
    local name=$1 key
    shift
    for key in "$@"; do
        rm -rf bare
        mkdir bare
        cp "$DATA/$name"/model.safetensors bare
        sed "/^  \"$key\": \[/,/^  \]/d; /^  \"$key\": /d" "$DATA/$name/config.json" >bare/config.json
        cmp -s bare/config.json "$DATA/$name/config.json" && echo "$name says no $key"
        gqa-verify -q --no-run --against bare "$DATA/$name" || echo "$name: $key"
        gqa-verify -q --no-run --against "$DATA/$name" bare || echo "$name: no $key"
    done
}
without families/bigbird_pegasus activation_function attention_type block_size num_random_blocks scale_embedding
without families/blenderbot encoder_no_repeat_ngram_size
without families/diffllama lambda_std_dev rms_norm_eps
without families/ernie4_5_moe moe_layer_interval moe_layer_start_index moe_norm_min
without families/exaone_moe first_k_dense_replace num_shared_experts
without families/fsmt activation_function max_length num_beams scale_embedding
without families/glm4_moe first_k_dense_replace n_shared_experts
without families/gpt_neox_japanese rope_theta
without families/granitemoehybrid mamba_d_state mamba_expand
without families/marian-decoder share_encoder_decoder_embeddings
without families/mvp prompt_length prompt_mid_dim
without families/pegasus_x scale_embedding stagger_local_blocks
without families/smollm3 no_rope_layer_interval
without families/udop num_channels
without encoders/electra num_attention_heads
without encoders/modernbert local_rope_theta
without encoders/vit encoder_stride num_channels pooler_act
without encoders/wav2vec2 feat_extract_norm num_codevector_groups tdnn_dim
