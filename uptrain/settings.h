/* What the options leave open, chosen by the device and the models. */
#ifndef GQA_UPTRAIN_SETTINGS_H
#define GQA_UPTRAIN_SETTINGS_H

#include "uptrain/options.h"
#include "uptrain/pair.h"

struct gqa_settings {
    uint64_t length; /* tokens of a sequence, as both models can run */
    uint64_t batch;  /* sequences that a rank runs at a time, at most */
    uint64_t n_own;  /* sequences that the teacher draws; 0: new ones always */
};

/*
 * That sequences of the length that was asked for have positions in both
 * models; a warning where the original was not made for so long ones. Errors
 * GQA_ERR_USAGE.
 */
GQA_MUST_USE
enum gqa_status gqa_settings_check(const struct gqa_uptrain_options *options,
                                   const struct gqa_pair *pair);

/* A processor draws and learns as much as takes minutes of a small model. */
struct gqa_settings gqa_settings_choose(
    const struct gqa_uptrain_options *options, const struct gqa_pair *pair,
    const struct gqa_backend *backend);

#endif
