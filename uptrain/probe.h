/* A learning rate that fits the start: a model that is nearly right is ruined
 * by one that heals another. */
#ifndef GQA_UPTRAIN_PROBE_H
#define GQA_UPTRAIN_PROBE_H

#include "uptrain/run.h"

/*
 * Try some rates for a twentieth of the run each, from the state that there is,
 * which is restored, and take one by the KL on held-out sequences (rates.h).
 * start: the weights, host memory. run->history gets what was tried, and the
 * rate.
 */
GQA_MUST_USE
enum gqa_status gqa_probe_rates(struct gqa_training_run *run,
                                const void *start);

#endif
