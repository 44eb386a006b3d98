/* The numbers of KV heads that attentions can have: their bytes, and what they
 * lose. */
#ifndef GQA_CONVERT_KV_OPTIONS_H
#define GQA_CONVERT_KV_OPTIONS_H

#include "align/knapsack.h"
#include "convert/budget.h"

struct gqa_kv_options {
    size_t *attentions; /* [n]: of the model's, those that keep a cache */
    size_t n;
    struct gqa_knapsack_item *items; /* [n] */
    uint64_t **pooled;               /* [n]: of each of an item's options */
    bool *selected;                  /* [n]: others have one option */
};

/* Without losses. End it with gqa_kv_options_clear(), also after an error.
 * Errors GQA_ERR_UNSUPPORTED: nothing keeps a cache, too many bytes. */
GQA_MUST_USE
enum gqa_status gqa_kv_options_create(struct gqa_kv_options *out,
                                      const struct gqa_model *model,
                                      const struct gqa_plan_options *asked);
void gqa_kv_options_clear(struct gqa_kv_options *options);

/* Losses as inspect's plan predicts them, from the calibrator's tokens. Errors
 * those of its runs, and of comparing heads. */
GQA_MUST_USE
enum gqa_status gqa_kv_options_weigh(struct gqa_kv_options *options,
                                     const struct gqa_kv_choice_job *job);

/* Bytes where every attention that is selected has so many KV heads. False: one
 * cannot have them. */
bool gqa_kv_options_alike(uint64_t *bytes, const struct gqa_kv_options *options,
                          uint64_t pooled);

#endif
