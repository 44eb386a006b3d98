/*
 * How alike heads are: what is lost of the energy of scores and of outputs
 * where some of them share a space (factor.h), for any that are named.
 */
#ifndef GQA_ALIGN_LIKENESS_H
#define GQA_ALIGN_LIKENESS_H

#include "align/factor.h"

/* Keys or values of all heads of an attention, as gqa_factor() takes them. */
struct gqa_likeness_part {
    const struct gqa_bands *bands;
    const double *moments; /* [n d, n d] */
    const double *metrics; /* [n, d, d] */
};

struct gqa_likeness;

/* parts are read, not kept. Errors GQA_ERR_NOMEM; GQA_ERR_FORMAT: not
 * finite. */
GQA_MUST_USE
enum gqa_status gqa_likeness_create(struct gqa_likeness **out, size_t n_heads,
                                    const struct gqa_likeness_part *keys,
                                    const struct gqa_likeness_part *values);
void gqa_likeness_free(struct gqa_likeness *likeness);

size_t gqa_likeness_n_heads(const struct gqa_likeness *likeness);

/*
 * *lost = what these heads lose by sharing one space: of the energy of all
 * scores, plus of that of all outputs. Any thread. Errors as of creation.
 */
GQA_MUST_USE
enum gqa_status gqa_likeness_lost(double *lost,
                                  const struct gqa_likeness *likeness,
                                  const size_t *heads, size_t n);

/* The same apart: of keys, of values. */
GQA_MUST_USE
enum gqa_status gqa_likeness_lost_apart(double lost[2],
                                        const struct gqa_likeness *likeness,
                                        const size_t *heads, size_t n);

/* The energy of all scores, and of all outputs, summed over heads. */
void gqa_likeness_all(double all[2], const struct gqa_likeness *likeness);

/* A head's own share of the energy of all scores, and of that of all
 * outputs. */
void gqa_likeness_energy(double energy[2], const struct gqa_likeness *likeness,
                         size_t head);

/*
 * gqa_likeness_lost() of each two heads: out [n_heads, n_heads], symmetric, 0
 * along the diagonal. *exact is false where that would take too long, and what
 * stands there is estimated. The same for any number of threads.
 */
GQA_MUST_USE
enum gqa_status gqa_likeness_pairs(double *out, bool *exact,
                                   const struct gqa_likeness *likeness,
                                   unsigned n_threads);

/* The same apart: out[0] of keys, out[1] of values. */
GQA_MUST_USE
enum gqa_status gqa_likeness_pairs_apart(double *const out[2], bool *exact,
                                         const struct gqa_likeness *likeness,
                                         unsigned n_threads);

/* Operations that gqa_likeness_lost() takes for n heads, about. */
double gqa_likeness_work(const struct gqa_likeness *likeness, size_t n);

#endif
