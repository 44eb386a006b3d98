/*
 * How far a model moved: statistics over positions at which both models
 * gave logits, all in double.
 */
#ifndef GQA_RUNTIME_MEASURE_FIDELITY_H
#define GQA_RUNTIME_MEASURE_FIDELITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"
#include "runtime/data/tokens.h"
#include "runtime/ops.h"

struct gqa_fidelity;

enum { GQA_N_MODELS = 2 }; /* 0 the original, 1 the converted one */

/* Where a position lies. */
struct gqa_place {
    uint64_t sequence, position;
};

struct gqa_fidelity_result {
    uint64_t n_positions; /* compared: finite in both models */
    /* KL(original || converted) in nats. A percentile is the smallest value
     * that at least this share of all values does not pass. */
    double kl_mean, kl_p50, kl_p99, kl_p999, kl_max;
    struct gqa_place kl_max_at;
    double kl_worst; /* the largest mean of one sequence, and which it is */
    uint64_t kl_worst_sequence;
    double top1; /* share of positions with the same most likely token */
    /* Of the tokens that follow (the labels), where they are known. */
    uint64_t n_next;
    double perplexity[GQA_N_MODELS];
    /*
     * Mean of ln p_original - ln p_converted over these tokens, and its
     * standard error, from the differences of single tokens taken as
     * independent (paired: what both models find hard cancels). exp() of
     * the mean, less 1, is the increase of the perplexity; multiplied by
     * 1 + that, the error is the increase's.
     */
    double log_difference, log_difference_error;
    double perplexity_increase, perplexity_increase_error;
    uint64_t n_nonfinite[GQA_N_MODELS]; /* positions with a NaN or infinity */
    struct gqa_place first_nonfinite[GQA_N_MODELS];
};

/* Room for max_positions of n_sequences. Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_fidelity_create(struct gqa_fidelity **out,
                                    uint64_t vocab_size, uint64_t n_sequences,
                                    uint64_t max_positions);
void gqa_fidelity_free(struct gqa_fidelity *fidelity);

/*
 * One position's logits, [vocab_size] of each model. next: the token that
 * follows, or GQA_NO_TOKEN. At most max_positions of them. Those of a
 * sequence come in order; the result is the same, bit by bit, in whatever
 * order the sequences come.
 */
void gqa_fidelity_add(struct gqa_fidelity *fidelity, const double *original,
                      const double *converted, int32_t next,
                      struct gqa_place place);

/* Positions so far at which one of GQA_N_MODELS has NaN or infinity. */
uint64_t gqa_fidelity_nonfinite(const struct gqa_fidelity *fidelity, int model);

/* What gqa_fidelity_add() is about. next: below 0, or GQA_NO_TOKEN: none. */
void gqa_compare_logits(struct gqa_logit_comparison *out,
                        const double *original, const double *converted,
                        uint64_t vocab_size, int32_t next);

/* The same of what is already compared. */
void gqa_fidelity_add_compared(struct gqa_fidelity *fidelity,
                               const struct gqa_logit_comparison *comparison,
                               bool has_next, struct gqa_place place);

/* All zero where no position could be compared. Sorts; add no more. */
void gqa_fidelity_finish(struct gqa_fidelity *fidelity,
                         struct gqa_fidelity_result *out);

/*
 * Drift of the residual stream: for each layer, in running order (encoder,
 * then decoder), the relative L2 distance of the two models' streams.
 */
struct gqa_drift {
    double squared_distance, squared_norm;
    uint64_t n_nonfinite; /* values of either model */
};

void gqa_drift_add(struct gqa_drift *drift, const double *original,
                   const double *converted, uint64_t n);

/* Add what was seen elsewhere. */
void gqa_drift_merge(struct gqa_drift *drift, const struct gqa_drift *more);

/* sqrt(distance / norm); 0 where both are 0; NaN where any value was not
 * finite. */
double gqa_drift_relative(const struct gqa_drift *drift);

/*
 * The layer of a stack (n >= 1 layers) whose relative drift exceeds that of
 * the layer before it (of the first: 0) by most.
 */
size_t gqa_drift_worst(const struct gqa_drift *layers, size_t n);

/* What the models may differ by; a limit below 0 is none. */
struct gqa_budget {
    double max_kl;           /* nats, mean */
    double max_kl_p99;       /* nats */
    double min_top1;         /* share */
    double max_ppl_increase; /* share: 0.01 is one percent */
    /* Mean KL as a multiple of that of the first heads of the groups. */
    double max_kl_of_first;
};

extern const struct gqa_budget gqa_budget_none;

/*
 * The budget of a profile, or false where there is none of this name:
 *
 *   strict       the same function but for float32 noise
 *   uptrained    trained far enough to be of use
 *   initialiser  a start for uptraining: as near as first heads are
 *
 * docs/fidelity.md says where the figures come from.
 */
bool gqa_budget_profile(struct gqa_budget *out, const char *name);

#endif
