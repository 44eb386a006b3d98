/* What an aligned conversion learns from its source before anything is
 * written. */
#ifndef GQA_CONVERT_CALIBRATE_H
#define GQA_CONVERT_CALIBRATE_H

#include "align/learning.h"
#include "align/statistics.h"
#include "common/log.h"
#include "convert/plan.h"

struct gqa_calibration {
    struct gqa_learning_options learning;
    bool no_refit, no_fit_scores, no_fit_values, no_fit_together;
    /* Tokens over which positions must hold when pairs of RoPE are freed; 0:
     * those of the configuration. */
    uint64_t keep_context;
    bool no_regroup;
    bool no_free_pairs;
    bool can_say_pairs; /* what loads the output reads their frequencies */
};

/* The source on a device, tokens that it has run, and what it told of them. */
struct gqa_calibrator;

/*
 * holds_out: some sequences are learnt nothing from, and conversions measured
 * on them. All is lent. Errors those of gqa_network_create() and of the tokens;
 * GQA_ERR_USAGE: too few of them to hold any out.
 */
GQA_MUST_USE
enum gqa_status gqa_calibrator_create(struct gqa_calibrator **out,
                                      const struct gqa_model *model,
                                      struct gqa_checkpoint *checkpoint,
                                      const struct gqa_calibration *calibration,
                                      bool holds_out, unsigned n_threads,
                                      enum gqa_log_level log_level);
void gqa_calibrator_free(struct gqa_calibrator *calibrator);

/* All lent. */
const struct gqa_network *gqa_calibrator_network(
    const struct gqa_calibrator *calibrator);
struct gqa_checkpoint *gqa_calibrator_checkpoint(
    const struct gqa_calibrator *calibrator);

/* The transforms of a plan whose method is aligned. Errors those of
 * gqa_align() and of runs. */
GQA_MUST_USE
enum gqa_status gqa_calibrator_align(struct gqa_alignment **out,
                                     struct gqa_calibrator *calibrator,
                                     const struct gqa_plan *plan);

/* What a run of the source tells of heads: see gqa_learn_heads(). */
GQA_MUST_USE
enum gqa_status gqa_calibrator_learn_heads(
    struct gqa_calibrator *calibrator, const bool *wanted,
    enum gqa_status (*take)(void *ctx, size_t attention,
                            const struct gqa_head_statistics *statistics),
    void *ctx, double *influence);

/* Mean KL(source || what the plan would write, in the source's types) on what
 * was held out; infinite where that gives what is no number. Errors those of
 * runs and of gqa_trace_record(). */
GQA_MUST_USE
enum gqa_status gqa_calibrator_measure(double *kl,
                                       struct gqa_calibrator *calibrator,
                                       const struct gqa_plan *plan,
                                       const struct gqa_alignment *alignment);

/* The same of each attention whose heads share, alone in an otherwise original
 * model, on few of the sequences held out: kl [n_attentions], NAN where heads
 * do not share. What frequencies that change cost is not counted, and nothing
 * that was fitted is used: that makes up for what other attentions lose. */
GQA_MUST_USE
enum gqa_status gqa_calibrator_measure_each(
    double *kl, struct gqa_calibrator *calibrator, const struct gqa_plan *plan,
    const struct gqa_alignment *alignment);

/* Sequences that were held out, and their tokens. */
void gqa_calibrator_held_out(uint64_t *n_sequences, uint64_t *n_tokens,
                             const struct gqa_calibrator *calibrator);

#endif
