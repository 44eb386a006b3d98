#include "formats/families/schema.h"

#include "formats/families/family.h"

/* --- Words, in the order of their enums ---------------------------------- */

static const char *const weights_words[] = {"out-in", "in-out", NULL};
static const char *const norm_words[] = {[GQA_NORM_NONE] = "",
                                         [GQA_NORM_RMS] = "rms",
                                         [GQA_NORM_LAYER] = "layer",
                                         NULL};
static const char *const scheme_words[] = {
    [GQA_POSITION_NONE] = "none",
    [GQA_POSITION_ROPE] = "rope",
    [GQA_POSITION_RELATIVE_BIAS] = "relative-bias",
    [GQA_POSITION_ALIBI] = "alibi",
    [GQA_POSITION_LEARNED] = "learned",
    [GQA_POSITION_SINUSOIDAL] = "sinusoidal",
    NULL};
static const char *const layout_words[] = {
    [GQA_HEADS_SEPARATE] = "separate",
    [GQA_HEADS_FUSED_QKV] = "fused-qkv",
    [GQA_HEADS_FUSED_GROUP] = "fused-group",
    [GQA_HEADS_FUSED_KV] = "fused-kv",
    [GQA_HEADS_FUSED_BLOCKS] = "fused-blocks",
    NULL};
static const char *const head_norm_words[] = {
    [GQA_HEAD_NORM_SHARED] = "shared",
    [GQA_HEAD_NORM_PER_HEAD] = "per-head",
    [GQA_HEAD_NORM_FULL_WIDTH] = "full-width",
    NULL};
static const char *const input_words[] = {[GQA_INPUT_TOKENS] = "tokens",
                                          [GQA_INPUT_FRAMES] = "frames",
                                          [GQA_INPUT_CODES] = "codes",
                                          NULL};
static const char *const stock_words[] = {
    [GQA_STOCK_NONE] = "none", [GQA_STOCK_UNIFORM] = "uniform", NULL};
/* Behaviours: 0 is what holds where none is asked for, and has no name. */
static const char *const slopes_words[] = {
    [GQA_SLOPES_NONE] = "", [GQA_SLOPES_BLOOM] = "bloom", NULL};
static const char *const sinusoid_words[] = {
    [GQA_SINUSOIDS_NONE] = "",
    [GQA_SINUSOIDS_MARIAN] = "marian",
    [GQA_SINUSOIDS_TENSOR2TENSOR] = "tensor2tensor",
    [GQA_SINUSOIDS_MUSICGEN] = "musicgen",
    NULL};
static const char *const sliding_words[] = {
    [GQA_SLIDING_ALL] = "",
    [GQA_SLIDING_QWEN2] = "qwen2",
    [GQA_SLIDING_QWEN2_MOE] = "qwen2_moe",
    [GQA_SLIDING_SMOLLM3] = "smollm3",
    [GQA_SLIDING_USE_SLIDING_WINDOW] = "use_sliding_window",
    [GQA_SLIDING_MAX_WINDOW_LAYERS] = "max_window_layers",
    [GQA_SLIDING_LAYER_TYPES] = "layer_types",
    [GQA_SLIDING_GPT_NEO] = "gpt_neo",
    [GQA_SLIDING_BUT_FIRST] = "but_first",
    NULL};
static const char *const rope_words[] = {
    [GQA_ROPE_ALL] = "",
    [GQA_ROPE_SLIDING] = "sliding",
    [GQA_ROPE_NO_ROPE_LAYERS] = "no_rope_layers",
    [GQA_ROPE_EXAONE4] = "exaone4",
    [GQA_ROPE_LAYER_THETA] = "layer_rope_theta",
    NULL};
static const char *const expert_layers_words[] = {
    [GQA_EXPERT_LAYERS_ALL] = "",
    [GQA_EXPERT_LAYERS_QWEN2_MOE] = "qwen2_moe",
    [GQA_EXPERT_LAYERS_DEEPSEEK] = "deepseek",
    [GQA_EXPERT_LAYERS_SWITCH] = "switch",
    [GQA_EXPERT_LAYERS_NLLB_MOE] = "nllb_moe",
    [GQA_EXPERT_LAYERS_BEHIND] = "behind",
    [GQA_EXPERT_LAYERS_ERNIE] = "ernie4_5_moe",
    [GQA_EXPERT_LAYERS_SOME] = "num_local_experts",
    [GQA_EXPERT_LAYERS_TYPES] = "mlp_layer_types",
    NULL};
static const char *const choice_words[] = {[GQA_EXPERTS_SOFTMAX] = "softmax",
                                           [GQA_EXPERTS_SIGMOID] = "sigmoid",
                                           [GQA_EXPERTS_SPARSEMIXER] =
                                               "sparsemixer",
                                           NULL};
static const char *const whole_words[] = {
    [GQA_WHOLE_ALWAYS] = "", [GQA_WHOLE_BIGBIRD] = "bigbird", NULL};
static const char *const score_words[] = {
    [GQA_SCORE_SCALE_AS_IT_IS] = "", [GQA_SCORE_SCALE_GPT2] = "gpt2", NULL};
static const char *const finish_words[] = {
    [GQA_KERAS_FINISH_NONE] = "",
    [GQA_KERAS_FINISH_T5] = "t5",
    [GQA_KERAS_FINISH_BLOOM] = "bloom",
    [GQA_KERAS_FINISH_WHISPER] = "whisper",
    [GQA_KERAS_FINISH_LLAMA] = "llama",
    [GQA_KERAS_FINISH_GEMMA] = "gemma",
    [GQA_KERAS_FINISH_GEMMA2] = "gemma2",
    [GQA_KERAS_FINISH_GEMMA3] = "gemma3",
    [GQA_KERAS_FINISH_SMOLLM3] = "smollm3",
    [GQA_KERAS_FINISH_T5GEMMA] = "t5gemma",
    NULL,
};

/* --- Fields -------------------------------------------------------------- */

#define AT(type, field) .offset = offsetof(struct type, field)
#define REQUIRED        .required = true

#define TEXT(name, type, field)               \
    {                                         \
        name, GQA_FIELD_TEXT, AT(type, field) \
    }
#define TEXTS(name, type, field)               \
    {                                          \
        name, GQA_FIELD_TEXTS, AT(type, field) \
    }
#define FLAG(name, type, field)               \
    {                                         \
        name, GQA_FIELD_FLAG, AT(type, field) \
    }
#define COUNT(name, type, field)               \
    {                                          \
        name, GQA_FIELD_COUNT, AT(type, field) \
    }
#define SETTING(name, type, field, kind)                          \
    {                                                             \
        name, GQA_FIELD_SETTING, AT(type, field), .value = (kind) \
    }
#define WORD(name, type, field, words)                         \
    {                                                          \
        name, GQA_FIELD_WORD, AT(type, field), .more = (words) \
    }
#define OBJECT(name, type, field, schema)                          \
    {                                                              \
        name, GQA_FIELD_OBJECT, AT(type, field), .more = &(schema) \
    }
#define LIST(name, type, field, n, schema)                              \
    {                                                                   \
        name, GQA_FIELD_LIST, AT(type, field),                          \
            .more = &(schema), .count_offset = offsetof(struct type, n) \
    }
/* The same where a description is none without it. */
#define TEXT_NEEDED(name, type, field)                  \
    {                                                   \
        name, GQA_FIELD_TEXT, AT(type, field), REQUIRED \
    }
#define TEXTS_NEEDED(name, type, field)                  \
    {                                                    \
        name, GQA_FIELD_TEXTS, AT(type, field), REQUIRED \
    }
#define OBJECT_NEEDED(name, type, field, schema)                             \
    {                                                                        \
        name, GQA_FIELD_OBJECT, AT(type, field), .more = &(schema), REQUIRED \
    }
#define END         \
    {               \
        .key = NULL \
    }
#define SCHEMA(fields_, type, given)                                           \
    {                                                                          \
        .fields = (fields_), .size = sizeof(struct type), .has_given = (given) \
    }

/* clang-format off */
static const struct gqa_field config_fields[] = {
    TEXTS_NEEDED("n_heads", gqa_config_keys, n_heads),
    TEXTS("n_kv_heads", gqa_config_keys, n_kv_heads),
    SETTING("n_kv_heads_by", gqa_config_keys, n_kv_heads_by, GQA_VALUE_HEADS),
    TEXT("n_kv_heads_also", gqa_config_keys, n_kv_heads_also),
    TEXTS("head_dim", gqa_config_keys, head_dim),
    TEXTS("d_model", gqa_config_keys, d_model),
    TEXTS("d_ff", gqa_config_keys, d_ff),
    TEXTS("n_decoder_heads", gqa_config_keys, n_decoder_heads),
    TEXTS("decoder_d_ff", gqa_config_keys, decoder_d_ff),
    TEXTS("expert_d_ff", gqa_config_keys, expert_d_ff),
    TEXTS("n_layers", gqa_config_keys, n_layers),
    TEXTS("n_decoder_layers", gqa_config_keys, n_decoder_layers),
    TEXTS("vocab_size", gqa_config_keys, vocab_size),
    COUNT("d_ff_per_d_model", gqa_config_keys, d_ff_per_d_model),
    TEXT("d_ff_times", gqa_config_keys, d_ff_times),
    COUNT("d_ff_times_stock", gqa_config_keys, d_ff_times_stock),
    TEXTS("max_positions", gqa_config_keys, max_positions),
    TEXTS("start_token", gqa_config_keys, start_token),
    TEXTS("end_token", gqa_config_keys, end_token),
    TEXTS("pad_token", gqa_config_keys, pad_token),
    {"defaults", GQA_FIELD_SETTINGS, AT(gqa_config_keys, defaults)},
    {"overwritten", GQA_FIELD_SETTINGS, AT(gqa_config_keys, overwritten)},
    TEXTS("unread", gqa_config_keys, unread),
    TEXTS("more_layers", gqa_config_keys, more_layers),
    {"decides", GQA_FIELD_SETTINGS, AT(gqa_config_keys, decides)},
    TEXTS("needed", gqa_config_keys, needed),
    TEXTS("not_null", gqa_config_keys, not_null),
    END,
};
static const struct gqa_schema config_schema =
    SCHEMA(config_fields, gqa_config_keys, false);

static const struct gqa_field names_fields[] = {
    {"prefixes", GQA_FIELD_PREFIXES, AT(gqa_family_names, prefixes), REQUIRED},
    TEXT("answers_prefix", gqa_family_names, answers_prefix),
    TEXT_NEEDED("embedding", gqa_family_names, embedding),
    TEXTS_NEEDED("unembedding", gqa_family_names, unembedding),
    TEXTS("copies", gqa_family_names, copies),
    TEXTS("ignored", gqa_family_names, ignored),
    TEXTS("beside", gqa_family_names, beside),
    TEXTS("left_out", gqa_family_names, left_out),
    TEXT("heads_proof", gqa_family_names, heads_proof),
    END,
};
static const struct gqa_schema names_schema =
    SCHEMA(names_fields, gqa_family_names, false);

static const struct gqa_field norm_fields[] = {
    {"kind", GQA_FIELD_WORD, AT(gqa_norm_rule, kind), .more = norm_words,
     REQUIRED},
    {"eps", GQA_FIELD_SETTING, AT(gqa_norm_rule, eps),
     .value = GQA_VALUE_FROM_ZERO, REQUIRED},
    SETTING("weight", gqa_norm_rule, weight, GQA_VALUE_PRESENCE),
    SETTING("bias", gqa_norm_rule, bias, GQA_VALUE_PRESENCE),
    FLAG("one_plus", gqa_norm_rule, one_plus),
    END,
};
static const struct gqa_schema norm_schema =
    SCHEMA(norm_fields, gqa_norm_rule, false);

static const struct gqa_field embedding_fields[] = {
    SETTING("table", gqa_embedding_rule, table, GQA_VALUE_MODULE),
    SETTING("scale", gqa_embedding_rule, scale, GQA_VALUE_WIDTH),
    SETTING("norm", gqa_embedding_rule, norm, GQA_VALUE_MODULE),
    FLAG("norm_first", gqa_embedding_rule, norm_first),
    TEXT("positions", gqa_embedding_rule, positions),
    COUNT("position_offset", gqa_embedding_rule, position_offset),
    SETTING("positions_behind", gqa_embedding_rule, positions_behind,
            GQA_VALUE_TOKEN),
    SETTING("zero_row", gqa_embedding_rule, zero_row, GQA_VALUE_TOKEN),
    TEXTS("places", gqa_embedding_rule, places),
    SETTING("width", gqa_embedding_rule, width, GQA_VALUE_WHOLE),
    TEXT("widened", gqa_embedding_rule, widened),
    TEXT("widened_behind", gqa_embedding_rule, widened_behind),
    END,
};
static const struct gqa_schema embedding_schema =
    SCHEMA(embedding_fields, gqa_embedding_rule, false);

static const struct gqa_field positions_fields[] = {
    {"scheme", GQA_FIELD_WORD, AT(gqa_position_rule, scheme),
     .more = scheme_words, REQUIRED},
    SETTING("theta", gqa_position_rule, theta, GQA_VALUE_POSITIVE),
    SETTING("theta_factor", gqa_position_rule, theta_factor,
            GQA_VALUE_POSITIVE),
    SETTING("local_theta", gqa_position_rule, local_theta, GQA_VALUE_POSITIVE),
    SETTING("original_context", gqa_position_rule, original_context,
            GQA_VALUE_POSITIVE),
    SETTING("magnitude", gqa_position_rule, magnitude, GQA_VALUE_POSITIVE),
    SETTING("long_magnitude", gqa_position_rule, long_magnitude,
            GQA_VALUE_POSITIVE),
    SETTING("alpha", gqa_position_rule, alpha, GQA_VALUE_POSITIVE),
    SETTING("share", gqa_position_rule, share, GQA_VALUE_SHARE),
    SETTING("dims", gqa_position_rule, dims, GQA_VALUE_WINDOW),
    TEXTS("kinds", gqa_position_rule, kinds),
    TEXTS("longrope_names", gqa_position_rule, longrope_names),
    FLAG("interleaved", gqa_position_rule, interleaved),
    FLAG("at_end", gqa_position_rule, at_end),
    SETTING("alibi", gqa_position_rule, alibi, GQA_VALUE_FLAG),
    WORD("slopes", gqa_position_rule, slopes, slopes_words),
    FLAG("slopes_scaled", gqa_position_rule, slopes_scaled),
    WORD("sinusoids", gqa_position_rule, sinusoids, sinusoid_words),
    TEXT("table", gqa_position_rule, table),
    SETTING("buckets", gqa_position_rule, buckets, GQA_VALUE_WHOLE),
    SETTING("max_distance", gqa_position_rule, max_distance, GQA_VALUE_WHOLE),
    FLAG("per_layer", gqa_position_rule, per_layer),
    END,
};
static const struct gqa_schema positions_schema =
    SCHEMA(positions_fields, gqa_position_rule, false);

static const struct gqa_field attention_bias_fields[] = {
    SETTING("q", gqa_attention_rule, bias[0], GQA_VALUE_PRESENCE),
    SETTING("k", gqa_attention_rule, bias[1], GQA_VALUE_PRESENCE),
    SETTING("v", gqa_attention_rule, bias[2], GQA_VALUE_PRESENCE),
    SETTING("o", gqa_attention_rule, bias[3], GQA_VALUE_PRESENCE),
    END,
};
static const struct gqa_schema attention_bias_schema =
    SCHEMA(attention_bias_fields, gqa_attention_rule, false);

static const struct gqa_field head_norms_fields[] = {
    SETTING("q", gqa_head_norms_rule, module[0], GQA_VALUE_MODULE),
    SETTING("k", gqa_head_norms_rule, module[1], GQA_VALUE_MODULE),
    WORD("weights", gqa_head_norms_rule, weights, head_norm_words),
    OBJECT("norm", gqa_head_norms_rule, norm, norm_schema),
    FLAG("turned", gqa_head_norms_rule, turned),
    END,
};
static const struct gqa_schema head_norms_schema =
    SCHEMA(head_norms_fields, gqa_head_norms_rule, false);

static const struct gqa_field summaries_fields[] = {
    {"of", GQA_FIELD_SETTING, AT(gqa_summaries_rule, of),
     .value = GQA_VALUE_WHOLE, REQUIRED},
    {"norm", GQA_FIELD_SETTING, AT(gqa_summaries_rule, norm),
     .value = GQA_VALUE_MODULE, REQUIRED},
    TEXT_NEEDED("bias", gqa_summaries_rule, table),
    END,
};
static const struct gqa_schema summaries_schema =
    SCHEMA(summaries_fields, gqa_summaries_rule, true);

static const struct gqa_field attention_fields[] = {
    TEXT_NEEDED("module", gqa_attention_rule, module),
    TEXT_NEEDED("q", gqa_attention_rule, names[0]),
    TEXT_NEEDED("k", gqa_attention_rule, names[1]),
    TEXT_NEEDED("v", gqa_attention_rule, names[2]),
    TEXT_NEEDED("o", gqa_attention_rule, names[3]),
    {"layout", GQA_FIELD_WORD, AT(gqa_attention_rule, layout),
     .more = layout_words, REQUIRED},
    /* Its fields are the attention's. */
    {"bias", GQA_FIELD_OBJECT, .offset = 0, .more = &attention_bias_schema},
    TEXT("output_bias", gqa_attention_rule, output_bias),
    TEXT("sinks", gqa_attention_rule, sinks),
    SETTING("scale", gqa_attention_rule, scale, GQA_VALUE_SCORES),
    SETTING("scale_rsqrt", gqa_attention_rule, scale_rsqrt, GQA_VALUE_POSITIVE),
    SETTING("norm", gqa_attention_rule, norms.norm, GQA_VALUE_MODULE),
    SETTING("output_norm", gqa_attention_rule, norms.output_norm,
            GQA_VALUE_MODULE),
    SETTING("after_norm", gqa_attention_rule, norms.after_norm,
            GQA_VALUE_MODULE),
    OBJECT("head_norms", gqa_attention_rule, head_norms, head_norms_schema),
    FLAG("positions", gqa_attention_rule, positions),
    SETTING("when", gqa_attention_rule, when, GQA_VALUE_FLAG),
    SETTING("window", gqa_attention_rule, window, GQA_VALUE_WINDOW),
    SETTING("soft_cap", gqa_attention_rule, soft_cap, GQA_VALUE_POSITIVE),
    SETTING("clip", gqa_attention_rule, clip, GQA_VALUE_POSITIVE),
    SETTING("within", gqa_attention_rule, within, GQA_VALUE_WHOLE),
    SETTING("span", gqa_attention_rule, span, GQA_VALUE_ANY),
    FLAG("causal", gqa_attention_rule, causal),
    FLAG("first_unnormed", gqa_attention_rule, first_unnormed),
    OBJECT("summaries", gqa_attention_rule, summaries, summaries_schema),
    END,
};
static const struct gqa_schema attention_schema =
    SCHEMA(attention_fields, gqa_attention_rule, true);

static const struct gqa_field ff_bias_fields[] = {
    SETTING("gate", gqa_feed_forward_rule, bias[GQA_FF_GATE],
            GQA_VALUE_PRESENCE),
    SETTING("up", gqa_feed_forward_rule, bias[GQA_FF_UP], GQA_VALUE_PRESENCE),
    SETTING("down", gqa_feed_forward_rule, bias[GQA_FF_DOWN],
            GQA_VALUE_PRESENCE),
    END,
};
static const struct gqa_schema ff_bias_schema =
    SCHEMA(ff_bias_fields, gqa_feed_forward_rule, false);

static const struct gqa_field shared_names_fields[] = {
    TEXT("gate", gqa_experts_rule, shared_names[GQA_FF_GATE]),
    TEXT_NEEDED("up", gqa_experts_rule, shared_names[GQA_FF_UP]),
    TEXT_NEEDED("down", gqa_experts_rule, shared_names[GQA_FF_DOWN]),
    END,
};
static const struct gqa_schema shared_names_schema =
    SCHEMA(shared_names_fields, gqa_experts_rule, false);

static const struct gqa_field experts_fields[] = {
    TEXT_NEEDED("router", gqa_experts_rule, router),
    SETTING("router_bias", gqa_experts_rule, router_bias, GQA_VALUE_PRESENCE),
    {"each", GQA_FIELD_PATTERN, AT(gqa_experts_rule, each)},
    TEXT("gate", gqa_experts_rule, gate),
    TEXT_NEEDED("up", gqa_experts_rule, up),
    TEXT_NEEDED("down", gqa_experts_rule, down),
    FLAG("input_major", gqa_experts_rule, input_major),
    FLAG("bare", gqa_experts_rule, bare),
    FLAG("interleaved", gqa_experts_rule, interleaved),
    {"n", GQA_FIELD_SETTING, AT(gqa_experts_rule, n),
     .value = GQA_VALUE_ALIKE, REQUIRED},
    {"chosen", GQA_FIELD_SETTING, AT(gqa_experts_rule, chosen),
     .value = GQA_VALUE_ALIKE, REQUIRED},
    SETTING("normalised", gqa_experts_rule, normalised, GQA_VALUE_FLAG),
    SETTING("jitter", gqa_experts_rule, jitter, GQA_VALUE_FROM_ZERO),
    SETTING("dropout", gqa_experts_rule, dropout, GQA_VALUE_DROPOUT),
    SETTING("factor", gqa_experts_rule, factor, GQA_VALUE_POSITIVE),
    WORD("choice", gqa_experts_rule, choice, choice_words),
    TEXT("correction", gqa_experts_rule, correction),
    SETTING("capacity", gqa_experts_rule, capacity, GQA_VALUE_WHOLE),
    SETTING("groups", gqa_experts_rule, groups, GQA_VALUE_WHOLE),
    SETTING("groups_chosen", gqa_experts_rule, groups_chosen, GQA_VALUE_WHOLE),
    TEXT("shared", gqa_experts_rule, shared),
    SETTING("n_shared", gqa_experts_rule, n_shared, GQA_VALUE_FROM_ZERO),
    {"shared_names", GQA_FIELD_OBJECT, .offset = 0,
     .more = &shared_names_schema},
    TEXT("shared_gate", gqa_experts_rule, shared_gate),
    END,
};
static const struct gqa_schema experts_schema =
    SCHEMA(experts_fields, gqa_experts_rule, true);

static const struct gqa_field ff_fields[] = {
    OBJECT("experts", gqa_feed_forward_rule, experts, experts_schema),
    SETTING("gated", gqa_feed_forward_rule, gated, GQA_VALUE_FLAG),
    TEXT("gate", gqa_feed_forward_rule, gate),
    TEXT("up", gqa_feed_forward_rule, up),
    TEXT("plain", gqa_feed_forward_rule, plain),
    TEXT_NEEDED("down", gqa_feed_forward_rule, down),
    {"activation", GQA_FIELD_SETTING, AT(gqa_feed_forward_rule, activation),
     .value = GQA_VALUE_TEXT, REQUIRED},
    SETTING("alpha", gqa_feed_forward_rule, alpha, GQA_VALUE_POSITIVE),
    SETTING("limit", gqa_feed_forward_rule, limit, GQA_VALUE_POSITIVE),
    TEXTS("constants", gqa_feed_forward_rule, constants),
    {"bias", GQA_FIELD_OBJECT, .offset = 0, .more = &ff_bias_schema},
    SETTING("norm", gqa_feed_forward_rule, norms.norm, GQA_VALUE_MODULE),
    SETTING("output_norm", gqa_feed_forward_rule, norms.output_norm,
            GQA_VALUE_MODULE),
    SETTING("after_norm", gqa_feed_forward_rule, norms.after_norm,
            GQA_VALUE_MODULE),
    END,
};
static const struct gqa_schema ff_schema =
    SCHEMA(ff_fields, gqa_feed_forward_rule, true);

static const struct gqa_field convolution_fields[] = {
    TEXT_NEEDED("module", gqa_convolution_rule, module),
    COUNT("stride", gqa_convolution_rule, stride),
    END,
};
static const struct gqa_schema convolution_schema =
    SCHEMA(convolution_fields, gqa_convolution_rule, false);

static const struct gqa_field frames_fields[] = {
    {"convolutions", GQA_FIELD_LIST, AT(gqa_frames_rule, convolutions),
     .more = &convolution_schema, REQUIRED,
     .count_offset = offsetof(struct gqa_frames_rule, n_convolutions)},
    SETTING("n", gqa_frames_rule, n, GQA_VALUE_WHOLE),
    FLAG("gated", gqa_frames_rule, gated),
    END,
};
static const struct gqa_schema frames_schema =
    SCHEMA(frames_fields, gqa_frames_rule, false);

static const struct gqa_field codes_fields[] = {
    {"each", GQA_FIELD_PATTERN, AT(gqa_codes_rule, each), REQUIRED},
    {"n", GQA_FIELD_SETTING, AT(gqa_codes_rule, n), .value = GQA_VALUE_WHOLE,
     REQUIRED},
    END,
};
static const struct gqa_schema codes_schema =
    SCHEMA(codes_fields, gqa_codes_rule, false);

static const struct gqa_field stack_fields[] = {
    {"layers", GQA_FIELD_PATTERN, AT(gqa_stack_rule, layers), REQUIRED},
    SETTING("times", gqa_stack_rule, times, GQA_VALUE_WHOLE),
    WORD("input", gqa_stack_rule, input, input_words),
    OBJECT("frames", gqa_stack_rule, frames, frames_schema),
    OBJECT("codes", gqa_stack_rule, codes, codes_schema),
    OBJECT("embedding", gqa_stack_rule, embedding, embedding_schema),
    OBJECT_NEEDED("self", gqa_stack_rule, self, attention_schema),
    OBJECT("cross", gqa_stack_rule, cross, attention_schema),
    OBJECT_NEEDED("feed_forward", gqa_stack_rule, feed_forward, ff_schema),
    SETTING("residual", gqa_stack_rule, residual, GQA_VALUE_RESIDUAL),
    SETTING("residual_normed", gqa_stack_rule, residual_normed,
            GQA_VALUE_STREAM),
    SETTING("residual_scale", gqa_stack_rule, residual_scale,
            GQA_VALUE_POSITIVE),
    SETTING("residual_scale_depth", gqa_stack_rule, residual_scale_depth,
            GQA_VALUE_POSITIVE),
    SETTING("shared_norm", gqa_stack_rule, shared_norm, GQA_VALUE_FLAG),
    SETTING("final_norm", gqa_stack_rule, final_norm, GQA_VALUE_MODULE),
    END,
};
static const struct gqa_schema stack_schema =
    SCHEMA(stack_fields, gqa_stack_rule, true);

static const struct gqa_field stacks_fields[] = {
    OBJECT("encoder", gqa_family, stacks[GQA_STACK_ENCODER], stack_schema),
    OBJECT("decoder", gqa_family, stacks[GQA_STACK_DECODER], stack_schema),
    END,
};
static const struct gqa_schema stacks_schema =
    SCHEMA(stacks_fields, gqa_family, false);

static const struct gqa_field transform_fields[] = {
    TEXT_NEEDED("module", gqa_transform_rule, module),
    {"activation", GQA_FIELD_SETTING, AT(gqa_transform_rule, activation),
     .value = GQA_VALUE_TEXT, REQUIRED},
    TEXT_NEEDED("norm", gqa_transform_rule, norm),
    TEXT_NEEDED("bias", gqa_transform_rule, bias),
    END,
};
static const struct gqa_schema transform_schema =
    SCHEMA(transform_fields, gqa_transform_rule, true);

static const struct gqa_field logits_fields[] = {
    {"tied", GQA_FIELD_SETTING, AT(gqa_logits_rule, tied),
     .value = GQA_VALUE_FLAG, REQUIRED},
    SETTING("bias", gqa_logits_rule, bias, GQA_VALUE_PRESENCE),
    SETTING("scale", gqa_logits_rule, scale, GQA_VALUE_RWIDTH),
    SETTING("divisor", gqa_logits_rule, divisor, GQA_VALUE_POSITIVE),
    SETTING("factor", gqa_logits_rule, factor, GQA_VALUE_POSITIVE),
    SETTING("scale_base", gqa_logits_rule, scale_base, GQA_VALUE_POSITIVE),
    SETTING("soft_cap", gqa_logits_rule, soft_cap, GQA_VALUE_POSITIVE),
    TEXT("addend", gqa_logits_rule, addend),
    COUNT("unwritten", gqa_logits_rule, unwritten),
    TEXT("narrowed", gqa_logits_rule, narrowed),
    OBJECT("transform", gqa_logits_rule, transform, transform_schema),
    END,
};
static const struct gqa_schema logits_schema =
    SCHEMA(logits_fields, gqa_logits_rule, false);

/* "key" and "default" are a setting's own. */
static const struct gqa_field initialiser_fields[] = {
    {"key", GQA_FIELD_DEVIATION, AT(gqa_initialiser, deviation), REQUIRED},
    {"default", GQA_FIELD_DEVIATION, AT(gqa_initialiser, deviation), REQUIRED},
    FLAG("over_d_model", gqa_initialiser, over_d_model),
    END,
};
static const struct gqa_schema initialiser_schema =
    SCHEMA(initialiser_fields, gqa_initialiser, false);

static const struct gqa_field behaviours_fields[] = {
    WORD("sliding_layers", gqa_behaviours, sliding_layers, sliding_words),
    SETTING("sliding_pattern", gqa_behaviours, sliding_pattern,
            GQA_VALUE_WHOLE),
    COUNT("max_window_layers", gqa_behaviours, max_window_layers),
    WORD("rope_layers", gqa_behaviours, rope_layers, rope_words),
    WORD("expert_layers", gqa_behaviours, expert_layers, expert_layers_words),
    SETTING("dense_layers", gqa_behaviours, dense_layers, GQA_VALUE_FROM_ZERO),
    WORD("whole_attention", gqa_behaviours, whole_attention, whole_words),
    WORD("score_scale", gqa_behaviours, score_scale, score_words),
    END,
};
static const struct gqa_schema behaviours_schema =
    SCHEMA(behaviours_fields, gqa_behaviours, false);

static const struct gqa_field refusal_fields[] = {
    TEXTS_NEEDED("key", gqa_refusal, keys),
    {"is", GQA_FIELD_JSON, AT(gqa_refusal, is)},
    {"is_not", GQA_FIELD_JSON, AT(gqa_refusal, is_not)},
    FLAG("absent", gqa_refusal, absent),
    TEXT_NEEDED("because", gqa_refusal, because),
    END,
};
static const struct gqa_schema refusal_schema =
    SCHEMA(refusal_fields, gqa_refusal, false);

static const struct gqa_field backbone_fields[] = {
    TEXT_NEEDED("class", gqa_keras_backbone, class_name),
    TEXT_NEEDED("layers", gqa_keras_backbone, layers),
    TEXT_NEEDED("model_type", gqa_keras_backbone, model_type),
    {"config", GQA_FIELD_SETTINGS, AT(gqa_keras_backbone, config)},
    END,
};
static const struct gqa_schema backbone_schema =
    SCHEMA(backbone_fields, gqa_keras_backbone, false);

static const struct gqa_field keras_rule_fields[] = {
    TEXT_NEEDED("path", gqa_keras_rule, path),
    TEXT("whole", gqa_keras_rule, whole),
    TEXT("is", gqa_keras_rule, is),
    FLAG("turned", gqa_keras_rule, turned),
    COUNT("input_axes", gqa_keras_rule, input_axes),
    COUNT("part", gqa_keras_rule, part),
    COUNT("parts", gqa_keras_rule, parts),
    COUNT("axis", gqa_keras_rule, axis),
    FLAG("by_head", gqa_keras_rule, by_head),
    COUNT("unused_rows", gqa_keras_rule, unused_rows),
    FLAG("convolution", gqa_keras_rule, convolution),
    FLAG("blocks", gqa_keras_rule, blocks),
    TEXT("then", gqa_keras_rule, then),
    TEXT("when", gqa_keras_rule, when),
    END,
};
static const struct gqa_schema keras_rule_schema =
    SCHEMA(keras_rule_fields, gqa_keras_rule, false);

static const struct gqa_field keras_fields[] = {
    {"backbones", GQA_FIELD_LIST, AT(gqa_keras_names, backbones),
     .more = &backbone_schema, REQUIRED,
     .count_offset = offsetof(struct gqa_keras_names, n_backbones)},
    {"rules", GQA_FIELD_LIST, AT(gqa_keras_names, rules),
     .more = &keras_rule_schema, REQUIRED,
     .count_offset = offsetof(struct gqa_keras_names, n_rules)},
    FLAG("numbered_through", gqa_keras_names, numbered_through),
    TEXTS("counted", gqa_keras_names, counted),
    {"config", GQA_FIELD_SETTINGS, AT(gqa_keras_names, config)},
    TEXT("within", gqa_keras_names, within),
    {"outer", GQA_FIELD_SETTINGS, AT(gqa_keras_names, outer)},
    TEXTS("unread", gqa_keras_names, unread),
    LIST("refuse", gqa_keras_names, refusals, n_refusals, refusal_schema),
    LIST("readings", gqa_keras_names, readings, n_readings, refusal_schema),
    WORD("finish", gqa_keras_names, finish, finish_words),
    END,
};
static const struct gqa_schema keras_schema =
    SCHEMA(keras_fields, gqa_keras_names, true);

static const struct gqa_field stock_fields[] = {
    {"grouped", GQA_FIELD_WORD, AT(gqa_family, stock_grouped),
     .more = stock_words, REQUIRED},
    FLAG("longrope", gqa_family, stock_longrope),
    FLAG("own_code", gqa_family, stock_own_code),
    {"remote_code", GQA_FIELD_SETTINGS, AT(gqa_family, remote_code)},
    END,
};
static const struct gqa_schema stock_schema =
    SCHEMA(stock_fields, gqa_family, false);

static const struct gqa_field only_fields[] = {
    TEXT_NEEDED("key", gqa_family, only_key),
    {"is", GQA_FIELD_JSON, AT(gqa_family, only_is)},
    {"is_not", GQA_FIELD_JSON, AT(gqa_family, only_is_not)},
    END,
};
static const struct gqa_schema only_schema =
    SCHEMA(only_fields, gqa_family, false);

static const struct gqa_field family_fields[] = {
    TEXT_NEEDED("family", gqa_family, name),
    {"like", GQA_FIELD_LIKE, .offset = 0},
    {"model_types", GQA_FIELD_TYPES, .offset = 0, REQUIRED},
    {"only", GQA_FIELD_OBJECT, .offset = 0, .more = &only_schema},
    FLAG("needs_config", gqa_family, needs_config),
    OBJECT_NEEDED("config", gqa_family, keys, config_schema),
    OBJECT_NEEDED("names", gqa_family, names, names_schema),
    WORD("weights", gqa_family, weights, weights_words),
    OBJECT_NEEDED("norm", gqa_family, norm, norm_schema),
    OBJECT("embedding", gqa_family, embedding, embedding_schema),
    OBJECT_NEEDED("positions", gqa_family, positions, positions_schema),
    {"stacks", GQA_FIELD_OBJECT, .offset = 0, .more = &stacks_schema,
     REQUIRED},
    OBJECT_NEEDED("logits", gqa_family, logits, logits_schema),
    OBJECT_NEEDED("initialiser", gqa_family, initialiser, initialiser_schema),
    OBJECT("behaviours", gqa_family, behaviours, behaviours_schema),
    LIST("refuse", gqa_family, refusals, n_refusals, refusal_schema),
    LIST("readings", gqa_family, readings, n_readings, refusal_schema),
    OBJECT("keras", gqa_family, keras, keras_schema),
    {"stock", GQA_FIELD_OBJECT, .offset = 0, .more = &stock_schema},
    END,
};
/* clang-format on */
const struct gqa_schema gqa_family_schema =
    SCHEMA(family_fields, gqa_family, false);

const char *gqa_described_layout(enum gqa_head_layout layout)
{
    return layout_words[layout];
}

const char *const *gqa_field_words(const struct gqa_field *field)
{
    return field->more;
}

const struct gqa_schema *gqa_field_inner(const struct gqa_field *field)
{
    return field->more;
}
