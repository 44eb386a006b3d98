/*
 * How many KV heads each attention keeps, where not numbers are asked for but
 * what the KV cache may take, or how far the model may move.
 *
 * Bytes are those of inspect's plan: of a token in the decoder's
 * self-attentions plus, in an encoder-decoder, of a source token in its
 * cross-attentions, in the types of the source.
 */
#ifndef GQA_CONVERT_BUDGET_H
#define GQA_CONVERT_BUDGET_H

#include "convert/calibrate.h"

struct gqa_kv_budget {
    double share;  /* of the source's bytes; below 0: none */
    double max_kl; /* mean, in nats; below 0: none */
    bool uniform;  /* one number for all attentions */
};

bool gqa_kv_budget_is_given(const struct gqa_kv_budget *budget);

/* Whether it takes runs to know. */
bool gqa_kv_budget_is_measured(const struct gqa_kv_budget *budget);

/* A choice that was converted and measured, or the bytes of one. */
struct gqa_kv_tried {
    uint64_t alike; /* KV heads of every attention; 0: they differ */
    uint64_t bytes;
    double kl; /* mean, of what was held out; NAN: not measured */
};

struct gqa_kv_choice {
    uint64_t *pooled; /* [n_attentions]: of those that are selected */
    uint64_t stored;  /* bytes of the source */
    struct gqa_kv_tried chosen;
    /* One number for all, or each its own: what was not chosen; 0 bytes: there
     * was none. */
    struct gqa_kv_tried other;
    uint64_t n_sequences, n_tokens; /* held out */
};

struct gqa_kv_choice_job {
    const struct gqa_model *model;
    const struct gqa_kv_budget *budget;
    const struct gqa_plan_options *options; /* what else is asked for */
    /* It holds out tokens; NULL: nothing is measured. */
    struct gqa_calibrator *calibrator;
    bool no_regroup;
    /* Loaders take the number of KV heads from words of the configuration,
     * which not every number has (formats/families/kv_said.h). */
    bool is_said;
    unsigned n_threads;
};

/*
 * alignment: of what was chosen, owned by the caller; NULL where nothing was
 * measured. Errors GQA_ERR_USAGE: the budget is too small, or nothing that was
 * tried meets the bound; GQA_ERR_UNSUPPORTED: nothing keeps a cache, heads
 * cannot share; those of the calibrator.
 */
GQA_MUST_USE
enum gqa_status gqa_kv_choice_create(struct gqa_kv_choice **out,
                                     struct gqa_alignment **alignment,
                                     const struct gqa_kv_choice_job *job);
void gqa_kv_choice_free(struct gqa_kv_choice *choice);

#endif
