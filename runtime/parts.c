#include "runtime/parts.h"

#include <math.h>

struct gqa_head_place gqa_part_place(const struct gqa_slice *slice)
{
    return (struct gqa_head_place){slice->n_heads, slice->base,
                                   slice->per_block, slice->block_stride};
}

const struct gqa_weight *gqa_part_positions(
    const struct gqa_runtime *r, const struct gqa_network_stack *stack,
    struct gqa_weight *room)
{
    const struct gqa_weight *w = stack->sinusoids
                                     ? &r->sinusoids[stack - r->network->stacks]
                                     : gqa_runtime_weight(r, stack->positions);

    if (!w)
        return NULL;
    *room = *w;
    room->rows -= stack->position_offset;
    room->data = (const char *)w->data + stack->position_offset * w->cols *
                                             gqa_dtype_bits(w->dtype) / 8;
    return room;
}

/* Rows of another width, and what makes the stream of them. */
static enum gqa_status embed_widened(const struct gqa_runtime *r,
                                     const struct gqa_network_stack *stack,
                                     void *x, uint64_t n_rows, void *room,
                                     const struct gqa_weight *positions)
{
    enum gqa_status st = r->backend->embed(
        r->device, room, gqa_runtime_weight(r, stack->embedding),
        stack->embedding_scale, NULL);

    if (st == GQA_OK)
        st = gqa_part_linear(r, x, room, n_rows, &stack->widened, NULL);
    if (st == GQA_OK && positions)
        st = r->backend->embed(r->device, room, NULL, 1, positions);
    return st == GQA_OK && positions
               ? r->backend->add_rows(r->device, x, room, r->network->d_model,
                                      NULL, NULL, 1, n_rows)
               : st;
}

static enum gqa_status embed_plain(const struct gqa_runtime *r,
                                   const struct gqa_network_stack *stack,
                                   void *x, const struct gqa_weight *table)
{
    struct gqa_weight positions;

    return r->backend->embed(
        r->device, x, table, stack->embedding_scale,
        stack->norm_first ? NULL : gqa_part_positions(r, stack, &positions));
}

static enum gqa_status embed_tokens(const struct gqa_runtime *r,
                                    const struct gqa_network_stack *stack,
                                    void *x, uint64_t n_rows, void *room)
{
    struct gqa_weight positions;

    return stack->embedding_width && !stack->widened_behind
               ? embed_widened(r, stack, x, n_rows, room,
                               gqa_part_positions(r, stack, &positions))
               : embed_plain(r, stack, x,
                             gqa_runtime_weight(r, stack->embedding));
}

/* Of the rows that are summed. */
static uint64_t summed_width(const struct gqa_runtime *r,
                             const struct gqa_network_stack *stack)
{
    return stack->widened_behind ? stack->embedding_width : r->network->d_model;
}

static enum gqa_status norm_embedded(const struct gqa_runtime *r,
                                     const struct gqa_network_stack *stack,
                                     void *x, uint64_t n_rows)
{
    const struct gqa_norm_op op = gqa_runtime_norm(r, &stack->embedding_norm);

    return stack->embedding_norm.kind == GQA_NORM_NONE
               ? GQA_OK
               : r->backend->norm(r->device, x, x, n_rows,
                                  summed_width(r, stack), &op, false);
}

enum gqa_status gqa_part_embed_from(const struct gqa_runtime *r,
                                    const struct gqa_network_stack *stack,
                                    void *x, uint64_t n_rows,
                                    const struct gqa_weight *table)
{
    const enum gqa_status st = embed_plain(r, stack, x, table);

    return st == GQA_OK ? norm_embedded(r, stack, x, n_rows) : st;
}

struct gqa_part_hidden gqa_part_transform(const struct gqa_network *n,
                                          void *out, void *plain)
{
    static const struct gqa_linear none = {.weight = GQA_NO_PARAM,
                                           .bias = GQA_NO_PARAM};

    return (struct gqa_part_hidden){.gate = &none,
                                    .up = &n->transform,
                                    .activation = n->transform_activation,
                                    .out = out,
                                    .up_room = plain,
                                    .kept = plain != out};
}

/* What logits are made of, where that is not the final norm's output. */
static enum gqa_status transform(const struct gqa_runtime *r, void *out,
                                 const void *x, uint64_t n_rows)
{
    const struct gqa_network *n = r->network;
    const struct gqa_part_hidden part = gqa_part_transform(n, out, out);
    const enum gqa_status st = gqa_part_hidden(r, &part, x, n_rows);

    return st == GQA_OK
               ? gqa_part_norm(r, out, out, n_rows, &n->transform_norm, false)
               : st;
}

enum gqa_status gqa_part_unembed(const struct gqa_runtime *r, void *out,
                                 const void *x, uint64_t n_rows, void *room)
{
    const struct gqa_network *n = r->network;
    enum gqa_status st =
        n->logit_width ? gqa_part_linear(r, room, x, n_rows, &n->narrowed, NULL)
        : n->transforms ? transform(r, room, x, n_rows)
                        : GQA_OK;

    if (st == GQA_OK)
        st = r->backend->unembed(
            r->device, out, n->logit_width || n->transforms ? room : x, n_rows,
            gqa_runtime_weight(r, n->unembedding.weight),
            n->unembedding.input_major,
            gqa_runtime_weight(r, n->unembedding.bias), n->logit_scale);
    return st == GQA_OK && n->logit_soft_cap > 0
               ? r->backend->soft_cap(r->device, out, n_rows * n->vocab_size,
                                      n->logit_soft_cap)
               : st;
}

/* Add the tokens' rows of a further table, or of positions. */
static enum gqa_status add_embedded(const struct gqa_runtime *r, void *x,
                                    void *room, uint64_t n_rows, uint64_t width,
                                    const struct gqa_weight *table,
                                    double scale,
                                    const struct gqa_weight *positions)
{
    const enum gqa_status st =
        r->backend->embed(r->device, room, table, scale, positions);

    return st == GQA_OK ? r->backend->add_rows(r->device, x, room, width, NULL,
                                               NULL, 1, n_rows)
                        : st;
}

/* The row of a table's first place. */
static enum gqa_status add_place(const struct gqa_runtime *r, void *x,
                                 void *room, uint64_t n_rows, uint64_t width,
                                 size_t table)
{
    struct gqa_weight row = *gqa_runtime_weight(r, table);

    row.rows = 1;
    return add_embedded(r, x, room, n_rows, width, NULL, 1, &row);
}

enum gqa_status gqa_part_embed_sum(const struct gqa_runtime *r,
                                   const struct gqa_network_stack *stack,
                                   void *x, uint64_t n_rows, void *room)
{
    const uint64_t width = summed_width(r, stack);
    enum gqa_status st = embed_tokens(r, stack, x, n_rows, room);

    for (size_t i = 0; i < stack->n_codes && st == GQA_OK; i++)
        st = add_embedded(r, x, room, n_rows, width,
                          gqa_runtime_weight(r, stack->codes[i]),
                          stack->embedding_scale, NULL);
    for (size_t i = 0; i < stack->n_places && st == GQA_OK; i++)
        st = add_place(r, x, room, n_rows, width, stack->places[i]);
    return st;
}

enum gqa_status gqa_part_embed_whole(const struct gqa_runtime *r,
                                     const struct gqa_network_stack *stack,
                                     void *x, void *room, uint64_t n_rows)
{
    struct gqa_weight positions;
    /* What is widened at the end is summed where there is room for it. */
    void *const sum = stack->widened_behind ? room : x;
    void *const other = stack->widened_behind ? x : room;
    enum gqa_status st = gqa_part_embed_sum(r, stack, sum, n_rows, other);

    if (st == GQA_OK)
        st = norm_embedded(r, stack, sum, n_rows);
    if (st == GQA_OK && stack->norm_first)
        st = add_embedded(r, x, room, n_rows, r->network->d_model, NULL, 1,
                          gqa_part_positions(r, stack, &positions));
    return st == GQA_OK && stack->widened_behind
               ? gqa_part_linear(r, x, room, n_rows, &stack->widened, NULL)
               : st;
}

enum gqa_status gqa_part_norm(const struct gqa_runtime *r, void *out,
                              const void *x, uint64_t n_rows,
                              const struct gqa_norm *norm, bool accumulate)
{
    const struct gqa_norm_op op = gqa_runtime_norm(r, norm);

    return r->backend->norm(r->device, out, x, n_rows, r->network->d_model, &op,
                            accumulate);
}

enum gqa_status gqa_part_linear(const struct gqa_runtime *r, void *out,
                                const void *x, uint64_t n_rows,
                                const struct gqa_linear *l, const void *added)
{
    struct gqa_weight matrix, bias;

    return r->backend->linear(r->device, out, x, n_rows,
                              gqa_runtime_matrix(r, l, &matrix), l->input_major,
                              gqa_runtime_bias(r, l, &bias), added);
}

/* At once, where the device can; else *done is false. */
static enum gqa_status make_gated(const struct gqa_runtime *r, bool *done,
                                  const struct gqa_part_hidden *h,
                                  const void *x, uint64_t n_rows)
{
    struct gqa_weight gate, up;

    *done = false;
    if (!r->backend->gated || h->gate->input_major || h->up->input_major ||
        h->gate->bias != GQA_NO_PARAM || h->up->bias != GQA_NO_PARAM)
        return GQA_OK;
    return r->backend->gated(r->device, done, h->out,
                             h->kept ? h->gate_room : NULL,
                             h->kept ? h->up_room : NULL, x, n_rows,
                             gqa_runtime_matrix(r, h->gate, &gate),
                             gqa_runtime_matrix(r, h->up, &up), h->activation);
}

enum gqa_status gqa_part_hidden(const struct gqa_runtime *r,
                                const struct gqa_part_hidden *h, const void *x,
                                uint64_t n_rows)
{
    const bool gated = h->gate->weight != GQA_NO_PARAM;
    enum gqa_status st = GQA_OK;
    bool done = false;

    if (h->pairs) {
        st = gqa_part_linear(r, h->up_room, x, n_rows, h->up, NULL);
        return st == GQA_OK
                   ? r->backend->swiglu_pairs(
                         r->device, h->out, h->up_room,
                         n_rows * gqa_runtime_outputs(r, h->up) / 2, h->pairs)
                   : st;
    }
    if (gated)
        st = make_gated(r, &done, h, x, n_rows);
    if (st != GQA_OK || done)
        return st;
    st = gqa_part_linear(r, h->up_room, x, n_rows, h->up, NULL);
    if (st == GQA_OK && gated)
        st = gqa_part_linear(r, h->gate_room, x, n_rows, h->gate, NULL);
    return st == GQA_OK
               ? r->backend->activate(
                     r->device, h->out, gated ? h->gate_room : h->up_room,
                     gated ? h->up_room : NULL,
                     n_rows * gqa_runtime_outputs(r, h->up), h->activation)
               : st;
}

struct gqa_head_place gqa_part_normed(uint64_t *width,
                                      const struct gqa_attention *heads,
                                      const struct gqa_head_place *place)
{
    *width = heads->head_dim;
    if (!heads->full_norms)
        return *place;
    *width *= place->n_heads;
    return (struct gqa_head_place){1, place->base, 1, *width};
}

enum gqa_status gqa_part_norm_heads(const struct gqa_runtime *r,
                                    const struct gqa_attention_block *a,
                                    const struct gqa_heads *heads,
                                    const struct gqa_norm *norm)
{
    const struct gqa_norm_op op = gqa_runtime_norm(r, norm);
    struct gqa_head_place normed;
    uint64_t width;

    if (norm->kind == GQA_NORM_NONE)
        return GQA_OK;
    normed = gqa_part_normed(&width, a->heads, &heads->place);
    return r->backend->norm_heads(r->device, heads->x, heads->width, &normed,
                                  width, &op);
}

enum gqa_status gqa_part_rotate(const struct gqa_runtime *r,
                                const struct gqa_attention_block *a,
                                const struct gqa_heads *heads,
                                const struct gqa_angles *angles)
{
    struct gqa_head_place place = heads->place;

    if (!a->rope)
        return GQA_OK;
    place.base += a->rope->first;
    return r->backend->rotate(r->device, heads->x, heads->width, &place,
                              a->heads->head_dim, a->rope->n_pairs,
                              a->rope->interleaved,
                              gqa_angles_of(angles, r->network, a->rope));
}

const struct gqa_clamped_swiglu *gqa_part_pairs(
    const struct gqa_feed_forward *ff)
{
    return ff->has_pairs ? &ff->pairs : NULL;
}

static double softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

struct gqa_xielu gqa_part_xielu_constants(const struct gqa_runtime *r,
                                          const struct gqa_feed_forward *ff)
{
    const double beta = r->tables[ff->xielu[2]][0];

    return (struct gqa_xielu){
        .positive = softplus(r->tables[ff->xielu[0]][0]),
        .negative = beta + softplus(r->tables[ff->xielu[1]][0]),
        .beta = beta,
        .eps = r->tables[ff->xielu[3]][0],
    };
}

enum gqa_status gqa_part_xielu(const struct gqa_runtime *r, void *x, uint64_t n,
                               const struct gqa_feed_forward *ff)
{
    const struct gqa_xielu constants = gqa_part_xielu_constants(r, ff);

    return r->backend->xielu(r->device, x, n, &constants);
}

struct gqa_attention_op gqa_part_attention(const struct gqa_attention_block *a,
                                           const struct gqa_heads *q)
{
    return (struct gqa_attention_op){
        .q = q->x,
        .q_width = q->width,
        .q_place = q->place,
        .n_kv_heads = a->heads->n_kv_heads,
        .head_dim = a->heads->head_dim,
        .scale = a->scale,
        .soft_cap = a->soft_cap,
        .causal = a->causal,
        .window = a->window,
    };
}

enum gqa_status gqa_part_sink(const struct gqa_runtime *r,
                              const struct gqa_attention_block *a,
                              const struct gqa_attention_op *op)
{
    return a->sinks == GQA_NO_PARAM
               ? GQA_OK
               : r->backend->sink(r->device, op->out, op->lse,
                                  gqa_runtime_weight(r, a->sinks),
                                  op->q_place.n_heads, op->head_dim);
}
