#include "formats/families/family.h"

#include "formats/families/keras_tables.h"

#define END          NULL
#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *const no_prefix[] = {"", END};

/* --- T5, with or without gate, tied or not; mT5; umT5 ------------------- */

static const char *const t5_types[] = {"t5", "mt5", "umt5", END};
static const char *const t5_extras[] = {"relative_attention_bias.weight", END};
static const struct gqa_attention_rule t5_rules[] = {
    {GQA_STACK_ENCODER, GQA_ATTENTION_SELF,
     "encoder.block.%.layer.0.SelfAttention", "q", "k", "v", "o",
     GQA_HEADS_SEPARATE, false, GQA_POSITION_RELATIVE_BIAS},
    {GQA_STACK_DECODER, GQA_ATTENTION_SELF,
     "decoder.block.%.layer.0.SelfAttention", "q", "k", "v", "o",
     GQA_HEADS_SEPARATE, false, GQA_POSITION_RELATIVE_BIAS},
    {GQA_STACK_DECODER, GQA_ATTENTION_CROSS,
     "decoder.block.%.layer.1.EncDecAttention", "q", "k", "v", "o",
     GQA_HEADS_SEPARATE, false, GQA_POSITION_NONE},
};

static const struct gqa_family t5 = {
    .name = "t5",
    .model_types = t5_types,
    .prefixes = no_prefix,
    .rules = t5_rules,
    .n_rules = COUNT(t5_rules),
    .keys = {.n_heads = "num_heads",
             .head_dim = "d_kv",
             .d_model = "d_model",
             .n_layers = "num_layers",
             .n_decoder_layers = "num_decoder_layers",
             .vocab_size = "vocab_size"},
    .embedding = "shared.weight",
    .unembedding = "lm_head.weight",
    .extra_names = t5_extras,
    .heads_proof = "relative_attention_bias.weight",
    .initialiser = {"initializer_factor", 1.0, true},
    .keras = &gqa_keras_t5,
};

/* --- Llama, Mistral, Qwen2 ---------------------------------------------- */

static const char *const llama_types[] = {"llama", "mistral", "qwen2", END};
static const char *const llama_prefixes[] = {"model.", "", END};
static const char *const rope_extras[] = {"rotary_emb.inv_freq", END};
static const struct gqa_attention_rule llama_rules[] = {
    {GQA_STACK_DECODER, GQA_ATTENTION_SELF, "layers.%.self_attn", "q_proj",
     "k_proj", "v_proj", "o_proj", GQA_HEADS_SEPARATE, false,
     GQA_POSITION_ROPE},
};

static const struct gqa_family llama = {
    .name = "llama",
    .model_types = llama_types,
    .prefixes = llama_prefixes,
    .rules = llama_rules,
    .n_rules = COUNT(llama_rules),
    .keys = {.n_heads = "num_attention_heads",
             .head_dim = "head_dim",
             .d_model = "hidden_size",
             .n_layers = "num_hidden_layers",
             .vocab_size = "vocab_size",
             .rotary_share = "partial_rotary_factor",
             .rotary_default = 1.0},
    .embedding = "embed_tokens.weight",
    .unembedding = "lm_head.weight",
    .extra_names = rope_extras,
    .initialiser = {"initializer_range", 0.02, false},
    .keras = &gqa_keras_llama,
};

/* --- GPT-2 -------------------------------------------------------------- */

static const char *const gpt2_types[] = {"gpt2", END};
static const char *const gpt2_prefixes[] = {"transformer.", "", END};
/* Old checkpoints hold the causal mask as buffers. */
static const char *const gpt2_extras[] = {"bias", "masked_bias", END};
static const struct gqa_attention_rule gpt2_rules[] = {
    {GQA_STACK_DECODER, GQA_ATTENTION_SELF, "h.%.attn", "c_attn", "c_attn",
     "c_attn", "c_proj", GQA_HEADS_FUSED_QKV, true, GQA_POSITION_LEARNED},
};

static const struct gqa_family gpt2 = {
    .name = "gpt2",
    .model_types = gpt2_types,
    .prefixes = gpt2_prefixes,
    .rules = gpt2_rules,
    .n_rules = COUNT(gpt2_rules),
    .keys = {.n_heads = "n_head",
             .d_model = "n_embd",
             .n_layers = "n_layer",
             .vocab_size = "vocab_size"},
    .embedding = "wte.weight",
    .unembedding = "lm_head.weight",
    .extra_names = gpt2_extras,
    .initialiser = {"initializer_range", 0.02, false},
    .keras = &gqa_keras_gpt2,
};

/* --- GPT-NeoX ----------------------------------------------------------- */

static const char *const gpt_neox_types[] = {"gpt_neox", END};
static const char *const gpt_neox_prefixes[] = {"gpt_neox.", "", END};
static const char *const gpt_neox_extras[] = {"bias", "masked_bias",
                                              "rotary_emb.inv_freq", END};
static const struct gqa_attention_rule gpt_neox_rules[] = {
    {GQA_STACK_DECODER, GQA_ATTENTION_SELF, "layers.%.attention",
     "query_key_value", "query_key_value", "query_key_value", "dense",
     GQA_HEADS_FUSED_GROUP, false, GQA_POSITION_ROPE},
};

static const struct gqa_family gpt_neox = {
    .name = "gpt_neox",
    .model_types = gpt_neox_types,
    .prefixes = gpt_neox_prefixes,
    .rules = gpt_neox_rules,
    .n_rules = COUNT(gpt_neox_rules),
    .keys = {.n_heads = "num_attention_heads",
             .d_model = "hidden_size",
             .n_layers = "num_hidden_layers",
             .vocab_size = "vocab_size",
             .rotary_share = "rotary_pct",
             .rotary_default = 0.25},
    .embedding = "embed_in.weight",
    .unembedding = "embed_out.weight",
    .extra_names = gpt_neox_extras,
    .initialiser = {"initializer_range", 0.02, false},
    .keras = &gqa_keras_gpt_neox,
};

const struct gqa_family *const gqa_families[] = {&t5, &llama, &gpt2, &gpt_neox,
                                                 END};
