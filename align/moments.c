#include "align/moments.h"

#include <stdlib.h>
#include <string.h>

#include "align/weights.h"
#include "common/large.h"
#include "common/ranges.h"
#include "runtime/blas.h"

/* Of all inputs, those that are taken to come from anywhere. */
static const double SHARE = 1e-6;

/* out = scale X X^T, X being the rows of heads: of all of them together, or of
 * each by itself. */
struct squaring {
    double *out;
    const double *x;
    uint64_t n_heads, head_dim;
    uint64_t cols, ld; /* of X, and of a row of x */
    bool together;
    double scale;
};

/* Of a row of out. */
static uint64_t width_of(const struct squaring *s)
{
    return s->together ? s->n_heads * s->head_dim : s->head_dim;
}

/* A head's rows; where heads are together, from its own columns on. */
static enum gqa_status square_heads(void *ctx, uint64_t first, uint64_t n)
{
    const struct squaring *s = ctx;
    const uint64_t d = s->head_dim, w = width_of(s);

    for (uint64_t h = first; h < first + n; h++) {
        const double *x = s->x + h * d * s->ld;
        const uint64_t n_cols = s->together ? w - h * d : d;

        gqa_blas.dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)d,
                       (int)n_cols, (int)s->cols, s->scale, x, (int)s->ld, x,
                       (int)s->ld, 0,
                       s->out + h * d * w + (s->together ? h * d : 0), (int)w);
    }
    return GQA_OK;
}

/* What heads before these have computed of their columns. */
static enum gqa_status mirror_heads(void *ctx, uint64_t first, uint64_t n)
{
    const struct squaring *s = ctx;
    const uint64_t d = s->head_dim, w = s->n_heads * d;

    for (uint64_t h = first; h < first + n; h++)
        for (uint64_t before = 0; before < h; before++)
            for (uint64_t i = 0; i < d; i++)
                for (uint64_t j = 0; j < d; j++)
                    s->out[(h * d + i) * w + before * d + j] =
                        s->out[(before * d + j) * w + h * d + i];
    return GQA_OK;
}

static enum gqa_status square(struct squaring *s, unsigned n_threads)
{
    const enum gqa_status st =
        gqa_ranges_run(s->n_heads, 1, n_threads, square_heads, s);

    return st == GQA_OK && s->together
               ? gqa_ranges_run(s->n_heads, 1, n_threads, mirror_heads, s)
               : st;
}

enum gqa_status gqa_moments_of_weights(double *out,
                                       struct gqa_checkpoint *checkpoint,
                                       const struct gqa_model *model,
                                       const struct gqa_slice *slice,
                                       uint64_t head_dim, bool together,
                                       bool with_bias, unsigned n_threads)
{
    struct gqa_slice used = *slice;
    uint64_t cols;
    double *x;
    enum gqa_status st;

    if (!with_bias)
        used.bias = GQA_NO_PARAM;
    st = gqa_heads_read(&x, &cols, checkpoint, model, &used, head_dim,
                        n_threads);
    if (st != GQA_OK)
        return st;
    st = square(&(struct squaring){.out = out,
                                   .x = x,
                                   .n_heads = slice->n_heads,
                                   .head_dim = head_dim,
                                   .cols = cols,
                                   .ld = cols,
                                   .together = together,
                                   .scale = 1},
                n_threads);
    free(x);
    return st;
}

enum gqa_status gqa_statistics_of_weights(struct gqa_head_statistics *out,
                                          struct gqa_checkpoint *checkpoint,
                                          const struct gqa_model *model,
                                          const struct gqa_attention *a,
                                          unsigned n_threads)
{
    const uint64_t d = a->head_dim;
    enum gqa_status st = gqa_moments_of_weights(
        out->queries, checkpoint, model, &a->q, d, false, true, n_threads);

    if (st == GQA_OK)
        st = gqa_moments_of_weights(out->keys, checkpoint, model, &a->k, d,
                                    true, true, n_threads);
    /* Keys about their mean have no bias. */
    if (st == GQA_OK && a->k.bias != GQA_NO_PARAM)
        st = gqa_moments_of_weights(out->centred_keys, checkpoint, model, &a->k,
                                    d, true, false, n_threads);
    else if (st == GQA_OK)
        memcpy(out->centred_keys, out->keys,
               a->k.n_heads * d * a->k.n_heads * d * sizeof *out->keys);
    if (st == GQA_OK)
        st = gqa_moments_of_weights(out->values, checkpoint, model, &a->v, d,
                                    true, true, n_threads);
    return st;
}

/* Mean square of inputs whose identity's share of moments is added, by those
 * that tokens have had: moments of `n_heads` heads, in blocks of w. */
static double inputs_of(const double *moments, uint64_t w, uint64_t n_rows,
                        const double *x, uint64_t cols)
{
    double seen = 0, of_weights = 0;

    for (uint64_t i = 0; i < n_rows; i++)
        seen += moments[i / w * w * w + i % w * w + i % w];
    for (uint64_t i = 0; i < n_rows * cols; i++)
        of_weights += x[i] * x[i];
    return seen > 0 && of_weights > 0 ? seen / of_weights : 1;
}

/* What is added to moments. */
struct share {
    struct squaring squaring;
    double *moments;
};

static enum gqa_status add_heads(void *ctx, uint64_t first, uint64_t n)
{
    const struct share *s = ctx;
    const uint64_t each = s->squaring.head_dim * width_of(&s->squaring);

    for (uint64_t i = first * each; i < (first + n) * each; i++)
        s->moments[i] += s->squaring.out[i];
    return GQA_OK;
}

static enum gqa_status add(struct share *s, double *moments, unsigned n_threads)
{
    s->moments = moments;
    return gqa_ranges_run(s->squaring.n_heads, 1, n_threads, add_heads, s);
}

/* centred: as moments, without the bias; NULL: there is none. */
static enum gqa_status add_share(double *moments, double *centred,
                                 struct gqa_checkpoint *checkpoint,
                                 const struct gqa_model *model,
                                 const struct gqa_slice *slice,
                                 uint64_t head_dim, bool together,
                                 unsigned n_threads)
{
    const uint64_t n_rows = slice->n_heads * head_dim;
    struct share share = {.squaring = {.n_heads = slice->n_heads,
                                       .head_dim = head_dim,
                                       .together = together}};
    struct squaring *s = &share.squaring;
    double *x;
    enum gqa_status st = gqa_heads_read(&x, &s->ld, checkpoint, model, slice,
                                        head_dim, n_threads);

    if (st != GQA_OK)
        return st;
    s->x = x;
    s->cols = s->ld;
    s->scale = SHARE * inputs_of(moments, width_of(s), n_rows, x, s->cols);
    s->out = gqa_large_malloc((n_rows * width_of(s) + 1) * sizeof *s->out);
    st = s->out ? square(s, n_threads) : gqa_fail_nomem();
    if (st == GQA_OK)
        st = add(&share, moments, n_threads);
    if (st == GQA_OK && centred && slice->bias != GQA_NO_PARAM) {
        s->cols--;
        st = square(s, n_threads);
    }
    if (st == GQA_OK && centred)
        st = add(&share, centred, n_threads);
    free(s->out);
    free(x);
    return st;
}

enum gqa_status gqa_statistics_add_share(struct gqa_head_statistics *s,
                                         struct gqa_checkpoint *checkpoint,
                                         const struct gqa_model *model,
                                         const struct gqa_attention *a,
                                         unsigned n_threads)
{
    const uint64_t d = a->head_dim;
    enum gqa_status st = add_share(s->queries, NULL, checkpoint, model, &a->q,
                                   d, false, n_threads);

    if (st == GQA_OK)
        st = add_share(s->keys, s->centred_keys, checkpoint, model, &a->k, d,
                       true, n_threads);
    return st == GQA_OK ? add_share(s->values, NULL, checkpoint, model, &a->v,
                                    d, true, n_threads)
                        : st;
}

void gqa_moments_by_kv_head(double *out, const struct gqa_attention *a,
                            const double *metrics)
{
    const uint64_t dd = a->head_dim * a->head_dim;
    const uint64_t per = a->n_heads / a->n_kv_heads;

    memset(out, 0, a->n_kv_heads * dd * sizeof *out);
    for (uint64_t h = 0; h < a->n_heads; h++)
        for (uint64_t i = 0; i < dd; i++)
            out[h / per * dd + i] += metrics[h * dd + i];
}

void gqa_moments_of_outputs(double *out, const struct gqa_attention *a,
                            const double *metrics, const double *values)
{
    const uint64_t d = a->head_dim, ld = a->n_kv_heads * d;

    for (uint64_t h = 0; h < a->n_heads; h++) {
        const uint64_t first = h / (a->n_heads / a->n_kv_heads) * d;
        const double *metric = metrics + h * d * d;

        out[h] = 0;
        for (uint64_t i = 0; i < d; i++)
            for (uint64_t j = 0; j < d; j++)
                out[h] +=
                    metric[i * d + j] * values[(first + i) * ld + first + j];
    }
}

void gqa_moments_of_keys(double *out, const struct gqa_attention *a,
                         const struct gqa_bands *bands,
                         const struct gqa_head_statistics *statistics)
{
    const uint64_t d = a->head_dim, w = a->n_kv_heads * d;

    memcpy(out, statistics->keys, w * w * sizeof *out);
    for (size_t k = 0; k < bands->n; k++) {
        const struct gqa_band *band = &bands->items[k];

        for (uint64_t i = 0; i < a->n_kv_heads * band->n && !band->im; i++) {
            const uint64_t row = i / band->n * d + band->re[i % band->n];

            for (uint64_t j = 0; j < a->n_kv_heads * band->n; j++) {
                const uint64_t col = j / band->n * d + band->re[j % band->n];

                out[row * w + col] = statistics->centred_keys[row * w + col];
            }
        }
    }
}
