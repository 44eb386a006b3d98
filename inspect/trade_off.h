/*
 * KV bytes against predicted loss: every attention with the same number of KV
 * heads, and each with its own, the best for any budget.
 *
 * Bytes are those of a token in the decoder's self-attention plus, in an
 * encoder-decoder, those of a source token in its cross-attention
 * (kv_cache.h). Loss is the mean of what is predicted over the attentions that
 * keep a cache, weighted by how much of the stream they make, where that is
 * known.
 */
#ifndef GQA_INSPECT_TRADE_OFF_H
#define GQA_INSPECT_TRADE_OFF_H

#include "inspect/similarity.h"

struct gqa_trade_point {
    uint64_t bytes;
    double lost;
};

struct gqa_uniform_row {
    uint64_t pooled; /* 0: as stored, and they differ */
    struct gqa_trade_point at;
    double best; /* lost, each attention having its own, in no more bytes */
};

struct gqa_trade_off {
    size_t *attentions; /* [n]: of the model's, those that keep a cache */
    size_t n;
    uint64_t stored;                 /* bytes as stored */
    struct gqa_uniform_row *uniform; /* [n_uniform], most bytes first */
    size_t n_uniform;
    /* [n_curve]: the best for so many bytes, most first; where there are many,
     * some of them. */
    struct gqa_trade_point *curve;
    size_t n_curve;
    double budget; /* of the bytes as stored */
    struct gqa_trade_point chosen;
    size_t *picks; /* [n]: of an attention's choices */
};

/*
 * similarity  has all choices of every attention that keeps a cache.
 * budget      0: half, or as little as can be.
 * Errors GQA_ERR_UNSUPPORTED: nothing keeps a cache, heads cannot share,
 *        bytes do not fit; GQA_ERR_USAGE: the budget is too small.
 */
GQA_MUST_USE
enum gqa_status gqa_trade_off_create(struct gqa_trade_off **out,
                                     const struct gqa_model *model,
                                     const struct gqa_similarity *similarity,
                                     double budget);
void gqa_trade_off_free(struct gqa_trade_off *trade_off);

/* An attention's choice, by its place in trade_off->attentions. Lent. */
const struct gqa_sharing_choice *gqa_trade_off_pick(
    const struct gqa_trade_off *trade_off,
    const struct gqa_similarity *similarity, size_t place);

#endif
