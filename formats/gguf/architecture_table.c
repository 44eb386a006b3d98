#include "formats/gguf/architecture_table.h"

#include <stddef.h>

#define NEEDED   GQA_GGUF_NEEDED
#define OPTIONAL GQA_GGUF_OPTIONAL
#define BY_LAYER GQA_GGUF_BY_LAYER

#define TOKENS                                                      \
    {"bos_token_id", "tokenizer.ggml.bos_token_id", OPTIONAL},      \
        {"eos_token_id", "tokenizer.ggml.eos_token_id", OPTIONAL},  \
    {                                                               \
        "pad_token_id", "tokenizer.ggml.padding_token_id", OPTIONAL \
    }

/* Models with the names of Llama */
static const struct gqa_gguf_key llama_keys[] = {
    {"hidden_size", "%.embedding_length", NEEDED},
    {"intermediate_size", "%.feed_forward_length", NEEDED},
    {"num_hidden_layers", "%.block_count", NEEDED},
    {"num_attention_heads", "%.attention.head_count", NEEDED},
    {"num_key_value_heads", "%.attention.head_count_kv", OPTIONAL | BY_LAYER},
    {"head_dim", "%.attention.key_length", OPTIONAL},
    {"max_position_embeddings", "%.context_length", NEEDED},
    {"rms_norm_eps", "%.attention.layer_norm_rms_epsilon", NEEDED},
    {"rope_theta", "%.rope.freq_base", OPTIONAL},
    TOKENS,
    {0},
};

static const struct gqa_gguf_key gpt2_keys[] = {
    {"n_embd", "%.embedding_length", NEEDED},
    {"n_inner", "%.feed_forward_length", NEEDED},
    {"n_layer", "%.block_count", NEEDED},
    {"n_head", "%.attention.head_count", NEEDED},
    {"num_key_value_heads", "%.attention.head_count_kv", OPTIONAL | BY_LAYER},
    {"n_positions", "%.context_length", NEEDED},
    {"layer_norm_epsilon", "%.attention.layer_norm_epsilon", NEEDED},
    TOKENS,
    {0},
};

static const struct gqa_gguf_key gpt_neox_keys[] = {
    {"hidden_size", "%.embedding_length", NEEDED},
    {"intermediate_size", "%.feed_forward_length", NEEDED},
    {"num_hidden_layers", "%.block_count", NEEDED},
    {"num_attention_heads", "%.attention.head_count", NEEDED},
    {"num_key_value_heads", "%.attention.head_count_kv", OPTIONAL | BY_LAYER},
    {"max_position_embeddings", "%.context_length", NEEDED},
    {"layer_norm_eps", "%.attention.layer_norm_epsilon", NEEDED},
    {"rotary_emb_base", "%.rope.freq_base", OPTIONAL},
    {"use_parallel_residual", "%.use_parallel_residual", NEEDED},
    TOKENS,
    {0},
};

static const struct gqa_gguf_key phi3_keys[] = {
    {"hidden_size", "%.embedding_length", NEEDED},
    {"intermediate_size", "%.feed_forward_length", NEEDED},
    {"num_hidden_layers", "%.block_count", NEEDED},
    {"num_attention_heads", "%.attention.head_count", NEEDED},
    {"num_key_value_heads", "%.attention.head_count_kv", OPTIONAL | BY_LAYER},
    {"max_position_embeddings", "%.context_length", NEEDED},
    {"original_max_position_embeddings",
     "%.rope.scaling.original_context_length", OPTIONAL},
    {"rms_norm_eps", "%.attention.layer_norm_rms_epsilon", NEEDED},
    {"rope_theta", "%.rope.freq_base", OPTIONAL},
    {"sliding_window", "%.attention.sliding_window",
     OPTIONAL | GQA_GGUF_ZERO_IS_NONE},
    TOKENS,
    {0},
};

static const struct gqa_gguf_key phi2_keys[] = {
    {"hidden_size", "%.embedding_length", NEEDED},
    {"intermediate_size", "%.feed_forward_length", NEEDED},
    {"num_hidden_layers", "%.block_count", NEEDED},
    {"num_attention_heads", "%.attention.head_count", NEEDED},
    {"num_key_value_heads", "%.attention.head_count_kv", OPTIONAL | BY_LAYER},
    {"max_position_embeddings", "%.context_length", NEEDED},
    {"layer_norm_eps", "%.attention.layer_norm_epsilon", NEEDED},
    {"rope_theta", "%.rope.freq_base", OPTIONAL},
    TOKENS,
    {0},
};

static const struct gqa_gguf_sign llama_signs[] = {
    {"attention_bias", "blk.0.attn_q.bias", true},
    {"mlp_bias", "blk.0.ffn_up.bias", true},
    {0},
};

static const struct gqa_gguf_sign qwen3_signs[] = {
    {"attention_bias", "blk.0.attn_q.bias", true},
    {0},
};

const struct gqa_gguf_architecture gqa_gguf_architectures[] = {
    {.name = "llama",
     .model_type = "llama",
     .class = "LlamaForCausalLM",
     .names = gqa_gguf_llama_names,
     .keys = llama_keys,
     .signs = llama_signs,
     .extra = "{\"hidden_act\": \"silu\"}"},
    {.name = "qwen2",
     .model_type = "qwen2",
     .class = "Qwen2ForCausalLM",
     .names = gqa_gguf_plain_names,
     .keys = llama_keys,
     .extra = "{\"hidden_act\": \"silu\", \"use_sliding_window\": false}"},
    {.name = "qwen3",
     .model_type = "qwen3",
     .class = "Qwen3ForCausalLM",
     .names = gqa_gguf_plain_names,
     .keys = llama_keys,
     .signs = qwen3_signs,
     .extra = "{\"hidden_act\": \"silu\", \"use_sliding_window\": false}"},
    {.name = "phi3",
     .model_type = "phi3",
     .class = "Phi3ForCausalLM",
     .names = gqa_gguf_phi3_names,
     .keys = phi3_keys,
     .share = "partial_rotary_factor",
     .extra = "{\"hidden_act\": \"silu\"}"},
    {.name = "phi2",
     .model_type = "phi",
     .class = "PhiForCausalLM",
     .names = gqa_gguf_phi2_names,
     .keys = phi2_keys,
     .share = "partial_rotary_factor",
     .extra = "{\"hidden_act\": \"gelu_new\"}"},
    {.name = "gemma",
     .model_type = "gemma",
     .class = "GemmaForCausalLM",
     .names = gqa_gguf_gemma_names,
     .keys = llama_keys,
     .extra = "{\"hidden_activation\": \"gelu_pytorch_tanh\"}"},
    {.name = "gemma2",
     .model_type = "gemma2",
     .class = "Gemma2ForCausalLM",
     .names = gqa_gguf_gemma2_names,
     .unsaid = "query_pre_attn_scalar"},
    {.name = "gpt2",
     .model_type = "gpt2",
     .class = "GPT2LMHeadModel",
     .names = gqa_gguf_gpt2_names,
     .keys = gpt2_keys,
     .extra = "{\"activation_function\": \"gelu_new\"}"},
    {.name = "gptneox",
     .model_type = "gpt_neox",
     .class = "GPTNeoXForCausalLM",
     .names = gqa_gguf_gpt_neox_names,
     .keys = gpt_neox_keys,
     .share = "rotary_pct",
     .extra = "{\"hidden_act\": \"gelu\"}"},
    {0},
};
