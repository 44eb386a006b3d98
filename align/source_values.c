#include "align/source_values.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "common/bounds.h"
#include "common/workers.h"

/* Values that are read at a time. */
enum { CHUNK = 1 << 18 };

struct reading {
    const struct gqa_weight_source *source;
    const struct gqa_param *param;
    size_t index;
    double *out;
    uint64_t step; /* rows at a time */
    atomic_uint_fast64_t next;
};

static enum gqa_status read_rows(void *ctx, unsigned worker)
{
    struct reading *r = ctx;
    const uint64_t rows = r->param->rows, cols = r->param->cols;
    void *raw = malloc(r->step * cols * (gqa_dtype_bits(r->param->dtype) / 8));
    enum gqa_status st = raw ? GQA_OK : gqa_fail_nomem();
    uint64_t row;

    (void)worker;
    while (st == GQA_OK && (row = atomic_fetch_add(&r->next, r->step)) < rows) {
        const uint64_t n = gqa_min_u64(r->step, rows - row);

        st = r->source->read(r->source->ctx, r->index, row, n, raw);
        if (st == GQA_OK)
            gqa_load_f64(r->out + row * cols, raw, r->param->dtype,
                         (size_t)(n * cols));
    }
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
    r.step = gqa_max_u64(1, CHUNK / gqa_max_u64(p->cols, 1));
    r.out = malloc((size_t)(p->rows * p->cols) * sizeof *r.out + 1);
    if (!r.out)
        return gqa_fail_nomem();
    st = gqa_workers_run((unsigned)gqa_min_u64(n_threads, p->rows / r.step + 1),
                         read_rows, &r);
    if (st == GQA_OK)
        *out = r.out;
    else
        free(r.out);
    return st;
}
