/* What the host makes of tables for a tape's run, and what comes of them on the
 * way back. */
#include <math.h>
#include <stdlib.h>

#include "common/bounds.h"
#include "formats/model/rope.h"
#include "runtime/back/state.h"
#include "runtime/position_tables.h"
#include "runtime/relative_bias.h"
#include "runtime/values.h"

/* Once, but for tables, which may have been trained. */
static enum gqa_status make_biases(struct gqa_tape *t)
{
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < t->n_stacks; i++) {
        struct gqa_tape_stack *s = &t->stacks[i];
        const struct gqa_block *blocks = s->network->blocks;

        for (size_t j = 0; j < s->network->n_blocks && st == GQA_OK; j++) {
            const struct gqa_attention_block *a = &blocks[j].self;

            if (!gqa_position_has_bias(a) || (a->slopes && s->bias[j]))
                continue;
            if (j > 0 && gqa_position_same_bias(a, &blocks[j - 1].self))
                s->bias[j] = s->bias[j - 1];
            else
                st = gqa_position_bias(
                    t->runtime, &s->bias[j], a,
                    gqa_tape_stack_length(&t->room, s->network->stack));
        }
    }
    return st;
}

enum gqa_status gqa_tape_make_tables(struct gqa_tape *t)
{
    const enum gqa_status st = gqa_position_turn(
        t->runtime, &t->angles,
        gqa_max_u64(t->room.length, t->room.encoder_length), t->sizes.length);

    return st == GQA_OK ? make_biases(t) : st;
}

/* --- Back ----------------------------------------------------------------- */

/* A table's gradient, from the host. */
static enum gqa_status send_table(const struct gqa_tape *t, size_t param)
{
    const struct gqa_runtime *r = t->runtime;

    return gqa_values_upload(r->backend, r->device, t->gradients[param],
                             r->wide, t->tables[param],
                             r->network->model->params[param].n_elements);
}

/* Biases by distance are summed into their table's buckets, on the host. */
static enum gqa_status add_table(struct gqa_tape *t,
                                 const struct gqa_tape_stack *s, size_t i)
{
    const struct gqa_runtime *r = t->runtime;
    const struct gqa_attention_block *a = &s->network->blocks[i].self;
    const uint64_t n_heads = a->heads->n_heads;
    const uint64_t reach = gqa_tape_stack_length(&t->room, s->network->stack);
    const uint64_t width = 2 * reach - 1;
    double *table = t->tables[a->bias.table];
    double *values = malloc((size_t)(n_heads * width) * sizeof *values);
    enum gqa_status st;

    if (!values)
        return gqa_fail_nomem();
    st = gqa_values_download(r->backend, r->device, values, s->d_bias[i],
                             r->wide, n_heads * width);
    for (uint64_t h = 0; h < n_heads && st == GQA_OK; h++)
        for (uint64_t j = 0; j < width; j++)
            table[gqa_relative_bucket(&a->bias,
                                      (int64_t)j - (int64_t)reach + 1) *
                      n_heads +
                  h] += values[h * width + j];
    free(values);
    return st == GQA_OK ? send_table(t, a->bias.table) : st;
}

/* Of each bias by distance, once: begin with 0, or end in its table. */
static enum gqa_status stack_biases(struct gqa_tape *t,
                                    const struct gqa_tape_stack *s, bool end)
{
    const struct gqa_runtime *r = t->runtime;
    const uint64_t width =
        2 * gqa_tape_stack_length(&t->room, s->network->stack) - 1;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < s->network->n_blocks && st == GQA_OK; i++) {
        const struct gqa_attention *a = s->network->blocks[i].self.heads;

        if (!s->d_bias[i] || (i > 0 && s->d_bias[i] == s->d_bias[i - 1]))
            continue;
        st = end ? add_table(t, s, i)
                 : r->backend->zero(r->device, s->d_bias[i],
                                    a->n_heads * width *
                                        gqa_dtype_bits(r->wide) / 8);
    }
    return st;
}

/* Of a constant, which is a softplus of its parameter, or that and more. */
static enum gqa_status add_constant(struct gqa_tape *t, size_t param, double d)
{
    if (!t->tables[param])
        return GQA_OK;
    t->tables[param][0] += d / (1 + exp(-t->runtime->tables[param][0]));
    return send_table(t, param);
}

static enum gqa_status add_constants(struct gqa_tape *t,
                                     const struct gqa_tape_stack *s)
{
    const struct gqa_runtime *r = t->runtime;
    const size_t n = s->network->n_blocks;
    double *sums = calloc(2 * n + 1, sizeof *sums);
    enum gqa_status st = sums ? gqa_values_download(r->backend, r->device, sums,
                                                    s->d_xielu, GQA_F64, 2 * n)
                              : gqa_fail_nomem();

    for (size_t i = 0; i < 2 * n && st == GQA_OK; i++) {
        const struct gqa_feed_forward *ff = &s->network->blocks[i / 2].ff;

        if (ff->has_xielu)
            st = add_constant(t, ff->xielu[i % 2], sums[i]);
    }
    free(sums);
    return st;
}

static enum gqa_status stack_constants(struct gqa_tape *t,
                                       const struct gqa_tape_stack *s, bool end)
{
    const struct gqa_runtime *r = t->runtime;

    if (!s->d_xielu)
        return GQA_OK;
    return end ? add_constants(t, s)
               : r->backend->zero(r->device, s->d_xielu,
                                  s->network->n_blocks * 2 * sizeof(double));
}

enum gqa_status gqa_tape_table_gradients(struct gqa_tape *t, bool end)
{
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < t->n_stacks && st == GQA_OK; i++) {
        st = stack_biases(t, &t->stacks[i], end);
        if (st == GQA_OK)
            st = stack_constants(t, &t->stacks[i], end);
    }
    return st;
}
