#include "align/moments.h"

#include <stdlib.h>
#include <string.h>

#include "align/weights.h"
#include "runtime/blas.h"

/* out[i] = X_i X_i^T of n blocks of `rows` rows of X. */
static void square_blocks(double *out, const double *x, uint64_t n,
                          uint64_t rows, uint64_t cols)
{
    for (uint64_t i = 0; i < n; i++)
        gqa_blas.dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)rows,
                       (int)rows, (int)cols, 1, x + i * rows * cols, (int)cols,
                       x + i * rows * cols, (int)cols, 0, out + i * rows * rows,
                       (int)rows);
}

enum gqa_status gqa_moments_of_weights(double *out,
                                       struct gqa_checkpoint *checkpoint,
                                       const struct gqa_model *model,
                                       const struct gqa_slice *slice,
                                       uint64_t head_dim, bool together,
                                       bool with_bias)
{
    const uint64_t n = together ? 1 : slice->n_heads;
    struct gqa_slice used = *slice;
    uint64_t cols;
    double *x;
    enum gqa_status st;

    if (!with_bias)
        used.bias = GQA_NO_PARAM;
    st = gqa_heads_read(&x, &cols, checkpoint, model, &used, head_dim);
    if (st != GQA_OK)
        return st;
    square_blocks(out, x, n, slice->n_heads / n * head_dim, cols);
    free(x);
    return GQA_OK;
}

enum gqa_status gqa_statistics_of_weights(struct gqa_head_statistics *out,
                                          struct gqa_checkpoint *checkpoint,
                                          const struct gqa_model *model,
                                          const struct gqa_attention *a)
{
    const uint64_t d = a->head_dim;
    enum gqa_status st = gqa_moments_of_weights(out->queries, checkpoint, model,
                                                &a->q, d, false, true);

    /* Keys about their mean have no bias. */
    if (st == GQA_OK)
        st = gqa_moments_of_weights(out->centred_keys, checkpoint, model, &a->k,
                                    d, true, false);
    if (st == GQA_OK)
        st = gqa_moments_of_weights(out->keys, checkpoint, model, &a->k, d,
                                    true, true);
    if (st == GQA_OK)
        st = gqa_moments_of_weights(out->values, checkpoint, model, &a->v, d,
                                    true, true);
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
