/* What the host makes of tables for a tape's run, and what comes of them on the
 * way back. */
#include <math.h>
#include <stdlib.h>

#include "common/bounds.h"
#include "formats/model/rope.h"
#include "runtime/back/state.h"
#include "runtime/position_tables.h"
#include "runtime/relative_bias.h"
#include "runtime/summaries.h"
#include "runtime/values.h"

static enum gqa_status make_summary_bias(const struct gqa_tape *t,
                                         const struct gqa_tape_stack *s,
                                         size_t j)
{
    const struct gqa_attention_block *a = &s->network->blocks[j].self;

    if (a->summaries.size == 0)
        return GQA_OK;
    if (j > 0 &&
        gqa_position_same_summary_bias(a, &s->network->blocks[j - 1].self)) {
        s->summary_bias[j] = s->summary_bias[j - 1];
        return GQA_OK;
    }
    return gqa_position_summary_bias(
        t->runtime, &s->summary_bias[j], a,
        gqa_summaries_reach(
            &a->summaries, gqa_tape_stack_length(&t->room, s->network->stack)));
}

/* Once, but for tables, which may have been trained. */
static enum gqa_status make_biases(struct gqa_tape *t)
{
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < t->n_stacks; i++) {
        struct gqa_tape_stack *s = &t->stacks[i];
        const struct gqa_block *blocks = s->network->blocks;

        for (size_t j = 0; j < s->network->n_blocks && st == GQA_OK; j++) {
            const struct gqa_attention_block *a = &blocks[j].self;

            if ((st = make_summary_bias(t, s, j)) != GQA_OK)
                break;
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

/* Biases by distance, or what they are to blame for, in device memory. */
struct biases {
    void *d; /* wide [n_heads, 2 * reach - 1] */
    const struct gqa_relative_bias *of;
    uint64_t n_heads, reach;
};

/* They are summed into their table's buckets, on the host. */
static enum gqa_status add_table(struct gqa_tape *t, const struct biases *b)
{
    const struct gqa_runtime *r = t->runtime;
    const uint64_t n_heads = b->n_heads, reach = b->reach;
    const uint64_t width = 2 * reach - 1;
    double *table = t->tables[b->of->table];
    double *values = malloc((size_t)(n_heads * width) * sizeof *values);
    enum gqa_status st;

    if (!values)
        return gqa_fail_nomem();
    st = gqa_values_download(r->backend, r->device, values, b->d, r->wide,
                             n_heads * width);
    for (uint64_t h = 0; h < n_heads && st == GQA_OK; h++)
        for (uint64_t j = 0; j < width; j++)
            table[gqa_relative_bucket(b->of, (int64_t)j - (int64_t)reach + 1) *
                      n_heads +
                  h] += values[h * width + j];
    free(values);
    return st == GQA_OK ? send_table(t, b->of->table) : st;
}

/* They begin with 0, or end in their table. */
static enum gqa_status begin_or_end(struct gqa_tape *t, const struct biases *b,
                                    bool end)
{
    const struct gqa_runtime *r = t->runtime;

    return end ? add_table(t, b)
               : r->backend->zero(r->device, b->d,
                                  b->n_heads * (2 * b->reach - 1) *
                                      gqa_dtype_bits(r->wide) / 8);
}

/* Of each bias by distance, once. */
static enum gqa_status stack_biases(struct gqa_tape *t,
                                    const struct gqa_tape_stack *s, bool end)
{
    const uint64_t length = gqa_tape_stack_length(&t->room, s->network->stack);
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < s->network->n_blocks && st == GQA_OK; i++) {
        const struct gqa_attention_block *a = &s->network->blocks[i].self;
        struct biases b = {s->d_bias[i], &a->bias, a->heads->n_heads, length};

        if (b.d && !(i > 0 && b.d == s->d_bias[i - 1]))
            st = begin_or_end(t, &b, end);
        b.d = s->d_summary_bias[i];
        if (st != GQA_OK || !b.d || (i > 0 && b.d == s->d_summary_bias[i - 1]))
            continue;
        b.of = &a->summaries.bias;
        b.reach = gqa_summaries_reach(&a->summaries, length);
        st = begin_or_end(t, &b, end);
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
