/*
 * The first stage: the student's attentions, one after another from below, are
 * trained so that the residual stream behind each is the original's. Of each
 * model one layer is on the device at a time.
 */
#ifndef GQA_UPTRAIN_LAYERWISE_H
#define GQA_UPTRAIN_LAYERWISE_H

#include "common/progress.h"
#include "uptrain/history.h"
#include "uptrain/match.h"
#include "uptrain/run_log.h"

struct gqa_layerwise {
    /* All lent. */
    const struct gqa_train_device *device;
    struct gqa_pair *pair;
    const bool *trained; /* [n_params of the student]: of the whole run */
    const struct gqa_tokens *tokens, *held_out; /* trained on; measured on */
    struct gqa_run_log *log;
    struct gqa_progress *bar;

    uint64_t batch, accumulate, length; /* as gqa_trainer_options has them */
    uint64_t n_steps;                   /* of an attention */
    struct gqa_optimiser_options optimiser;
    enum gqa_decay decay;
    double until_s; /* of gqa_clock_s(): when it is to be over; 0: any time */
};

/* Of the run's data, whose sequences are seen again and again where the stage
 * has more steps. */
uint64_t gqa_layerwise_data_steps(uint64_t n_steps);

/* What it trains of `trained`, q, k, v and o of attentions, in `out`,
 * [n_params] each; returns how many parameters. */
size_t gqa_layerwise_mark(bool *out, const struct gqa_network *network,
                          const bool *trained);

/*
 * The time that there is goes to all attentions alike: where it is short each
 * gets fewer steps, and where it is too short for all those above are left as
 * they were, as when loops are asked to stop at some time
 * (gqa_interrupt_ask_at()).
 *
 * values   weights that are trained, as gqa_trainer_get() gives them: those of
 *          attentions are set, also where nothing was gained.
 * history  gets a match for each attention that is trained.
 * Errors   those of the device, of reading, and of streams;
 *          GQA_ERR_INTERRUPTED: a signal.
 */
GQA_MUST_USE
enum gqa_status gqa_layerwise_run(const struct gqa_layerwise *stage,
                                  struct gqa_history *history, void *values);

/*
 * Bytes of the device that one block of both models takes: weights; masters and
 * moments of what is trained of it; runs. Errors GQA_ERR_NOMEM.
 */
struct gqa_layerwise_bytes {
    uint64_t weights, training, run;
};

GQA_MUST_USE
enum gqa_status gqa_layerwise_bytes(struct gqa_layerwise_bytes *out,
                                    const struct gqa_layerwise *stage,
                                    size_t stack, size_t block);

#endif
