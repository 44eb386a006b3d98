#include "align/weights.h"

#include <stdlib.h>

#include "common/large.h"
#include "common/ranges.h"

/* A rectangle of a parameter as double. */
static enum gqa_status read(double *out, struct gqa_checkpoint *checkpoint,
                            const struct gqa_param *p, uint64_t row,
                            uint64_t n_rows, uint64_t col, uint64_t n_cols)
{
    const size_t n = (size_t)(n_rows * n_cols);
    const size_t width = gqa_dtype_bits(p->dtype) / 8;
    void *raw = malloc(n * width);
    void *scratch = malloc(n * width);
    enum gqa_status st = raw && scratch
                             ? gqa_param_read(checkpoint, p, row, n_rows, col,
                                              n_cols, raw, n_cols, scratch)
                             : gqa_fail_nomem();

    if (st == GQA_OK)
        gqa_load_f64(out, raw, p->dtype, n);
    free(raw);
    free(scratch);
    return st;
}

struct heads {
    double *out;
    uint64_t cols; /* of a row of out */
    struct gqa_checkpoint *checkpoint;
    const struct gqa_param *weight, *bias; /* bias NULL: none */
    const struct gqa_slice *slice;
    uint64_t head_dim;
};

static enum gqa_status read_head(const struct heads *h, uint64_t head,
                                 double *scratch)
{
    const uint64_t d = h->head_dim;
    const uint64_t at = gqa_slice_head(h->slice, d, head);
    const bool rows = h->slice->axis == 0;
    const uint64_t n = rows ? h->weight->cols : h->weight->rows;
    double *out = h->out + head * d * h->cols;
    enum gqa_status st =
        rows ? read(scratch, h->checkpoint, h->weight, at, d, 0, n)
             : read(scratch, h->checkpoint, h->weight, 0, n, at, d);

    for (uint64_t i = 0; i < d && st == GQA_OK; i++)
        for (uint64_t j = 0; j < n; j++)
            out[i * h->cols + j] = scratch[rows ? i * n + j : j * d + i];
    if (st != GQA_OK || !h->bias)
        return st;
    st = read(scratch, h->checkpoint, h->bias, at, d, 0, 1);
    for (uint64_t i = 0; i < d && st == GQA_OK; i++)
        out[i * h->cols + n] = scratch[i];
    return st;
}

static enum gqa_status read_heads(void *ctx, uint64_t first, uint64_t n)
{
    const struct heads *h = ctx;
    double *scratch =
        gqa_large_malloc((size_t)(h->head_dim * h->cols) * sizeof *scratch);
    enum gqa_status st = scratch ? GQA_OK : gqa_fail_nomem();

    for (uint64_t i = first; i < first + n && st == GQA_OK; i++)
        st = read_head(h, i, scratch);
    free(scratch);
    return st;
}

enum gqa_status gqa_heads_read(double **out, uint64_t *cols,
                               struct gqa_checkpoint *checkpoint,
                               const struct gqa_model *model,
                               const struct gqa_slice *slice, uint64_t head_dim,
                               unsigned n_threads)
{
    const struct gqa_param *weight = &model->params[slice->weight];
    const struct gqa_param *bias =
        slice->bias == GQA_NO_PARAM ? NULL : &model->params[slice->bias];
    struct heads h = {.cols = (slice->axis == 0 ? weight->cols : weight->rows) +
                              (bias != NULL),
                      .checkpoint = checkpoint,
                      .weight = weight,
                      .bias = bias,
                      .slice = slice,
                      .head_dim = head_dim};
    enum gqa_status st;

    h.out = gqa_large_malloc((size_t)(slice->n_heads * head_dim * h.cols) *
                             sizeof *h.out);
    if (!h.out)
        return gqa_fail_nomem();
    st = gqa_ranges_run(slice->n_heads, 1, n_threads, read_heads, &h);
    if (st != GQA_OK) {
        free(h.out);
        return st;
    }
    *out = h.out;
    *cols = h.cols;
    return GQA_OK;
}
