#include "align/head_rows.h"

#include <stdlib.h>
#include <string.h>

#include "align/source_values.h"
#include "common/large.h"
#include "common/ranges.h"

/* Rows that are taken together: a column of theirs is a line of the cache. */
enum { TOGETHER = 16 };

/* Along the axis that heads lie on. */
struct taking {
    const struct gqa_head_rows *out;
    const double *all;
    const struct gqa_param *param;
    const struct gqa_slice *slice;
    uint64_t head_dim, step;
};

static enum gqa_status take_rows(void *ctx, uint64_t first, uint64_t n)
{
    const struct taking *t = ctx;
    const uint64_t inputs = t->out->inputs, cols = t->param->cols;
    double *out = t->out->weight + first * inputs;
    uint64_t at[TOGETHER];

    for (uint64_t i = 0; i < n; i++)
        at[i] = gqa_slice_head(t->slice, t->head_dim,
                               (first + i) / t->head_dim * t->step) +
                (first + i) % t->head_dim;
    if (t->slice->axis == 0) {
        for (uint64_t i = 0; i < n; i++)
            memcpy(out + i * inputs, t->all + at[i] * cols,
                   inputs * sizeof *out);
        return GQA_OK;
    }
    for (uint64_t j = 0; j < inputs; j++)
        for (uint64_t i = 0; i < n; i++)
            out[i * inputs + j] = t->all[j * cols + at[i]];
    return GQA_OK;
}

enum gqa_status gqa_head_rows_read(struct gqa_head_rows *out,
                                   const struct gqa_weight_source *source,
                                   const struct gqa_model *model,
                                   const struct gqa_slice *slice,
                                   uint64_t head_dim, uint64_t step,
                                   unsigned n_threads)
{
    const struct gqa_param *p = &model->params[slice->weight];
    double *weight = NULL, *bias = NULL;
    enum gqa_status st =
        gqa_source_values(&weight, source, model, slice->weight, n_threads);

    memset(out, 0, sizeof *out);
    out->n = slice->n_heads / step * head_dim;
    out->inputs = slice->axis == 0 ? p->cols : p->rows;
    out->dtype = p->dtype;
    out->weight = gqa_large_malloc(out->n * out->inputs * sizeof *out->weight);
    if (st == GQA_OK && !out->weight)
        st = gqa_fail_nomem();
    if (st == GQA_OK)
        st = gqa_ranges_run(
            out->n, TOGETHER, n_threads, take_rows,
            &(struct taking){out, weight, p, slice, head_dim, step});
    if (st == GQA_OK && slice->bias != GQA_NO_PARAM) {
        out->bias = malloc(out->n * sizeof *out->bias);
        st = out->bias ? gqa_source_values(&bias, source, model, slice->bias, 1)
                       : gqa_fail_nomem();
        for (uint64_t row = 0; row < out->n && st == GQA_OK; row++)
            out->bias[row] =
                bias[gqa_slice_head(slice, head_dim, row / head_dim * step) +
                     row % head_dim];
    }
    free(weight);
    free(bias);
    return st;
}

enum gqa_status gqa_head_rows_keep(struct gqa_spill *out,
                                   const struct gqa_head_rows *rows)
{
    const uint64_t n = rows->n * rows->inputs;
    const uint64_t n_bytes = n * (gqa_dtype_bits(rows->dtype) / 8);
    void *raw = gqa_large_malloc(n_bytes);
    enum gqa_status st = raw ? GQA_OK : gqa_fail_nomem();

    if (st == GQA_OK) {
        gqa_store_f64(raw, rows->dtype, rows->weight, n);
        st = gqa_spill_keep(out, raw, n_bytes);
    }
    free(raw);
    return st;
}

void gqa_head_rows_clear(struct gqa_head_rows *rows)
{
    free(rows->weight);
    free(rows->bias);
    memset(rows, 0, sizeof *rows);
}
