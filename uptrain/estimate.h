/* What a run takes, before it begins. */
#ifndef GQA_UPTRAIN_ESTIMATE_H
#define GQA_UPTRAIN_ESTIMATE_H

#include "uptrain/device.h"
#include "uptrain/layerwise.h"
#include "uptrain/options.h"
#include "uptrain/pair.h"
#include "uptrain/settings.h"

struct gqa_estimate {
    uint64_t n_trained;  /* elements that are trained */
    uint64_t n_elements; /* of the student */
    size_t n_params;     /* that are trained */
    /* Bytes of the device: */
    uint64_t weights;  /* the teacher's, and those of the student that are not
                          the same */
    uint64_t training; /* master copies and moments */
    uint64_t logits;
    uint64_t run, fast; /* both models' runs and gradients: at least, and where
                           nothing is made twice */
    uint64_t step_tokens; /* positions of a step, at most */
    /* Of the host: what is drawn and held out; losses; copies of weights. */
    uint64_t sequences, losses, copies;
};

/* trained: [n_params of the student]. Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_estimate_make(struct gqa_estimate *out,
                                  const struct gqa_uptrain_options *options,
                                  const struct gqa_settings *settings,
                                  const struct gqa_pair *pair,
                                  const bool *trained,
                                  const struct gqa_train_device *device);

/* Likewise of the first stage alone: the layer of both models that takes
 * most. */
GQA_MUST_USE
enum gqa_status gqa_estimate_layers(struct gqa_estimate *out,
                                    const struct gqa_layerwise *stage);

/* That the least of it fits the free memory of device and host: GQA_ERR_NOMEM
 * says by how much it does not, and what would help. */
GQA_MUST_USE
enum gqa_status gqa_estimate_check(const struct gqa_estimate *estimate,
                                   const struct gqa_train_device *device);

#endif
