/*
 * A model's run over a batch of whole sequences that can be gone back: what
 * the blocks were given is kept, and gradients of a loss are made of it.
 *
 *     gqa_tape_forward()        blocks, and the final norm
 *     gqa_tape_logits()         of some rows;
 *     gqa_tape_logits_back()    their gradients, in pieces, any order
 *     gqa_tape_back()           through the blocks
 *     gqa_tape_gradient()       of a parameter, summed since the last zero
 *
 * Of each block the residual stream before it is kept, and as much of what is
 * made within as `keep_bytes` has room for; the rest is made again, with the
 * same bits. Several tapes may take turns on one device.
 */
#ifndef GQA_RUNTIME_BACK_TAPE_H
#define GQA_RUNTIME_BACK_TAPE_H

#include "runtime/data/tokens.h"
#include "runtime/gradients.h"
#include "runtime/runtime.h"

/* Sequences side by side, padded. Host memory, lent. */
struct gqa_tape_batch {
    uint64_t n_sequences;
    const int32_t *decoder; /* [n_sequences, length] */
    uint64_t length;
    const uint64_t *n_decoder; /* [n_sequences]: real tokens, at least 1 */
    const int32_t *encoder;    /* of encoder-decoders, likewise; else NULL */
    uint64_t encoder_length;
    const uint64_t *n_encoder;
};

struct gqa_tape_options {
    /* Room: of any batch. */
    uint64_t n_sequences, length, encoder_length;
    /* By parameter index of the network: whose gradient is wanted. NULL: no
     * parameter's; the tape then keeps nothing and cannot go back (a
     * teacher's). */
    const bool *trained;
    uint64_t keep_bytes; /* of the device, beside what it cannot do without */
};

struct gqa_tape;

/*
 * runtime, options->trained  lent; must outlive the tape. The runtime's
 *        weights may change between a back() and the next forward().
 * Errors GQA_ERR_UNSUPPORTED: the backend has no gradients; GQA_ERR_NOMEM with
 *        the bytes needed.
 */
GQA_MUST_USE
enum gqa_status gqa_tape_create(struct gqa_tape **out,
                                struct gqa_runtime *runtime,
                                const struct gqa_tape_options *options);
void gqa_tape_free(struct gqa_tape *tape);

/* Device bytes that a tape of these options takes, least (nothing kept) and
 * most (everything kept); UINT64_MAX where there can be none. Errors
 * GQA_ERR_UNSUPPORTED: the network has no way back (normed frames);
 * GQA_ERR_NOMEM: of the host, for counting. */
GQA_MUST_USE
enum gqa_status gqa_tape_bytes(const struct gqa_runtime *runtime,
                               const struct gqa_tape_options *options,
                               uint64_t *least, uint64_t *most);

GQA_MUST_USE
enum gqa_status gqa_tape_forward(struct gqa_tape *tape,
                                 const struct gqa_tape_batch *batch);

/*
 * Of a tape that can go back, after a forward() whose logits are not all
 * finite: the part of the model that made the first that is not, in words:
 * "layer 3 of the decoder".
 */
GQA_MUST_USE
enum gqa_status gqa_tape_find_fault(char *out, size_t size,
                                    const struct gqa_tape *tape);

/* Rows of the decoder: sequence s, token i is row s * length + i. */
uint64_t gqa_tape_n_rows(const struct gqa_tape *tape);

/* Logits of rows [row, row + n), scaled and capped, to device memory: wide
 * [n, vocab_size]. */
GQA_MUST_USE
enum gqa_status gqa_tape_logits(struct gqa_tape *tape, uint64_t row, uint64_t n,
                                void *logits);

/* d_logits: real [n, vocab_size], of the logits before the cap, times
 * network->logit_scale (gqa_loss_op's factor). The rows of each forward() once
 * at most; those left out have gradient 0. */
GQA_MUST_USE
enum gqa_status gqa_tape_logits_back(struct gqa_tape *tape, uint64_t row,
                                     uint64_t n, const void *d_logits);

/* Errors also GQA_ERR_INTERRUPTED. */
GQA_MUST_USE
enum gqa_status gqa_tape_back(struct gqa_tape *tape);

/* Device memory, wide, in the parameter's shape and the network's orientation
 * (struct gqa_linear); NULL: not trained. */
void *gqa_tape_gradient(const struct gqa_tape *tape, size_t param);

/* Set all gradients to 0. */
GQA_MUST_USE
enum gqa_status gqa_tape_zero(struct gqa_tape *tape);

#endif
