/* A loss of logits and its gradient, some rows at a time. */
#ifndef GQA_UPTRAIN_LOSS_H
#define GQA_UPTRAIN_LOSS_H

#include "runtime/back/tape.h"
#include "uptrain/loss_mix.h"

/* Room on a device for logits of some rows at a time. */
struct gqa_loss;

/* backend, device, beside: lent. beside: what the teacher's tape runs on; NULL:
 * the same as the student's. */
GQA_MUST_USE
enum gqa_status gqa_loss_create(struct gqa_loss **out,
                                const struct gqa_backend *backend,
                                struct gqa_device *device,
                                struct gqa_device *beside,
                                const struct gqa_network *student);
void gqa_loss_free(struct gqa_loss *loss);

/* Device bytes that it takes, and rows at a time. */
uint64_t gqa_loss_bytes(const struct gqa_network *student,
                        const struct gqa_backend *backend, enum gqa_dtype real);

/* Rows of a batch that ran forward: what follows each row of the decoder, and
 * how much it counts. Host, lent. */
struct gqa_loss_rows {
    const int32_t *labels; /* below 0: none */
    const double *weights; /* 0: it does not count */
};

/*
 * Add the gradient of the loss to the student's tape (which is yet to go
 * back), and the sums of gqa_loss_op to `sums`, device float64 [4]. teacher: it
 * ran too, where the mix wants one.
 */
GQA_MUST_USE
enum gqa_status gqa_loss_back(struct gqa_loss *loss,
                              const struct gqa_loss_mix *mix,
                              struct gqa_tape *teacher,
                              struct gqa_tape *student,
                              const struct gqa_loss_rows *rows, void *sums);

/* Comparisons of both models' logits, in order; rows that do not count are left
 * out where a whole piece is of them. */
struct gqa_loss_visit {
    enum gqa_status (*rows)(void *ctx, uint64_t row, uint64_t n,
                            const struct gqa_logit_comparison *rows);
    void *ctx;
};

GQA_MUST_USE
enum gqa_status gqa_loss_visit(struct gqa_loss *loss, struct gqa_tape *teacher,
                               struct gqa_tape *student,
                               const struct gqa_loss_rows *rows,
                               const struct gqa_loss_visit *visit);

#endif
