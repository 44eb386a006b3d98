/* Tokens to the residual stream. */
#include "runtime/block.h"

/* Rows of positions, from the one of position 0 on. */
static const struct gqa_weight *positions_of(
    const struct gqa_runtime *r, const struct gqa_network_stack *stack,
    struct gqa_weight *room)
{
    const struct gqa_weight *w = gqa_runtime_weight(r, stack->positions);

    if (!w)
        return NULL;
    *room = *w;
    room->rows -= stack->position_offset;
    room->data = (const char *)w->data + stack->position_offset * w->cols *
                                             gqa_dtype_bits(w->dtype) / 8;
    return room;
}

enum gqa_status gqa_block_embed(const struct gqa_pass *pass)
{
    const struct gqa_runtime *r = pass->session->runtime;
    const struct gqa_network_stack *stack = pass->stack;
    void *x = pass->session->work.x;
    struct gqa_weight positions;
    const void *ignored;
    const enum gqa_status st = r->backend->embed(
        r->device, x, gqa_runtime_weight(r, stack->embedding),
        stack->embedding_scale, positions_of(r, stack, &positions));

    return st == GQA_OK
               ? gqa_block_norm(pass, &ignored, x, &stack->embedding_norm)
               : st;
}
