#include "uptrain/weights.h"

#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "formats/model/inventory.h"
#include "formats/recorded.h"
#include "formats/transforms.h"

/* Elements rounded at a time. */
enum { TAKE = 4096 };

struct gqa_trained_weights {
    struct gqa_side *student;
    const char **values; /* [n_params]: of what was trained, else NULL */
    enum gqa_dtype wide;
    struct gqa_output_tensor *list;
    size_t *transforms; /* [n - n_params]: tensors of the checkpoint */
    size_t n;
    char **scratch; /* [n_workers] */
    unsigned n_workers;
};

static void list_params(struct gqa_trained_weights *w, const bool *trained,
                        const char *values,
                        const struct gqa_inventory *inventory)
{
    const struct gqa_model *model = w->student->model;

    for (size_t i = 0; i < model->n_params; i++) {
        const struct gqa_param *p = &model->params[i];

        w->list[w->n++] = (struct gqa_output_tensor){
            .name = p->name,
            .dtype = p->dtype,
            .rank = p->rank,
            .shape = p->shape,
            .n_bytes = p->n_bytes,
            .part = gqa_role_is_needless(inventory->roles[i])
                        ? GQA_OUTPUT_NEEDLESS
                        : GQA_OUTPUT_WEIGHT};
        if (!trained[i])
            continue;
        w->values[i] = values;
        values += p->n_elements * (gqa_dtype_bits(w->wide) / 8);
    }
}

/* Those that the recipe tells of: they say how what was not trained came to
 * be. */
static void list_transforms(struct gqa_trained_weights *w)
{
    const struct gqa_checkpoint *c = w->student->checkpoint;
    const uint64_t n_steps = gqa_recorded_steps(c);
    size_t n = 0;

    for (size_t i = 0; i < gqa_checkpoint_n_tensors(c); i++) {
        const struct gqa_tensor *t = gqa_checkpoint_tensor(c, i);
        const uint64_t step = gqa_transform_step(t->name);

        if (step == 0 || step > n_steps)
            continue;
        w->transforms[n++] = i;
        w->list[w->n++] = gqa_output_transform(t);
    }
}

enum gqa_status gqa_trained_weights_create(struct gqa_trained_weights **out,
                                           struct gqa_side *student,
                                           const bool *trained,
                                           const void *values,
                                           enum gqa_dtype wide,
                                           unsigned n_workers)
{
    const size_t n_params = student->model->n_params;
    const size_t n_tensors = gqa_checkpoint_n_tensors(student->checkpoint);
    struct gqa_trained_weights *w = calloc(1, sizeof *w);
    struct gqa_inventory *inventory = NULL;
    enum gqa_status st;
    bool is_whole;

    if (!w)
        return gqa_fail_nomem();
    w->student = student;
    w->wide = wide;
    w->n_workers = n_workers;
    w->list = calloc(n_params + n_tensors + 1, sizeof *w->list);
    w->values = calloc(n_params + 1, sizeof *w->values);
    w->transforms = calloc(n_tensors + 1, sizeof *w->transforms);
    w->scratch = calloc(n_workers, sizeof *w->scratch);
    is_whole = w->list && w->values && w->transforms && w->scratch;
    for (unsigned i = 0; i < n_workers && is_whole; i++)
        is_whole = (w->scratch[i] = malloc(GQA_BLOCK_BYTES)) != NULL;
    if (!is_whole) {
        gqa_trained_weights_free(w);
        return gqa_fail_nomem();
    }
    st = gqa_inventory_create(&inventory, student->model, student->checkpoint);
    if (st != GQA_OK) {
        gqa_trained_weights_free(w);
        return st;
    }
    list_params(w, trained, values, inventory);
    list_transforms(w);
    gqa_inventory_free(inventory);
    *out = w;
    return GQA_OK;
}

void gqa_trained_weights_free(struct gqa_trained_weights *w)
{
    if (!w)
        return;
    for (unsigned i = 0; w->scratch && i < w->n_workers; i++)
        free(w->scratch[i]);
    free(w->scratch);
    free(w->list);
    free(w->values);
    free(w->transforms);
    free(w);
}

const struct gqa_output_tensor *gqa_trained_weights_list(
    const struct gqa_trained_weights *w, size_t *n)
{
    *n = w->n;
    return w->list;
}

static void round_values(const struct gqa_trained_weights *w, size_t param,
                         uint64_t first, uint64_t n, char *out)
{
    const enum gqa_dtype dtype = w->student->model->params[param].dtype;
    const size_t in_width = gqa_dtype_bits(w->wide) / 8;
    const size_t out_width = gqa_dtype_bits(dtype) / 8;
    double values[TAKE];

    for (uint64_t i = 0; i < n; i += TAKE) {
        const size_t part = (size_t)gqa_min_u64(TAKE, n - i);

        gqa_load_f64(values, w->values[param] + (first + i) * in_width, w->wide,
                     part);
        gqa_store_f64(out + i * out_width, dtype, values, part);
    }
}

/* Elements [first, first + n): the rest of a row, whole rows, a beginning. */
static enum gqa_status copy_elements(const struct gqa_trained_weights *w,
                                     size_t param, uint64_t first, uint64_t n,
                                     char *out, char *scratch)
{
    const struct gqa_param *p = &w->student->model->params[param];

    while (n > 0) {
        const uint64_t row = first / p->cols, col = first % p->cols;
        const bool whole = col == 0 && n >= p->cols;
        const uint64_t n_rows = whole ? n / p->cols : 1;
        const uint64_t n_cols = whole ? p->cols : gqa_min_u64(p->cols - col, n);
        const enum gqa_status st =
            gqa_param_read(w->student->checkpoint, p, row, n_rows, col, n_cols,
                           out, n_cols, scratch);

        if (st != GQA_OK)
            return st;
        first += n_rows * n_cols;
        n -= n_rows * n_cols;
        out += n_rows * n_cols * (gqa_dtype_bits(p->dtype) / 8);
    }
    return GQA_OK;
}

enum gqa_status gqa_trained_weights_produce(void *ctx, unsigned worker,
                                            size_t tensor, uint64_t offset,
                                            size_t n, void *buf)
{
    const struct gqa_trained_weights *w = ctx;
    const size_t n_params = w->student->model->n_params;
    const struct gqa_span span = {offset, n, n, 1};
    uint64_t width;

    if (tensor >= n_params)
        return gqa_checkpoint_read(w->student->checkpoint,
                                   w->transforms[tensor - n_params], &span,
                                   buf);
    width = gqa_dtype_bits(w->student->model->params[tensor].dtype) / 8;
    if (!w->values[tensor])
        return copy_elements(w, tensor, offset / width, n / width, buf,
                             w->scratch[worker]);
    round_values(w, tensor, offset / width, n / width, buf);
    return GQA_OK;
}

static enum gqa_status read_rows(void *ctx, size_t param, uint64_t row,
                                 uint64_t n_rows, void *buf)
{
    const struct gqa_trained_weights *w = ctx;
    const uint64_t cols = w->student->model->params[param].cols;
    const struct gqa_weight_source others =
        gqa_checkpoint_weight_source(&w->student->weights);

    if (!w->values[param])
        return others.read(others.ctx, param, row, n_rows, buf);
    round_values(w, param, row * cols, n_rows * cols, buf);
    return GQA_OK;
}

struct gqa_weight_source gqa_trained_weights_source(
    struct gqa_trained_weights *w)
{
    return (struct gqa_weight_source){read_rows, w};
}
