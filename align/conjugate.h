/*
 * Conjugate gradients of several least-squares problems side by side: those of
 * the groups of an attention, whose heads are rows of one matrix. The operator
 * A is the caller's; the problems are (A + damping P) x = b with P = S (x) C,
 * S a matrix for each head, C one of the inputs for all.
 */
#ifndef GQA_ALIGN_CONJUGATE_H
#define GQA_ALIGN_CONJUGATE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/status.h"

struct gqa_conjugate {
    uint64_t n_groups, n_heads, head_dim, inputs; /* heads of all groups */
    unsigned n_threads; /* the result is the same for any number */
    double damping;
    /* x <- x C^-1, of all rows. */
    enum gqa_status (*divide)(void *ctx, double *x);
    void *ctx;
    /* [n_heads, head_dim, head_dim]: S^-1 of each head. */
    double *inverses;
    /* [n_heads * head_dim, inputs] each; direction is what A is wanted of
     * next, image P of it, rest what b lacks. */
    double *solution, *direction, *rest, *image;
    double *spare;    /* the caller's: what was handed over last */
    double *energies; /* [n_groups] */
    double *sums;     /* [n_heads] */
};

/*
 * c          n_groups to ctx are set; the rest is filled.
 * moments    [n_heads, head_dim, head_dim]: S, to which a thousandth of its
 *            mean diagonal is added.
 * b          [n_heads * head_dim, inputs]; overwritten.
 * Errors     GQA_ERR_NOMEM; GQA_ERR_FORMAT: not finite; those of divide.
 */
GQA_MUST_USE
enum gqa_status gqa_conjugate_begin(struct gqa_conjugate *c,
                                    const double *moments, double *b);

/* Given A of the direction, which is overwritten, move on; last: no other
 * direction is wanted. */
GQA_MUST_USE
enum gqa_status gqa_conjugate_next(struct gqa_conjugate *c, double *product,
                                   bool last);
void gqa_conjugate_clear(struct gqa_conjugate *c);

#endif
