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
    /* Not 0: a key stands for so many positions, and p is there divided by it;
     * those behind the last key's count as its. Not causal then. */
    uint64_t per_key;
    /* wide [rows, n_heads], or NULL: set to the logarithm of the sum of
     * exp(score) over the keys that a query sees, which is -INFINITY where
     * there are none; finite in rows of padding. */
    void *lse;
};

/* Tokens that are never drawn; more than there are special ones. */
enum { GQA_N_NEVER = 4 };

/* How a token is drawn from a row of logits, of those that may be. */
struct gqa_draw_op {
    uint64_t vocab_size;
    double temperature; /* > 0 */
    /* Only those whose logit is at least the top_k-th largest; 0: all. */
    uint64_t top_k;
    int32_t never[GQA_N_NEVER]; /* -1: none */
};

/*
 * How far scores of other queries and keys are from an attention's own, seen
 * through its softmax: for query t of head h, with p = softmax of the
 * attention's own scores (mask, bias, cap and all), s its scaled score before
 * cap and bias and e_j = scale * q_t . k_j - subtract * s_j over the keys that
 * it sees,
 *
 *     e_j -= sum_j p_j e_j;   r_j = weight_th * p_j * e_j
 *     losses[h] += sum_t sum_j r_j e_j
 *     out_q[t]   = scale * sum_j r_j k_j               (of head h)
 *     out_k[j]   = scale * sum over t and h of the KV head's group of r_j q_t
 */
struct gqa_score_op {
    /* The attention: q, k, places, scale, soft_cap, causal, window,
     * key_counts, bias, reach, capacity, head_dim, n_kv_heads as attend()
     * takes them; v, out and lse are not looked at, per_key is 0. */
    struct gqa_attention_op original;
    /* The other queries: real [rows, q_width] with q_place (n_heads as
     * original's); keys: real [n_sequences, n_kv_heads, capacity, head_dim],
     * same capacity; query head h reads KV head h / (n_heads / n_kv_heads). */
    const void *q;
    uint64_t q_width;
    struct gqa_head_place q_place;
    const void *k;
    uint64_t n_kv_heads;
    /* [n_heads] on the host: query head h stands for head heads[h] of the
     * original (scores, bias); NULL: the same. */
    const uint64_t *heads;
    const void *weights; /* wide [rows, n_heads] by our h; NULL: 1 */
    double scale;        /* of the other scores (usually original.scale) */
    bool subtract;       /* the original's scores */
    /*
     * Not 0: a random direction in place of e, for preconditioners. With xi =
     * +-1 by common/signs.h of seed, sequence of the batch, h, position of
     * the query and key,
     *
     *     r_j = sqrt(weight) (sqrt(p_j) xi_j - p_j sum_i sqrt(p_i) xi_i)
     *
     * q and k are then only the factors of out_k and out_q, and may be NULL
     * where those are; losses are 0.
     */
    uint64_t probe;
    /* The attention's weights themselves, r_j = weight * p_j: what values are
     * to blame for, given in place of q that of what attend() makes of them. k
     * may be NULL; subtract, probe, out_q and losses are none. */
    bool plain;
    /* real [rows, n_heads * head_dim], heads side by side; rows of padding
     * 0. NULL: not wanted. */
    void *out_q;
    /* real [n_sequences * capacity, n_kv_heads * head_dim]: key c of sequence
     * s is row s * capacity + c; rows of no key 0. NULL: not wanted. */
    void *out_k;
    /* On the host, [n_heads]: set, not added to; waits. NULL: not wanted. */
    double *losses;
};

/* Two models' logits at one position. */
struct gqa_logit_comparison {
    double kl; /* KL(original || converted) in nats; 0 where not both are
                  finite, and so what follows */
    double log_likelihood[2]; /* of the label, by the original, by the
                                 converted; 0 where there is none */
    int32_t same;             /* 1: both have the same largest, the first of
                                 equals */
    int32_t is_finite[2];     /* 1: all logits of the original, of the converted
                               */
};

#endif
