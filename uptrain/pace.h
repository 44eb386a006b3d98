/* How fast a run will be, before anything of it is run: what its steps compute,
 * by shapes, and how fast the device multiplies matrices of such shapes. */
#ifndef GQA_UPTRAIN_PACE_H
#define GQA_UPTRAIN_PACE_H

#include "uptrain/device.h"
#include "uptrain/options.h"
#include "uptrain/pair.h"
#include "uptrain/settings.h"

/* Floating point operations of a step's products and attentions: sequences of
 * full length, forward through both models, back through the student, nothing
 * made twice. trained: [n_params of the student]. */
double gqa_step_flop(const struct gqa_uptrain_options *o,
                     const struct gqa_settings *settings,
                     const struct gqa_pair *pair, const bool *trained);

struct gqa_pace {
    double step_s;       /* 0: not estimated */
    double tokens_per_s; /* positions of the decoder */
};

/*
 * An estimate, and rather too fast: what is no product takes time too. Takes a
 * fraction of a second of the device, and memory for one product. Errors those
 * of the device.
 */
GQA_MUST_USE
enum gqa_status gqa_pace_estimate(struct gqa_pace *out,
                                  const struct gqa_uptrain_options *o,
                                  const struct gqa_settings *settings,
                                  const struct gqa_pair *pair,
                                  const bool *trained,
                                  const struct gqa_train_device *device);

enum { GQA_PACE_MAX = 128 };

/* "about 12300 tokens/s, 9 min for 400 steps"; returns out. */
const char *gqa_pace_say(char out[GQA_PACE_MAX], const struct gqa_pace *pace,
                         uint64_t n_steps);

#endif
