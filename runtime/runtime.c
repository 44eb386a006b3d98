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

struct gqa_norm_op gqa_runtime_norm(const struct gqa_runtime *runtime,
                                    const struct gqa_norm *norm)
{
    return (struct gqa_norm_op){
        .kind = norm->kind,
        .eps = norm->eps,
        .weight = gqa_runtime_weight(runtime, norm->weight),
        .bias = gqa_runtime_weight(runtime, norm->bias),
        .one_plus = norm->one_plus,
    };
}

uint64_t gqa_runtime_outputs(const struct gqa_runtime *runtime,
                             const struct gqa_linear *linear)
{
    const struct gqa_param *p =
        &runtime->network->model->params[linear->weight];

    return linear->input_major ? p->cols : p->rows;
}

/* --- Reading them ------------------------------------------------------- */

enum gqa_status gqa_runtime_check_room(const struct gqa_runtime *r,
                                       const char *what, uint64_t n_bytes)
{
    char needed[GQA_UNITS_MAX], free_text[GQA_UNITS_MAX], all[GQA_UNITS_MAX];
    struct gqa_device_info info = {.free_bytes = 0};
    const enum gqa_status st = r->backend->describe(r->device, &info);

    if (st != GQA_OK || n_bytes <= info.free_bytes)
        return st;
    return gqa_fail(GQA_ERR_NOMEM, "%s %s, but %s has %s free of %s%s", what,
                    gqa_units_bytes(needed, n_bytes), info.name,
                    gqa_units_bytes(free_text, info.free_bytes),
                    gqa_units_bytes(all, info.total_bytes),
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

enum gqa_status gqa_runtime_load(struct gqa_runtime *r,
                                 const struct gqa_weight_source *source,
                                 const enum gqa_use *uses)
{
    const struct gqa_model *model = r->network->model;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < model->n_params && st == GQA_OK; i++) {
        const struct gqa_param *p = &model->params[i];
        struct slice slice = {.param = p};

        if (uses[i] == GQA_USE_NONE || r->tables[i])
            continue;
        if (uses[i] == GQA_USE_HOST) {
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
        if (st != GQA_OK && slice.table) {
            free(r->tables[i]);
            r->tables[i] = NULL;
        }
    }
    return st;
}

void gqa_runtime_unload(struct gqa_runtime *r)
{
    for (size_t i = 0; i < r->network->model->n_params; i++)
        if (r->weights[i].data) {
            /* What lies there is ours; users of a weight only read it. */
            r->backend->free(r->device, (void *)(uintptr_t)r->weights[i].data);
            r->weights[i].data = NULL;
        }
}

/* --- What can be run ----------------------------------------------------- */

/* Both sublayers of a parallel block read the stream as it was: in rooms of
 * their own, which a norm fills. */
static enum gqa_status check_block(const struct gqa_block *b,
                                   enum gqa_stack stack, size_t layer)
{
    const struct gqa_norm *ff_norm =
        b->shared_norm ? &b->self.norm : &b->ff.norm;

    if (!b->parallel && !b->shared_norm)
        return GQA_OK;
    if (b->parallel && ff_norm->kind != GQA_NORM_NONE && !b->has_cross &&
        b->self.after_norm.kind == GQA_NORM_NONE)
        return GQA_OK;
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "layer %zu of the %s cannot be run: where attention and "
                    "feed-forward are parallel, or share a norm, they are "
                    "parallel, have a norm before them and none between, and "
                    "there is no cross-attention",
                    layer, gqa_stack_name(stack));
}

static enum gqa_status check_network(const struct gqa_network *n)
{
    enum gqa_status st;

    for (size_t i = 0; i < n->n_stacks; i++) {
        const struct gqa_network_stack *stack = &n->stacks[i];
        const struct gqa_param *p;

        for (size_t j = 0; j < stack->n_blocks; j++) {
            st = check_block(&stack->blocks[j], stack->stack, j);
            if (st != GQA_OK)
                return st;
        }
        if (stack->positions == GQA_NO_PARAM)
            continue;
        p = &n->model->params[stack->positions];
        if (stack->position_offset >= p->rows)
            return gqa_fail(GQA_ERR_FORMAT,
                            "'%s' has %llu rows, but the first position is "
                            "row %llu",
                            p->name, (unsigned long long)p->rows,
                            (unsigned long long)stack->position_offset);
    }
    return GQA_OK;
}

/* --- Life --------------------------------------------------------------- */

enum gqa_status gqa_runtime_create_empty(struct gqa_runtime **out,
                                         const struct gqa_network *network,
                                         const struct gqa_backend *backend,
                                         struct gqa_device *device)
{
    const size_t n = network->model->n_params;
    struct gqa_runtime *r = calloc(1, sizeof *r);
    struct gqa_device_info info = {.free_bytes = 0};
    enum gqa_status st;

    if (!r)
        return gqa_fail_nomem();
    if ((st = check_network(network)) != GQA_OK) {
        free(r);
        return st;
    }
    r->network = network;
    r->backend = backend;
    r->device = device;
    r->weights = calloc(n, sizeof *r->weights);
    r->tables = calloc(n, sizeof *r->tables);
    st = r->weights && r->tables ? backend->describe(device, &info)
                                 : gqa_fail_nomem();
    r->real = info.real;
    r->wide = info.real == GQA_F64 ? GQA_F64 : GQA_F32;
    if (st == GQA_OK)
        *out = r;
    else
        gqa_runtime_free(r);
    return st;
}

static enum gqa_status load_all(struct gqa_runtime *r,
                                const struct gqa_weight_source *source)
{
    const struct gqa_model *model = r->network->model;
    enum gqa_use *uses = calloc(model->n_params, sizeof *uses);
    enum gqa_status st;

    if (!uses)
        return gqa_fail_nomem();
    gqa_use_all(uses, r->network);
    st = gqa_runtime_check_room(r, "the model's weights take",
                                gqa_use_bytes(uses, model));
    if (st == GQA_OK)
        st = gqa_runtime_load(r, source, uses);
    free(uses);
    return st;
}

enum gqa_status gqa_runtime_create(struct gqa_runtime **out,
                                   const struct gqa_network *network,
                                   const struct gqa_backend *backend,
                                   struct gqa_device *device,
                                   const struct gqa_weight_source *weights)
{
    struct gqa_runtime *r = NULL;
    enum gqa_status st = gqa_runtime_create_empty(&r, network, backend, device);

    if (st == GQA_OK)
        st = load_all(r, weights);
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
    if (runtime->weights)
        gqa_runtime_unload(runtime);
    for (size_t i = 0; runtime->tables && i < runtime->network->model->n_params;
         i++)
        free(runtime->tables[i]);
    free(runtime->weights);
    free(runtime->tables);
    free(runtime);
}
