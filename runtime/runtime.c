#include <stdlib.h>
#include <string.h>

#include "common/advice.h"
#include "common/checked.h"
#include "common/units.h"
#include "runtime/load.h"
#include "runtime/position_tables.h"
#include "runtime/state.h"
#include "runtime/values.h"

const struct gqa_weight *gqa_runtime_weight(const struct gqa_runtime *runtime,
                                            size_t param)
{
    return param == GQA_NO_PARAM ? NULL : &runtime->weights[param];
}

const struct gqa_weight *gqa_runtime_matrix(const struct gqa_runtime *runtime,
                                            const struct gqa_linear *linear,
                                            struct gqa_weight *room)
{
    const struct gqa_weight *whole =
        gqa_runtime_weight(runtime, linear->weight);

    if (!linear->rows)
        return whole;
    *room = *whole;
    room->rows = linear->rows;
    room->cols = linear->cols;
    room->data = (const char *)whole->data +
                 linear->offset * gqa_dtype_bits(whole->dtype) / 8;
    return room;
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
    const struct gqa_param *p;

    if (linear->weight == GQA_NO_PARAM)
        return 0;
    p = &runtime->network->model->params[linear->weight];
    if (linear->rows)
        return linear->rows;
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
    return gqa_fail(
        GQA_ERR_NOMEM, "%s %s, but %s has %s free of %s%s", what,
        gqa_units_bytes(needed, n_bytes), info.name,
        gqa_units_bytes(free_text, info.free_bytes),
        gqa_units_bytes(all, info.total_bytes),
        strcmp(r->backend->name, "cpu") == 0 ? "" : gqa_advice(GQA_ADVICE_CPU));
}

/* Memory for parameter i, where it is used. */
static enum gqa_status make_room(struct gqa_runtime *r, size_t i,
                                 enum gqa_use used, struct gqa_load *out)
{
    const struct gqa_param *p = &r->network->model->params[i];
    enum gqa_status st = GQA_OK;

    out->param = i;
    if (used == GQA_USE_HOST) {
        out->table = r->tables[i] =
            calloc((size_t)p->n_elements, sizeof **r->tables);
        return out->table ? GQA_OK : gqa_fail_nomem();
    }
    st = r->backend->alloc(r->device, &out->data, p->n_bytes);
    if (st != GQA_OK)
        return gqa_fail_prefix(st, "'%s'", p->name);
    r->weights[i] = (struct gqa_weight){out->data, p->dtype, p->rows, p->cols};
    return GQA_OK;
}

enum gqa_status gqa_runtime_load(struct gqa_runtime *r,
                                 const struct gqa_weight_source *source,
                                 const enum gqa_use *uses)
{
    const struct gqa_model *model = r->network->model;
    struct gqa_load *loads = calloc(model->n_params, sizeof *loads);
    enum gqa_status st = GQA_OK;
    size_t n = 0;

    if (!loads)
        return gqa_fail_nomem();
    for (size_t i = 0; i < model->n_params && st == GQA_OK; i++)
        if (uses[i] != GQA_USE_NONE && !r->tables[i])
            st = make_room(r, i, uses[i], &loads[n++]);
    if (st == GQA_OK && !r->loader)
        st = gqa_loader_create(&r->loader, model, r->backend, r->device);
    if (st == GQA_OK)
        st = gqa_loader_run(r->loader, source, loads, n);
    for (size_t i = 0; i < n && st != GQA_OK; i++)
        if (loads[i].table) {
            free(loads[i].table);
            r->tables[loads[i].param] = NULL;
        }
    free(loads);
    return st;
}

void gqa_runtime_drop(struct gqa_runtime *r, size_t param)
{
    struct gqa_weight *w = &r->weights[param];

    /* What lies there is ours; users of a weight only read it. */
    if (w->data && !r->lent[param])
        r->backend->free(r->device, (void *)(uintptr_t)w->data);
    w->data = NULL;
    r->lent[param] = false;
}

void gqa_runtime_unload(struct gqa_runtime *r)
{
    for (size_t i = 0; i < r->network->model->n_params; i++)
        gqa_runtime_drop(r, i);
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
        if (stack->position_offset >= p->rows ||
            stack->n_positions > p->rows - stack->position_offset)
            return gqa_fail(GQA_ERR_FORMAT,
                            "'%s' has %llu rows, but the positions are %llu "
                            "from row %llu on",
                            p->name, (unsigned long long)p->rows,
                            (unsigned long long)stack->n_positions,
                            (unsigned long long)stack->position_offset);
    }
    return GQA_OK;
}

/* Tables of positions that no weight holds. */
static enum gqa_status make_sinusoids(struct gqa_runtime *r)
{
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < r->network->n_stacks && st == GQA_OK; i++)
        if (r->network->stacks[i].sinusoids)
            st = gqa_position_sinusoids(r, &r->sinusoids[i],
                                        &r->network->stacks[i]);
    return st;
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
    r->lent = calloc(n, sizeof *r->lent);
    st = r->weights && r->tables && r->lent ? backend->describe(device, &info)
                                            : gqa_fail_nomem();
    r->real = info.real;
    r->wide = gqa_wide_of(info.real);
    if (st == GQA_OK)
        st = make_sinusoids(r);
    if (st == GQA_OK)
        *out = r;
    else
        gqa_runtime_free(r);
    return st;
}

/* Weights that are another runtime's too: not read, nor freed. */
static enum gqa_status take_same(struct gqa_runtime *r, enum gqa_use *uses,
                                 const struct gqa_runtime *other,
                                 const size_t *same)
{
    const struct gqa_model *model = r->network->model;

    for (size_t i = 0; i < model->n_params; i++) {
        const struct gqa_weight *w;

        if (uses[i] != GQA_USE_DEVICE || same[i] == GQA_NO_PARAM)
            continue;
        w = &other->weights[same[i]];
        if (!w->data)
            continue;
        if (w->rows != model->params[i].rows ||
            w->cols != model->params[i].cols)
            return gqa_fail(GQA_ERR_USAGE,
                            "'%s' has not the shape of what it is to be",
                            model->params[i].name);
        r->weights[i] = *w;
        r->lent[i] = true;
        uses[i] = GQA_USE_NONE;
    }
    return GQA_OK;
}

/* same: NULL: nothing is shared. */
static enum gqa_status load_all(struct gqa_runtime *r,
                                const struct gqa_weight_source *source,
                                const struct gqa_runtime *other,
                                const size_t *same)
{
    const struct gqa_model *model = r->network->model;
    enum gqa_use *uses = calloc(model->n_params, sizeof *uses);
    enum gqa_status st = GQA_OK;

    if (!uses)
        return gqa_fail_nomem();
    gqa_use_all(uses, r->network);
    if (same)
        st = take_same(r, uses, other, same);
    if (st == GQA_OK)
        st = gqa_runtime_check_room(r, "the model's weights take",
                                    gqa_use_bytes(uses, model));
    if (st == GQA_OK)
        st = gqa_runtime_load(r, source, uses);
    free(uses);
    return st;
}

static enum gqa_status create(struct gqa_runtime **out,
                              const struct gqa_network *network,
                              const struct gqa_backend *backend,
                              struct gqa_device *device,
                              const struct gqa_weight_source *weights,
                              const struct gqa_runtime *other,
                              const size_t *same)
{
    struct gqa_runtime *r = NULL;
    enum gqa_status st = gqa_runtime_create_empty(&r, network, backend, device);

    if (st == GQA_OK)
        st = load_all(r, weights, other, same);
    if (st == GQA_OK)
        *out = r;
    else
        gqa_runtime_free(r);
    return st;
}

enum gqa_status gqa_runtime_create(struct gqa_runtime **out,
                                   const struct gqa_network *network,
                                   const struct gqa_backend *backend,
                                   struct gqa_device *device,
                                   const struct gqa_weight_source *weights)
{
    return create(out, network, backend, device, weights, NULL, NULL);
}

enum gqa_status gqa_runtime_create_sharing(
    struct gqa_runtime **out, const struct gqa_network *network,
    const struct gqa_weight_source *weights, const struct gqa_runtime *other,
    const size_t *same)
{
    return create(out, network, other->backend, other->device, weights, other,
                  same);
}

void gqa_runtime_free(struct gqa_runtime *runtime)
{
    if (!runtime)
        return;
    if (runtime->weights && runtime->lent)
        gqa_runtime_unload(runtime);
    gqa_loader_free(runtime->loader);
    for (size_t i = 0; i < 2; i++)
        if (runtime->sinusoids[i].data)
            runtime->backend->free(
                runtime->device, (void *)(uintptr_t)runtime->sinusoids[i].data);
    for (size_t i = 0; runtime->tables && i < runtime->network->model->n_params;
         i++)
        free(runtime->tables[i]);
    free(runtime->weights);
    free(runtime->tables);
    free(runtime->lent);
    free(runtime);
}
