/* What an aligned conversion learns from its source before anything is
 * written. */
#ifndef GQA_CONVERT_CALIBRATE_H
#define GQA_CONVERT_CALIBRATE_H

#include "align/learning.h"
#include "common/log.h"
#include "convert/plan.h"

struct gqa_calibration {
    struct gqa_learning_options learning;
    bool no_refit, no_fit_scores;
    /* Tokens over which positions must hold when pairs of RoPE are freed; 0:
     * those of the configuration. */
    uint64_t keep_context;
    bool no_regroup;
    bool no_free_pairs;
    bool can_say_pairs; /* what loads the output reads their frequencies */
};

/*
 * The transforms of a plan whose method is aligned. Errors those of
 * gqa_network_create() and gqa_align(), and of the tokens.
 */
GQA_MUST_USE
enum gqa_status gqa_calibrate(struct gqa_alignment **out,
                              const struct gqa_plan *plan,
                              struct gqa_checkpoint *checkpoint,
                              const struct gqa_calibration *calibration,
                              unsigned n_threads, enum gqa_log_level log_level);

#endif
