#include <stdlib.h>
#include <string.h>

#include "common/checked.h"
#include "common/interrupt.h"
#include "common/units.h"
#include "runtime/state.h"

/* Bytes of a weight that are read at a time. */
#define SLICE_BYTES ((uint64_t)16 << 20)

const struct gqa_weight *gqa_runtime_weight(const struct gqa_runtime *runtime,
                                            size_t param)
{
    return param == GQA_NO_PARAM ? NULL : &runtime->weights[param];
}

uint64_t gqa_runtime_outputs(const struct gqa_runtime *runtime,
                             const struct gqa_linear *linear)
{
    const struct gqa_weight *w = &runtime->weights[linear->weight];

    return linear->input_major ? w->cols : w->rows;
}

/* --- Which parameters are needed ---------------------------------------- */

enum use { UNUSED, ON_DEVICE, ON_HOST };

static void use(enum use *uses, size_t param)
{
    if (param != GQA_NO_PARAM)
        uses[param] = ON_DEVICE;
}

static void use_linear(enum use *uses, const struct gqa_linear *linear)
{
    if (linear->weight == GQA_NO_PARAM)
        return;
    use(uses, linear->weight);
    use(uses, linear->bias);
}

static void use_norm(enum use *uses, const struct gqa_norm *norm)
{
    use(uses, norm->weight);
    use(uses, norm->bias);
}

static void use_attention(enum use *uses, const struct gqa_attention_block *a)
{
    use_norm(uses, &a->norm);
    use_linear(uses, &a->q);
    use_linear(uses, &a->k);
    use_linear(uses, &a->v);
    use_linear(uses, &a->o);
    if (a->bias.table != GQA_NO_PARAM)
        uses[a->bias.table] = ON_HOST;
}

static void use_all(enum use *uses, const struct gqa_network *network)
{
    for (size_t i = 0; i < network->n_stacks; i++) {
        const struct gqa_network_stack *stack = &network->stacks[i];

        use(uses, stack->embedding);
        use(uses, stack->positions);
        use_norm(uses, &stack->final_norm);
        for (size_t j = 0; j < stack->n_blocks; j++) {
            const struct gqa_block *block = &stack->blocks[j];

            use_attention(uses, &block->self);
            if (block->has_cross)
                use_attention(uses, &block->cross);
            use_norm(uses, &block->ff.norm);
            use_linear(uses, &block->ff.gate);
            use_linear(uses, &block->ff.up);
            use_linear(uses, &block->ff.down);
        }
    }
    use_linear(uses, &network->unembedding);
}

/* --- Reading them ------------------------------------------------------- */

static enum gqa_status check_room(const struct gqa_runtime *r,
                                  const struct gqa_device_info *info,
                                  const enum use *uses)
{
    const struct gqa_model *model = r->network->model;
    char needed[GQA_UNITS_MAX], free_text[GQA_UNITS_MAX], all[GQA_UNITS_MAX];
    uint64_t total = 0;

    for (size_t i = 0; i < model->n_params; i++)
        if (uses[i] == ON_DEVICE &&
            !gqa_add_u64(total, model->params[i].n_bytes, &total))
            total = UINT64_MAX;
    if (total <= info->free_bytes)
        return GQA_OK;
    return gqa_fail(GQA_ERR_NOMEM,
                    "the model's weights take %s, but %s has %s free of %s%s",
                    gqa_units_bytes(needed, total), info->name,
                    gqa_units_bytes(free_text, info->free_bytes),
                    gqa_units_bytes(all, info->total_bytes),
                    strcmp(r->backend->name, "cpu") == 0
                        ? ""
                        : "; --backend cpu may have more");
}

/* Where a slice of a parameter goes. */
struct slice {
    const struct gqa_param *param;
    void *data; /* of the whole parameter, on the device */
    double *table;
};

static enum gqa_status put_slice(struct gqa_runtime *r,
                                 const struct slice *slice, uint64_t row,
                                 uint64_t n_rows, const void *buf)
{
    const struct gqa_param *p = slice->param;
    const uint64_t row_bytes = p->n_bytes / p->rows;

    if (slice->table) {
        gqa_load_f64(slice->table + row * p->cols, buf, p->dtype,
                     (size_t)(n_rows * p->cols));
        return GQA_OK;
    }
    return r->backend->upload(r->device, (char *)slice->data + row * row_bytes,
                              buf, n_rows * row_bytes);
}

static enum gqa_status read_param(struct gqa_runtime *r,
                                  const struct gqa_weight_source *source,
                                  size_t index, const struct slice *slice)
{
    const struct gqa_param *p = slice->param;
    const uint64_t row_bytes = p->n_bytes / p->rows;
    uint64_t step = SLICE_BYTES / row_bytes;
    enum gqa_status st = GQA_OK;
    void *buf;

    if (step == 0)
        step = 1;
    if (step > p->rows)
        step = p->rows;
    buf = malloc((size_t)(step * row_bytes));
    if (!buf)
        return gqa_fail_nomem();
    for (uint64_t row = 0; row < p->rows && st == GQA_OK; row += step) {
        const uint64_t n_rows = p->rows - row < step ? p->rows - row : step;

        st = gqa_interrupt_pending()
                 ? gqa_fail(GQA_ERR_INTERRUPTED, "interrupted")
                 : source->read(source->ctx, index, row, n_rows, buf);
        if (st == GQA_OK)
            st = put_slice(r, slice, row, n_rows, buf);
    }
    free(buf);
    return st;
}

static enum gqa_status load(struct gqa_runtime *r,
                            const struct gqa_weight_source *source,
                            const enum use *uses)
{
    const struct gqa_model *model = r->network->model;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < model->n_params && st == GQA_OK; i++) {
        const struct gqa_param *p = &model->params[i];
        struct slice slice = {.param = p};

        if (uses[i] == UNUSED)
            continue;
        if (uses[i] == ON_HOST) {
            slice.table = r->tables[i] =
                calloc((size_t)p->n_elements, sizeof **r->tables);
            if (!slice.table)
                return gqa_fail_nomem();
        } else {
            st = r->backend->alloc(r->device, &slice.data, p->n_bytes);
            if (st != GQA_OK)
                return gqa_fail_prefix(st, "'%s'", p->name);
            r->weights[i] =
                (struct gqa_weight){slice.data, p->dtype, p->rows, p->cols};
        }
        st = read_param(r, source, i, &slice);
    }
    return st;
}

/* --- Life --------------------------------------------------------------- */

static enum gqa_status fill(struct gqa_runtime *r,
                            const struct gqa_weight_source *source)
{
    const size_t n = r->network->model->n_params;
    struct gqa_device_info info = {.free_bytes = 0};
    enum use *uses = calloc(n, sizeof *uses);
    enum gqa_status st;

    r->weights = calloc(n, sizeof *r->weights);
    r->tables = calloc(n, sizeof *r->tables);
    if (!uses || !r->weights || !r->tables) {
        free(uses);
        return gqa_fail_nomem();
    }
    use_all(uses, r->network);
    st = r->backend->describe(r->device, &info);
    r->real = info.real;
    r->wide = info.real == GQA_F64 ? GQA_F64 : GQA_F32;
    if (st == GQA_OK)
        st = check_room(r, &info, uses);
    if (st == GQA_OK)
        st = load(r, source, uses);
    free(uses);
    return st;
}

enum gqa_status gqa_runtime_create(struct gqa_runtime **out,
                                   const struct gqa_network *network,
                                   const struct gqa_backend *backend,
                                   struct gqa_device *device,
                                   const struct gqa_weight_source *weights)
{
    struct gqa_runtime *r = calloc(1, sizeof *r);
    enum gqa_status st;

    if (!r)
        return gqa_fail_nomem();
    r->network = network;
    r->backend = backend;
    r->device = device;
    st = fill(r, weights);
    if (st == GQA_OK)
        *out = r;
    else
        gqa_runtime_free(r);
    return st;
}

void gqa_runtime_free(struct gqa_runtime *runtime)
{
    if (!runtime)
        return;
    for (size_t i = 0; i < runtime->network->model->n_params; i++) {
        /* What lies there is ours; users of a weight only read it. */
        if (runtime->weights && runtime->weights[i].data)
            runtime->backend->free(runtime->device,
                                   (void *)(uintptr_t)runtime->weights[i].data);
        if (runtime->tables)
            free(runtime->tables[i]);
    }
    free(runtime->weights);
    free(runtime->tables);
    free(runtime);
}
