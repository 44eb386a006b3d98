/* What a run takes, before it begins. */
#ifndef GQA_UPTRAIN_ESTIMATE_H
#define GQA_UPTRAIN_ESTIMATE_H

#include "uptrain/options.h"
#include "uptrain/pair.h"

struct gqa_estimate {
    uint64_t n_trained;  /* elements that are trained */
    uint64_t n_elements; /* of the student */
    size_t n_params;     /* that are trained */
    /* Bytes of the device: */
    uint64_t weights;  /* the teacher's, and those of the student that are not
                          the same */
    uint64_t training; /* master copies, gradients, moments */
    uint64_t logits;
    /* Of steps: */
    uint64_t step_tokens; /* positions of a step, at most */
};

/* trained: [n_params of the student]. For float32 activations. */
struct gqa_estimate gqa_estimate_of(const struct gqa_uptrain_options *options,
                                    const struct gqa_pair *pair,
                                    const bool *trained,
                                    const struct gqa_backend *backend);

#endif
