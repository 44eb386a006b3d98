#include "align/attention_metric.h"

#include <stdlib.h>
#include <string.h>

#include "align/device_inverse.h"
#include "align/solve.h"
#include "common/bounds.h"
#include "common/large.h"
#include "common/ranges.h"
#include "runtime/blas.h"
#include "runtime/values.h"

/* Of the mean diagonal, added to moments: what changes little where the weights
 * are would go far, and what is learnt there holds nearby alone. */
static const double ridge = 0.1;

enum {
    O = GQA_PROJECTION_O,
    N_PROJECTIONS = GQA_N_PROJECTIONS,
};

struct gqa_attention_metric {
    const struct gqa_attention_loss *loss;
    const struct gqa_backend *backend;
    struct gqa_device *device;
    enum gqa_dtype real;
    const struct gqa_head_rows *rows[N_PROJECTIONS];
    uint64_t head_dim;
    unsigned n_threads;
    /* Inverses: of heads' moments of q, k and v; on the device, real, of
     * inputs, those of o being heads. */
    double *heads[O];
    void *inputs[N_PROJECTIONS];
    double *room;    /* of the largest projection */
    void *vector[2]; /* the same on the device, real */
};

/* --- Dividing ------------------------------------------------------------- */

static uint64_t size_of(const struct gqa_attention_metric *m, int i)
{
    return m->rows[i]->n * m->rows[i]->inputs;
}

/* Heads of a projection. */
struct dividing {
    const struct gqa_attention_metric *m;
    int i;
    const double *x;
};

static enum gqa_status divide_heads(void *ctx, uint64_t first, uint64_t n)
{
    const struct dividing *v = ctx;
    const struct gqa_attention_metric *m = v->m;
    const uint64_t d = m->head_dim, inputs = m->rows[v->i]->inputs;

    for (uint64_t h = first; h < first + n; h++)
        gqa_blas.dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)d,
                       (int)inputs, (int)d, 1, m->heads[v->i] + h * d * d,
                       (int)d, v->x + h * d * inputs, (int)inputs, 0,
                       m->room + h * d * inputs, (int)inputs);
    return GQA_OK;
}

/* Of o, whose inputs are its rows: from the left. */
static enum gqa_status divide_inputs(const struct gqa_attention_metric *m,
                                     int i, double *out, const double *x)
{
    const uint64_t n = m->rows[i]->n, inputs = m->rows[i]->inputs;
    const struct gqa_weight inverse = {m->inputs[i], m->real, inputs, inputs};
    const struct gqa_weight values = {m->vector[0], m->real, n, inputs};
    enum gqa_status st = gqa_values_upload(m->backend, m->device, m->vector[0],
                                           m->real, x, n * inputs);

    if (st == GQA_OK && i == O)
        st = m->backend->linear(m->device, m->vector[1], m->inputs[i], n,
                                &values, true, NULL, NULL);
    else if (st == GQA_OK)
        st = m->backend->linear(m->device, m->vector[1], m->vector[0], n,
                                &inverse, false, NULL, NULL);
    return st == GQA_OK ? gqa_values_download(m->backend, m->device, out,
                                              m->vector[1], m->real, n * inputs)
                        : st;
}

enum gqa_status gqa_attention_metric_divide(struct gqa_attention_metric *m,
                                            double *x)
{
    enum gqa_status st = GQA_OK;

    for (int i = 0; i < N_PROJECTIONS && st == GQA_OK; i++) {
        double *values = x + gqa_attention_loss_at(m->loss, i);
        struct dividing v = {m, i, values};

        if (i < O)
            st = gqa_ranges_run(m->rows[i]->n / m->head_dim, 1, m->n_threads,
                                divide_heads, &v);
        if (st == GQA_OK)
            st = divide_inputs(m, i, values, i < O ? m->room : values);
    }
    return st;
}

/* --- Beginning and end ---------------------------------------------------- */

struct inverting {
    double *heads; /* moments that become their inverses */
    uint64_t d;
    double ridge;
};

static enum gqa_status invert_some(void *ctx, uint64_t first, uint64_t n)
{
    const struct inverting *v = ctx;
    const uint64_t size = v->d * v->d;
    double *a = malloc(size * sizeof *a);
    enum gqa_status st = a ? GQA_OK : gqa_fail_nomem();

    for (uint64_t h = first; h < first + n && st == GQA_OK; h++) {
        memcpy(a, v->heads + h * size, size * sizeof *a);
        for (uint64_t i = 0; i < v->d; i++)
            a[i * v->d + i] += v->ridge;
        st = gqa_inverse(v->heads + h * size, a, v->d, 0);
    }
    free(a);
    return st;
}

/* The ridge is that of all heads: one that changes nothing where it is would go
 * far else. */
static enum gqa_status invert_heads(const struct gqa_attention_metric *m, int i)
{
    const uint64_t n = m->rows[i]->n, d = m->head_dim;
    struct inverting v = {m->heads[i], d, 0};

    for (uint64_t r = 0; r < n; r++)
        v.ridge += v.heads[r * d + r % d];
    v.ridge *= ridge / (double)n;
    return gqa_ranges_run(n / d, 1, m->n_threads, invert_some, &v);
}

/* moments: [n, n]. */
static enum gqa_status invert_inputs(struct gqa_attention_metric *m, int i,
                                     const double *moments, uint64_t n)
{
    double *inverse = gqa_large_malloc(n * n * sizeof *inverse);
    enum gqa_status st = inverse ? gqa_device_invert(m->backend, m->device,
                                                     inverse, moments, n, ridge)
                                 : gqa_fail_nomem();

    if (st == GQA_OK)
        st = m->backend->alloc(m->device, &m->inputs[i],
                               n * n * gqa_dtype_bits(m->real) / 8);
    if (st == GQA_OK)
        st = gqa_values_upload(m->backend, m->device, m->inputs[i], m->real,
                               inverse, n * n);
    free(inverse);
    return st;
}

static enum gqa_status invert(struct gqa_attention_metric *m,
                              struct gqa_attention_moments *moments)
{
    enum gqa_status st = GQA_OK;

    for (int i = 0; i < O && st == GQA_OK; i++) {
        m->heads[i] = moments->heads[i];
        moments->heads[i] = NULL;
        st = invert_heads(m, i);
        if (st == GQA_OK)
            st = invert_inputs(m, i, moments->inputs[i], m->rows[i]->inputs);
    }
    return st == GQA_OK ? invert_inputs(m, O, moments->heads[O], m->rows[O]->n)
                        : st;
}

static enum gqa_status begin(struct gqa_attention_metric *m,
                             struct gqa_attention_loss *loss,
                             const double *weights)
{
    struct gqa_attention_moments moments;
    uint64_t most = 0;
    enum gqa_status st = gqa_attention_loss_probe(loss, weights, &moments);

    if (st == GQA_OK)
        st = invert(m, &moments);
    gqa_attention_moments_clear(&moments);
    for (int i = 0; i < N_PROJECTIONS; i++)
        most = gqa_max_u64(most, size_of(m, i));
    for (int i = 0; i < 2 && st == GQA_OK; i++)
        st = m->backend->alloc(m->device, &m->vector[i],
                               most * gqa_dtype_bits(m->real) / 8);
    m->room = gqa_large_malloc(most * sizeof *m->room);
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
    m->backend = job->records->backend;
    m->device = job->records->device;
    m->real = job->records->real;
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
    for (int i = 0; i < O; i++)
        free(m->heads[i]);
    for (int i = 0; i < N_PROJECTIONS; i++)
        m->backend->free(m->device, m->inputs[i]);
    for (int i = 0; i < 2; i++)
        m->backend->free(m->device, m->vector[i]);
    free(m->room);
    free(m);
}
