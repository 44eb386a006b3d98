/*
 * Taps: what flows through a model's blocks, seen on the device while it is
 * there. Both orders have them, and on every backend; without a tap nothing
 * is done for it.
 *
 * Of each block come, in this order, for the tokens of a batch:
 *
 *   BEFORE           the residual stream before the block     [d_model]
 *   INPUT            its norm, if any: input of q (and, of self-attention, k
 * and v) Q, K, V          outputs of the projections Q_TURNED, K_TURNED  the
 * same, normed head by head and rotated; not where the model does neither
 *   ATTENDED         heads side by side: input of o  [n_heads * head_dim]
 *   AFTER_ATTENTION  the residual stream with o's output, and what norms
 *                    come before and after it is added        [d_model]
 *   (of a cross-attention: INPUT, Q, its norm, ATTENDED, AFTER_ATTENTION
 *   again)
 *   FF_INPUT         input of up and gate                     [d_model]
 *   HIDDEN           input of down                            [d_ff]
 *   AFTER            the residual stream after the block      [d_model]
 *
 * and for the tokens of the encoder's input, of each cross-attention:
 *
 *   MEMORY           input of k and v: the encoder's normed output
 *   K, V             outputs of their projections, and K_TURNED
 *
 * of all decoder blocks as the input is encoded where the order is
 * token-major, before the block's tokens where it is layer-major. A long
 * batch comes in pieces; a block whose norms are parallel has FF_INPUT of
 * its own, and its residual stream after attention is one that no norm sees.
 */
#ifndef GQA_RUNTIME_TAPS_H
#define GQA_RUNTIME_TAPS_H

#include "formats/model/model.h"
#include "runtime/backend.h"

enum gqa_tap_point {
    GQA_TAP_BEFORE,
    GQA_TAP_INPUT,
    GQA_TAP_MEMORY,
    GQA_TAP_Q,
    GQA_TAP_K,
    GQA_TAP_V,
    GQA_TAP_Q_TURNED,
    GQA_TAP_K_TURNED,
    GQA_TAP_ATTENDED,
    GQA_TAP_AFTER_ATTENTION,
    GQA_TAP_FF_INPUT,
    GQA_TAP_HIDDEN,
    GQA_TAP_AFTER,
    GQA_N_TAP_POINTS,
};

/* A point as a member of a set of points. */
#define GQA_TAP(point) (UINT32_C(1) << (point))

/*
 * Rows seen at a point; all is lent until the callback returns. Operations
 * on x that the callback has given to the device need not have ended by
 * then, since the device works in order. x may not be written.
 *
 * Row r is token (first_row + r) % n_new of sequence (first_row + r) / n_new
 * of the batch, or padding: see gqa_tapped_row().
 */
struct gqa_tapped {
    enum gqa_tap_point point;
    enum gqa_stack stack; /* and layer: the block's */
    uint64_t layer;
    enum gqa_attention_kind kind; /* of what belongs to an attention */
    const void *x;                /* device: real [n_rows, width] */
    uint64_t width, n_rows, first_row;
    /* Of Q, K and V, turned or not, and ATTENDED: where the heads lie in a
     * row. A fused projection's rows hold all three. */
    struct gqa_head_place place;
    uint64_t head_dim;
    uint64_t n_sequences, n_new;
    const uint64_t *n_tokens; /* [n_sequences]: tokens that are real */
    const uint64_t *starts;   /* [n_sequences]: position of the first */
    const uint64_t *numbers;  /* [n_sequences]: what the sequences are called */
    const struct gqa_backend *backend;
    struct gqa_device *device;
    enum gqa_dtype real;
};

struct gqa_taps {
    uint32_t points; /* of GQA_TAP(): those that are wanted */
    /* Fails the run with what it fails with. */
    enum gqa_status (*tap)(void *ctx, const struct gqa_tapped *tapped);
    void *ctx;
};

/* Where a block that is looked at may end: INPUT or ATTENDED of its attention
 * of a kind. */
struct gqa_block_point {
    enum gqa_attention_kind kind;
    enum gqa_tap_point point;
};

/* Where row r belongs; false: it is padding, whose values mean nothing. */
bool gqa_tapped_row(const struct gqa_tapped *tapped, uint64_t r,
                    uint64_t *sequence, uint64_t *position);

/* The real rows among [0, n_rows), in order, to rows (room for n_rows), as
 * gather() takes them; returns how many. */
uint64_t gqa_tapped_rows(const struct gqa_tapped *tapped, uint64_t *rows);

/*
 * All rows, padding too, as double on the host: values [n_rows, width].
 * Waits for the device. Errors those of download(), and GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_tapped_fetch(const struct gqa_tapped *tapped,
                                 double *values);

#endif
