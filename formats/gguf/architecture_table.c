#include "formats/gguf/architecture_table.h"

#include <stddef.h>

#define AS_IT_IS  GQA_GGUF_AS_IT_IS, false
#define TURNED    GQA_GGUF_TURNED, false
#define BY_GROUPS GQA_GGUF_BY_GROUPS, false
#define PAIRED_Q  GQA_GGUF_PAIRED, false
#define PAIRED_K  GQA_GGUF_PAIRED, true

#define LAYER(theirs, ours, ...)                             \
    {                                                        \
        "blk.%." theirs, "model.layers.%." ours, __VA_ARGS__ \
    }

/* Of models with the names of Llama: all but queries and keys */
#define LLAMA_NAMES                                                            \
    {"token_embd.weight", "model.embed_tokens.weight", AS_IT_IS},              \
        {"output_norm.weight", "model.norm.weight", AS_IT_IS},                 \
        {"output.weight", "lm_head.weight", AS_IT_IS},                         \
        {"rope_freqs.weight", NULL, AS_IT_IS},                                 \
        LAYER("attn_norm.weight", "input_layernorm.weight", AS_IT_IS),         \
        LAYER("attn_v.weight", "self_attn.v_proj.weight", AS_IT_IS),           \
        LAYER("attn_v.bias", "self_attn.v_proj.bias", AS_IT_IS),               \
        LAYER("attn_output.weight", "self_attn.o_proj.weight", AS_IT_IS),      \
        LAYER("attn_output.bias", "self_attn.o_proj.bias", AS_IT_IS),          \
        LAYER("ffn_norm.weight", "post_attention_layernorm.weight", AS_IT_IS), \
        LAYER("ffn_gate.weight", "mlp.gate_proj.weight", AS_IT_IS),            \
        LAYER("ffn_gate.bias", "mlp.gate_proj.bias", AS_IT_IS),                \
        LAYER("ffn_up.weight", "mlp.up_proj.weight", AS_IT_IS),                \
        LAYER("ffn_up.bias", "mlp.up_proj.bias", AS_IT_IS),                    \
        LAYER("ffn_down.weight", "mlp.down_proj.weight", AS_IT_IS),            \
        LAYER("ffn_down.bias", "mlp.down_proj.bias", AS_IT_IS),                \
        LAYER("attn_q.weight", "self_attn.q_proj.weight", QUERIES),            \
        LAYER("attn_q.bias", "self_attn.q_proj.bias", QUERIES),                \
        LAYER("attn_k.weight", "self_attn.k_proj.weight", KEYS),               \
        LAYER("attn_k.bias", "self_attn.k_proj.bias", KEYS),                   \
    {                                                                          \
        0                                                                      \
    }

static const struct gqa_gguf_name llama_names[] = {
#define QUERIES PAIRED_Q
#define KEYS    PAIRED_K
    LLAMA_NAMES
#undef QUERIES
#undef KEYS
};

static const struct gqa_gguf_name qwen2_names[] = {
#define QUERIES AS_IT_IS
#define KEYS    AS_IT_IS
    LLAMA_NAMES
#undef QUERIES
#undef KEYS
};

#define TOKENS                                                     \
    {"bos_token_id", "tokenizer.ggml.bos_token_id", true, false},  \
    {                                                              \
        "eos_token_id", "tokenizer.ggml.eos_token_id", true, false \
    }

static const struct gqa_gguf_key llama_keys[] = {
    {"hidden_size", "%.embedding_length", false, false},
    {"intermediate_size", "%.feed_forward_length", false, false},
    {"num_hidden_layers", "%.block_count", false, false},
    {"num_attention_heads", "%.attention.head_count", false, false},
    {"num_key_value_heads", "%.attention.head_count_kv", true, true},
    {"head_dim", "%.attention.key_length", true, false},
    {"max_position_embeddings", "%.context_length", false, false},
    {"rms_norm_eps", "%.attention.layer_norm_rms_epsilon", false, false},
    {"rope_theta", "%.rope.freq_base", true, false},
    TOKENS,
    {0},
};

#undef LAYER
#define LAYER(theirs, ours, ...)                              \
    {                                                         \
        "blk.%." theirs, "transformer.h.%." ours, __VA_ARGS__ \
    }

/* Matrices of GPT-2 have a row for each input, in the original. */
static const struct gqa_gguf_name gpt2_names[] = {
    {"token_embd.weight", "transformer.wte.weight", AS_IT_IS},
    {"position_embd.weight", "transformer.wpe.weight", AS_IT_IS},
    {"output_norm.weight", "transformer.ln_f.weight", AS_IT_IS},
    {"output_norm.bias", "transformer.ln_f.bias", AS_IT_IS},
    {"output.weight", "lm_head.weight", AS_IT_IS},
    LAYER("attn_norm.weight", "ln_1.weight", AS_IT_IS),
    LAYER("attn_norm.bias", "ln_1.bias", AS_IT_IS),
    LAYER("attn_qkv.weight", "attn.c_attn.weight", TURNED),
    LAYER("attn_qkv.bias", "attn.c_attn.bias", AS_IT_IS),
    LAYER("attn_output.weight", "attn.c_proj.weight", TURNED),
    LAYER("attn_output.bias", "attn.c_proj.bias", AS_IT_IS),
    LAYER("ffn_norm.weight", "ln_2.weight", AS_IT_IS),
    LAYER("ffn_norm.bias", "ln_2.bias", AS_IT_IS),
    LAYER("ffn_up.weight", "mlp.c_fc.weight", TURNED),
    LAYER("ffn_up.bias", "mlp.c_fc.bias", AS_IT_IS),
    LAYER("ffn_down.weight", "mlp.c_proj.weight", TURNED),
    LAYER("ffn_down.bias", "mlp.c_proj.bias", AS_IT_IS),
    {0},
};

static const struct gqa_gguf_key gpt2_keys[] = {
    {"n_embd", "%.embedding_length", false, false},
    {"n_inner", "%.feed_forward_length", false, false},
    {"n_layer", "%.block_count", false, false},
    {"n_head", "%.attention.head_count", false, false},
    {"num_key_value_heads", "%.attention.head_count_kv", true, true},
    {"n_positions", "%.context_length", false, false},
    {"layer_norm_epsilon", "%.attention.layer_norm_epsilon", false, false},
    TOKENS,
    {0},
};

#undef LAYER
#define LAYER(theirs, ours, ...)                                \
    {                                                           \
        "blk.%." theirs, "gpt_neox.layers.%." ours, __VA_ARGS__ \
    }

static const struct gqa_gguf_name gpt_neox_names[] = {
    {"token_embd.weight", "gpt_neox.embed_in.weight", AS_IT_IS},
    {"output_norm.weight", "gpt_neox.final_layer_norm.weight", AS_IT_IS},
    {"output_norm.bias", "gpt_neox.final_layer_norm.bias", AS_IT_IS},
    {"output.weight", "embed_out.weight", AS_IT_IS},
    LAYER("attn_norm.weight", "input_layernorm.weight", AS_IT_IS),
    LAYER("attn_norm.bias", "input_layernorm.bias", AS_IT_IS),
    LAYER("attn_qkv.weight", "attention.query_key_value.weight", BY_GROUPS),
    LAYER("attn_qkv.bias", "attention.query_key_value.bias", BY_GROUPS),
    LAYER("attn_output.weight", "attention.dense.weight", AS_IT_IS),
    LAYER("attn_output.bias", "attention.dense.bias", AS_IT_IS),
    LAYER("ffn_norm.weight", "post_attention_layernorm.weight", AS_IT_IS),
    LAYER("ffn_norm.bias", "post_attention_layernorm.bias", AS_IT_IS),
    LAYER("ffn_up.weight", "mlp.dense_h_to_4h.weight", AS_IT_IS),
    LAYER("ffn_up.bias", "mlp.dense_h_to_4h.bias", AS_IT_IS),
    LAYER("ffn_down.weight", "mlp.dense_4h_to_h.weight", AS_IT_IS),
    LAYER("ffn_down.bias", "mlp.dense_4h_to_h.bias", AS_IT_IS),
    {0},
};

static const struct gqa_gguf_key gpt_neox_keys[] = {
    {"hidden_size", "%.embedding_length", false, false},
    {"intermediate_size", "%.feed_forward_length", false, false},
    {"num_hidden_layers", "%.block_count", false, false},
    {"num_attention_heads", "%.attention.head_count", false, false},
    {"num_key_value_heads", "%.attention.head_count_kv", true, true},
    {"max_position_embeddings", "%.context_length", false, false},
    {"layer_norm_eps", "%.attention.layer_norm_epsilon", false, false},
    {"rotary_emb_base", "%.rope.freq_base", true, false},
    {"use_parallel_residual", "%.use_parallel_residual", false, false},
    TOKENS,
    {0},
};

const struct gqa_gguf_architecture gqa_gguf_architectures[] = {
    {.name = "llama",
     .model_type = "llama",
     .class = "LlamaForCausalLM",
     .names = llama_names,
     .keys = llama_keys,
     .bias = "attention_bias",
     .mlp_bias = "mlp_bias",
     .extra = "{\"hidden_act\": \"silu\"}"},
    {.name = "qwen2",
     .model_type = "qwen2",
     .class = "Qwen2ForCausalLM",
     .names = qwen2_names,
     .keys = llama_keys,
     .extra = "{\"hidden_act\": \"silu\", \"use_sliding_window\": false}"},
    {.name = "gpt2",
     .model_type = "gpt2",
     .class = "GPT2LMHeadModel",
     .names = gpt2_names,
     .keys = gpt2_keys,
     .extra = "{\"activation_function\": \"gelu_new\"}"},
    {.name = "gptneox",
     .model_type = "gpt_neox",
     .class = "GPTNeoXForCausalLM",
     .names = gpt_neox_names,
     .keys = gpt_neox_keys,
     .share = "rotary_pct",
     .extra = "{\"hidden_act\": \"gelu\"}"},
    {0},
};
