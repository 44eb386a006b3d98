/*
 * What a description cannot say as data, and asks for by name. Each is here
 * once, for any family that asks; 0 is none of them.
 */
#ifndef GQA_FORMATS_FAMILIES_BEHAVIOURS_H
#define GQA_FORMATS_FAMILIES_BEHAVIOURS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"
#include "formats/families/setting.h"

/* positions.slopes: what ALiBi takes from a score by head and distance. */
enum gqa_slopes { GQA_SLOPES_NONE, GQA_SLOPES_BLOOM };

/* behaviours.sliding_layers: which layers `window` holds for. */
enum gqa_sliding_layers {
    GQA_SLIDING_ALL,
    GQA_SLIDING_QWEN2,
    GQA_SLIDING_QWEN2_MOE,
    GQA_SLIDING_SMOLLM3,
    GQA_SLIDING_USE_SLIDING_WINDOW,
    GQA_SLIDING_MAX_WINDOW_LAYERS, /* as QWEN2, whatever the flag is */
    GQA_SLIDING_LAYER_TYPES,
    GQA_SLIDING_GPT_NEO,
    GQA_SLIDING_BUT_FIRST, /* layer_types, or all but the first of each */
};

/* behaviours.rope_layers: which layers rotate queries and keys. */
enum gqa_rope_layers {
    GQA_ROPE_ALL,
    GQA_ROPE_SLIDING,        /* those that the window holds for (Cohere 2) */
    GQA_ROPE_NO_ROPE_LAYERS, /* as no_rope_layers says (SmolLM3) */
    GQA_ROPE_EXAONE4,        /* SLIDING, or all where there is no window */
    GQA_ROPE_LAYER_THETA,    /* those whose layer_rope_theta is not 0 */
};

/* behaviours.score_scale: what `scale` is multiplied with, by layer. */
enum gqa_score_scale { GQA_SCORE_SCALE_AS_IT_IS, GQA_SCORE_SCALE_GPT2 };

/* keras.finish: what one key for another cannot say of a preset. */
enum gqa_keras_finish {
    GQA_KERAS_FINISH_NONE,
    GQA_KERAS_FINISH_T5,
    GQA_KERAS_FINISH_BLOOM,
    GQA_KERAS_FINISH_WHISPER,
    GQA_KERAS_FINISH_LLAMA,
    GQA_KERAS_FINISH_GEMMA,
    GQA_KERAS_FINISH_GEMMA2,
    GQA_KERAS_FINISH_GEMMA3,
    GQA_KERAS_FINISH_SMOLLM3,
    GQA_KERAS_FINISH_T5GEMMA,
};

/* behaviours.expert_layers: which layers have experts. */
enum gqa_expert_layers {
    GQA_EXPERT_LAYERS_ALL,
    GQA_EXPERT_LAYERS_QWEN2_MOE, /* decoder_sparse_step, mlp_only_layers */
    GQA_EXPERT_LAYERS_DEEPSEEK,  /* first_k_dense_replace, moe_layer_freq */
    GQA_EXPERT_LAYERS_SWITCH,    /* encoder_sparse_step, decoder_sparse_step */
    GQA_EXPERT_LAYERS_NLLB_MOE,  /* the same, counted from the step on */
    GQA_EXPERT_LAYERS_BEHIND,    /* all behind `dense_layers` */
    GQA_EXPERT_LAYERS_ERNIE,     /* moe_layer_start_index and its kin */
    GQA_EXPERT_LAYERS_SOME,      /* all, unless num_local_experts is 0 */
    GQA_EXPERT_LAYERS_TYPES,     /* mlp_layer_types, or without it BEHIND */
};

/* behaviours.whole_attention: which inputs an encoder attends to as a whole;
 * longer ones are computed otherwise, and not run. */
enum gqa_whole_attention {
    GQA_WHOLE_ALWAYS,
    GQA_WHOLE_BIGBIRD, /* attention_type, block_size, num_random_blocks */
};

struct gqa_behaviours {
    enum gqa_whole_attention whole_attention;
    enum gqa_expert_layers expert_layers;
    struct gqa_setting dense_layers; /* how many; nothing: none */
    enum gqa_sliding_layers sliding_layers;
    /* GQA_SLIDING_LAYER_TYPES, without a list: all layers slide but each of
     * this number, the last of so many (BUT_FIRST: the first); nothing: the
     * list is needed. */
    struct gqa_setting sliding_pattern;
    /* GQA_SLIDING_QWEN2 and _MOE, without a list and without
     * max_window_layers, what that is. */
    uint64_t max_window_layers;
    enum gqa_rope_layers rope_layers;
    enum gqa_score_scale score_scale;
};

/* slopes: [n_heads], of one of the enum but NONE. */
void gqa_make_slopes(double *slopes, enum gqa_slopes kind, uint64_t n_heads);

/* Does the window hold for this layer? Errors GQA_ERR_FORMAT,
 * GQA_ERR_UNSUPPORTED, naming what the configuration says. */
GQA_MUST_USE
enum gqa_status gqa_layer_slides(bool *out,
                                 const struct gqa_behaviours *behaviours,
                                 const json_t *config, size_t layer);

/* Does this layer rotate? Errors likewise. */
GQA_MUST_USE
enum gqa_status gqa_layer_turns(bool *out,
                                const struct gqa_behaviours *behaviours,
                                const json_t *config, size_t layer);

/* Does this layer have experts, in a model that has some? Errors likewise. */
GQA_MUST_USE
enum gqa_status gqa_layer_has_experts(bool *out,
                                      const struct gqa_behaviours *behaviours,
                                      const json_t *config, bool is_encoder,
                                      size_t layer);

/* Whether what is asked for reads that key of a configuration. */
/* *most: tokens of the longest input that is attended to as a whole; as it was
 * where any is. Errors GQA_ERR_FORMAT. */
GQA_MUST_USE
enum gqa_status gqa_longest_whole(uint64_t *most, enum gqa_whole_attention kind,
                                  const json_t *config);

bool gqa_behaviours_read(const struct gqa_behaviours *behaviours,
                         const char *key);

GQA_MUST_USE
enum gqa_status gqa_scale_scores(double *scale, enum gqa_score_scale kind,
                                 const json_t *config, size_t layer);

/* hf: what the preset's keys have made so far; outer: likewise of what the
 * model lies within, or NULL. Errors GQA_ERR_UNSUPPORTED: nothing that
 * transformers reads means the same; GQA_ERR_FORMAT. */
GQA_MUST_USE
enum gqa_status gqa_finish_preset(json_t *hf, json_t *outer,
                                  enum gqa_keras_finish kind,
                                  const json_t *preset);

/* Whether gqa_finish_preset() reads that key of a preset. */
bool gqa_finish_reads(enum gqa_keras_finish kind, const char *key);

#endif
