/* One attention of the student, trained so that the stream behind it is the
 * teacher's. */
#ifndef GQA_UPTRAIN_MATCH_H
#define GQA_UPTRAIN_MATCH_H

#include "runtime/back/masters.h"
#include "uptrain/optimiser.h"
#include "uptrain/schedule.h"
#include "uptrain/walk.h"

struct gqa_match_options {
    struct gqa_optimiser_options optimiser; /* its clip is not looked at */
    struct gqa_schedule schedule; /* rate 0: some are tried, in full */
    uint64_t accumulate;          /* batches of a step */
    /* Of gqa_clock_s(): where time is short, as many of the steps are made as
     * fit into share_s, but some while there is time; 0: all of them. */
    double until_s, share_s;
};

/* Both models' block. */
struct gqa_match {
    struct gqa_walk *walk;
    const struct gqa_train_device *device;
    struct gqa_layer *teacher, *student; /* the latter's goes back */
    struct gqa_masters *masters;         /* of what is trained of the block */
    const struct gqa_network *network;   /* the student's */
    struct gqa_layer_place place;
};

/* Mean squared error of a value of the stream, on sequences held out. */
struct gqa_match_result {
    double before, after;
    double rate;      /* that came nearest; 0: none came nearer */
    uint64_t n_steps; /* at each rate; 0: there was no time for any */
    bool gained;      /* else the attention is what it was */
};

/* What is trained of an attention: marks its q, k, v and o of those of
 * `among`, [n_params] each, and returns how many. */
size_t gqa_match_mark(bool *trained, const struct gqa_model *model,
                      const struct gqa_attention_block *attention,
                      const bool *among);

/*
 * trained  [n_params of the student]: by gqa_match_mark(), of this attention.
 * Errors   those of the device and of streams; GQA_ERR_INTERRUPTED: a signal,
 * or loops were asked to stop at some time (gqa_interrupt_is_late()): the
 *          attention is then what came nearest so far, and *out tells of it.
 */
GQA_MUST_USE
enum gqa_status gqa_match_attention(struct gqa_match_result *out,
                                    const struct gqa_match *match, bool cross,
                                    const bool *trained,
                                    const struct gqa_match_options *options);

#endif
