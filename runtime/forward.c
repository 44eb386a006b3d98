/* The token-major order: tokens of a step through all blocks. */
#include "common/interrupt.h"
#include "runtime/block.h"

enum gqa_status gqa_forward(const struct gqa_pass *pass)
{
    const struct gqa_runtime *r = pass->session->runtime;
    const enum gqa_status st = r->backend->set_batch(r->device, &pass->batch);

    return st == GQA_OK ? gqa_forward_batch(pass) : st;
}

enum gqa_status gqa_forward_batch(const struct gqa_pass *pass)
{
    const struct gqa_network_stack *stack = pass->stack;
    enum gqa_status st;

    if ((st = gqa_block_embed(pass)) != GQA_OK)
        return st;
    for (size_t i = 0; i < stack->n_blocks; i++) {
        if (gqa_interrupt_pending())
            return gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
        if ((st = gqa_block_run(pass, &stack->blocks[i], i)) != GQA_OK ||
            (st = gqa_emit_residual(pass, i)) != GQA_OK)
            return st;
    }
    return GQA_OK;
}

enum gqa_status gqa_forward_cross(const struct gqa_pass *pass)
{
    struct gqa_session *s = pass->session;
    const struct gqa_network *n = s->runtime->network;
    const struct gqa_network_stack *decoder = &n->stacks[n->n_stacks - 1];
    const void *memory;
    enum gqa_status st =
        gqa_block_norm(pass, &memory, s->work.normed, &pass->stack->final_norm);

    for (size_t i = 0; i < decoder->n_blocks && st == GQA_OK; i++)
        st = gqa_block_keys(pass, memory, &decoder->blocks[i].cross, i);
    return st;
}
