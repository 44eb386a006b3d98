/*
 * The state of a run in a folder, from which it can be taken up again: a
 * safetensors file that is replaced as a whole.
 */
#ifndef GQA_UPTRAIN_SAVED_H
#define GQA_UPTRAIN_SAVED_H

#include "uptrain/history.h"
#include "uptrain/trainer.h"

struct gqa_saved {
    const char *folder; /* lent */
    /* What the run depends on: names to texts and numbers. Lent. */
    const json_t *what;
};

/* Make the folder, where there is none; that a state can be written there.
 * Errors GQA_ERR_IO. */
GQA_MUST_USE
enum gqa_status gqa_saved_prepare(const struct gqa_saved *saved);

/* best: weights as gqa_trainer_get() gives them. Errors GQA_ERR_IO,
 * GQA_ERR_NOMEM, those of the device. */
GQA_MUST_USE
enum gqa_status gqa_saved_write(const struct gqa_saved *saved,
                                struct gqa_trainer *trainer,
                                const struct gqa_history *history,
                                const void *best);

/*
 * Go on from what the folder has: weights, moments, history, best. *found:
 * false: it has nothing, and nothing was changed.
 *
 * Errors GQA_ERR_USAGE: it is of another run, and what differs; GQA_ERR_FORMAT:
 *        it is none of ours; GQA_ERR_IO.
 */
GQA_MUST_USE
enum gqa_status gqa_saved_read(bool *found, const struct gqa_saved *saved,
                               struct gqa_trainer *trainer,
                               struct gqa_history *history, void *best);

#endif
