/*
 * What a key or value head of a converted checkpoint must be, computed anew
 * from the original. Nothing here is shared with gqa-convert: the rules are
 * those of docs/numerics.md.
 */
#ifndef GQA_VERIFY_RECOMPUTE_H
#define GQA_VERIFY_RECOMPUTE_H

#include "formats/model/model.h"

enum gqa_pooling {
    GQA_POOL_MEAN,
    GQA_POOL_FIRST,
    GQA_POOL_RANDOM,
    /* Mistakes that have a name */
    GQA_POOL_STRIDED,    /* group g: heads g, g + groups, g + 2 groups... */
    GQA_POOL_NARROW,     /* every sum rounded to `step` */
    GQA_POOL_PERMUTED,   /* rows of halves (j, j + d/2) to pairs (2j, 2j + 1) */
    GQA_POOL_UNPERMUTED, /* the other way */
};

struct gqa_hypothesis {
    enum gqa_pooling pooling;
    uint64_t pooled;     /* divides both numbers of KV heads */
    enum gqa_dtype step; /* of GQA_POOL_NARROW */
    uint64_t seed;       /* of GQA_POOL_RANDOM */
};

/* One of k, v and their biases, in both checkpoints. */
struct gqa_head_pair {
    struct gqa_checkpoint *original, *converted;
    const struct gqa_model *original_model;
    const struct gqa_param *from, *to;
    const struct gqa_slice *from_slice, *to_slice;
    unsigned axis; /* 0 for a bias */
    uint64_t head_dim;
    bool is_bias, is_value;
};

/* The first element that is not what was expected. */
struct gqa_difference {
    bool found;
    uint64_t head, element; /* row-major in the head */
    double expected, actual;
};

struct gqa_recompute; /* buffers of one thread */
GQA_MUST_USE
enum gqa_status gqa_recompute_create(struct gqa_recompute **out);
void gqa_recompute_free(struct gqa_recompute *recompute);

/*
 * Compare head `head` of the converted checkpoint with what `hypothesis`
 * makes of group `group`.
 * Errors as gqa_checkpoint_read(), GQA_ERR_INTERRUPTED.
 */
GQA_MUST_USE
enum gqa_status gqa_recompute_head(struct gqa_recompute *recompute,
                                   struct gqa_difference *difference,
                                   const struct gqa_head_pair *pair,
                                   const struct gqa_hypothesis *hypothesis,
                                   uint64_t head, uint64_t group);

/* Compare head `head` of both: a copy, but for the dtype. */
GQA_MUST_USE
enum gqa_status gqa_recompute_copy(struct gqa_recompute *recompute,
                                   struct gqa_difference *difference,
                                   const struct gqa_head_pair *pair,
                                   uint64_t head);

/* Compare two parameters of one shape element by element; difference->head
 * stays 0. Bits where the dtypes are the same, else rounded once. */
GQA_MUST_USE
enum gqa_status gqa_recompute_whole(struct gqa_recompute *recompute,
                                    struct gqa_difference *difference,
                                    const struct gqa_head_pair *pair);

#endif
