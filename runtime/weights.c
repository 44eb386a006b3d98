#include "runtime/weights.h"

#include <stdlib.h>

#include "common/large.h"

static enum gqa_status read_checkpoint(void *ctx, size_t param, uint64_t row,
                                       uint64_t n_rows, void *buf)
{
    const struct gqa_checkpoint_weights *w = ctx;
    const struct gqa_param *p = &w->model->params[param];
    /* The reader has checked that the whole parameter fits in memory's
     * numbers. */
    const uint64_t n_bytes = n_rows * p->cols * (gqa_dtype_bits(p->dtype) / 8);
    void *scratch = gqa_large_malloc(n_bytes ? n_bytes : 1);
    enum gqa_status st;

    if (!scratch)
        return gqa_fail_nomem();
    st = gqa_param_read(w->checkpoint, p, row, n_rows, 0, p->cols, buf, p->cols,
                        scratch);
    free(scratch);
    return st;
}

struct gqa_weight_source gqa_checkpoint_weight_source(
    struct gqa_checkpoint_weights *weights)
{
    return (struct gqa_weight_source){read_checkpoint, weights};
}
