#include "runtime/back/layer.h"

#include <stdlib.h>

#include "common/checked.h"
#include "common/interrupt.h"
#include "runtime/back/state.h"
#include "runtime/parts.h"

struct gqa_layer {
    struct gqa_network network; /* the whole one, but for its blocks */
    struct gqa_layer_place place;
    struct gqa_runtime *runtime;
    struct gqa_tape *tape;
};

static const struct gqa_tape_stack *stack_of(const struct gqa_layer *l)
{
    return &l->tape->stacks[l->place.stack];
}

static bool looks_back(const struct gqa_layer *l)
{
    return l->place.part == GQA_LAYER_BLOCK &&
           stack_of(l)->network->blocks[0].has_cross;
}

/* --- Life ----------------------------------------------------------------- */

/* The network, of whose blocks there is the place's alone. */
static void take_part(struct gqa_layer *l, const struct gqa_network *network)
{
    struct gqa_network_stack *stack = &l->network.stacks[l->place.stack];

    l->network = *network;
    for (size_t i = 0; i < network->n_stacks; i++)
        l->network.stacks[i].n_blocks = 0;
    if (l->place.part != GQA_LAYER_BLOCK)
        return;
    stack->blocks += l->place.block;
    stack->n_blocks = 1;
}

static void mark_uses(enum gqa_use *uses, const struct gqa_layer *l)
{
    const struct gqa_network_stack *stack = &l->network.stacks[l->place.stack];

    switch (l->place.part) {
    case GQA_LAYER_EMBEDDING:
        gqa_use_embedding(uses, stack);
        break;
    case GQA_LAYER_BLOCK:
        gqa_use_block(uses, stack->blocks);
        break;
    case GQA_LAYER_FINAL_NORM:
        gqa_use_norm(uses, &stack->final_norm);
        break;
    }
}

static enum gqa_status load(struct gqa_layer *l,
                            const struct gqa_weight_source *weights)
{
    enum gqa_use *uses = calloc(l->network.model->n_params + 1, sizeof *uses);
    enum gqa_status st = uses ? GQA_OK : gqa_fail_nomem();

    if (st == GQA_OK) {
        mark_uses(uses, l);
        st = gqa_runtime_check_room(l->runtime, "a layer at a time: it takes",
                                    gqa_use_bytes(uses, l->network.model));
    }
    if (st == GQA_OK)
        st = gqa_runtime_load(l->runtime, weights, uses);
    free(uses);
    return st;
}

/* Without weights, and without memory of a run. */
static enum gqa_status begin(struct gqa_layer **out,
                             const struct gqa_network *network,
                             const struct gqa_backend *backend,
                             struct gqa_device *device,
                             const struct gqa_layer_place *place)
{
    struct gqa_layer *l = calloc(1, sizeof *l);
    enum gqa_status st;

    if (!l)
        return gqa_fail_nomem();
    l->place = *place;
    take_part(l, network);
    st = gqa_runtime_create_empty(&l->runtime, &l->network, backend, device);
    if (st == GQA_OK)
        *out = l;
    else
        gqa_layer_free(l);
    return st;
}

enum gqa_status gqa_layer_create(struct gqa_layer **out,
                                 const struct gqa_network *network,
                                 const struct gqa_backend *backend,
                                 struct gqa_device *device,
                                 const struct gqa_weight_source *weights,
                                 const struct gqa_layer_place *place,
                                 const struct gqa_tape_options *options)
{
    struct gqa_layer *l = NULL;
    enum gqa_status st = begin(&l, network, backend, device, place);

    if (st == GQA_OK)
        st = load(l, weights);
    if (st == GQA_OK)
        st = gqa_tape_create(&l->tape, l->runtime, options);
    if (st == GQA_OK)
        *out = l;
    else
        gqa_layer_free(l);
    return st;
}

void gqa_layer_free(struct gqa_layer *l)
{
    if (!l)
        return;
    gqa_tape_free(l->tape);
    gqa_runtime_free(l->runtime);
    free(l);
}

uint64_t gqa_layer_bytes(const struct gqa_network *network,
                         const struct gqa_backend *backend,
                         struct gqa_device *device,
                         const struct gqa_layer_place *place,
                         const struct gqa_tape_options *options)
{
    uint64_t n_bytes = UINT64_MAX, least, most;
    struct gqa_layer *l = NULL;
    enum gqa_use *uses = calloc(network->model->n_params + 1, sizeof *uses);

    if (uses && begin(&l, network, backend, device, place) == GQA_OK) {
        mark_uses(uses, l);
        if (gqa_tape_bytes(l->runtime, options, &least, &most) != GQA_OK ||
            least == UINT64_MAX ||
            !gqa_add_u64(least, gqa_use_bytes(uses, network->model), &n_bytes))
            n_bytes = UINT64_MAX;
    }
    gqa_layer_free(l);
    free(uses);
    return n_bytes;
}

struct gqa_runtime *gqa_layer_runtime(struct gqa_layer *l)
{
    return l->runtime;
}

/* --- Forth ---------------------------------------------------------------- */

enum gqa_status gqa_layer_begin(struct gqa_layer *l,
                                const struct gqa_tape_batch *batch)
{
    enum gqa_status st;

    if (gqa_interrupt_pending())
        return gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
    if ((st = gqa_tape_take_batch(l->tape, batch)) != GQA_OK ||
        (st = gqa_tape_make_tables(l->tape)) != GQA_OK)
        return st;
    return gqa_tape_set_batch(l->tape, stack_of(l));
}

void *gqa_layer_in(const struct gqa_layer *l)
{
    return stack_of(l)->x[0];
}

uint64_t gqa_layer_n_rows(const struct gqa_layer *l)
{
    return stack_of(l)->n_rows;
}

void *gqa_layer_memory(const struct gqa_layer *l)
{
    return looks_back(l) ? l->tape->stacks[0].normed : NULL;
}

static enum gqa_status run_block(const struct gqa_layer *l, void **out)
{
    const enum gqa_status st =
        looks_back(l) ? gqa_tape_run_keys(l->tape, 0) : GQA_OK;

    *out = stack_of(l)->x[1];
    return st == GQA_OK ? gqa_tape_run_block(l->tape, stack_of(l), 0, false)
                        : st;
}

enum gqa_status gqa_layer_run(struct gqa_layer *l, void **out)
{
    const struct gqa_tape_stack *s = stack_of(l);

    switch (l->place.part) {
    case GQA_LAYER_EMBEDDING:
        *out = s->x[0];
        return gqa_tape_embed(l->tape, s);
    case GQA_LAYER_BLOCK:
        return run_block(l, out);
    case GQA_LAYER_FINAL_NORM:
        break;
    }
    *out = s->normed;
    return s->network->final_norm.kind == GQA_NORM_NONE
               ? GQA_OK
               : gqa_part_norm(l->runtime, s->normed, s->x[0], s->n_rows,
                               &s->network->final_norm, false);
}

enum gqa_status gqa_layer_attend(struct gqa_layer *l, bool cross, void **out)
{
    const enum gqa_status st = cross ? gqa_tape_run_keys(l->tape, 0) : GQA_OK;

    return st == GQA_OK
               ? gqa_tape_run_attention(l->tape, stack_of(l), 0, cross, out)
               : st;
}

/* --- Back ----------------------------------------------------------------- */

void *gqa_layer_d_out(const struct gqa_layer *l)
{
    return l->tape->d_x;
}

enum gqa_status gqa_layer_attend_back(struct gqa_layer *l, bool cross)
{
    return gqa_tape_attention_back(l->tape, stack_of(l), 0, cross);
}

void *gqa_layer_gradient(const struct gqa_layer *l, size_t param)
{
    return gqa_tape_gradient(l->tape, param);
}

enum gqa_status gqa_layer_zero(struct gqa_layer *l)
{
    return gqa_tape_zero(l->tape);
}
