#include <stdlib.h>
#include <string.h>

#include "common/checked.h"
#include "common/units.h"
#include "runtime/load.h"
#include "runtime/state.h"

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
            use_norm(uses, &block->ff_norm);
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

/* Memory for parameter i, where it is used. */
static enum gqa_status make_room(struct gqa_runtime *r, size_t i, enum use used,
                                 struct gqa_load *out)
{
    const struct gqa_param *p = &r->network->model->params[i];
    enum gqa_status st = GQA_OK;

    out->param = i;
    if (used == ON_HOST) {
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

static enum gqa_status load(struct gqa_runtime *r,
                            const struct gqa_weight_source *source,
                            const enum use *uses)
{
    const struct gqa_model *model = r->network->model;
    struct gqa_load *loads = calloc(model->n_params, sizeof *loads);
    struct gqa_loader *loader = NULL;
    enum gqa_status st = GQA_OK;
    size_t n = 0;

    if (!loads)
        return gqa_fail_nomem();
    for (size_t i = 0; i < model->n_params && st == GQA_OK; i++)
        if (uses[i] != UNUSED)
            st = make_room(r, i, uses[i], &loads[n++]);
    if (st == GQA_OK)
        st = gqa_loader_create(&loader, model, r->backend, r->device);
    if (st == GQA_OK)
        st = gqa_loader_run(loader, source, loads, n);
    gqa_loader_free(loader);
    free(loads);
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
