#include "align/attention_metric.h"

#include <stdlib.h>
#include <string.h>

#include "align/solve.h"
#include "common/bounds.h"
#include "common/large.h"
#include "common/ranges.h"
#include "runtime/blas.h"

/* Of the mean diagonal, added to moments: what changes little where the weights
 * are would go far, and what is learnt there holds nearby alone. */
static const double ridge = 0.1;

enum {
    O = GQA_PROJECTION_O,
    N_PROJECTIONS = GQA_N_PROJECTIONS,
};

struct gqa_attention_metric {
    const struct gqa_attention_loss *loss;
    const struct gqa_head_rows *rows[N_PROJECTIONS];
    uint64_t head_dim;
    unsigned n_threads;
    struct gqa_attention_moments inverses;
    double *room; /* of the largest projection */
};

/* o is one block. */
static uint64_t block_of(const struct gqa_attention_metric *m, int i)
{
    return i == O ? m->rows[O]->n : m->head_dim;
}

/* Some rows of a projection, times inverses on both sides. */
struct dividing {
    const struct gqa_attention_metric *m;
    int i;
    double *x;
};

static enum gqa_status divide_blocks(void *ctx, uint64_t first, uint64_t n)
{
    const struct dividing *d = ctx;
    const struct gqa_attention_metric *m = d->m;
    const uint64_t size = block_of(m, d->i), inputs = m->rows[d->i]->inputs;

    for (uint64_t b = first; b < first + n; b++) {
        double *x = d->x + b * size * inputs;
        double *room = m->room + b * size * inputs;

        gqa_blas.dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)size,
                       (int)inputs, (int)size, 1,
                       m->inverses.heads[d->i] + b * size * size, (int)size, x,
                       (int)inputs, 0, room, (int)inputs);
        if (d->i == O)
            memcpy(x, room, size * inputs * sizeof *x);
        else
            gqa_blas.dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)size,
                           (int)inputs, (int)inputs, 1, room, (int)inputs,
                           m->inverses.inputs[d->i], (int)inputs, 0, x,
                           (int)inputs);
    }
    return GQA_OK;
}

enum gqa_status gqa_attention_metric_divide(struct gqa_attention_metric *m,
                                            double *x)
{
    enum gqa_status st = GQA_OK;

    for (int i = 0; i < N_PROJECTIONS && st == GQA_OK; i++) {
        struct dividing d = {m, i, x + gqa_attention_loss_at(m->loss, i)};

        st = gqa_ranges_run(m->rows[i]->n / block_of(m, i), 1, m->n_threads,
                            divide_blocks, &d);
    }
    return st;
}

/* --- Beginning and end ---------------------------------------------------- */

struct inverting {
    double *blocks;
    uint64_t size;
    double ridge;
};

static enum gqa_status invert_blocks(void *ctx, uint64_t first, uint64_t n)
{
    const struct inverting *v = ctx;
    const uint64_t n_values = v->size * v->size;
    double *a = gqa_large_malloc(n_values * sizeof *a);
    enum gqa_status st = a ? GQA_OK : gqa_fail_nomem();

    for (uint64_t b = first; b < first + n && st == GQA_OK; b++) {
        memcpy(a, v->blocks + b * n_values, n_values * sizeof *a);
        for (uint64_t i = 0; i < v->size; i++)
            a[i * v->size + i] += v->ridge;
        st = gqa_inverse(v->blocks + b * n_values, a, v->size, 0);
    }
    free(a);
    return st;
}

/* The ridge is that of all blocks: a head that changes nothing where it is
 * would go far else. */
static enum gqa_status invert(const struct gqa_attention_metric *m,
                              double *blocks, uint64_t size, uint64_t n_blocks)
{
    struct inverting v = {blocks, size, 0};

    for (uint64_t i = 0; i < n_blocks * size; i++)
        v.ridge += blocks[i * size + i % size];
    v.ridge *= ridge / (double)(n_blocks * size);
    return gqa_ranges_run(n_blocks, 1, m->n_threads, invert_blocks, &v);
}

static enum gqa_status begin(struct gqa_attention_metric *m,
                             struct gqa_attention_loss *loss,
                             const double *weights)
{
    struct gqa_attention_moments *inverses = &m->inverses;
    uint64_t largest = 0;
    enum gqa_status st = gqa_attention_loss_probe(loss, weights, inverses);

    for (int i = 0; i < N_PROJECTIONS && st == GQA_OK; i++) {
        const uint64_t size = block_of(m, i);

        largest = gqa_max_u64(largest, m->rows[i]->n * m->rows[i]->inputs);
        st = invert(m, inverses->heads[i], size, m->rows[i]->n / size);
        if (st == GQA_OK && inverses->inputs[i])
            st = invert(m, inverses->inputs[i], m->rows[i]->inputs, 1);
    }
    m->room = gqa_large_malloc(largest * sizeof *m->room);
    return st == GQA_OK && !m->room ? gqa_fail_nomem() : st;
}

enum gqa_status gqa_attention_metric_create(
    struct gqa_attention_metric **out, struct gqa_attention_loss *loss,
    const struct gqa_attention_loss_job *job, const double *weights,
    unsigned n_threads)
{
    struct gqa_attention_metric *m = calloc(1, sizeof *m);
    enum gqa_status st;

    if (!m)
        return gqa_fail_nomem();
    m->loss = loss;
    m->head_dim = job->becomes->heads->head_dim;
    m->n_threads = n_threads;
    memcpy(m->rows, job->rows, sizeof m->rows);
    st = begin(m, loss, weights);
    if (st == GQA_OK)
        *out = m;
    else
        gqa_attention_metric_free(m);
    return st;
}

void gqa_attention_metric_free(struct gqa_attention_metric *m)
{
    if (!m)
        return;
    gqa_attention_moments_clear(&m->inverses);
    free(m->room);
    free(m);
}
