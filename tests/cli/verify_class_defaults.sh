# A key that says what its class takes for it is no difference from one that is
# not there, either way.
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
without families/bigbird_pegasus activation_function attention_type block_size bos_token_id eos_token_id \
    num_random_blocks pad_token_id scale_embedding
without families/blenderbot encoder_no_repeat_ngram_size
without families/diffllama lambda_std_dev rms_norm_eps
without families/ernie4_5_moe moe_layer_interval moe_layer_start_index moe_norm_min
without families/exaone_moe first_k_dense_replace num_shared_experts
without families/fsmt activation_function bos_token_id eos_token_id forced_eos_token_id max_length num_beams \
    scale_embedding
without families/glm4_moe first_k_dense_replace n_shared_experts
without families/gpt_neox_japanese rope_theta
without families/granitemoehybrid mamba_d_state mamba_expand
without families/hunyuan-moe sep_token_id
without families/led bos_token_id eos_token_id pad_token_id
without families/marian-decoder forced_eos_token_id share_encoder_decoder_embeddings
without families/mvp prompt_length prompt_mid_dim
without families/pegasus_x eos_token_id forced_eos_token_id pad_token_id scale_embedding stagger_local_blocks
without families/smollm3 no_rope_layer_interval
without families/udop num_channels
without encoders/bert pad_token_id
without encoders/electra num_attention_heads pad_token_id
without encoders/modernbert cls_token_id local_rope_theta sep_token_id
without encoders/roberta bos_token_id eos_token_id
without encoders/vit encoder_stride num_channels pooler_act
without encoders/wav2vec2 feat_extract_norm num_codevector_groups tdnn_dim
