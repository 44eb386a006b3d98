/*
 * What a key or value head of a converted checkpoint must be, computed anew
 * from the original. Nothing here is shared with gqa-convert: the rules are
 * those of docs/numerics.md.
 */
#ifndef GQA_VERIFY_RECOMPUTE_H
#define GQA_VERIFY_RECOMPUTE_H

#include "formats/model/model.h"
#include "verify/float32_mean.h"

/* Conversions that a recipe may record one after another. */
enum { GQA_MAX_STEPS = 32 };

enum gqa_pooling {
    GQA_POOL_MEAN,
    GQA_POOL_FIRST,
    GQA_POOL_RANDOM,
    /* Means that others make, and that are right too (docs/numerics.md) */
    GQA_POOL_FLOAT32, /* added up in float32, in the order `order` */
    GQA_POOL_WITHIN,  /* added up in float32, in whatever order */
    /* Mistakes that have a name */
    GQA_POOL_STRIDED,    /* group g: heads g, g + groups, g + 2 groups... */
    GQA_POOL_NARROW,     /* every sum rounded to `step` */
    GQA_POOL_PERMUTED,   /* rows of halves (j, j + d/2) to pairs (2j, 2j + 1) */
    GQA_POOL_UNPERMUTED, /* the other way */
};

/* A conversion that a recipe records: numbers of KV heads before it, of those
 * that differ after it, and of those that there are then. */
struct gqa_pool_step {
    enum gqa_pooling pooling; /* MEAN, FIRST or RANDOM */
    uint64_t source, pooled, written;
    uint64_t seed;
    bool keeps_dtype;
    enum gqa_dtype dtype; /* unless keeps_dtype */
    /* An aligned one (replay.h): what its recipe says, lent. */
    bool is_aligned;
    bool is_transformed;      /* q, k, v and o of this attention */
    const json_t *heads;      /* their order; NULL: as they were */
    const json_t *transforms; /* NULL: they were not kept */
    uint64_t number;          /* in the names of its transforms */
    const char *fitted;       /* letters: projections that are no transforms */
};

struct gqa_hypothesis {
    enum gqa_pooling pooling;
    uint64_t pooled;          /* divides both numbers of KV heads */
    enum gqa_dtype step;      /* of GQA_POOL_NARROW */
    enum gqa_sum_order order; /* of GQA_POOL_FLOAT32 */
    bool is_widened; /* rounded to the type of the original, then stored in a
                        wider one */
    uint64_t seed;   /* of GQA_POOL_RANDOM */
    /* Conversions after this one, lent. Where there are any, this one's heads
     * were rounded to `dtype`, or, if it keeps it, stayed what they were. */
    const struct gqa_pool_step *then;
    size_t n_then;
    bool keeps_dtype;
    enum gqa_dtype dtype;
};

/* KV heads of the converted checkpoint that differ. */
uint64_t gqa_hypothesis_groups(const struct gqa_hypothesis *hypothesis);

/* Whether it is right to have made heads so. */
bool gqa_hypothesis_is_right(const struct gqa_hypothesis *hypothesis);

/* One of k, v and their biases, in both checkpoints. */
struct gqa_head_pair {
    struct gqa_checkpoint *original, *converted;
    const struct gqa_model *original_model;
    const struct gqa_param *from, *to;
    const struct gqa_slice *from_slice, *to_slice;
    unsigned axis; /* 0 for a bias */
    uint64_t head_dim;
    bool is_bias, is_value;
    /* Of keys: the weights of a norm of all heads together, which move into
     * them when they are pooled: one for each row of `from`, lent. NULL: there
     * is none, or they are all the same. */
    const double *norm;
    /* Types that a value that is copied was rounded to on its way, lent. */
    const enum gqa_dtype *through;
    size_t n_through;
    /* And to what float32 has near 1: a GGUF file has one more of it. */
    bool one_more;
};

/* The first element that is not what was expected. */
struct gqa_difference {
    bool found;
    uint64_t head, element; /* row-major in the head */
    double expected, actual;
    bool zero_signs; /* zeros that differ in their sign alone are no find */
    bool changed;    /* of a whole parameter: a value was rounded */
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

/* How far elements are from what they must be; zero it to begin. */
struct gqa_measure {
    uint64_t n_equal, n_all;
    double squares, reference; /* of the differences, of what they must be */
    double max;                /* the largest difference */
};

/* Relative L2 distance. */
double gqa_measure_relative(const struct gqa_measure *measure);

/* Add all elements of a head to a measure. */
GQA_MUST_USE
enum gqa_status gqa_recompute_measure(struct gqa_recompute *recompute,
                                      struct gqa_measure *measure,
                                      const struct gqa_head_pair *pair,
                                      const struct gqa_hypothesis *hypothesis,
                                      uint64_t head, uint64_t group);

/* Compare head `head` of both: a copy, but for the dtype. */
GQA_MUST_USE
enum gqa_status gqa_recompute_copy(struct gqa_recompute *recompute,
                                   struct gqa_difference *difference,
                                   const struct gqa_head_pair *pair,
                                   uint64_t head);

/*
 * Compare two parameters of one shape element by element; difference->head
 * stays 0. Bits where the dtypes are the same, else rounded once. measure: all
 * elements are added to it; NULL: the first difference is enough.
 */
GQA_MUST_USE
enum gqa_status gqa_recompute_whole(struct gqa_recompute *recompute,
                                    struct gqa_difference *difference,
                                    struct gqa_measure *measure,
                                    const struct gqa_head_pair *pair);

#endif
