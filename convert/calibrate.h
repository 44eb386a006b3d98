/* What an aligned conversion learns from its source before anything is
 * written. */
#ifndef GQA_CONVERT_CALIBRATE_H
#define GQA_CONVERT_CALIBRATE_H

#include "common/log.h"
#include "convert/plan.h"

enum gqa_calibration_device {
    GQA_CALIBRATE_AUTO, /* a GPU where there is one */
    GQA_CALIBRATE_CPU,
    GQA_CALIBRATE_CUDA,
};

struct gqa_calibration {
    int device; /* enum gqa_calibration_device */
    /* "none": no tokens; "self" or NULL: drawn from the model, or of
     * text_path; else a file of tokens. */
    const char *from;
    const char *text_path;
    uint64_t n, length; /* sequences, tokens of each; 0: the default */
    uint64_t seed;
    bool no_refit, no_fit_scores;
    /* Tokens over which positions must hold when pairs of RoPE are freed; 0:
     * those of the configuration. */
    uint64_t keep_context;
    bool no_regroup;
    bool no_free_pairs;
    bool can_say_pairs; /* what loads the output reads their frequencies */
};

bool gqa_calibration_has_tokens(const struct gqa_calibration *calibration);

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
