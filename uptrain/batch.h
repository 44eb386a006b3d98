/* Sequences side by side, as a tape takes them, and what counts of them. */
#ifndef GQA_UPTRAIN_BATCH_H
#define GQA_UPTRAIN_BATCH_H

#include "runtime/back/tape.h"

struct gqa_train_batch {
    struct gqa_tape_batch tape; /* what the tape is given; lent */
    uint64_t room, length;      /* sequences, tokens of each stack */
    int32_t *encoder, *decoder; /* [room, length] */
    uint64_t *n_encoder, *n_decoder;
    int32_t *labels; /* [room * length]: by row of the tape; below 0: none */
    double *weights; /* likewise; 0: the row does not count */
};

/* Positions of a sequence that count. */
uint64_t gqa_sequence_counted(const struct gqa_sequence *sequence);
/* Those of them of which the sequence says what follows. */
uint64_t gqa_sequence_followed(const struct gqa_sequence *sequence);

/* End it with gqa_train_batch_clear(), also after an error. Errors
 * GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_train_batch_create(struct gqa_train_batch *out,
                                       uint64_t room, uint64_t length);
void gqa_train_batch_clear(struct gqa_train_batch *batch);

/* At most `room` sequences of at most `length` tokens; what counts gets this
 * weight. start_token: of the model. */
void gqa_train_batch_fill(struct gqa_train_batch *batch,
                          const struct gqa_sequence *const *sequences,
                          uint64_t n, int32_t start_token, double weight);

#endif
