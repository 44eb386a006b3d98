/* A batch through all blocks, and back. */
#include "common/interrupt.h"
#include "common/ull.h"
#include "runtime/back/state.h"
#include "runtime/parts.h"

static struct gqa_tape_stack *decoder_of(struct gqa_tape *t)
{
    return &t->stacks[t->n_stacks - 1];
}

/* --- Forth ---------------------------------------------------------------- */

static enum gqa_status run_block(const struct gqa_tape *t,
                                 const struct gqa_tape_stack *s, size_t i,
                                 bool again)
{
    enum gqa_status st = GQA_OK;

    if (gqa_interrupt_pending())
        return gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
    if (s->network->blocks[i].has_cross)
        st = gqa_tape_run_keys(t, i);
    return st == GQA_OK ? gqa_tape_run_block(t, s, i, again) : st;
}

static enum gqa_status run_stack(const struct gqa_tape *t,
                                 const struct gqa_tape_stack *s)
{
    const size_t n = s->network->n_blocks;
    enum gqa_status st = gqa_tape_set_batch(t, s);

    if (st == GQA_OK)
        st = gqa_tape_embed(t, s);
    for (size_t i = 0; i < n && st == GQA_OK; i++)
        st = run_block(t, s, i, false);
    return st == GQA_OK && s->network->final_norm.kind != GQA_NORM_NONE
               ? gqa_part_norm(t->runtime, s->normed, s->x[n], s->n_rows,
                               &s->network->final_norm, false)
               : st;
}

/* Gradients of what the stacks make begin as 0. */
static enum gqa_status clear_streams(struct gqa_tape *t)
{
    const struct gqa_runtime *r = t->runtime;
    const struct gqa_tape_stack *decoder = decoder_of(t);
    const struct gqa_tape_stack *encoder = &t->stacks[0];
    const uint64_t real = gqa_dtype_bits(r->real) / 8;
    enum gqa_status st = r->backend->zero(
        r->device, t->d_normed,
        decoder->n_rows * gqa_tape_row_width(t, decoder) * real);

    return st == GQA_OK && t->d_memory
               ? r->backend->zero(r->device, t->d_memory,
                                  encoder->n_rows *
                                      gqa_tape_row_width(t, encoder) * real)
               : st;
}

enum gqa_status gqa_tape_forward(struct gqa_tape *t,
                                 const struct gqa_tape_batch *batch)
{
    enum gqa_status st;

    t->forward_done = false;
    if ((st = gqa_tape_take_batch(t, batch)) != GQA_OK ||
        (st = gqa_tape_make_tables(t)) != GQA_OK)
        return st;
    for (size_t i = 0; i < t->n_stacks && st == GQA_OK; i++)
        st = run_stack(t, &t->stacks[i]);
    if (st == GQA_OK && t->trained)
        st = clear_streams(t);
    t->forward_done = st == GQA_OK;
    return st;
}

uint64_t gqa_tape_n_rows(const struct gqa_tape *t)
{
    return t->sizes.n_sequences * t->sizes.length;
}

static enum gqa_status check_rows(const struct gqa_tape *t, uint64_t row,
                                  uint64_t n)
{
    if (!t->forward_done)
        return gqa_fail(GQA_ERR_USAGE, "the tape has run no batch");
    if (n > gqa_tape_n_rows(t) || row > gqa_tape_n_rows(t) - n)
        return gqa_fail(GQA_ERR_USAGE, "rows %llu to %llu are not of the %llu",
                        ULL(row), ULL(row + n), ULL(gqa_tape_n_rows(t)));
    return GQA_OK;
}

static char *row_of(const struct gqa_tape *t, void *x, uint64_t row)
{
    const struct gqa_runtime *r = t->runtime;

    return (char *)x + row * r->network->d_model * gqa_dtype_bits(r->real) / 8;
}

enum gqa_status gqa_tape_logits(struct gqa_tape *t, uint64_t row, uint64_t n,
                                void *logits)
{
    const enum gqa_status st = check_rows(t, row, n);

    return st == GQA_OK
               ? gqa_part_unembed(t->runtime, logits,
                                  row_of(t, decoder_of(t)->normed, row), n,
                                  t->scratch.normed)
               : st;
}

/* --- Back ----------------------------------------------------------------- */

/* Through what makes rows of another width for the logits; they are made
 * again. */
static enum gqa_status narrowed_back(const struct gqa_tape *t, void *dx,
                                     const void *x, uint64_t n,
                                     const void *d_logits)
{
    const struct gqa_network *net = t->runtime->network;
    void *narrow = t->scratch.normed, *d_narrow = t->scratch.output;
    const bool further = dx || gqa_tape_gradient_of(t, net->narrowed.weight);
    enum gqa_status st =
        gqa_part_linear(t->runtime, narrow, x, n, &net->narrowed, NULL);

    if (st == GQA_OK)
        st = gqa_tape_linear_back(t, further ? d_narrow : NULL, narrow,
                                  d_logits, n, &net->unembedding, false);
    return st == GQA_OK && further ? gqa_tape_linear_back(t, dx, x, d_narrow, n,
                                                          &net->narrowed, false)
                                   : st;
}

/* The same of what makes other rows of the same width; what the norm is given
 * is made twice, so that it takes no room beside that of its output. */
static enum gqa_status transform_back(const struct gqa_tape *t, void *dx,
                                      const void *x, uint64_t n,
                                      const void *d_logits)
{
    const struct gqa_runtime *r = t->runtime;
    const struct gqa_network *net = r->network;
    void *made = t->scratch.normed, *plain = t->scratch.hidden;
    void *d = t->scratch.output;
    const struct gqa_part_hidden part = gqa_part_transform(net, made, plain);
    enum gqa_status st = gqa_part_hidden(r, &part, x, n);

    if (st == GQA_OK)
        st = gqa_part_norm(r, made, made, n, &net->transform_norm, false);
    if (st == GQA_OK)
        st = gqa_tape_linear_back(t, d, made, d_logits, n, &net->unembedding,
                                  false);
    if (st == GQA_OK)
        st = gqa_part_hidden(r, &part, x, n);
    if (st == GQA_OK)
        st = gqa_tape_norm_back(t, d, made, d, n, &net->transform_norm, false);
    if (st == GQA_OK)
        st = r->backend->gradients->activate(r->device, d, NULL, net->d_model,
                                             plain, NULL, d, n, net->d_model,
                                             net->transform_activation);
    return st == GQA_OK
               ? gqa_tape_linear_back(t, dx, x, d, n, &net->transform, false)
               : st;
}

enum gqa_status gqa_tape_logits_back(struct gqa_tape *t, uint64_t row,
                                     uint64_t n, const void *d_logits)
{
    const struct gqa_network *net = t->runtime->network;
    const enum gqa_status st = check_rows(t, row, n);
    void *dx;
    const void *x;

    if (st != GQA_OK)
        return st;
    if (!t->trained)
        return gqa_fail(GQA_ERR_USAGE, "the tape cannot go back");
    dx = decoder_of(t)->any ? row_of(t, t->d_normed, row) : NULL;
    x = row_of(t, decoder_of(t)->normed, row);
    if (net->transforms)
        return transform_back(t, dx, x, n, d_logits);
    return net->logit_width ? narrowed_back(t, dx, x, n, d_logits)
                            : gqa_tape_linear_back(t, dx, x, d_logits, n,
                                                   &net->unembedding, false);
}

/* dy: of the stack's final norm's output. *held: the block that was run last,
 * in the shared room. */
static enum gqa_status stack_back(const struct gqa_tape *t,
                                  const struct gqa_tape_stack *s,
                                  const void *dy, bool *held)
{
    const size_t n = s->network->n_blocks;
    enum gqa_status st = gqa_tape_set_batch(t, s);

    if (st == GQA_OK)
        st = gqa_tape_norm_back(t, t->d_x, s->x[n], dy, s->n_rows,
                                &s->network->final_norm, false);
    for (size_t i = n; i-- > 0 && st == GQA_OK;) {
        /* All that is asked is above it. */
        if (!s->below[i] && !s->block[i])
            return GQA_OK;
        if (!s->kept[i] && !*held)
            st = run_block(t, s, i, true);
        *held = false;
        if (st == GQA_OK && gqa_interrupt_pending())
            st = gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
        if (st == GQA_OK)
            st = gqa_tape_block_back(t, s, i);
    }
    return st == GQA_OK && s->embedding ? gqa_tape_embed_back(t, s) : st;
}

enum gqa_status gqa_tape_back(struct gqa_tape *t)
{
    const struct gqa_tape_stack *decoder = decoder_of(t);
    bool held = true;
    enum gqa_status st = check_rows(t, 0, 0);

    if (st != GQA_OK)
        return st;
    if (!t->trained)
        return gqa_fail(GQA_ERR_USAGE, "the tape cannot go back");
    t->forward_done = false;
    st = gqa_tape_table_gradients(t, false);
    if (st == GQA_OK && decoder->any)
        st = stack_back(t, decoder, t->d_normed, &held);
    if (st == GQA_OK && t->n_stacks > 1 && t->stacks[0].any)
        st = stack_back(t, &t->stacks[0], t->d_memory, &held);
    return st == GQA_OK ? gqa_tape_table_gradients(t, true) : st;
}
