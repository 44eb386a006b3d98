#include "align/head_rows.h"

#include <stdlib.h>
#include <string.h>

#include "align/source_values.h"

/* Along the axis that heads lie on: element i of head h. */
static void take_heads(struct gqa_head_rows *out, const double *all,
                       const struct gqa_param *p, const struct gqa_slice *slice,
                       uint64_t head_dim, uint64_t step)
{
    for (uint64_t row = 0; row < out->n; row++) {
        const uint64_t at =
            gqa_slice_head(slice, head_dim, row / head_dim * step) +
            row % head_dim;

        for (uint64_t j = 0; j < out->inputs; j++)
            out->weight[row * out->inputs + j] =
                all[slice->axis == 0 ? at * p->cols + j : j * p->cols + at];
    }
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
    out->weight = malloc(out->n * out->inputs * sizeof *out->weight);
    if (st == GQA_OK && !out->weight)
        st = gqa_fail_nomem();
    if (st == GQA_OK)
        take_heads(out, weight, p, slice, head_dim, step);
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
    void *raw = malloc(n_bytes);
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
