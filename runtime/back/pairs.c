#include "runtime/back/pairs.h"

#include <stdlib.h>

#include "runtime/capacity.h"

enum gqa_status gqa_pairs_create(struct gqa_pairs *p,
                                 const struct gqa_experts *x,
                                 const double *correction, uint64_t n_rows)
{
    const size_t n = (size_t)(n_rows * x->n_chosen);

    *p = (struct gqa_pairs){
        .experts = x, .correction = correction, .n_rows = n_rows, .n = n};
    p->scores = calloc((size_t)x->n, sizeof *p->scores);
    p->logits = calloc((size_t)(n_rows * x->n), sizeof *p->logits);
    p->chosen = calloc(n, sizeof *p->chosen);
    p->shares = calloc(n, sizeof *p->shares);
    p->left_out = calloc(n, sizeof *p->left_out);
    p->places = calloc(n, sizeof *p->places);
    p->first = calloc((size_t)x->n + 1, sizeof *p->first);
    p->rows = calloc(n, sizeof *p->rows);
    p->weights = calloc(n, sizeof *p->weights);
    return p->logits && p->scores && p->chosen && p->shares && p->left_out &&
                   p->places && p->first && p->rows && p->weights
               ? GQA_OK
               : gqa_fail_nomem();
}

void gqa_pairs_clear(struct gqa_pairs *p)
{
    free(p->logits);
    free(p->scores);
    free(p->chosen);
    free(p->shares);
    free(p->left_out);
    free(p->places);
    free(p->first);
    free(p->rows);
    free(p->weights);
    *p = (struct gqa_pairs){.n = 0};
}

/* What experts do not take counts nothing. */
static enum gqa_status leave_out(struct gqa_pairs *p,
                                 const struct gqa_batch *batch)
{
    const struct gqa_experts *x = p->experts;
    struct gqa_capacity capacity = {x, batch, NULL};

    if (x->capacity == 0)
        return GQA_OK;
    capacity.taken =
        calloc((size_t)(batch->n_sequences * x->n), sizeof *capacity.taken);
    if (!capacity.taken)
        return gqa_fail_nomem();
    for (uint64_t k = 0; k < p->n; k++) {
        p->left_out[k] =
            !gqa_capacity_takes(&capacity, k / x->n_chosen, p->chosen[k]);
        if (p->left_out[k])
            p->shares[k] = 0;
    }
    free(capacity.taken);
    return GQA_OK;
}

/* first[e] is, one after the other: how many have expert e - 1; how many there
 * are before e; where e's next pair goes, and so, at the end, where that of
 * e + 1 begins. */
enum gqa_status gqa_pairs_sort(struct gqa_pairs *p,
                               const struct gqa_batch *batch)
{
    const struct gqa_experts *x = p->experts;
    const struct gqa_chooser chooser = {x, p->correction, p->scores};
    enum gqa_status st;

    for (uint64_t i = 0; i < p->n_rows; i++)
        gqa_experts_choose(p->chosen + i * x->n_chosen,
                           p->shares + i * x->n_chosen, p->logits + i * x->n,
                           &chooser);
    if ((st = leave_out(p, batch)) != GQA_OK)
        return st;
    for (uint64_t k = 0; k < p->n; k++)
        p->first[p->chosen[k] + 1]++;
    for (uint64_t e = 0; e < x->n; e++)
        p->first[e + 1] += p->first[e];
    for (uint64_t k = 0; k < p->n; k++) {
        const uint64_t at = p->first[p->chosen[k]]++;

        p->places[k] = at;
        p->rows[at] = k / x->n_chosen;
        p->weights[at] = p->shares[k];
    }
    for (uint64_t e = x->n; e > 0; e--)
        p->first[e] = p->first[e - 1];
    p->first[0] = 0;
    return GQA_OK;
}

enum gqa_status gqa_pairs_back(double *d_logits, const struct gqa_pairs *p,
                               const double *d_weights)
{
    const struct gqa_experts *x = p->experts;
    double *d_shares = calloc((size_t)x->n_chosen, sizeof *d_shares);

    if (!d_shares)
        return gqa_fail_nomem();
    for (uint64_t i = 0; i < p->n_rows; i++) {
        for (uint64_t k = 0; k < x->n_chosen; k++) {
            const uint64_t pair = i * x->n_chosen + k;

            d_shares[k] = p->left_out[pair] ? 0 : d_weights[p->places[pair]];
        }
        gqa_experts_choose_back(d_logits + i * x->n, d_shares,
                                p->chosen + i * x->n_chosen,
                                p->logits + i * x->n, x);
    }
    free(d_shares);
    return GQA_OK;
}
