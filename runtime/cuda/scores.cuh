/*
 * A tile of the scores of an attention, [n_sequences, n_heads, n_rows,
 * n_keys], and what is done to its rows. Factors are copied side by side
 * first, with zeros where there is no row or key, so that all products of a
 * tile are one call.
 *
 * Products of float16 are made of float32: what comes back through a softmax
 * spans more than float16 has.
 */
#ifndef GQA_RUNTIME_CUDA_SCORES_CUH
#define GQA_RUNTIME_CUDA_SCORES_CUH

#include "runtime/cuda/device.cuh"

/* Rows, keys and the elements of a head are whole multiples, so that shapes
 * are few and pointers aligned. */
enum { GQA_SCORE_ROWS = 32, GQA_SCORE_DEPTH = 8 };

struct gqa_score_tile {
    int64_t first_sequence, n_sequences, first_head, n_heads, first_row, n_rows;
    int64_t n_keys;          /* seen by some row of it */
    int64_t key_room;        /* of copied keys, n_keys at least */
    int64_t head_dim, depth; /* as it is, and as it is copied */
    /* Of the batch, by sequence, on the device. */
    int64_t n_new, capacity;
    const int64_t *starts, *n_tokens, *key_counts;
};

/* The type of copied factors. */
static inline enum gqa_dtype gqa_score_factor(enum gqa_dtype real)
{
    return real == GQA_BF16 ? GQA_BF16 : GQA_F32;
}

/* Heads to copy, each of some rows of head_dim elements. */
struct gqa_score_heads {
    const void *data; /* real */
    int64_t sequence_stride, row_stride, base, per_block, block_stride;
    /* Copied head h of n_heads is head `first` + h, by `names` if there are
     * any, divided by `shared`. */
    const int64_t *names;
    int64_t first, n_heads, shared;
    int64_t first_row, n_rows;
    const int64_t *counts; /* rows that there are, by sequence */
};

/* to: [n_sequences, n_heads, n_rows, depth], gqa_score_factor(). */
void gqa_score_copy(struct gqa_device *device, void *to,
                    const struct gqa_score_heads *heads,
                    const struct gqa_score_tile *tile);

/* What makes of a scaled score what the softmax is of. */
struct gqa_score_mask {
    bool causal;
    int64_t window, reach;
    const float *bias;
    float soft_cap;
    const int64_t *names; /* of the heads in bias; NULL: their numbers */
};

struct gqa_score_rows {
    struct gqa_score_tile tile;
    struct gqa_score_mask mask;
    int64_t n_heads; /* of all tiles */
    float *own;      /* scaled scores; lost */
    float *others;   /* likewise; room alone for a probe */
    void *out;       /* r, factors; `own` where these are float32 */
    float *losses;   /* [n_sequences, n_heads, n_rows] */
    const float *weights;
    bool subtract;
    uint64_t probe;
    bool plain; /* no others: r is made of p alone */
};

void gqa_score_weigh(struct gqa_device *device,
                     const struct gqa_score_rows *rows);

/* losses[first_head + h] += the losses of tile's rows. */
void gqa_score_add_losses(struct gqa_device *device, double *losses,
                          const struct gqa_score_rows *rows);

/* Rows of heads [n_sequences, n_heads, n_rows, depth] of float32, to real out
 * [sequence * per_sequence + first_row + row, width] from column
 * (first + head) * head_dim on, where there is such a row. */
struct gqa_score_result {
    void *out;
    const float *from;
    int64_t per_sequence, width, first, n_heads, first_row, n_rows;
    const int64_t *counts;
};

void gqa_score_store(struct gqa_device *device,
                     const struct gqa_score_result *result,
                     const struct gqa_score_tile *tile);

#endif
