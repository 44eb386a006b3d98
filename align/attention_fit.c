#include "align/attention_fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "align/attention_metric.h"
#include "align/quasi_newton.h"
#include "common/large.h"

enum { N_PROJECTIONS = GQA_N_PROJECTIONS };

/* Steps, and how many of them may pass without a gain of what is held out. */
enum { STEPS = 20, PATIENCE = 3 };

struct fit {
    struct gqa_attention_loss *loss;
    struct gqa_attention_metric *metric;
    double *weights, *best; /* where the search is, and was best */
    double least, worst;    /* of what is held out, at the best */
    double *held;           /* [n_held] */
    size_t n_held;
    unsigned n_idle; /* steps since the best */
    bool gains;
};

static enum gqa_status hold(struct fit *f, const double *x, double *sum,
                            double *worst)
{
    const enum gqa_status st = gqa_attention_loss_hold(f->loss, x, f->held);

    *sum = *worst = 0;
    for (size_t i = 0; i < f->n_held && st == GQA_OK; i++) {
        *sum += f->held[i];
        *worst = fmax(*worst, f->held[i]);
    }
    return st;
}

static enum gqa_status evaluate(void *ctx, const double *x, double *value,
                                double *gradient)
{
    const struct fit *f = ctx;

    return gqa_attention_loss_differentiate(f->loss, x, value, gradient);
}

static enum gqa_status divide(void *ctx, double *x)
{
    const struct fit *f = ctx;

    return gqa_attention_metric_divide(f->metric, x);
}

static uint64_t n_weights(const struct fit *f)
{
    return gqa_attention_loss_at(f->loss, N_PROJECTIONS);
}

/* The worst sequence may lose nothing that it had at the beginning. */
static enum gqa_status see(void *ctx, const double *x, bool *stop)
{
    struct fit *f = ctx;
    double sum, worst;
    const enum gqa_status st = hold(f, x, &sum, &worst);

    if (st == GQA_OK && sum < f->least && worst <= f->worst) {
        f->least = sum;
        f->n_idle = 0;
        f->gains = true;
        memcpy(f->best, x, n_weights(f) * sizeof *f->best);
    } else {
        f->n_idle++;
    }
    *stop = f->n_idle >= PATIENCE;
    return st;
}

static enum gqa_status search(struct fit *f, unsigned n_threads)
{
    const struct gqa_quasi_newton_job job = {.n = n_weights(f),
                                             .n_steps = STEPS,
                                             .n_threads = n_threads,
                                             .ctx = f,
                                             .evaluate = evaluate,
                                             .divide = divide,
                                             .see = see};
    const enum gqa_status st = hold(f, f->weights, &f->least, &f->worst);

    return st == GQA_OK ? gqa_quasi_newton(f->weights, &job) : st;
}

static enum gqa_status begin(struct fit *f,
                             const struct gqa_attention_loss_job *job,
                             unsigned n_threads)
{
    uint64_t n_bytes;
    enum gqa_status st = gqa_attention_loss_create(&f->loss, job);

    if (st != GQA_OK)
        return st;
    n_bytes = n_weights(f) * sizeof *f->weights;
    f->n_held = gqa_attention_loss_n_held(f->loss);
    f->held = calloc(f->n_held + 1, sizeof *f->held);
    f->weights = gqa_large_malloc(n_bytes);
    f->best = gqa_large_malloc(n_bytes);
    if (!f->held || !f->weights || !f->best)
        return gqa_fail_nomem();
    for (int i = 0; i < N_PROJECTIONS; i++)
        memcpy(f->weights + gqa_attention_loss_at(f->loss, i),
               job->rows[i]->weight,
               job->rows[i]->n * job->rows[i]->inputs * sizeof *f->weights);
    return gqa_attention_metric_create(&f->metric, f->loss, job, f->weights,
                                       n_threads);
}

enum gqa_status gqa_attention_fit(
    struct gqa_head_rows *const rows[N_PROJECTIONS], bool *changed,
    const struct gqa_attention_loss_job *job, unsigned n_threads)
{
    struct fit f = {.gains = false};
    enum gqa_status st = begin(&f, job, n_threads);

    if (st == GQA_OK)
        st = search(&f, n_threads);
    *changed = st == GQA_OK && f.gains;
    for (int i = 0; i < N_PROJECTIONS && *changed; i++)
        memcpy(rows[i]->weight, f.best + gqa_attention_loss_at(f.loss, i),
               rows[i]->n * rows[i]->inputs * sizeof *f.best);
    gqa_attention_metric_free(f.metric);
    gqa_attention_loss_free(f.loss);
    free(f.weights);
    free(f.best);
    free(f.held);
    return st;
}
