/* Two checkpoints held against each other, for the code that does it and the
 * code that reports it. */
#ifndef GQA_VERIFY_COMPARISON_H
#define GQA_VERIFY_COMPARISON_H

#include <stdatomic.h>

#include "verify/digests.h"
#include "verify/heads_check.h"
#include "verify/norm_check.h"
#include "verify/pairing.h"
#include "verify/recipe.h"
#include "verify/replay.h"
#include "verify/report.h"
#include "verify/weights_check.h"

struct gqa_comparison {
    const struct gqa_subject *original, *converted;
    struct gqa_weights_options options;
    struct gqa_pairing pairing;
    struct gqa_recipe recipe; /* where one is recorded */
    bool *is_kv;              /* [n_params] of converted */
    bool *is_trained; /* [n_params]: by the recipe, which tells no values */
    struct gqa_finding *params;    /* [n_params]: unchanged ones */
    struct gqa_digested *digested; /* [n_params] */
    struct gqa_measure *measures;  /* [n_params]; --trained */
    bool *changed;                 /* [n_params]: values that were rounded */
    struct gqa_heads_check *heads; /* [n_attentions] */
    struct gqa_key_norm *norms;    /* [n_attentions]: of the original's keys */
    struct gqa_measure *moved;     /* [n_attentions]; --trained */
    bool *is_turned; /* [n_params]: of q or o of aligned attentions */
    struct gqa_replayed *replayed; /* [n_attentions]: aligned ones */
    size_t *follows;               /* [n_params]: replay_table.h */
    atomic_bool zero_signs;        /* of unchanged ones */
    atomic_bool near_one;          /* norms that a GGUF file had one more of */
    atomic_size_t next;            /* attentions first, then parameters */
    double seconds;
};

/* Errors GQA_ERR_USAGE, GQA_ERR_UNSUPPORTED where they are not of one model. */
GQA_MUST_USE
enum gqa_status gqa_compare_models(const struct gqa_comparison *comparison);

/* Whether keys or values of an attention are such ones, and not compared. */
bool gqa_comparison_is_trained(const struct gqa_comparison *comparison,
                               size_t attention);

/* What the types of the parameters must be: behind pairing.finding. */
void gqa_compare_dtypes(struct gqa_comparison *comparison);

/* Add the checks to the report. */
GQA_MUST_USE
enum gqa_status gqa_comparison_report(struct gqa_report *report,
                                      struct gqa_comparison *comparison);

#endif
