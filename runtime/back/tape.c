#include "runtime/back/tape.h"

#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/checked.h"
#include "common/ull.h"
#include "runtime/back/state.h"
#include "runtime/position_tables.h"

/* A batch of more tokens than this is a mistake. */
#define MAX_ROWS ((uint64_t)1 << 31)

static enum gqa_status make_stack(struct gqa_tape *t, size_t i)
{
    struct gqa_tape_stack *s = &t->stacks[i];
    size_t n, rows;

    s->network = &t->runtime->network->stacks[i];
    n = s->network->n_blocks;
    rows = (size_t)gqa_tape_stack_rows(&t->room, s->network->stack);
    s->x = calloc(n + 1, sizeof *s->x);
    s->rooms = calloc(n + 1, sizeof *s->rooms);
    s->kept = calloc(n + 1, sizeof *s->kept);
    s->bias = calloc(n + 1, sizeof *s->bias);
    s->d_bias = calloc(n + 1, sizeof *s->d_bias);
    s->summary_bias = calloc(n + 1, sizeof *s->summary_bias);
    s->d_summary_bias = calloc(n + 1, sizeof *s->d_summary_bias);
    s->n_summaries =
        calloc((size_t)t->room.n_sequences, sizeof *s->n_summaries);
    s->below = calloc(n + 1, sizeof *s->below);
    s->block = calloc(n + 1, sizeof *s->block);
    s->self_attention = calloc(n + 1, sizeof *s->self_attention);
    s->cross_attention = calloc(n + 1, sizeof *s->cross_attention);
    s->tokens = calloc(rows, sizeof *s->tokens);
    s->n_tokens = calloc((size_t)t->room.n_sequences, sizeof *s->n_tokens);
    s->starts = calloc((size_t)t->room.n_sequences, sizeof *s->starts);
    return s->x && s->rooms && s->kept && s->bias && s->d_bias &&
                   s->summary_bias && s->d_summary_bias && s->n_summaries &&
                   s->below && s->block && s->self_attention &&
                   s->cross_attention && s->tokens && s->n_tokens && s->starts
               ? GQA_OK
               : gqa_fail_nomem();
}

/* What has no way back: rows that would have to be made again before a norm, or
 * are widened behind it. */
static enum gqa_status check_network(const struct gqa_network *n)
{
    for (size_t i = 0; i < n->n_stacks; i++) {
        if (n->stacks[i].widened_behind)
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "a model whose embedding is widened behind its "
                            "norm cannot be trained");
        if (n->stacks[i].frames.width &&
            n->stacks[i].embedding_norm.kind != GQA_NORM_NONE)
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "a model that norms what it makes of frames cannot "
                            "be trained");
    }
    return GQA_OK;
}

static enum gqa_status check_options(const struct gqa_runtime *r,
                                     const struct gqa_tape_options *o)
{
    const bool encodes = r->network->n_stacks > 1;
    uint64_t rows, encoder_rows;

    if (!r->backend->gradients)
        return gqa_fail(GQA_ERR_UNSUPPORTED, "the %s backend cannot train",
                        r->backend->name);
    if (o->n_sequences == 0 || o->length == 0 ||
        (encodes && o->encoder_length == 0))
        return gqa_fail(GQA_ERR_USAGE,
                        "a tape needs room for a sequence and a token");
    if (!gqa_mul_u64(o->n_sequences, o->length, &rows) ||
        !gqa_mul_u64(o->n_sequences, o->encoder_length, &encoder_rows) ||
        gqa_max_u64(rows, encoder_rows) > MAX_ROWS)
        return gqa_fail(GQA_ERR_NOMEM,
                        "a batch of %llu x %llu tokens is more than any memory "
                        "holds",
                        ULL(o->n_sequences),
                        ULL(gqa_max_u64(o->length, o->encoder_length)));
    if (o->trained && r->network->unembedding.bias != GQA_NO_PARAM &&
        o->trained[r->network->unembedding.bias] &&
        r->network->logit_scale != 1)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "the bias of logits that are scaled cannot be trained");
    return check_network(r->network);
}

/* All but memory of the device. */
static enum gqa_status begin(struct gqa_tape **out, struct gqa_runtime *r,
                             const struct gqa_tape_options *o)
{
    const size_t n = r->network->model->n_params;
    struct gqa_tape *t = calloc(1, sizeof *t);
    enum gqa_use *uses;
    enum gqa_status st = GQA_OK;

    if (!t)
        return gqa_fail_nomem();
    t->runtime = r;
    t->trained = o->trained;
    t->n_stacks = r->network->n_stacks;
    t->room = (struct gqa_tape_sizes){o->n_sequences, o->length,
                                      t->n_stacks > 1 ? o->encoder_length : 0};
    t->gradients = calloc(n, sizeof *t->gradients);
    t->tables = calloc(n, sizeof *t->tables);
    uses = calloc(n, sizeof *uses);
    if (!t->gradients || !t->tables || !uses)
        st = gqa_fail_nomem();
    for (size_t i = 0; i < t->n_stacks && st == GQA_OK; i++)
        st = make_stack(t, i);
    if (st == GQA_OK && t->trained)
        gqa_tape_find_trained(t, uses);
    free(uses);
    if (st == GQA_OK)
        *out = t;
    else
        gqa_tape_free(t);
    return st;
}

/* Of tables on the host that are trained, gradients there. */
static enum gqa_status make_tables(struct gqa_tape *t)
{
    const struct gqa_model *model = t->runtime->network->model;

    for (size_t i = 0; t->trained && i < model->n_params; i++)
        if (t->trained[i] && t->runtime->tables[i] &&
            !(t->tables[i] = calloc((size_t)model->params[i].n_elements,
                                    sizeof **t->tables)))
            return gqa_fail_nomem();
    return GQA_OK;
}

enum gqa_status gqa_tape_bytes(const struct gqa_runtime *runtime,
                               const struct gqa_tape_options *options,
                               uint64_t *least, uint64_t *most)
{
    /* Only read. */
    struct gqa_runtime *r = (struct gqa_runtime *)(uintptr_t)runtime;
    struct gqa_tape *t = NULL;
    uint64_t n_bytes;
    enum gqa_status st;

    *least = *most = UINT64_MAX;
    if ((st = check_network(r->network)) != GQA_OK)
        return st;
    if (check_options(r, options) != GQA_OK)
        return GQA_OK;
    if ((st = begin(&t, r, options)) != GQA_OK)
        return st;
    st = gqa_tape_take_memory(t, 0, true, &n_bytes);
    if (st == GQA_OK) {
        *least = n_bytes;
        *most = n_bytes + gqa_tape_rooms_bytes(t);
    }
    gqa_tape_free(t);
    return st;
}

enum gqa_status gqa_tape_create(struct gqa_tape **out,
                                struct gqa_runtime *runtime,
                                const struct gqa_tape_options *options)
{
    struct gqa_tape *t = NULL;
    uint64_t n_bytes;
    enum gqa_status st = check_options(runtime, options);

    if (st == GQA_OK)
        st = begin(&t, runtime, options);
    if (st != GQA_OK)
        return st;
    st = gqa_tape_take_memory(t, options->keep_bytes, true, &n_bytes);
    if (st == GQA_OK)
        st = gqa_runtime_check_room(
            runtime, t->trained ? "going back takes" : "going forth takes",
            n_bytes);
    if (st == GQA_OK)
        st = gqa_tape_take_memory(t, options->keep_bytes, false, &n_bytes);
    if (st == GQA_OK)
        st = make_tables(t);
    if (st == GQA_OK && t->trained)
        st = gqa_tape_zero(t);
    if (st == GQA_OK)
        *out = t;
    else
        gqa_tape_free(t);
    return st;
}

/* Neighbours may share one. */
static void free_biases(const struct gqa_tape *t, void **bias, size_t n)
{
    for (size_t j = 0; bias && j < n; j++)
        if (bias[j] && (j == 0 || bias[j] != bias[j - 1]))
            t->runtime->backend->free(t->runtime->device, bias[j]);
    free(bias);
}

void gqa_tape_free(struct gqa_tape *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n_owned; i++)
        t->runtime->backend->free(t->runtime->device, t->owned[i]);
    gqa_position_free(t->runtime, &t->angles);
    for (size_t i = 0; i < t->n_stacks; i++) {
        struct gqa_tape_stack *s = &t->stacks[i];

        if (!s->network) /* memory was short before it was made */
            continue;
        free_biases(t, s->bias, s->network->n_blocks);
        free_biases(t, s->summary_bias, s->network->n_blocks);
        free(s->x);
        free(s->rooms);
        free(s->kept);
        free(s->d_bias);
        free(s->d_summary_bias);
        free(s->n_summaries);
        free(s->below);
        free(s->block);
        free(s->self_attention);
        free(s->cross_attention);
        free(s->tokens);
        free(s->n_tokens);
        free(s->starts);
    }
    for (size_t i = 0; t->tables && i < t->runtime->network->model->n_params;
         i++)
        free(t->tables[i]);
    free(t->tables);
    free(t->gradients);
    free(t->owned);
    free(t);
}

/* --- Gradients ------------------------------------------------------------ */

void *gqa_tape_gradient(const struct gqa_tape *t, size_t param)
{
    return gqa_tape_gradient_of(t, param);
}

enum gqa_status gqa_tape_zero(struct gqa_tape *t)
{
    const struct gqa_runtime *r = t->runtime;
    const struct gqa_model *model = r->network->model;

    for (size_t i = 0; i < model->n_params; i++)
        if (t->tables[i])
            memset(t->tables[i], 0,
                   (size_t)model->params[i].n_elements * sizeof **t->tables);
    return r->backend->zero(r->device, t->all_gradients,
                            t->n_gradients * gqa_dtype_bits(r->wide) / 8);
}
