#include "formats/families/keras_tables.h"

/* One variable, its elements in Hugging Face's order or transposed. */
#define SAME(path, legacy, hf)                              \
    {                                                       \
        path, legacy, hf, GQA_KERAS_AS_IS, 1, 0, 1, 0, NULL \
    }
#define SAME_IN2(path, legacy, hf)                          \
    {                                                       \
        path, legacy, hf, GQA_KERAS_AS_IS, 2, 0, 1, 0, NULL \
    }
#define TURN(path, legacy, hf)                             \
    {                                                      \
        path, legacy, hf, GQA_KERAS_TURN, 1, 0, 1, 0, NULL \
    }
#define TURN_IN2(path, legacy, hf)                         \
    {                                                      \
        path, legacy, hf, GQA_KERAS_TURN, 2, 0, 1, 0, NULL \
    }
/* One third of GPT-2's fused [q | k | v], along an axis. */
#define THIRD(path, legacy, hf, part, axis)                       \
    {                                                             \
        path, legacy, hf, GQA_KERAS_AS_IS, 1, part, 3, axis, NULL \
    }
/* As TURN, where some path has the component, or with '!' where none has. */
#define TURN_WHEN(when, path, legacy, hf)                  \
    {                                                      \
        path, legacy, hf, GQA_KERAS_TURN, 1, 0, 1, 0, when \
    }
#define END_RULES                                           \
    {                                                       \
        NULL, NULL, NULL, GQA_KERAS_AS_IS, 0, 0, 0, 0, NULL \
    }
#define END_KEYS         \
    {                    \
        NULL, NULL, NULL \
    }

/* --- T5 ----------------------------------------------------------------- */

/* By class and one number through both stacks, or by the layer's name. */
#define T5              "t5_transformer_layer%/"
#define T5_NAMED(stack) "transformer_" stack "_layer_%/"
#define T5_PROJECTION(stack, attention, keras, hf)                \
    TURN(T5 attention "/" keras "_projector/0",                   \
         T5_NAMED(stack) attention "/" keras "_projector/kernel", \
         stack ".block.%.layer." hf ".weight")
#define T5_ATTENTION(stack, attention, hf)                 \
    T5_PROJECTION(stack, attention, "query", hf ".q"),     \
        T5_PROJECTION(stack, attention, "key", hf ".k"),   \
        T5_PROJECTION(stack, attention, "value", hf ".v"), \
        T5_PROJECTION(stack, attention, "output", hf ".o")
/* `norm`: which of the layer's norms it is; see number_norms(). */
#define T5_NORM(stack, keras, norm, hf)                                  \
    SAME(T5 keras "/0", T5_NAMED(stack) "t5_layer_norm." norm "/weight", \
         stack ".block.%.layer." hf ".layer_norm.weight")
/*
 * Feed-forward is layer 1 of an encoder block and layer 2 of a decoder's.
 * With a gate the activation is on wi_0; without, there is wi alone.
 */
#define T5_FEED_FORWARD(stack, layer)                                        \
    TURN(T5 "output_projector/0", T5_NAMED(stack) "output_projector/kernel", \
         stack ".block.%.layer." layer ".DenseReluDense.wo.weight"),         \
        TURN(T5 "gate_projector/0", T5_NAMED(stack) "gate_projector/kernel", \
             stack ".block.%.layer." layer ".DenseReluDense.wi_1.weight"),   \
        TURN_WHEN("gate_projector", T5 "input_projector/0",                  \
                  T5_NAMED(stack) "input_projector/kernel",                  \
                  stack ".block.%.layer." layer                              \
                        ".DenseReluDense.wi_0.weight"),                      \
        TURN_WHEN("!gate_projector", T5 "input_projector/0",                 \
                  T5_NAMED(stack) "input_projector/kernel",                  \
                  stack ".block.%.layer." layer ".DenseReluDense.wi.weight")
#define T5_STACK(stack)                                       \
    T5_ATTENTION(stack, "self_attention", "0.SelfAttention"), \
        SAME(T5 "self_attention/0",                           \
             T5_NAMED(stack) "self_attention/embeddings",     \
             stack ".block.%.layer.0.SelfAttention."          \
                   "relative_attention_bias.weight"),         \
        T5_NORM(stack, "self_attention_layer_norm", "0", "0")

static const struct gqa_keras_rule t5_rules[] = {
    SAME("reversible_embedding/0", "token_embedding/embeddings",
         "shared.weight"),
    TURN("reversible_embedding/1", "token_embedding/reverse_embeddings",
         "lm_head.weight"),
    SAME("t5_layer_norm/0", "encoder_output_layer_norm/weight",
         "encoder.final_layer_norm.weight"),
    SAME("t5_layer_norm_1/0", "decoder_output_layer_norm/weight",
         "decoder.final_layer_norm.weight"),
    T5_STACK("encoder"),
    T5_FEED_FORWARD("encoder", "1"),
    T5_NORM("encoder", "layer_norm", "1", "1"),
    T5_STACK("decoder"),
    T5_ATTENTION("decoder", "cross_attention", "1.EncDecAttention"),
    T5_NORM("decoder", "cross_attention_layer_norm", "1", "1"),
    T5_FEED_FORWARD("decoder", "2"),
    T5_NORM("decoder", "layer_norm", "2", "2"),
    END_RULES,
};
static const struct gqa_keras_variant t5_variants[] = {
    {"t5", "T5Backbone", "t5"},
    {NULL, NULL, NULL},
};
static const struct gqa_keras_key t5_keys[] = {
    {"vocabulary_size", "vocab_size", NULL},
    {"num_layers", "num_layers", NULL},
    {"num_layers", "num_decoder_layers", NULL},
    {"num_heads", "num_heads", NULL},
    {"key_value_dim", "d_kv", NULL},
    {"hidden_dim", "d_model", NULL},
    {"intermediate_dim", "d_ff", NULL},
    {"layer_norm_epsilon", "layer_norm_epsilon", NULL},
    {NULL, "is_encoder_decoder", "true"},
    {NULL, "decoder_start_token_id", "0"},
    {NULL, "relative_attention_num_buckets", "32"},
    {NULL, "relative_attention_max_distance", "128"},
    END_KEYS,
};

/* "relu", or "gated-gelu" with a gate. */
static void finish_t5_config(json_t *hf, const json_t *preset)
{
    const json_t *activation = json_object_get(preset, "activation");
    /* A string, or a serialised function whose name is its config. */
    const char *name = json_string_value(
        json_is_object(activation) ? json_object_get(activation, "config")
                                   : activation);
    const bool gated =
        json_is_true(json_object_get(preset, "use_gated_activation"));

    if (name)
        json_object_set_new(hf, "feed_forward_proj",
                            json_pack("s+", gated ? "gated-" : "", name));
}

const struct gqa_keras_names gqa_keras_t5 = {t5_variants, t5_rules, true,
                                             t5_keys, finish_t5_config};

/* --- Llama, Mistral, Qwen2 ---------------------------------------------- */

#define LLAMA       "$_transformer_decoder%/"
#define LAYER       "transformer_layer_%/"
#define EMBEDDING   "token_embedding/embeddings"
#define UNEMBEDDING "token_embedding/reverse_embeddings"
#define LLAMA_NORM  "sequence_output_layernorm/scale"

static const struct gqa_keras_rule llama_rules[] = {
    SAME("reversible_embedding/0", EMBEDDING, "model.embed_tokens.weight"),
    TURN("reversible_embedding/1", UNEMBEDDING, "lm_head.weight"),
    SAME("$_layer_norm/0", LLAMA_NORM, "model.norm.weight"),
    SAME("$_layer_normalization/0", LLAMA_NORM, "model.norm.weight"),
    TURN(LLAMA "self_attention_layer/query_dense/0",
         LAYER "self_attention/query/kernel",
         "model.layers.%.self_attn.q_proj.weight"),
    TURN(LLAMA "self_attention_layer/key_dense/0",
         LAYER "self_attention/key/kernel",
         "model.layers.%.self_attn.k_proj.weight"),
    TURN(LLAMA "self_attention_layer/value_dense/0",
         LAYER "self_attention/value/kernel",
         "model.layers.%.self_attn.v_proj.weight"),
    SAME(LLAMA "self_attention_layer/query_dense/1",
         LAYER "self_attention/query/bias",
         "model.layers.%.self_attn.q_proj.bias"),
    SAME(LLAMA "self_attention_layer/key_dense/1",
         LAYER "self_attention/key/bias",
         "model.layers.%.self_attn.k_proj.bias"),
    SAME(LLAMA "self_attention_layer/value_dense/1",
         LAYER "self_attention/value/bias",
         "model.layers.%.self_attn.v_proj.bias"),
    TURN_IN2(LLAMA "self_attention_layer/output_dense/0",
             LAYER "self_attention/attention_output/kernel",
             "model.layers.%.self_attn.o_proj.weight"),
    SAME(LLAMA "self_attention_layernorm/0",
         LAYER "self_attention_layernorm/scale",
         "model.layers.%.input_layernorm.weight"),
    TURN(LLAMA "feedforward_gate_dense/0",
         LAYER "feedforward_gate_dense/kernel",
         "model.layers.%.mlp.gate_proj.weight"),
    TURN(LLAMA "feedforward_intermediate_dense/0",
         LAYER "feedforward_intermediate_dense/kernel",
         "model.layers.%.mlp.up_proj.weight"),
    TURN(LLAMA "feedforward_output_dense/0",
         LAYER "feedforward_output_dense/kernel",
         "model.layers.%.mlp.down_proj.weight"),
    SAME(LLAMA "feedforward_layernorm/0", LAYER "feedforward_layernorm/scale",
         "model.layers.%.post_attention_layernorm.weight"),
    END_RULES,
};
static const struct gqa_keras_variant llama_variants[] = {
    {"llama", "LlamaBackbone", "llama"},
    {"llama", "Llama3Backbone", "llama"},
    {"mistral", "MistralBackbone", "mistral"},
    {"qwen", "QwenBackbone", "qwen2"},
    {NULL, NULL, NULL},
};
static const struct gqa_keras_key llama_keys[] = {
    {"vocabulary_size", "vocab_size", NULL},
    {"num_layers", "num_hidden_layers", NULL},
    {"num_query_heads", "num_attention_heads", NULL},
    {"num_key_value_heads", "num_key_value_heads", NULL},
    {"hidden_dim", "hidden_size", NULL},
    {"intermediate_dim", "intermediate_size", NULL},
    {"head_dim", "head_dim", NULL},
    {"rope_max_wavelength", "rope_theta", NULL},
    {"layer_norm_epsilon", "rms_norm_eps", NULL},
    {"sliding_window", "sliding_window", NULL},
    {"use_sliding_window_attention", "use_sliding_window", NULL},
    {"sliding_window_size", "sliding_window", NULL},
    {NULL, "hidden_act", "\"silu\""},
    END_KEYS,
};

/* KerasHub spreads the scaling of RoPE over keys of its own. */
static void finish_llama_config(json_t *hf, const json_t *preset)
{
    static const struct gqa_keras_key llama3[] = {
        {"rope_frequency_adjustment_factor", "factor", NULL},
        {"rope_low_freq_factor", "low_freq_factor", NULL},
        {"rope_high_freq_factor", "high_freq_factor", NULL},
        {"rope_pretraining_sequence_length", "original_max_position_embeddings",
         NULL},
    };
    json_t *factor = json_object_get(preset, "rope_position_scaling_factor");
    json_t *scaling;

    if (!json_is_number(factor))
        factor = json_object_get(preset, "rope_scaling_factor");
    if (json_is_number(json_object_get(preset, llama3[0].keras))) {
        scaling = json_pack("{s:s}", "rope_type", "llama3");
        for (size_t i = 0; i < sizeof llama3 / sizeof *llama3; i++)
            json_object_set(scaling, llama3[i].hf,
                            json_object_get(preset, llama3[i].keras));
    } else if (json_is_number(factor) && json_number_value(factor) != 1.0) {
        scaling =
            json_pack("{s:s, s:O}", "rope_type", "linear", "factor", factor);
    } else {
        return;
    }
    json_object_set_new(hf, "rope_scaling", scaling);
}

const struct gqa_keras_names gqa_keras_llama = {
    llama_variants, llama_rules, false, llama_keys, finish_llama_config};

/* --- GPT-2 -------------------------------------------------------------- */

#define GPT2      "transformer_decoder%/"
#define GPT2_ATTN "transformer.h.%.attn."

static const struct gqa_keras_rule gpt2_rules[] = {
    SAME("reversible_embedding/0", EMBEDDING, "transformer.wte.weight"),
    SAME("position_embedding/0", "position_embedding/embeddings",
         "transformer.wpe.weight"),
    SAME("layer_normalization/0", "layer_norm/gamma",
         "transformer.ln_f.weight"),
    SAME("layer_normalization/1", "layer_norm/beta", "transformer.ln_f.bias"),
    THIRD(GPT2 "self_attention_layer/query_dense/0",
          LAYER "self_attention/query/kernel", GPT2_ATTN "c_attn.weight", 0, 1),
    THIRD(GPT2 "self_attention_layer/key_dense/0",
          LAYER "self_attention/key/kernel", GPT2_ATTN "c_attn.weight", 1, 1),
    THIRD(GPT2 "self_attention_layer/value_dense/0",
          LAYER "self_attention/value/kernel", GPT2_ATTN "c_attn.weight", 2, 1),
    THIRD(GPT2 "self_attention_layer/query_dense/1",
          LAYER "self_attention/query/bias", GPT2_ATTN "c_attn.bias", 0, 0),
    THIRD(GPT2 "self_attention_layer/key_dense/1",
          LAYER "self_attention/key/bias", GPT2_ATTN "c_attn.bias", 1, 0),
    THIRD(GPT2 "self_attention_layer/value_dense/1",
          LAYER "self_attention/value/bias", GPT2_ATTN "c_attn.bias", 2, 0),
    SAME_IN2(GPT2 "self_attention_layer/output_dense/0",
             LAYER "self_attention/attention_output/kernel",
             GPT2_ATTN "c_proj.weight"),
    SAME(GPT2 "self_attention_layer/output_dense/1",
         LAYER "self_attention/attention_output/bias", GPT2_ATTN "c_proj.bias"),
    SAME(GPT2 "self_attention_layer_norm/0",
         LAYER "self_attention_layer_norm/gamma",
         "transformer.h.%.ln_1.weight"),
    SAME(GPT2 "self_attention_layer_norm/1",
         LAYER "self_attention_layer_norm/beta", "transformer.h.%.ln_1.bias"),
    SAME(GPT2 "feedforward_intermediate_dense/0",
         LAYER "feedforward_intermediate_dense/kernel",
         "transformer.h.%.mlp.c_fc.weight"),
    SAME(GPT2 "feedforward_intermediate_dense/1",
         LAYER "feedforward_intermediate_dense/bias",
         "transformer.h.%.mlp.c_fc.bias"),
    SAME(GPT2 "feedforward_output_dense/0",
         LAYER "feedforward_output_dense/kernel",
         "transformer.h.%.mlp.c_proj.weight"),
    SAME(GPT2 "feedforward_output_dense/1",
         LAYER "feedforward_output_dense/bias",
         "transformer.h.%.mlp.c_proj.bias"),
    SAME(GPT2 "feedforward_layer_norm/0", LAYER "feedforward_layer_norm/gamma",
         "transformer.h.%.ln_2.weight"),
    SAME(GPT2 "feedforward_layer_norm/1", LAYER "feedforward_layer_norm/beta",
         "transformer.h.%.ln_2.bias"),
    END_RULES,
};
static const struct gqa_keras_variant gpt2_variants[] = {
    {"gpt2", "GPT2Backbone", "gpt2"},
    {NULL, NULL, NULL},
};
static const struct gqa_keras_key gpt2_keys[] = {
    {"vocabulary_size", "vocab_size", NULL},
    {"num_layers", "n_layer", NULL},
    {"num_heads", "n_head", NULL},
    {"hidden_dim", "n_embd", NULL},
    {"intermediate_dim", "n_inner", NULL},
    {"max_sequence_length", "n_positions", NULL},
    {NULL, "activation_function", "\"gelu_new\""},
    {NULL, "layer_norm_epsilon", "1e-05"},
    END_KEYS,
};
const struct gqa_keras_names gqa_keras_gpt2 = {gpt2_variants, gpt2_rules, false,
                                               gpt2_keys, NULL};

/* --- GPT-NeoX ----------------------------------------------------------- */

#define NEOX       "gpt_neo_x_decoder%/"
#define NEOX_LAYER "gpt_neox.layers.%."

static const struct gqa_keras_rule gpt_neox_rules[] = {
    SAME("reversible_embedding/0", EMBEDDING, "gpt_neox.embed_in.weight"),
    TURN("reversible_embedding/1", UNEMBEDDING, "embed_out.weight"),
    SAME("layer_normalization/0", "layer_norm/gamma",
         "gpt_neox.final_layer_norm.weight"),
    SAME("layer_normalization/1", "layer_norm/beta",
         "gpt_neox.final_layer_norm.bias"),
    TURN(NEOX "self_attention_layer/qkv_dense/0",
         LAYER "self_attention/query_key_value/kernel",
         NEOX_LAYER "attention.query_key_value.weight"),
    SAME(NEOX "self_attention_layer/qkv_dense/1",
         LAYER "self_attention/query_key_value/bias",
         NEOX_LAYER "attention.query_key_value.bias"),
    TURN(NEOX "self_attention_layer/output_dense/0",
         LAYER "self_attention/attention_output/kernel",
         NEOX_LAYER "attention.dense.weight"),
    SAME(NEOX "self_attention_layer/output_dense/1",
         LAYER "self_attention/attention_output/bias",
         NEOX_LAYER "attention.dense.bias"),
    SAME(NEOX "self_attention_layer_norm/0",
         LAYER "self_attention_layer_norm/gamma",
         NEOX_LAYER "input_layernorm.weight"),
    SAME(NEOX "self_attention_layer_norm/1",
         LAYER "self_attention_layer_norm/beta",
         NEOX_LAYER "input_layernorm.bias"),
    SAME(NEOX "feedforward_layer_norm/0", LAYER "feedforward_layer_norm/gamma",
         NEOX_LAYER "post_attention_layernorm.weight"),
    SAME(NEOX "feedforward_layer_norm/1", LAYER "feedforward_layer_norm/beta",
         NEOX_LAYER "post_attention_layernorm.bias"),
    TURN(NEOX "feedforward_intermediate_dense/0",
         LAYER "feedforward_intermediate_dense/kernel",
         NEOX_LAYER "mlp.dense_h_to_4h.weight"),
    SAME(NEOX "feedforward_intermediate_dense/1",
         LAYER "feedforward_intermediate_dense/bias",
         NEOX_LAYER "mlp.dense_h_to_4h.bias"),
    TURN(NEOX "feedforward_output_dense/0",
         LAYER "feedforward_output_dense/kernel",
         NEOX_LAYER "mlp.dense_4h_to_h.weight"),
    SAME(NEOX "feedforward_output_dense/1",
         LAYER "feedforward_output_dense/bias",
         NEOX_LAYER "mlp.dense_4h_to_h.bias"),
    END_RULES,
};
static const struct gqa_keras_variant gpt_neox_variants[] = {
    {"gpt_neo_x", "GPTNeoXBackbone", "gpt_neox"},
    {NULL, NULL, NULL},
};
static const struct gqa_keras_key gpt_neox_keys[] = {
    {"vocabulary_size", "vocab_size", NULL},
    {"num_layers", "num_hidden_layers", NULL},
    {"num_heads", "num_attention_heads", NULL},
    {"hidden_dim", "hidden_size", NULL},
    {"intermediate_dim", "intermediate_size", NULL},
    {"rotary_percentage", "rotary_pct", NULL},
    {"rotary_max_wavelength", "rotary_emb_base", NULL},
    {"layer_norm_epsilon", "layer_norm_eps", NULL},
    {"max_sequence_length", "max_position_embeddings", NULL},
    {NULL, "use_parallel_residual", "true"},
    {NULL, "hidden_act", "\"gelu\""},
    END_KEYS,
};
const struct gqa_keras_names gqa_keras_gpt_neox = {
    gpt_neox_variants, gpt_neox_rules, false, gpt_neox_keys, NULL};
