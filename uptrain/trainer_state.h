/* What the parts of a trainer share. */
#ifndef GQA_UPTRAIN_TRAINER_STATE_H
#define GQA_UPTRAIN_TRAINER_STATE_H

#include "common/interrupt.h"
#include "runtime/back/masters.h"
#include "uptrain/batch.h"
#include "uptrain/trainer.h"

/* Sums on the device: of the loss (gqa_loss_op), and the squares of all
 * gradients. */
enum { N_LOSSES = 4, NORM = N_LOSSES, N_SUMS };

struct gqa_trainer {
    struct gqa_pair *pair;
    const bool *trained;
    struct gqa_trainer_options options;
    const struct gqa_backend *backend;
    struct gqa_device *device;
    struct gqa_device *beside; /* or NULL */
    enum gqa_dtype wide;
    struct gqa_runtime *teacher, *student;
    struct gqa_runtime *teacher_beside; /* which the tape runs; NULL: none */
    struct gqa_tape *teacher_tape, *student_tape;
    struct gqa_masters *masters;
    struct gqa_trainee *trainees;
    size_t n;
    struct gqa_optimiser *optimiser;
    struct gqa_loss *loss;
    void *sums;                  /* device float64 [N_SUMS] */
    struct gqa_staging *fetched; /* them, on the host; NULL: the device is it */
    struct gqa_train_batch batch;
    struct gqa_step_result result; /* of the step that has begun */
    uint64_t number;               /* its */
    /* Positions that count, by those of them that something follows: weights
     * are for a mean over the former, cross-entropy is one over the latter. */
    double counted_by_followed;
    bool is_ahead; /* the batch is the next step's, and the teacher has run */
    bool is_clean; /* gradients are 0 */
};

/* What a decoder's input begins with. */
static inline int32_t gqa_trainer_start_token(const struct gqa_trainer *t)
{
    return (int32_t)t->pair->teacher.network->start_token;
}

/* A tape's run of the batch, unless the user has had enough. */
GQA_MUST_USE
static inline enum gqa_status gqa_trainer_run(struct gqa_trainer *t,
                                              struct gqa_tape *tape)
{
    return gqa_interrupt_pending()
               ? gqa_fail(GQA_ERR_INTERRUPTED, "interrupted")
               : gqa_tape_forward(tape, &t->batch.tape);
}

/* Elements of trainee i. */
static inline uint64_t gqa_trainer_values(const struct gqa_trainer *t, size_t i)
{
    return t->trainees[i].n_rows * t->trainees[i].n_cols;
}

/* A step whose loss, or whose gradients, are not finite: says since where.
 * GQA_ERR_FORMAT, or what fails on the way. */
GQA_MUST_USE
enum gqa_status gqa_trainer_refuse(struct gqa_trainer *t, double loss);

#endif
