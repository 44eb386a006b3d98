#include "formats/gguf/architecture_table.h"

#include <stddef.h>

#define NEEDED   GQA_GGUF_NEEDED
#define OPTIONAL GQA_GGUF_OPTIONAL
#define BY_LAYER GQA_GGUF_BY_LAYER
#define REAL     GQA_GGUF_REAL

#define TOKENS                                                      \
    {"bos_token_id", "tokenizer.ggml.bos_token_id", OPTIONAL},      \
        {"eos_token_id", "tokenizer.ggml.eos_token_id", OPTIONAL},  \
    {                                                               \
        "pad_token_id", "tokenizer.ggml.padding_token_id", OPTIONAL \
    }

/* What models say that have the words of Llama for it */
#define SHAPES                                                     \
    {"hidden_size", "%.embedding_length", NEEDED},                 \
        {"intermediate_size", "%.feed_forward_length", NEEDED},    \
        {"num_hidden_layers", "%.block_count", NEEDED},            \
        {"num_attention_heads", "%.attention.head_count", NEEDED}, \
        {"num_key_value_heads", "%.attention.head_count_kv",       \
         OPTIONAL | BY_LAYER},                                     \
        {"max_position_embeddings", "%.context_length", NEEDED},   \
    {                                                              \
        "rope_theta", "%.rope.freq_base", OPTIONAL | REAL          \
    }

static const struct gqa_gguf_key llama_keys[] = {
    SHAPES,
    {"head_dim", "%.attention.key_length", OPTIONAL},
    {"rms_norm_eps", "%.attention.layer_norm_rms_epsilon", NEEDED | REAL},
    TOKENS,
    {0},
};

static const struct gqa_gguf_key gemma2_keys[] = {
    SHAPES,
    {"head_dim", "%.attention.key_length", OPTIONAL},
    {"rms_norm_eps", "%.attention.layer_norm_rms_epsilon", NEEDED | REAL},
    {"attn_logit_softcapping", "%.attn_logit_softcapping", NEEDED | REAL},
    {"final_logit_softcapping", "%.final_logit_softcapping", NEEDED | REAL},
    {"sliding_window", "%.attention.sliding_window", NEEDED},
    TOKENS,
    {0},
};

/* 2b, 9b and 27b: llama.cpp goes by their layers, too. */
static const struct gqa_gguf_known gemma2_known[] = {
    {26, 256},
    {42, 256},
    {46, 144},
    {0, 0},
};

static const struct gqa_gguf_key mixtral_keys[] = {
    SHAPES,
    {"head_dim", "%.attention.key_length", OPTIONAL},
    {"rms_norm_eps", "%.attention.layer_norm_rms_epsilon", NEEDED | REAL},
    {"num_local_experts", "%.expert_count", NEEDED},
    {"num_experts_per_tok", "%.expert_used_count", NEEDED},
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
    {"layer_norm_epsilon", "%.attention.layer_norm_epsilon", NEEDED | REAL},
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
    {"layer_norm_eps", "%.attention.layer_norm_epsilon", NEEDED | REAL},
    {"rotary_emb_base", "%.rope.freq_base", OPTIONAL | REAL},
    {"use_parallel_residual", "%.use_parallel_residual", NEEDED},
    TOKENS,
    {0},
};

static const struct gqa_gguf_key phi3_keys[] = {
    SHAPES,
    {"original_max_position_embeddings",
     "%.rope.scaling.original_context_length", OPTIONAL},
    {"rms_norm_eps", "%.attention.layer_norm_rms_epsilon", NEEDED | REAL},
    {"sliding_window", "%.attention.sliding_window",
     OPTIONAL | GQA_GGUF_ZERO_IS_NONE},
    TOKENS,
    {0},
};

static const struct gqa_gguf_key layer_norm_keys[] = {
    SHAPES,
    {"layer_norm_eps", "%.attention.layer_norm_epsilon", NEEDED | REAL},
    TOKENS,
    {0},
};

static const struct gqa_gguf_key olmo_keys[] = {
    SHAPES,
    {"clip_qkv", "%.attention.clamp_kqv", OPTIONAL | REAL},
    TOKENS,
    {0},
};

/* OLMo 3 is called so, too, with layers that see a window. */
static const struct gqa_gguf_key olmo2_keys[] = {
    SHAPES,
    {"rms_norm_eps", "%.attention.layer_norm_rms_epsilon", NEEDED | REAL},
    {"sliding_window", "%.attention.sliding_window",
     OPTIONAL | GQA_GGUF_REFUSED},
    TOKENS,
    {0},
};

static const struct gqa_gguf_key command_r_keys[] = {
    SHAPES,
    {"layer_norm_eps", "%.attention.layer_norm_epsilon", NEEDED | REAL},
    {"logit_scale", "%.logit_scale", NEEDED | REAL},
    TOKENS,
    {0},
};

static const struct gqa_gguf_key starcoder2_keys[] = {
    SHAPES,
    {"norm_epsilon", "%.attention.layer_norm_epsilon", NEEDED | REAL},
    TOKENS,
    {0},
};

static const struct gqa_gguf_key bloom_keys[] = {
    {"hidden_size", "%.embedding_length", NEEDED},
    {"n_layer", "%.block_count", NEEDED},
    {"n_head", "%.attention.head_count", NEEDED},
    {"num_key_value_heads", "%.attention.head_count_kv", OPTIONAL | BY_LAYER},
    {"layer_norm_epsilon", "%.attention.layer_norm_epsilon", NEEDED | REAL},
    TOKENS,
    {0},
};

#define FALCON_SHAPES                                              \
    {"hidden_size", "%.embedding_length", NEEDED},                 \
        {"ffn_hidden_size", "%.feed_forward_length", NEEDED},      \
        {"num_hidden_layers", "%.block_count", NEEDED},            \
        {"num_attention_heads", "%.attention.head_count", NEEDED}, \
        {"max_position_embeddings", "%.context_length", NEEDED},   \
        {"layer_norm_epsilon", "%.attention.layer_norm_epsilon",   \
         NEEDED | REAL},                                           \
    {                                                              \
        "rope_theta", "%.rope.freq_base", OPTIONAL | REAL          \
    }

static const struct gqa_gguf_key falcon_2_norms_keys[] = {
    FALCON_SHAPES,
    {"num_kv_heads", "%.attention.head_count_kv", NEEDED | BY_LAYER},
    TOKENS,
    {0},
};

/* Falcon 2 is the one with one norm and more KV heads; its base of RoPE is
 * another, and not among the keys. */
static const struct gqa_gguf_key falcon_keys[] = {
    FALCON_SHAPES,
    {"num_kv_heads", "%.attention.head_count_kv",
     NEEDED | GQA_GGUF_MUST_BE_ONE},
    TOKENS,
    {0},
};

static const struct gqa_gguf_sign llama_signs[] = {
    {"attention_bias", "blk.0.attn_q.bias", true},
    {"mlp_bias", "blk.0.ffn_up.bias", true},
    {0},
};

static const struct gqa_gguf_sign bias_signs[] = {
    {"attention_bias", "blk.0.attn_q.bias", true},
    {0},
};

static const struct gqa_gguf_sign stablelm_signs[] = {
    {"use_qkv_bias", "blk.0.attn_q.bias", true},
    {"use_parallel_residual", "blk.0.ffn_norm.weight", false},
    {"qk_layernorm", "blk.0.attn_q_norm.weight", true},
    {0},
};

static const struct gqa_gguf_sign command_r_signs[] = {
    {"use_qk_norm", "blk.0.attn_q_norm.weight", true},
    {0},
};

static const struct gqa_gguf_sign starcoder2_signs[] = {
    {"use_bias", "blk.0.attn_q.bias", true},
    {0},
};

static const struct gqa_gguf_sign falcon_signs[] = {
    {"bias", "blk.0.attn_qkv.bias", true},
    {0},
};

#define ENDED(...)        \
    (const char *const[]) \
    {                     \
        __VA_ARGS__, NULL \
    }

#define OUTPUT_BIAS "blk.%.attn_output.bias"

const struct gqa_gguf_architecture gqa_gguf_architectures[] = {
    {.name = "llama",
     .marked = "blk.0.ffn_gate_inp.weight",
     .model_type = "mixtral",
     .class = "MixtralForCausalLM",
     .is_mixture = true,
     .names = gqa_gguf_mixtral_names,
     .has_head_dim = true,
     .keys = mixtral_keys,
     .extra = "{\"hidden_act\": \"silu\"}",
     .has_factors = true},
    {.name = "llama",
     .model_type = "llama",
     .class = "LlamaForCausalLM",
     .names = gqa_gguf_llama_names,
     .has_head_dim = true,
     .keys = llama_keys,
     .signs = llama_signs,
     .extra = "{\"hidden_act\": \"silu\"}",
     .also = "mistral",
     .by_layer = "deci",
     .has_factors = true},
    /* Nvidia's pruned models, of which those are read that are a Llama but for
     * the numbers of their KV heads */
    {.name = "deci",
     .model_type = "llama",
     .class = "LlamaForCausalLM",
     .names = gqa_gguf_llama_names,
     .has_head_dim = true,
     .keys = llama_keys,
     .signs = llama_signs,
     .extra = "{\"hidden_act\": \"silu\"}",
     .has_factors = true},
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
     .has_head_dim = true,
     .keys = llama_keys,
     .signs = bias_signs,
     .extra = "{\"hidden_act\": \"silu\", \"use_sliding_window\": false}",
     .unloaded = ENDED(OUTPUT_BIAS)},
    {.name = "phi3",
     .model_type = "phi3",
     .class = "Phi3ForCausalLM",
     .names = gqa_gguf_phi3_names,
     .keys = phi3_keys,
     .share = "partial_rotary_factor",
     .extra = "{\"hidden_act\": \"silu\"}",
     .has_factors = true},
    {.name = "phi2",
     .model_type = "phi",
     .class = "PhiForCausalLM",
     .names = gqa_gguf_phi2_names,
     .keys = layer_norm_keys,
     .share = "partial_rotary_factor",
     .extra = "{\"hidden_act\": \"gelu_new\"}",
     .demanded = ENDED("output.weight", "output.bias")},
    {.name = "gemma",
     .model_type = "gemma",
     .class = "GemmaForCausalLM",
     .names = gqa_gguf_gemma_names,
     .has_head_dim = true,
     .keys = llama_keys,
     .extra = "{\"hidden_act\": \"gelu_pytorch_tanh\"}",
     .unloaded = ENDED("output.weight", OUTPUT_BIAS)},
    {.name = "gemma2",
     .model_type = "gemma2",
     .class = "Gemma2ForCausalLM",
     .names = gqa_gguf_gemma2_names,
     .has_head_dim = true,
     .keys = gemma2_keys,
     .extra = "{\"hidden_activation\": \"gelu_pytorch_tanh\"}",
     .unsaid = "query_pre_attn_scalar",
     .known = gemma2_known,
     .has_windows = true,
     .takes_head_dim = true,
     .unloaded = ENDED("output.weight", OUTPUT_BIAS)},
    {.name = "stablelm",
     .model_type = "stablelm",
     .class = "StableLmForCausalLM",
     .names = gqa_gguf_plain_names,
     .keys = layer_norm_keys,
     .signs = stablelm_signs,
     .share = "partial_rotary_factor",
     .extra = "{\"hidden_act\": \"silu\"}",
     .demanded = ENDED("output.weight")},
    {.name = "bloom",
     .model_type = "bloom",
     .class = "BloomForCausalLM",
     .names = gqa_gguf_bloom_names,
     .keys = bloom_keys,
     .context = 2048},
    {.name = "falcon",
     .marked = "blk.0.attn_norm_2.weight",
     .model_type = "falcon",
     .class = "FalconForCausalLM",
     .names = gqa_gguf_falcon_2_norms_names,
     .keys = falcon_2_norms_keys,
     .signs = falcon_signs,
     .extra = "{\"new_decoder_architecture\": true, "
              "\"num_ln_in_parallel_attn\": 2, \"parallel_attn\": true, "
              "\"alibi\": false, \"activation\": \"gelu\"}",
     .unloaded = ENDED("blk.%.attn_qkv.bias", OUTPUT_BIAS, "blk.%.ffn_up.bias",
                       "blk.%.ffn_down.bias")},
    {.name = "falcon",
     .model_type = "falcon",
     .class = "FalconForCausalLM",
     .names = gqa_gguf_falcon_names,
     .keys = falcon_keys,
     .signs = falcon_signs,
     .extra = "{\"new_decoder_architecture\": false, \"multi_query\": true, "
              "\"parallel_attn\": true, \"alibi\": false, \"activation\": "
              "\"gelu\"}",
     .unloaded = ENDED("blk.%.attn_qkv.bias", OUTPUT_BIAS, "blk.%.ffn_up.bias",
                       "blk.%.ffn_down.bias")},
    {.name = "olmo",
     .model_type = "olmo",
     .class = "OlmoForCausalLM",
     .names = gqa_gguf_olmo_names,
     .keys = olmo_keys,
     .norm_eps = 1e-5,
     .signs = bias_signs,
     .extra = "{\"hidden_act\": \"silu\"}",
     .unloaded = ENDED(OUTPUT_BIAS)},
    {.name = "olmo2",
     .model_type = "olmo2",
     .class = "Olmo2ForCausalLM",
     .names = gqa_gguf_olmo2_names,
     .keys = olmo2_keys,
     .signs = bias_signs,
     .extra = "{\"hidden_act\": \"silu\"}",
     .unloaded = ENDED(OUTPUT_BIAS),
     .demanded = ENDED("output.weight")},
    {.name = "command-r",
     .model_type = "cohere",
     .head_norms_from = 64,
     .class = "CohereForCausalLM",
     .names = gqa_gguf_plain_names,
     .keys = command_r_keys,
     .signs = command_r_signs,
     .extra = "{\"hidden_act\": \"silu\"}",
     .unloaded = ENDED("output.weight", OUTPUT_BIAS)},
    {.name = "starcoder2",
     .model_type = "starcoder2",
     .class = "Starcoder2ForCausalLM",
     .names = gqa_gguf_starcoder2_names,
     .keys = starcoder2_keys,
     .signs = starcoder2_signs,
     .extra = "{\"hidden_act\": \"gelu_pytorch_tanh\"}",
     .unsaid = "sliding_window",
     .demanded =
         ENDED(OUTPUT_BIAS, "blk.%.ffn_up.bias", "blk.%.ffn_down.bias")},
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
     .extra = "{\"hidden_act\": \"gelu\"}",
     .demanded = ENDED("output.weight", "blk.%.attn_qkv.bias", OUTPUT_BIAS)},
    {0},
};
