#include "align/source_values.h"

#include <stdlib.h>

#include "common/bounds.h"
#include "common/large.h"
#include "common/ranges.h"

/* Values that are read at a time. */
enum { STEP = 1 << 18 };

struct reading {
    const struct gqa_weight_source *source;
    const struct gqa_param *param;
    size_t index;
    double *out;
};

static enum gqa_status read_rows(void *ctx, uint64_t row, uint64_t n)
{
    const struct reading *r = ctx;
    const size_t count = (size_t)(n * r->param->cols);
    void *raw =
        gqa_large_malloc(count * (gqa_dtype_bits(r->param->dtype) / 8) + 1);
    enum gqa_status st =
        raw ? r->source->read(r->source->ctx, r->index, row, n, raw)
            : gqa_fail_nomem();

    if (st == GQA_OK)
        gqa_load_f64(r->out + row * r->param->cols, raw, r->param->dtype,
                     count);
    free(raw);
    return st;
}

enum gqa_status gqa_source_values(double **out,
                                  const struct gqa_weight_source *source,
                                  const struct gqa_model *model, size_t param,
                                  unsigned n_threads)
{
    const struct gqa_param *p = &model->params[param];
    struct reading r = {.source = source, .param = p, .index = param};
    enum gqa_status st;

    *out = NULL;
    r.out = gqa_large_malloc((size_t)(p->rows * p->cols) * sizeof *r.out + 1);
    if (!r.out)
        return gqa_fail_nomem();
    st = gqa_ranges_run(p->rows, gqa_max_u64(1, STEP / gqa_max_u64(p->cols, 1)),
                        n_threads, read_rows, &r);
    if (st == GQA_OK)
        *out = r.out;
    else
        free(r.out);
    return st;
}
