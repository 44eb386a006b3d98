/*
 * What operations on a device are given. Nothing here knows a file, a family
 * or a library: the operations themselves are in backend.h.
 */
#ifndef GQA_RUNTIME_OPS_H
#define GQA_RUNTIME_OPS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/dtype.h"
#include "common/functions.h"

/* A weight on the device, in the checkpoint's dtype (a float one). */
struct gqa_weight {
    const void *data;
    enum gqa_dtype dtype;
    uint64_t rows, cols;
};

/* The new tokens of a step; host memory, copied by set_batch(). */
struct gqa_batch {
    uint64_t n_sequences, n_new; /* at least 1 each */
    const int32_t *tokens;       /* [n_sequences, n_new], all in the table */
    const uint64_t *n_tokens;    /* [n_sequences]: new ones, <= n_new */
    const uint64_t *starts;      /* [n_sequences]: tokens before them */
};

/* Where the heads of a projection lie in its rows: head h begins at element
 * base + h / per_block * block_stride + h % per_block * head_dim. */
struct gqa_head_place {
    uint64_t n_heads, base, per_block, block_stride;
};

/* What a norm does to a row of `width` elements; common/functions.h. */
struct gqa_norm_op {
    enum gqa_norm_kind kind; /* not NONE */
    double eps;
    const struct gqa_weight *weight, *bias; /* width elements; NULL: 1, 0 */
    bool one_plus;                          /* 1 + weight in its place */
};

struct gqa_attention_op {
    void *out; /* real [rows, n_heads * head_dim] */
    const void *q;
    uint64_t q_width;
    struct gqa_head_place q_place;
    /* real [n_sequences, n_kv_heads, capacity, head_dim]; query head h reads
     * KV head h / (n_heads / n_kv_heads). */
    const void *k, *v;
    uint64_t n_kv_heads, head_dim, capacity;
    double scale;
    double soft_cap; /* a scaled score s counts as soft_cap * tanh(s /
                        soft_cap); 0: as it is */
    /*
     * Keys that the query at position p = starts[s] + i sees: 0 .. p when
     * causal, and of those only the last `window` when window > 0; else
     * 0 .. n_keys - 1. n_keys of sequence s is key_counts[s] (host, copied),
     * or starts[s] + n_tokens[s] where key_counts is NULL. Rows beyond
     * n_tokens[s] are finite, whatever they hold.
     */
    bool causal;
    uint64_t window;
    const uint64_t *key_counts;
    /* wide [n_heads, 2 * reach - 1], or NULL: added to the scaled, capped score
     * of query position p and key position c, at [h, c - p + reach - 1]. */
    const void *bias;
    uint64_t reach;
};

#endif
