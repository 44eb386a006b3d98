/*
 * A space that several heads share. Each head j has keys k_j (or values) of
 * its own; a group is given one z, of as many dimensions as a head, from which
 * each is made again, k_j ~ B_j z, and B_j moves into the query (or the output)
 * projection. What is lost is least in the mean square of what the heads
 * are used for: of scores q_j^H k_j, q_j having the moments A_j; of outputs
 * O_j v_j, A_j being O_j^T O_j. docs/numerics.md derives it.
 */
#ifndef GQA_ALIGN_FACTOR_H
#define GQA_ALIGN_FACTOR_H

#include <stdbool.h>

#include "formats/model/network.h"

/*
 * Coordinates of a head that may be mixed with each other. Complex: pairs
 * that are rotated as re + i im by one and the same angle; im is NULL
 * otherwise.
 */
struct gqa_band {
    size_t n;
    size_t *re, *im; /* [n] */
};

/* Owned; end it with gqa_bands_clear(). */
struct gqa_bands {
    size_t head_dim, n;
    struct gqa_band *items;
    size_t *coordinates; /* what re and im point to */
};

/* All of a head, real: values, and keys without rotation. */
GQA_MUST_USE
enum gqa_status gqa_bands_whole(struct gqa_bands *out, size_t head_dim);

/*
 * Keys: pairs that turn at one frequency together, each of the others by
 * itself, and all that does not turn together, as real. rope: of the model
 * that they are for; NULL: no two frequencies are equal.
 */
GQA_MUST_USE
enum gqa_status gqa_bands_of_position(struct gqa_bands *out, size_t head_dim,
                                      const struct gqa_position *position,
                                      const struct gqa_rope *rope);

/* The same of an attention's keys. block: it as a network runs it, or NULL: as
 * the model says of all. */
GQA_MUST_USE
enum gqa_status gqa_bands_of_keys(struct gqa_bands *out,
                                  const struct gqa_attention *a,
                                  const struct gqa_attention_block *block);
void gqa_bands_clear(struct gqa_bands *bands);

/* A group's transforms; d is the head's dimension and n its heads. */
struct gqa_factor {
    double *mix;  /* [d, n d]: z = mix [k_1; ...; k_n] */
    double *back; /* [n, d, d]: q'_j = back_j q_j, back_j = B_j^T */
    /* Energy, in the mean square of scores or outputs: all there is, and what
     * z does not hold. */
    double all, lost;
};

/*
 * moments   [n d, n d], symmetric: of the heads' keys or values side by side.
 * metrics   [n, d, d], symmetric: A_j.
 * out       mix and back have room; filled.
 * Errors    GQA_ERR_NOMEM; GQA_ERR_FORMAT: not finite.
 */
GQA_MUST_USE
enum gqa_status gqa_factor(struct gqa_factor *out,
                           const struct gqa_bands *bands, size_t n,
                           const double *moments, const double *metrics);

#endif
