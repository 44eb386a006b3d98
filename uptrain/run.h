/* A run: the rate that is tried, steps, measures, the best state. */
#ifndef GQA_UPTRAIN_RUN_H
#define GQA_UPTRAIN_RUN_H

#include "uptrain/data.h"
#include "uptrain/history.h"
#include "uptrain/layerwise.h"
#include "uptrain/run_log.h"
#include "uptrain/saved.h"
#include "uptrain/schedule.h"
#include "uptrain/trainer.h"

struct gqa_run_limits {
    uint64_t eval_every;
    double until_kl;     /* below 0: none */
    double deadline_s;   /* of gqa_clock_s(), if nothing was spent before; 0:
                            none */
    double budget_s;     /* what the deadline comes of */
    uint64_t save_every; /* where states are saved */
};

struct gqa_training_run {
    /* All lent. */
    struct gqa_ranks *ranks;
    struct gqa_trainer *trainer;
    struct gqa_data *data;
    const struct gqa_saved *saved; /* NULL: states are not kept, here */
    /* The first stage, its tokens left open; NULL: there is none. */
    const struct gqa_layerwise *layerwise;
    struct gqa_run_log *log;
    struct gqa_progress *bar;
    uint64_t batch; /* sequences of a step */
    struct gqa_run_limits limits;
    struct gqa_schedule schedule; /* rate 0: to be found */
    bool warmup_is_given;

    struct gqa_history history; /* of gqa_history_create() */
    void *best;                 /* weights, as gqa_trainer_get() gives them */
    bool resumed;
    double probe_until_s; /* no rate is tried after that; 0: any time */
    bool is_saved;        /* the state as it is */
};

/*
 * From the start, or from what was saved, to the end. A state on the way that
 * cannot be saved is a warning, and the one before it stays. Where there is a
 * deadline loops are to stop at it (gqa_interrupt_ask_at()); it ends the run
 * like the last step does, and nothing stops any more.
 *
 * Errors GQA_ERR_FORMAT: a loss that is not finite, with the step; `best` and
 *        `history` are good. GQA_ERR_INTERRUPTED: a signal; or the deadline
 * came before the start was measured. Of a signal the state was saved, where
 *        states are. Those of the device, of data and of saving.
 */
GQA_MUST_USE
enum gqa_status gqa_training_run(struct gqa_training_run *run);

/* Save the state at the end, where states are and it has not been. Errors those
 * of gqa_saved_write(). */
GQA_MUST_USE
enum gqa_status gqa_training_save(struct gqa_training_run *run);

#endif
