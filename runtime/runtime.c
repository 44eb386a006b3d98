#include <stdlib.h>
#include <string.h>

#include "common/advice.h"
#include "common/checked.h"
#include "common/units.h"
#include "runtime/joint.h"
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

const struct gqa_weight *gqa_runtime_bias(const struct gqa_runtime *runtime,
                                          const struct gqa_linear *linear,
                                          struct gqa_weight *room)
{
    const struct gqa_weight *whole = gqa_runtime_weight(runtime, linear->bias);

    if (!whole || !linear->rows)
        return whole;
    *room = (struct gqa_weight){
        (const char *)whole->data +
            linear->bias_offset * gqa_dtype_bits(whole->dtype) / 8,
        whole->dtype, gqa_runtime_outputs(runtime, linear), 1};
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
        return linear->input_major ? linear->cols : linear->rows;
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

/* What is to be loaded, in which order it lies. */
struct loading {
    struct gqa_runtime *runtime;
    const enum gqa_use *uses;
    struct gqa_load *loads;
    size_t n;
    size_t *behind;
    bool *follows, *chosen; /* as gqa_joint_order() has them */
};

static enum gqa_status make_table(struct loading *l, size_t i)
{
    const struct gqa_runtime *r = l->runtime;
    const struct gqa_param *p = &r->network->model->params[i];

    r->tables[i] = calloc((size_t)p->n_elements, sizeof **r->tables);
    if (!r->tables[i])
        return gqa_fail_nomem();
    l->loads[l->n++] = (struct gqa_load){.param = i, .table = r->tables[i]};
    return GQA_OK;
}

/* Memory for a parameter and those that lie behind it. */
static enum gqa_status make_piece(struct loading *l, size_t first)
{
    struct gqa_runtime *r = l->runtime;
    const struct gqa_param *params = r->network->model->params;
    struct gqa_piece *piece = calloc(1, sizeof *piece);
    uint64_t n_bytes = 0;
    enum gqa_status st;
    char *at;

    if (!piece)
        return gqa_fail_nomem();
    for (size_t i = first; i != GQA_NO_PARAM; i = l->behind[i])
        n_bytes += params[i].n_bytes;
    st = r->backend->alloc(r->device, &piece->data, n_bytes);
    if (st != GQA_OK) {
        free(piece);
        return gqa_fail_prefix(st, "'%s'", params[first].name);
    }
    at = piece->data;
    for (size_t i = first; i != GQA_NO_PARAM; i = l->behind[i]) {
        r->weights[i] = (struct gqa_weight){at, params[i].dtype, params[i].rows,
                                            params[i].cols};
        r->pieces[i] = piece;
        piece->n_weights++;
        l->loads[l->n++] = (struct gqa_load){.param = i, .data = at};
        at += params[i].n_bytes;
    }
    return GQA_OK;
}

static enum gqa_status make_rooms(struct loading *l)
{
    const struct gqa_runtime *r = l->runtime;
    const size_t n = r->network->model->n_params;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < n; i++)
        l->chosen[i] = l->uses[i] == GQA_USE_DEVICE;
    gqa_joint_order(l->behind, l->follows, r->network, l->chosen);
    for (size_t i = 0; i < n && st == GQA_OK; i++)
        if ((l->uses[i] == GQA_USE_HOST || l->uses[i] == GQA_USE_CONSTANT) &&
            !r->tables[i])
            st = make_table(l, i);
        else if (l->chosen[i] && !l->follows[i])
            st = make_piece(l, i);
    return st;
}

enum gqa_status gqa_runtime_load(struct gqa_runtime *r,
                                 const struct gqa_weight_source *source,
                                 const enum gqa_use *uses)
{
    const struct gqa_model *model = r->network->model;
    const size_t n = model->n_params + 1;
    struct loading l = {.runtime = r,
                        .uses = uses,
                        .loads = calloc(n, sizeof *l.loads),
                        .behind = calloc(n, sizeof *l.behind),
                        .follows = calloc(n, sizeof *l.follows),
                        .chosen = calloc(n, sizeof *l.chosen)};
    enum gqa_status st = l.loads && l.behind && l.follows && l.chosen
                             ? make_rooms(&l)
                             : gqa_fail_nomem();

    if (st == GQA_OK && !r->loader)
        st = gqa_loader_create(&r->loader, model, r->backend, r->device);
    if (st == GQA_OK)
        st = gqa_loader_run(r->loader, source, l.loads, l.n);
    for (size_t i = 0; i < l.n && st != GQA_OK; i++)
        if (l.loads[i].table) {
            free(l.loads[i].table);
            r->tables[l.loads[i].param] = NULL;
        }
    free(l.loads);
    free(l.behind);
    free(l.follows);
    free(l.chosen);
    return st;
}

void gqa_runtime_drop(struct gqa_runtime *r, size_t param)
{
    struct gqa_piece *piece = r->pieces[param];

    if (piece && --piece->n_weights == 0) {
        r->backend->free(r->device, piece->data);
        free(piece);
    }
    r->pieces[param] = NULL;
    r->weights[param].data = NULL;
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
    r->pieces = calloc(n, sizeof *r->pieces);
    st = r->weights && r->tables && r->pieces ? backend->describe(device, &info)
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
    struct gqa_device *device, const struct gqa_weight_source *weights,
    const struct gqa_runtime *other, const size_t *same)
{
    return create(out, network, other->backend, device, weights, other, same);
}

void gqa_runtime_free(struct gqa_runtime *runtime)
{
    if (!runtime)
        return;
    if (runtime->weights && runtime->pieces)
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
    free(runtime->pieces);
    free(runtime);
}
