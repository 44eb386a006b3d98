/* Memory of the device that a tape takes, or would. */
#include <stdlib.h>

#include "common/bounds.h"
#include "runtime/back/state.h"
#include "runtime/joint.h"
#include "runtime/position_tables.h"
#include "runtime/summaries.h"

/* Of the device, for a tape; or only counted. */
struct allotment {
    struct gqa_tape *tape;
    bool counts;
    uint64_t n_bytes;
};

static enum gqa_status take_bytes(struct allotment *a, void **out,
                                  uint64_t n_bytes)
{
    struct gqa_tape *t = a->tape;
    enum gqa_status st;
    void **owned;

    a->n_bytes += n_bytes;
    if (a->counts)
        return GQA_OK;
    owned = realloc(t->owned, (t->n_owned + 1) * sizeof *owned);
    if (!owned)
        return gqa_fail_nomem();
    t->owned = owned;
    st = t->runtime->backend->alloc(t->runtime->device, out, n_bytes);
    if (st == GQA_OK)
        t->owned[t->n_owned++] = *out;
    return st;
}

static enum gqa_status take(struct allotment *a, void **out,
                            enum gqa_dtype dtype, uint64_t rows, uint64_t width)
{
    return take_bytes(a, out, rows * width * gqa_dtype_bits(dtype) / 8);
}

static enum gqa_status take_streams(struct allotment *a)
{
    struct gqa_tape *t = a->tape;
    const struct gqa_runtime *r = t->runtime;
    const uint64_t d = r->network->d_model;
    uint64_t most = 0;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < t->n_stacks && st == GQA_OK; i++) {
        struct gqa_tape_stack *s = &t->stacks[i];
        const uint64_t rows = gqa_tape_stack_rows(&t->room, s->network->stack);
        /* All alike, so that streams of both may be kept together. */
        const uint64_t width = gqa_network_row_width(r->network);

        most = gqa_max_u64(most, rows);
        for (size_t j = 0; j <= s->network->n_blocks && st == GQA_OK; j++)
            if (j > 0 && !t->trained)
                s->x[j] = s->x[0];
            else
                st = take(a, &s->x[j], r->real, rows, width);
        s->normed = s->x[s->network->n_blocks];
        if (st == GQA_OK && s->network->final_norm.kind != GQA_NORM_NONE)
            st = take(a, &s->normed, r->real, rows, width);
        if (st == GQA_OK && t->trained && i == 0 && t->n_stacks > 1 && s->any)
            st = take(a, &t->d_memory, r->real, rows, gqa_tape_row_width(t, s));
    }
    if (st == GQA_OK && t->trained)
        st = take(a, &t->d_x, r->real, most, d);
    return st == GQA_OK && t->trained
               ? take(a, &t->d_normed, r->real,
                      gqa_tape_stack_rows(&t->room, GQA_STACK_DECODER), d)
               : st;
}

/* Gradients of biases by distance, one for blocks that share a bias. */
static enum gqa_status take_bias_gradients(struct allotment *a)
{
    struct gqa_tape *t = a->tape;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < t->n_stacks; i++) {
        struct gqa_tape_stack *s = &t->stacks[i];
        const uint64_t reach =
            gqa_tape_stack_length(&t->room, s->network->stack);

        for (size_t j = 0; j < s->network->n_blocks && st == GQA_OK; j++) {
            const struct gqa_attention_block *b = &s->network->blocks[j].self;

            if (b->bias.table == GQA_NO_PARAM || !t->trained ||
                !t->trained[b->bias.table])
                continue;
            if (j > 0 &&
                gqa_position_same_bias(b, &s->network->blocks[j - 1].self))
                s->d_bias[j] = s->d_bias[j - 1];
            else
                st = take(a, &s->d_bias[j], t->runtime->wide, b->heads->n_heads,
                          2 * reach - 1);
        }
    }
    return st;
}

/* Likewise of summaries' biases. */
static enum gqa_status take_summary_gradients(struct allotment *a)
{
    const struct gqa_tape *t = a->tape;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < t->n_stacks; i++) {
        const struct gqa_tape_stack *s = &t->stacks[i];
        const uint64_t length =
            gqa_tape_stack_length(&t->room, s->network->stack);

        for (size_t j = 0; j < s->network->n_blocks && st == GQA_OK; j++) {
            const struct gqa_attention_block *b = &s->network->blocks[j].self;

            if (b->summaries.size == 0 || !t->trained[b->summaries.bias.table])
                continue;
            if (j > 0 && gqa_position_same_summary_bias(
                             b, &s->network->blocks[j - 1].self))
                s->d_summary_bias[j] = s->d_summary_bias[j - 1];
            else
                st = take(a, &s->d_summary_bias[j], t->runtime->wide,
                          b->heads->n_heads,
                          2 * gqa_summaries_reach(&b->summaries, length) - 1);
        }
    }
    return st;
}

/* Gradients of constants of xIELU, a pair for each block of a stack that has
 * any that is trained. */
static enum gqa_status take_constant_gradients(struct allotment *a)
{
    struct gqa_tape *t = a->tape;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < t->n_stacks && st == GQA_OK; i++) {
        struct gqa_tape_stack *s = &t->stacks[i];
        const size_t n = s->network->n_blocks;
        bool any = false;
        void *sums = NULL;

        for (size_t j = 0; j < n; j++) {
            const struct gqa_feed_forward *ff = &s->network->blocks[j].ff;

            any |= ff->has_xielu &&
                   (t->trained[ff->xielu[0]] || t->trained[ff->xielu[1]]);
        }
        if (any)
            st = take(a, &sums, GQA_F64, n, 2);
        s->d_xielu = sums;
    }
    return st;
}

/* As masters lie. */
static enum gqa_status take_gradients(struct allotment *a)
{
    struct gqa_tape *t = a->tape;
    const struct gqa_runtime *r = t->runtime;
    const size_t n = r->network->model->n_params;
    uint64_t *places;
    enum gqa_status st;

    if (!t->trained)
        return GQA_OK;
    places = calloc(n + 1, sizeof *places);
    st = places
             ? gqa_joint_place(places, &t->n_gradients, r->network, t->trained)
             : gqa_fail_nomem();
    if (st == GQA_OK)
        st = take(a, &t->all_gradients, r->wide, t->n_gradients, 1);
    for (size_t i = 0; i < n && st == GQA_OK && !a->counts; i++)
        if (t->trained[i])
            t->gradients[i] = (char *)t->all_gradients +
                              places[i] * gqa_dtype_bits(r->wide) / 8;
    free(places);
    if (st == GQA_OK)
        st = take_bias_gradients(a);
    if (st == GQA_OK)
        st = take_summary_gradients(a);
    return st == GQA_OK ? take_constant_gradients(a) : st;
}

static uint64_t room_bytes(const struct gqa_tape *t,
                           const struct gqa_tape_stack *s, size_t i)
{
    struct gqa_tape_room ignored;

    return gqa_tape_room_place(&ignored, NULL, t->runtime,
                               &s->network->blocks[i], &t->room, t->trained);
}

/*
 * Blocks keep what they made as long as there is room, the lowest first; the
 * others share a piece, in which the last of all finds its own on the way
 * back. Returns how many keep theirs, and the bytes of all that could.
 */
static size_t choose_kept(const struct gqa_tape *t, uint64_t keep_bytes,
                          uint64_t *shared, uint64_t *all)
{
    size_t n = 0, kept = 0, n_blocks = 0;
    uint64_t last = 0;

    *shared = *all = 0;
    for (size_t i = 0; i < t->n_stacks; i++)
        n_blocks += t->stacks[i].network->n_blocks;
    for (size_t i = 0; i < t->n_stacks; i++)
        for (size_t j = 0; j < t->stacks[i].network->n_blocks; j++, n++) {
            last = room_bytes(t, &t->stacks[i], j);
            *shared = gqa_max_u64(*shared, last);
            *all += last;
            if (t->trained && kept == n && n + 1 < n_blocks &&
                *all <= keep_bytes)
                kept++;
        }
    *all = t->trained ? *all - last : 0;
    return kept;
}

static enum gqa_status take_rooms(struct allotment *a, uint64_t keep_bytes)
{
    struct gqa_tape *t = a->tape;
    uint64_t shared_bytes, ignored;
    const size_t kept = choose_kept(t, keep_bytes, &shared_bytes, &ignored);
    void *shared = NULL;
    size_t n = 0;
    enum gqa_status st = take_bytes(a, &shared, shared_bytes);

    for (size_t i = 0; i < t->n_stacks && st == GQA_OK; i++) {
        struct gqa_tape_stack *s = &t->stacks[i];

        for (size_t j = 0; j < s->network->n_blocks && st == GQA_OK; j++, n++) {
            void *base = shared;

            s->kept[j] = n < kept;
            if (s->kept[j])
                st = take_bytes(a, &base, room_bytes(t, s, j));
            if (!a->counts && st == GQA_OK)
                gqa_tape_room_place(&s->rooms[j], base, t->runtime,
                                    &s->network->blocks[j], &t->room,
                                    t->trained);
        }
    }
    return st;
}

enum gqa_status gqa_tape_take_memory(struct gqa_tape *t, uint64_t keep_bytes,
                                     bool counts, uint64_t *n_bytes)
{
    struct allotment all = {.tape = t, .counts = counts}, *a = &all;
    void *scratch = NULL;
    struct gqa_tape_scratch *out = &t->scratch;
    enum gqa_status st = take_bytes(
        a, &scratch,
        gqa_tape_scratch_place(out, NULL, t->runtime, &t->room, t->trained));

    if (st == GQA_OK && !a->counts)
        gqa_tape_scratch_place(out, scratch, t->runtime, &t->room, t->trained);
    if (st == GQA_OK)
        st = take_streams(a);
    if (st == GQA_OK)
        st = take_gradients(a);
    if (st == GQA_OK)
        st = take_rooms(a, keep_bytes);
    *n_bytes = all.n_bytes;
    return st;
}

uint64_t gqa_tape_rooms_bytes(const struct gqa_tape *t)
{
    uint64_t ignored, all;

    choose_kept(t, 0, &ignored, &all);
    return all;
}
