/* Keys of llama.cpp, and those of configurations. */
#include <stddef.h>

#include "formats/gguf/architecture_table.h"

#define NEEDED   GQA_GGUF_NEEDED
#define OPTIONAL GQA_GGUF_OPTIONAL
#define BY_LAYER GQA_GGUF_BY_LAYER
#define REAL     GQA_GGUF_REAL
#define RMS_EPS  "%.attention.layer_norm_rms_epsilon"
#define EPS      "%.attention.layer_norm_epsilon"

#define TOKENS                                                      \
    {"bos_token_id", "tokenizer.ggml.bos_token_id", OPTIONAL},      \
        {"eos_token_id", "tokenizer.ggml.eos_token_id", OPTIONAL},  \
    {                                                               \
        "pad_token_id", "tokenizer.ggml.padding_token_id", OPTIONAL \
    }

/* What models say that have the words of Llama for it */
#define SHAPES SIZES("intermediate_size")
#define SIZES(width)                                               \
    {"hidden_size", "%.embedding_length", NEEDED},                 \
        {width, "%.feed_forward_length", NEEDED},                  \
        {"num_hidden_layers", "%.block_count", NEEDED},            \
        {"num_attention_heads", "%.attention.head_count", NEEDED}, \
        {"num_key_value_heads", "%.attention.head_count_kv",       \
         OPTIONAL | BY_LAYER},                                     \
        {"max_position_embeddings", "%.context_length", NEEDED},   \
    {                                                              \
        "rope_theta", "%.rope.freq_base", OPTIONAL | REAL          \
    }

const struct gqa_gguf_key gqa_gguf_llama_keys[] = {
    SHAPES,
    {"head_dim", "%.attention.key_length", OPTIONAL},
    {"rms_norm_eps", RMS_EPS, NEEDED | REAL},
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_internlm2_keys[] = {
    SHAPES,
    {"rms_norm_eps", RMS_EPS, NEEDED | REAL},
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_baichuan_keys[] = {
    {"hidden_size", "%.embedding_length", NEEDED},
    {"intermediate_size", "%.feed_forward_length", NEEDED},
    {"num_hidden_layers", "%.block_count", NEEDED},
    {"num_attention_heads", "%.attention.head_count", NEEDED},
    {"num_key_value_heads", "%.attention.head_count_kv", OPTIONAL | BY_LAYER},
    {"model_max_length", "%.context_length", NEEDED},
    {"rope_theta", "%.rope.freq_base", OPTIONAL | REAL},
    {"rms_norm_eps", RMS_EPS, NEEDED | REAL},
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_gemma2_keys[] = {
    SHAPES,
    {"head_dim", "%.attention.key_length", OPTIONAL},
    {"rms_norm_eps", RMS_EPS, NEEDED | REAL},
    {"attn_logit_softcapping", "%.attn_logit_softcapping", NEEDED | REAL},
    {"final_logit_softcapping", "%.final_logit_softcapping", NEEDED | REAL},
    {"sliding_window", "%.attention.sliding_window", NEEDED},
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_mixtral_keys[] = {
    SHAPES,
    {"head_dim", "%.attention.key_length", OPTIONAL},
    {"rms_norm_eps", RMS_EPS, NEEDED | REAL},
    {"num_local_experts", "%.expert_count", NEEDED},
    {"num_experts_per_tok", "%.expert_used_count", NEEDED},
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_gpt2_keys[] = {
    {"n_embd", "%.embedding_length", NEEDED},
    {"n_inner", "%.feed_forward_length", NEEDED},
    {"n_layer", "%.block_count", NEEDED},
    {"n_head", "%.attention.head_count", NEEDED},
    {"num_key_value_heads", "%.attention.head_count_kv", OPTIONAL | BY_LAYER},
    {"n_positions", "%.context_length", NEEDED},
    {"layer_norm_epsilon", EPS, NEEDED | REAL},
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_gpt_neox_keys[] = {
    {"hidden_size", "%.embedding_length", NEEDED},
    {"intermediate_size", "%.feed_forward_length", NEEDED},
    {"num_hidden_layers", "%.block_count", NEEDED},
    {"num_attention_heads", "%.attention.head_count", NEEDED},
    {"num_key_value_heads", "%.attention.head_count_kv", OPTIONAL | BY_LAYER},
    {"max_position_embeddings", "%.context_length", NEEDED},
    {"layer_norm_eps", EPS, NEEDED | REAL},
    {"rotary_emb_base", "%.rope.freq_base", OPTIONAL | REAL},
    {"use_parallel_residual", "%.use_parallel_residual", NEEDED},
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_phi3_keys[] = {
    SHAPES,
    {"original_max_position_embeddings",
     "%.rope.scaling.original_context_length", OPTIONAL},
    {"rms_norm_eps", RMS_EPS, NEEDED | REAL},
    {"sliding_window", "%.attention.sliding_window",
     OPTIONAL | GQA_GGUF_ZERO_IS_NONE},
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_layer_norm_keys[] = {
    SHAPES,
    {"layer_norm_eps", EPS, NEEDED | REAL},
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_olmo_keys[] = {
    SHAPES,
    {"clip_qkv", "%.attention.clamp_kqv", OPTIONAL | REAL},
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_olmo2_keys[] = {
    SHAPES,
    {"rms_norm_eps", RMS_EPS, NEEDED | REAL},
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_command_r_keys[] = {
    SHAPES,
    {"layer_norm_eps", EPS, NEEDED | REAL},
    {"logit_scale", "%.logit_scale", NEEDED | REAL},
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_starcoder2_keys[] = {
    SHAPES,
    {"norm_epsilon", EPS, NEEDED | REAL},
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_bloom_keys[] = {
    {"hidden_size", "%.embedding_length", NEEDED},
    {"n_layer", "%.block_count", NEEDED},
    {"n_head", "%.attention.head_count", NEEDED},
    {"num_key_value_heads", "%.attention.head_count_kv", OPTIONAL | BY_LAYER},
    {"layer_norm_epsilon", EPS, NEEDED | REAL},
    TOKENS,
    {0},
};

#define FALCON_SHAPES                                              \
    {"hidden_size", "%.embedding_length", NEEDED},                 \
        {"ffn_hidden_size", "%.feed_forward_length", NEEDED},      \
        {"num_hidden_layers", "%.block_count", NEEDED},            \
        {"num_attention_heads", "%.attention.head_count", NEEDED}, \
        {"max_position_embeddings", "%.context_length", NEEDED},   \
        {"layer_norm_epsilon", EPS, NEEDED | REAL},                \
    {                                                              \
        "rope_theta", "%.rope.freq_base", OPTIONAL | REAL          \
    }

const struct gqa_gguf_key gqa_gguf_falcon_2_norms_keys[] = {
    FALCON_SHAPES,
    {"num_kv_heads", "%.attention.head_count_kv", NEEDED | BY_LAYER},
    TOKENS,
    {0},
};

/* Falcon 2 is the one with one norm and more KV heads; its base of RoPE is
 * another, and not among the keys. */
const struct gqa_gguf_key gqa_gguf_falcon_keys[] = {
    FALCON_SHAPES,
    {"num_kv_heads", "%.attention.head_count_kv",
     NEEDED | GQA_GGUF_MUST_BE_ONE},
    TOKENS,
    {0},
};

#define HEAD_DIM                                       \
    {                                                  \
        "head_dim", "%.attention.key_length", OPTIONAL \
    }

#define EXPERTS(n)                                           \
    {n, "%.expert_count", NEEDED},                           \
    {                                                        \
        "num_experts_per_tok", "%.expert_used_count", NEEDED \
    }

/* Layers that see a window, and which do */
#define WINDOWS                                               \
    {"sliding_window", "%.attention.sliding_window", NEEDED}, \
    {                                                         \
        "layer_types", "%.attention.sliding_window_pattern",  \
            OPTIONAL | GQA_GGUF_SLIDES                        \
    }

const struct gqa_gguf_key gqa_gguf_gemma3_keys[] = {
    SHAPES,
    HEAD_DIM,
    {"rms_norm_eps", RMS_EPS, NEEDED | REAL},
    {"rope_local_base_freq", "%.rope.freq_base_swa", OPTIONAL | REAL},
    WINDOWS,
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_cohere2_keys[] = {
    SHAPES,
    {"layer_norm_eps", EPS, NEEDED | REAL},
    {"logit_scale", "%.logit_scale", NEEDED | REAL},
    WINDOWS,
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_olmo3_keys[] = {
    SHAPES, {"rms_norm_eps", RMS_EPS, NEEDED | REAL}, WINDOWS, TOKENS, {0},
};

const struct gqa_gguf_key gqa_gguf_exaone4_keys[] = {
    SHAPES,
    HEAD_DIM,
    {"rms_norm_eps", RMS_EPS, NEEDED | REAL},
    {"sliding_window", "%.attention.sliding_window",
     OPTIONAL | GQA_GGUF_ELSE_NULL},
    {"layer_types", "%.attention.sliding_window_pattern",
     OPTIONAL | GQA_GGUF_SLIDES},
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_jais2_keys[] = {
    SHAPES, HEAD_DIM, {"layer_norm_eps", EPS, NEEDED | REAL}, TOKENS, {0},
};

const struct gqa_gguf_key gqa_gguf_exaone_keys[] = {
    {"hidden_size", "%.embedding_length", NEEDED},
    {"intermediate_size", "%.feed_forward_length", NEEDED},
    {"num_layers", "%.block_count", NEEDED},
    {"num_attention_heads", "%.attention.head_count", NEEDED},
    {"num_key_value_heads", "%.attention.head_count_kv", OPTIONAL | BY_LAYER},
    {"max_position_embeddings", "%.context_length", NEEDED},
    {"rope_theta", "%.rope.freq_base", OPTIONAL | REAL},
    {"layer_norm_epsilon", RMS_EPS, NEEDED | REAL},
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_qwen2_moe_keys[] = {
    SHAPES,
    {"rms_norm_eps", RMS_EPS, NEEDED | REAL},
    EXPERTS("num_experts"),
    {"moe_intermediate_size", "%.expert_feed_forward_length", NEEDED},
    {"shared_expert_intermediate_size", "%.expert_shared_feed_forward_length",
     NEEDED},
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_qwen3_moe_keys[] = {
    SHAPES,
    HEAD_DIM,
    {"rms_norm_eps", RMS_EPS, NEEDED | REAL},
    EXPERTS("num_experts"),
    {"moe_intermediate_size", "%.expert_feed_forward_length", NEEDED},
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_olmoe_keys[] = {
    SHAPES,
    {"rms_norm_eps", RMS_EPS, NEEDED | REAL},
    EXPERTS("num_experts"),
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_deepseek_keys[] = {
    SHAPES,
    {"rms_norm_eps", RMS_EPS, NEEDED | REAL},
    EXPERTS("n_routed_experts"),
    {"moe_intermediate_size", "%.expert_feed_forward_length", NEEDED},
    {"n_shared_experts", "%.expert_shared_count", NEEDED},
    {"first_k_dense_replace", "%.leading_dense_block_count", NEEDED},
    TOKENS,
    {0},
};

/* Experts by sigmoids, of the best groups alone where there are several */
#define CHOSEN_EXPERTS(n)                                                   \
    EXPERTS(n), {"n_group", "%.expert_group_count", OPTIONAL},              \
        {"topk_group", "%.expert_group_used_count", OPTIONAL},              \
        {"norm_topk_prob", "%.expert_weights_norm", NEEDED},                \
        {"routed_scaling_factor", "%.expert_weights_scale", NEEDED | REAL}, \
    {                                                                       \
        "moe_intermediate_size", "%.expert_feed_forward_length", NEEDED     \
    }

#define DENSE_BEFORE                                                   \
    {                                                                  \
        "first_k_dense_replace", "%.leading_dense_block_count", NEEDED \
    }

/* Of dots1, too */
const struct gqa_gguf_key gqa_gguf_glm4_moe_keys[] = {
    SHAPES,
    HEAD_DIM,
    {"rms_norm_eps", RMS_EPS, NEEDED | REAL},
    CHOSEN_EXPERTS("n_routed_experts"),
    DENSE_BEFORE,
    {"n_shared_experts", "%.expert_shared_count", NEEDED},
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_solar_open_keys[] = {
    SHAPES,
    HEAD_DIM,
    {"rms_norm_eps", RMS_EPS, NEEDED | REAL},
    CHOSEN_EXPERTS("n_routed_experts"),
    {"n_shared_experts", "%.expert_shared_count", NEEDED},
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_exaone_moe_keys[] = {
    SHAPES,
    HEAD_DIM,
    {"rms_norm_eps", RMS_EPS, NEEDED | REAL},
    WINDOWS,
    CHOSEN_EXPERTS("num_experts"),
    DENSE_BEFORE,
    {"mlp_layer_types", "%.leading_dense_block_count",
     NEEDED | GQA_GGUF_DENSE_FIRST},
    {"num_shared_experts", "%.expert_shared_count", NEEDED},
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_ernie4_5_moe_keys[] = {
    SHAPES,
    HEAD_DIM,
    {"rms_norm_eps", RMS_EPS, NEEDED | REAL},
    {"moe_num_experts", "%.expert_count", NEEDED},
    {"moe_k", "%.expert_used_count", NEEDED},
    {"moe_intermediate_size", "%.expert_feed_forward_length", NEEDED},
    {"moe_num_shared_experts", "%.expert_shared_count", NEEDED},
    {"moe_layer_start_index", "%.leading_dense_block_count", NEEDED},
    {"moe_layer_end_index", "%.block_count", NEEDED | GQA_GGUF_LAST_LAYER},
    {"moe_layer_interval", "%.interleave_moe_layer_step",
     NEEDED | GQA_GGUF_RUN_WITH_ONE},
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_hunyuan_moe_keys[] = {
    SHAPES,
    HEAD_DIM,
    {"rms_norm_eps", RMS_EPS, NEEDED | REAL},
    {"num_experts", "%.expert_count", NEEDED},
    {"moe_topk", "%.expert_used_count", NEEDED | GQA_GGUF_OF_EACH},
    TOKENS,
    {"sep_token_id", "tokenizer.ggml.seperator_token_id", OPTIONAL},
    {0},
};

const struct gqa_gguf_key gqa_gguf_minimax_m2_keys[] = {
    SHAPES,
    HEAD_DIM,
    {"rms_norm_eps", RMS_EPS, NEEDED | REAL},
    EXPERTS("num_local_experts"),
    {"rotary_dim", "%.rope.dimension_count", OPTIONAL},
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_mpt_keys[] = {
    {"d_model", "%.embedding_length", NEEDED},
    {"n_layers", "%.block_count", NEEDED},
    {"n_heads", "%.attention.head_count", NEEDED},
    {"num_key_value_heads", "%.attention.head_count_kv", OPTIONAL | BY_LAYER},
    {"max_seq_len", "%.context_length", NEEDED},
    {"layer_norm_epsilon", EPS, NEEDED | REAL},
    {"attn_config.clip_qkv", "%.attention.clamp_kqv", OPTIONAL | REAL},
    TOKENS,
    {0},
};

#define GRANITE_NUMBERS                                                 \
    {"rms_norm_eps", RMS_EPS, NEEDED | REAL},                           \
        {"attention_multiplier", "%.attention.scale", NEEDED | REAL},   \
        {"embedding_multiplier", "%.embedding_scale", OPTIONAL | REAL}, \
        {"residual_multiplier", "%.residual_scale", OPTIONAL | REAL},   \
    {                                                                   \
        "logits_scaling", "%.logit_scale", NEEDED | REAL                \
    }

#define GRANITE SHAPES, GRANITE_NUMBERS

const struct gqa_gguf_key gqa_gguf_granite_keys[] = {
    GRANITE,
    TOKENS,
    {0},
};

/* Without experts, where all is as if it were shared */
const struct gqa_gguf_key gqa_gguf_granite_hybrid_keys[] = {
    SIZES("shared_intermediate_size"),
    GRANITE_NUMBERS,
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_granite_moe_keys[] = {
    GRANITE,
    EXPERTS("num_local_experts"),
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_granite_moe_shared_keys[] = {
    GRANITE,
    EXPERTS("num_local_experts"),
    {"shared_intermediate_size", "%.expert_shared_feed_forward_length", NEEDED},
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_minicpm_keys[] = {
    SHAPES,
    {"rms_norm_eps", RMS_EPS, NEEDED | REAL},
    {"scale_emb", "%.embedding_scale", NEEDED | REAL},
    {"scale_depth", "%.residual_scale",
     NEEDED | REAL | GQA_GGUF_OVER_ROOT_DEPTH},
    {"dim_model_base", "%.logit_scale", NEEDED | REAL | GQA_GGUF_WIDTH_OVER},
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_nemotron_keys[] = {
    SHAPES, HEAD_DIM, {"norm_eps", EPS, NEEDED | REAL}, TOKENS, {0},
};

const struct gqa_gguf_key gqa_gguf_orion_keys[] = {
    SHAPES,
    {"rms_norm_eps", EPS, NEEDED | REAL},
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_gpt_bigcode_keys[] = {
    {"n_embd", "%.embedding_length", NEEDED},
    {"n_inner", "%.feed_forward_length", NEEDED},
    {"n_layer", "%.block_count", NEEDED},
    {"n_head", "%.attention.head_count", NEEDED},
    {"multi_query", "%.attention.head_count_kv",
     OPTIONAL | GQA_GGUF_ONE_OR_ALL},
    {"n_positions", "%.context_length", NEEDED},
    {"layer_norm_epsilon", EPS, NEEDED | REAL},
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_t5_keys[] = {
    {"d_model", "%.embedding_length", NEEDED},
    {"d_ff", "%.feed_forward_length", NEEDED},
    {"num_layers", "%.block_count", NEEDED},
    {"num_decoder_layers", "%.decoder_block_count", OPTIONAL},
    {"num_heads", "%.attention.head_count", NEEDED},
    {"d_kv", "%.attention.key_length", NEEDED},
    {"n_positions", "%.context_length", OPTIONAL},
    {"layer_norm_epsilon", RMS_EPS, NEEDED | REAL},
    {"relative_attention_num_buckets", "%.attention.relative_buckets_count",
     NEEDED},
    {"decoder_start_token_id", "%.decoder_start_token_id", OPTIONAL},
    TOKENS,
    {0},
};

const struct gqa_gguf_key gqa_gguf_chatglm2_keys[] = {
    {"hidden_size", "%.embedding_length", NEEDED},
    {"ffn_hidden_size", "%.feed_forward_length", NEEDED},
    {"num_layers", "%.block_count", NEEDED},
    {"num_attention_heads", "%.attention.head_count", NEEDED},
    {"multi_query_group_num", "%.attention.head_count_kv", NEEDED | BY_LAYER},
    {"kv_channels", "%.attention.key_length", OPTIONAL},
    {"seq_length", "%.context_length", NEEDED},
    {"rope_theta", "%.rope.freq_base", OPTIONAL | REAL},
    {"layernorm_epsilon", RMS_EPS, NEEDED | REAL},
    TOKENS,
    {0},
};
