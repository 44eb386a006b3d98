#include "align/moments.h"

#include <stdlib.h>
#include <string.h>

#include "align/weights.h"
#include "common/ranges.h"
#include "runtime/blas.h"

/* out[i] = X_i X_i^T of blocks of `rows` rows of X. */
struct squaring {
    double *out;
    const double *x;
    uint64_t rows, cols;
};

static enum gqa_status square_blocks(void *ctx, uint64_t first, uint64_t n)
{
    const struct squaring *s = ctx;
    const int rows = (int)s->rows, cols = (int)s->cols;

    for (uint64_t i = first; i < first + n; i++) {
        const double *x = s->x + i * s->rows * s->cols;

        gqa_blas.dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, rows,
                       cols, 1, x, cols, x, cols, 0,
                       s->out + i * s->rows * s->rows, rows);
    }
    return GQA_OK;
}

enum gqa_status gqa_moments_of_weights(double *out,
                                       struct gqa_checkpoint *checkpoint,
                                       const struct gqa_model *model,
                                       const struct gqa_slice *slice,
                                       uint64_t head_dim, bool together,
                                       bool with_bias, unsigned n_threads)
{
    const uint64_t n = together ? 1 : slice->n_heads;
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
    st = gqa_ranges_run(
        n, 1, n_threads, square_blocks,
        &(struct squaring){out, x, slice->n_heads / n * head_dim, cols});
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

    /* Keys about their mean have no bias. */
    if (st == GQA_OK)
        st = gqa_moments_of_weights(out->centred_keys, checkpoint, model, &a->k,
                                    d, true, false, n_threads);
    if (st == GQA_OK)
        st = gqa_moments_of_weights(out->keys, checkpoint, model, &a->k, d,
                                    true, true, n_threads);
    if (st == GQA_OK)
        st = gqa_moments_of_weights(out->values, checkpoint, model, &a->v, d,
                                    true, true, n_threads);
    return st;
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
