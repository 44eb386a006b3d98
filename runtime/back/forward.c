/* A block as a session runs it (runtime/block.c), which leaves what its way
 * back needs. */
#include "common/bounds.h"
#include "runtime/back/state.h"
#include "runtime/joint.h"
#include "runtime/parts.h"
#include "runtime/summaries.h"

/* One sublayer's surroundings. */
struct run {
    const struct gqa_tape *tape;
    const struct gqa_tape_stack *stack;
    const struct gqa_runtime *r;
    uint64_t n_rows;
    bool back; /* the tape goes back */
};

static enum gqa_status copy_rows(const struct run *run, void *dst,
                                 const void *src, uint64_t n_rows,
                                 uint64_t width)
{
    const struct gqa_runtime *r = run->r;

    if (dst == src)
        return GQA_OK;
    return r->backend->copy(r->device, dst, src,
                            n_rows * width * gqa_dtype_bits(r->real) / 8);
}

/* x, normed: in the room's place or in scratch, or where it is. */
static enum gqa_status norm_input(const struct run *run, const void **out,
                                  const void *x, void *kept, void *scratch,
                                  const struct gqa_norm *norm)
{
    void *to = kept ? kept : scratch;

    *out = x;
    if (norm->kind == GQA_NORM_NONE)
        return GQA_OK;
    *out = to;
    return gqa_part_norm(run->r, to, x, run->n_rows, norm, false);
}

/* after = after_norm(before + scale * output_norm(l(in))); after may be before.
 * Scale 0: 1; where it is not, there is no output norm. */
struct addition {
    const struct gqa_linear *l;
    const struct gqa_norm *output_norm, *after_norm;
    double scale;
    const void *in, *before;
    void *output, *sum, *after; /* the room's places */
};

static enum gqa_status add_output(const struct run *run,
                                  const struct addition *a)
{
    const struct gqa_runtime *r = run->r;
    const uint64_t d = r->network->d_model;
    void *scaled = run->tape->scratch.output;
    enum gqa_status st;

    if (a->scale != 0) {
        st = copy_rows(run, a->after, a->before, run->n_rows, d);
        if (st == GQA_OK)
            st = gqa_part_linear(r, scaled, a->in, run->n_rows, a->l, NULL);
        if (st == GQA_OK)
            st = r->backend->add_rows(r->device, a->after, scaled, d, NULL,
                                      NULL, a->scale, run->n_rows);
    } else if (a->output_norm->kind == GQA_NORM_NONE) {
        st = gqa_part_linear(r, a->after, a->in, run->n_rows, a->l, a->before);
    } else {
        st = copy_rows(run, a->after, a->before, run->n_rows, d);
        if (st == GQA_OK)
            st = gqa_part_linear(r, a->output, a->in, run->n_rows, a->l, NULL);
        if (st == GQA_OK)
            st = gqa_part_norm(r, a->after, a->output, run->n_rows,
                               a->output_norm, true);
    }
    if (st != GQA_OK || a->after_norm->kind == GQA_NORM_NONE)
        return st;
    if (a->sum)
        st = copy_rows(run, a->sum, a->after, run->n_rows, d);
    return st == GQA_OK ? gqa_part_norm(r, a->after, a->after, run->n_rows,
                                        a->after_norm, false)
                        : st;
}

/* --- Attention ------------------------------------------------------------ */

/* Project rows; a weight that another slice had is not used again. */
static enum gqa_status project(const struct run *run, struct gqa_heads *out,
                               void *room, const void *in, uint64_t n_rows,
                               const struct gqa_linear *l,
                               const struct gqa_slice *slice,
                               const struct gqa_linear *before,
                               const struct gqa_heads *of_before)
{
    *out = (struct gqa_heads){room, gqa_runtime_outputs(run->r, l),
                              gqa_part_place(slice)};
    if (before && before->weight == l->weight) {
        out->x = of_before->x;
        return GQA_OK;
    }
    return gqa_part_linear(run->r, room, in, n_rows, l, NULL);
}

bool gqa_tape_turns_apart(const struct gqa_attention_block *a)
{
    return a->rope && (a->rope->first > 0 || a->norms_turned);
}

struct gqa_turn_op gqa_tape_turn(const struct gqa_tape *t,
                                 const struct gqa_attention_block *a,
                                 const struct gqa_tape_attention *room,
                                 const struct gqa_heads *q,
                                 const struct gqa_heads *k,
                                 const struct gqa_heads *v, uint64_t capacity)
{
    struct gqa_turn_op op = {.capacity = capacity,
                             .head_dim = a->heads->head_dim};

    if (a->rope && !gqa_tape_turns_apart(a)) {
        op.cos_sin = gqa_angles_of(&t->angles, t->runtime->network, a->rope);
        op.n_pairs = a->rope->n_pairs;
        op.interleaved = a->rope->interleaved;
    }
    if (q) {
        op.q = q->x;
        op.q_width = q->width;
        op.q_place = q->place;
    }
    if (!k)
        return op;
    op.k = k->x;
    op.k_width = k->width;
    op.k_place = k->place;
    op.v = v->x;
    op.v_width = v->width;
    op.v_place = v->place;
    op.cache_k = room->cache_k;
    op.cache_v = room->cache_v;
    return op;
}

/* Heads normed, and what they were before left where that is wanted. */
static enum gqa_status norm_heads(const struct run *run, void *plain,
                                  const struct gqa_attention_block *a,
                                  const struct gqa_heads *heads,
                                  uint64_t n_rows, const struct gqa_norm *norm)
{
    const struct gqa_runtime *r = run->r;
    const struct gqa_norm_op op = gqa_runtime_norm(r, norm);
    uint64_t width;
    const struct gqa_head_place normed =
        gqa_part_normed(&width, a->heads, &heads->place);
    enum gqa_status st = GQA_OK;

    if (plain)
        st = copy_rows(run, plain, heads->x, n_rows, heads->width);
    return st == GQA_OK && norm->kind != GQA_NORM_NONE
               ? r->backend->norm_heads(r->device, heads->x, heads->width,
                                        &normed, width, &op)
               : st;
}

/* Queries' and keys', of what there is of them. */
static enum gqa_status norm_both(const struct run *run,
                                 const struct gqa_tape_attention *room,
                                 const struct gqa_attention_block *a,
                                 uint64_t n_rows, const struct gqa_heads *q,
                                 const struct gqa_heads *k)
{
    void *k_plain = room->k_plain != room->q_plain ? room->k_plain : NULL;
    enum gqa_status st = GQA_OK;

    if (q)
        st = norm_heads(run, room->q_plain, a, q, n_rows, &a->q_norm);
    return st == GQA_OK && k
               ? norm_heads(run, k_plain, a, k, n_rows, &a->k_norm)
               : st;
}

/* Rows within what the network says, and what they were before left where that
 * is wanted. */
static enum gqa_status clip(const struct run *run, void *unclipped,
                            const struct gqa_attention_block *a,
                            const struct gqa_heads *heads, uint64_t n_rows)
{
    const struct gqa_runtime *r = run->r;
    enum gqa_status st = GQA_OK;

    if (unclipped)
        st = copy_rows(run, unclipped, heads->x, n_rows, heads->width);
    return st == GQA_OK ? r->backend->clip(r->device, heads->x,
                                           n_rows * heads->width, a->clip)
                        : st;
}

/* Of all that there are, each row once. */
static enum gqa_status clip_all(const struct run *run,
                                const struct gqa_tape_attention *room,
                                const struct gqa_attention_block *a,
                                uint64_t n_rows, const struct gqa_heads *q,
                                const struct gqa_heads *k,
                                const struct gqa_heads *v)
{
    enum gqa_status st = GQA_OK;

    if (q)
        st = clip(run, room->q_unclipped, a, q, n_rows);
    if (st == GQA_OK && k && (!q || k->x != q->x))
        st = clip(run, room->k_unclipped, a, k, n_rows);
    return st == GQA_OK && v && v->x != k->x
               ? clip(run, room->v_unclipped, a, v, n_rows)
               : st;
}

/* Queries and keys turned, keys and values in the room's caches. q NULL: keys
 * alone; k, v NULL: queries alone. */
static enum gqa_status turn(const struct run *run,
                            const struct gqa_tape_attention *room,
                            const struct gqa_attention_block *a,
                            uint64_t n_rows, uint64_t capacity,
                            const struct gqa_heads *q,
                            const struct gqa_heads *k,
                            const struct gqa_heads *v)
{
    const struct gqa_runtime *r = run->r;
    const struct gqa_turn_op op =
        gqa_tape_turn(run->tape, a, room, q, k, v, capacity);
    const bool apart = gqa_tape_turns_apart(a);
    enum gqa_status st = GQA_OK;

    if (!a->norms_turned)
        st = norm_both(run, room, a, n_rows, q, k);
    if (st == GQA_OK && a->clip > 0)
        st = clip_all(run, room, a, n_rows, q, k, v);
    if (st == GQA_OK && apart && q)
        st = gqa_part_rotate(r, a, q, &run->tape->angles);
    if (st == GQA_OK && apart && k)
        st = gqa_part_rotate(r, a, k, &run->tape->angles);
    if (st == GQA_OK && a->norms_turned)
        st = norm_both(run, room, a, n_rows, q, k);
    return st == GQA_OK ? r->backend->gradients->turn(r->device, &op) : st;
}

/* The projections of keys and values; q's is behind us. */
static enum gqa_status project_keys(const struct run *run, struct gqa_heads *k,
                                    struct gqa_heads *v,
                                    const struct gqa_attention_block *a,
                                    const void *in, uint64_t n_rows,
                                    const struct gqa_heads *q)
{
    const struct gqa_tape_scratch *s = &run->tape->scratch;
    const enum gqa_status st = project(run, k, s->k, in, n_rows, &a->k,
                                       &a->heads->k, q ? &a->q : NULL, q);

    return st == GQA_OK ? project(run, v, s->v, in, n_rows, &a->v, &a->heads->v,
                                  &a->k, k)
                        : st;
}

/* Queries, keys and values by one product, turned and kept. */
static enum gqa_status project_joint(const struct run *run,
                                     const struct gqa_tape_attention *room,
                                     const struct gqa_attention_block *a,
                                     uint64_t capacity,
                                     const struct gqa_weight *weight,
                                     const struct gqa_weight *bias,
                                     const void *in, struct gqa_heads *q)
{
    const struct gqa_runtime *r = run->r;
    const struct gqa_gradient_ops *ops = r->backend->gradients;
    struct gqa_heads k, v;
    struct gqa_turn_op op;
    bool done = false;
    enum gqa_status st = GQA_OK;

    gqa_joint_heads(q, &k, &v, r, a, room->q);
    op = gqa_tape_turn(run->tape, a, room, q, &k, &v, capacity);
    if (ops->project && !bias->data && !gqa_tape_turns_apart(a))
        st = ops->project(r->device, &done, &op, in, weight);
    if (st != GQA_OK || done)
        return st;
    st = r->backend->linear(r->device, room->q, in, run->n_rows, weight, false,
                            bias->data ? bias : NULL, NULL);
    return st == GQA_OK ? turn(run, room, a, run->n_rows, capacity, q, &k, &v)
                        : st;
}

/* All three of a self-attention, likewise: by one product where they lie so. */
static enum gqa_status project_all(const struct run *run,
                                   const struct gqa_tape_attention *room,
                                   const struct gqa_attention_block *a,
                                   uint64_t capacity, const void *in,
                                   struct gqa_heads *q)
{
    struct gqa_weight weight, bias;
    struct gqa_heads k, v;
    enum gqa_status st;

    if (gqa_tape_joint(&weight, &bias, run->tape, a))
        return project_joint(run, room, a, capacity, &weight, &bias, in, q);
    st = project(run, q, room->q, in, run->n_rows, &a->q, &a->heads->q, NULL,
                 NULL);
    if (st == GQA_OK)
        st = project_keys(run, &k, &v, a, in, run->n_rows, q);
    return st == GQA_OK ? turn(run, room, a, run->n_rows, capacity, q, &k, &v)
                        : st;
}

/* --- Summaries ------------------------------------------------------------ */

/* Room for them in each sequence of the batch. */
static uint64_t most_summaries(const struct gqa_tape_stack *stack, size_t i)
{
    const uint64_t size = stack->network->blocks[i].self.summaries.size;

    return size ? stack->batch.n_new / size : 0;
}

uint64_t gqa_tape_n_summaries(const struct gqa_tape_stack *stack, size_t i)
{
    return stack->batch.n_sequences * most_summaries(stack, i);
}

enum gqa_status gqa_tape_set_summaries(const struct gqa_tape *t,
                                       const struct gqa_tape_stack *stack,
                                       size_t i)
{
    const struct gqa_batch batch = gqa_summaries_batch(
        &stack->batch, stack->n_summaries, most_summaries(stack, i));

    gqa_summaries_count(stack->n_summaries, &stack->batch,
                        stack->network->blocks[i].self.summaries.size);
    return t->runtime->backend->set_batch(t->runtime->device, &batch);
}

struct gqa_attention_op gqa_tape_summaries_op(
    const struct gqa_tape *t, const struct gqa_tape_stack *stack, size_t i,
    const struct gqa_attention_op *op)
{
    const struct gqa_tape_attention *room = &stack->rooms[i].self;
    const struct gqa_summaries *summaries =
        &stack->network->blocks[i].self.summaries;
    struct gqa_attention_op own = gqa_summaries_op(
        op, summaries, stack->n_summaries, most_summaries(stack, i));

    own.k = room->summed_k;
    own.v = room->summed_v;
    own.bias = stack->summary_bias[i];
    own.reach = gqa_summaries_reach(
        summaries, gqa_tape_stack_length(&t->room, stack->network->stack));
    return own;
}

/* Of `in`, the attention's input: their keys and values. */
static enum gqa_status make_summaries(const struct run *run,
                                      const struct gqa_tape_attention *room,
                                      const struct gqa_attention_block *a,
                                      size_t i, const void *in)
{
    const struct gqa_runtime *r = run->r;
    const uint64_t n_rows = gqa_tape_n_summaries(run->stack, i);
    const struct gqa_tape_attention own = {.cache_k = room->summed_k,
                                           .cache_v = room->summed_v};
    struct gqa_heads k, v;
    enum gqa_status st;

    if (n_rows == 0)
        return GQA_OK;
    st = r->backend->sum_pieces(r->device, room->summed, in,
                                r->network->d_model, a->summaries.size,
                                most_summaries(run->stack, i));
    if (st == GQA_OK && a->summaries.norm.kind != GQA_NORM_NONE)
        st = gqa_part_norm(r, room->summed_normed, room->summed, n_rows,
                           &a->summaries.norm, false);
    if (st == GQA_OK)
        st = gqa_tape_set_summaries(run->tape, run->stack, i);
    if (st == GQA_OK)
        st = project_keys(run, &k, &v, a, room->summed_normed, n_rows, NULL);
    if (st == GQA_OK)
        st = turn(run, &own, a, n_rows, most_summaries(run->stack, i), NULL, &k,
                  &v);
    return st == GQA_OK ? gqa_tape_set_batch(run->tape, run->stack) : st;
}

/* Attention to tokens, op, becomes that to tokens and summaries. */
static enum gqa_status attend_summaries(const struct run *run,
                                        const struct gqa_attention_block *a,
                                        size_t i,
                                        const struct gqa_attention_op *op)
{
    const struct gqa_runtime *r = run->r;
    const struct gqa_tape_scratch *s = &run->tape->scratch;
    struct gqa_attention_op own =
        gqa_tape_summaries_op(run->tape, run->stack, i, op);
    enum gqa_status st;

    if (own.capacity == 0)
        return GQA_OK;
    own.out = s->summed_attended;
    own.lse = s->summed_lse;
    st = r->backend->attend(r->device, &own);
    return st == GQA_OK ? r->backend->merge(r->device, op->out, op->lse,
                                            own.out, own.lse, a->heads->n_heads,
                                            a->heads->head_dim)
                        : st;
}

/* --- Both attentions ------------------------------------------------------ */

static enum gqa_status add_attended(const struct run *run,
                                    const struct gqa_tape_attention *room,
                                    const struct gqa_attention_block *a,
                                    const void *before, void *after)
{
    const struct addition addition = {
        .l = &a->o,
        .scale = a->residual_scale,
        .output_norm = &a->output_norm,
        .after_norm = &a->after_norm,
        .in = room->attended,
        .before = before,
        .output = room->output,
        .sum = room->sum,
        .after = after,
    };

    return add_output(run, &addition);
}

static enum gqa_status self_attention(const struct run *run,
                                      const struct gqa_tape_attention *room,
                                      const struct gqa_attention_block *a,
                                      size_t i, const void *in)
{
    const enum gqa_stack stack = run->stack->network->stack;
    const uint64_t length = gqa_tape_stack_length(&run->tape->sizes, stack);
    struct gqa_attention_op op;
    struct gqa_heads q = {.x = NULL};
    enum gqa_status st = project_all(run, room, a, length, in, &q);

    if (st == GQA_OK)
        st = make_summaries(run, room, a, i, in);
    if (st != GQA_OK)
        return st;
    op = gqa_part_attention(a, &q);
    op.out = room->attended;
    op.lse = room->lse;
    op.k = room->cache_k;
    op.v = room->cache_v;
    op.capacity = length;
    op.bias = run->stack->bias[i];
    op.reach = gqa_tape_stack_length(&run->tape->room, stack);
    st = run->r->backend->attend(run->r->device, &op);
    if (st == GQA_OK && a->summaries.size)
        st = attend_summaries(run, a, i, &op);
    return st == GQA_OK ? gqa_part_sink(run->r, a, &op) : st;
}

static enum gqa_status cross_attention(const struct run *run,
                                       const struct gqa_tape_attention *room,
                                       const struct gqa_attention_block *a,
                                       const void *before, void *after)
{
    struct gqa_attention_op op;
    struct gqa_heads q = {.x = NULL};
    const void *in;
    enum gqa_status st = norm_input(run, &in, before, room->normed,
                                    run->tape->scratch.normed, &a->norm);

    if (st == GQA_OK)
        st = project(run, &q, room->q, in, run->n_rows, &a->q, &a->heads->q,
                     NULL, NULL);
    if (st == GQA_OK)
        st = turn(run, room, a, run->n_rows, 0, &q, NULL, NULL);
    if (st != GQA_OK)
        return st;
    op = gqa_part_attention(a, &q);
    op.out = room->attended;
    op.lse = room->lse;
    op.k = room->cache_k;
    op.v = room->cache_v;
    op.capacity = run->tape->sizes.encoder_length;
    op.key_counts = run->tape->stacks[0].n_tokens;
    st = run->r->backend->attend(run->r->device, &op);
    if (st == GQA_OK)
        st = gqa_part_sink(run->r, a, &op);
    return st == GQA_OK ? add_attended(run, room, a, before, after) : st;
}

enum gqa_status gqa_tape_run_keys(const struct gqa_tape *t, size_t i)
{
    const struct gqa_tape_stack *encoder = &t->stacks[0];
    const struct run run = {t, encoder, t->runtime, encoder->n_rows,
                            t->trained != NULL};
    const struct gqa_attention_block *a =
        &t->stacks[1].network->blocks[i].cross;
    struct gqa_heads k, v;
    enum gqa_status st = gqa_tape_set_batch(t, encoder);

    if (st == GQA_OK)
        st = project_keys(&run, &k, &v, a, encoder->normed, encoder->n_rows,
                          NULL);
    if (st == GQA_OK)
        st = turn(&run, &t->stacks[1].rooms[i].cross, a, encoder->n_rows,
                  t->sizes.encoder_length, NULL, &k, &v);
    return st == GQA_OK ? gqa_tape_set_batch(t, &t->stacks[1]) : st;
}

/* The stream that a sublayer's output is added to: *x as it is, or `after`,
 * where that is what was normed. */
static enum gqa_status take_normed(const struct run *run, const void **x,
                                   void *after, const struct gqa_block *b,
                                   const void *normed)
{
    if (b->normed_scale == 0)
        return GQA_OK;
    *x = after;
    return gqa_tape_scale_rows(run->tape, after, normed, NULL, b->normed_scale,
                               run->n_rows);
}

/* The stream behind a sublayer: the room's, or that behind the block. */
static void *behind(const struct gqa_tape_stack *stack, size_t i,
                    const struct gqa_tape_attention *room)
{
    return room->after ? room->after : stack->x[i + 1];
}

enum gqa_status gqa_tape_run_attention(const struct gqa_tape *t,
                                       const struct gqa_tape_stack *stack,
                                       size_t i, bool cross, void **out)
{
    const struct gqa_block *b = &stack->network->blocks[i];
    const struct gqa_tape_room *room = &stack->rooms[i];
    const struct run run = {t, stack, t->runtime, stack->n_rows,
                            t->trained != NULL};
    void *x = behind(stack, i, &room->self);
    const void *in, *before = stack->x[i];
    enum gqa_status st = norm_input(&run, &in, stack->x[i], room->self.normed,
                                    t->scratch.normed, &b->self.norm);

    if (st == GQA_OK)
        st = self_attention(&run, &room->self, &b->self, i, in);
    if (st == GQA_OK)
        st = take_normed(&run, &before, x, b, in);
    if (st == GQA_OK)
        st = add_attended(&run, &room->self, &b->self, before, x);
    *out = x;
    if (st != GQA_OK || !cross)
        return st;
    *out = behind(stack, i, &room->cross);
    return cross_attention(&run, &room->cross, &b->cross, x, *out);
}

/* --- Feed-forward --------------------------------------------------------- */

/* The activation whose constants are the layer's own, which works in place. */
static enum gqa_status make_xielu(const struct run *run, void *hidden,
                                  const void *up, uint64_t n_rows,
                                  uint64_t width,
                                  const struct gqa_feed_forward *ff)
{
    const enum gqa_status st = copy_rows(run, hidden, up, n_rows, width);

    return st == GQA_OK ? gqa_part_xielu(run->r, hidden, n_rows * width, ff)
                        : st;
}

/* `in`, normed, through gate and up; *out: what down is given. */
static enum gqa_status make_hidden(const struct run *run, void **out,
                                   const struct gqa_tape_feed_forward *room,
                                   const struct gqa_feed_forward *ff,
                                   const void *in)
{
    const struct gqa_runtime *r = run->r;
    const uint64_t width = gqa_runtime_outputs(r, &ff->up);
    const bool gated = ff->gate.weight != GQA_NO_PARAM;
    void *apart = room->hidden ? room->hidden : run->tape->scratch.hidden;
    const struct gqa_part_hidden part = {.gate = &ff->gate,
                                         .up = &ff->up,
                                         .activation = ff->activation,
                                         .out = run->back ? apart
                                                : gated   ? room->gate
                                                          : room->up,
                                         .gate_room = room->gate,
                                         .up_room = room->up,
                                         .kept = run->back};
    enum gqa_status st;

    *out = part.out;
    if (!ff->has_xielu)
        return gqa_part_hidden(r, &part, in, run->n_rows);
    st = gqa_part_linear(r, room->up, in, run->n_rows, &ff->up, NULL);
    return st == GQA_OK
               ? make_xielu(run, part.out, room->up, run->n_rows, width, ff)
               : st;
}

/* Whether what comes behind `hidden` says nothing to the way back. */
static bool ends_at_hidden(const struct gqa_feed_forward *ff)
{
    return ff->output_norm.kind == GQA_NORM_NONE &&
           ff->after_norm.kind == GQA_NORM_NONE;
}

/* Experts, in place of that. */
static enum gqa_status add_experts(const struct run *run, size_t i,
                                   const void *in, const void *before,
                                   bool again)
{
    void *after = run->stack->x[i + 1];
    const enum gqa_status st = again
                                   ? GQA_OK
                                   : copy_rows(run, after, before, run->n_rows,
                                               run->r->network->d_model);

    return st == GQA_OK ? gqa_tape_run_experts(run->tape, run->stack, i, in,
                                               again ? NULL : after)
                        : st;
}

/* --- Blocks --------------------------------------------------------------- */

enum gqa_status gqa_tape_run_block(const struct gqa_tape *t,
                                   const struct gqa_tape_stack *stack, size_t i,
                                   bool again)
{
    const struct gqa_block *b = &stack->network->blocks[i];
    const struct gqa_tape_room *room = &stack->rooms[i];
    const struct run run = {t, stack, t->runtime, stack->n_rows,
                            t->trained != NULL};
    const void *x = stack->x[i], *in, *ff_in = NULL;
    void *after, *hidden;
    void *ff_scratch = b->parallel ? t->scratch.ff_normed : t->scratch.normed;
    struct addition last;
    enum gqa_status st = norm_input(&run, &in, x, room->self.normed,
                                    t->scratch.normed, &b->self.norm);

    if (b->shared_norm)
        ff_in = in;
    else if (st == GQA_OK && b->parallel)
        st = norm_input(&run, &ff_in, x, room->ff.normed, ff_scratch,
                        &b->ff.norm);
    if (st == GQA_OK)
        st = self_attention(&run, &room->self, &b->self, i, in);
    /* A second time the stream behind is no longer looked at. */
    if (st == GQA_OK &&
        !(again && b->parallel && b->self.output_norm.kind == GQA_NORM_NONE)) {
        after = behind(stack, i, &room->self);
        st = take_normed(&run, &x, after, b, in);
        if (st == GQA_OK)
            st = add_attended(&run, &room->self, &b->self, x, after);
        x = after;
    }
    if (st == GQA_OK && b->has_cross) {
        after = behind(stack, i, &room->cross);
        st = cross_attention(&run, &room->cross, &b->cross, x, after);
        x = after;
    }
    if (st == GQA_OK && !b->parallel)
        st = norm_input(&run, &ff_in, x, room->ff.normed, ff_scratch,
                        &b->ff.norm);
    if (st == GQA_OK && !again)
        st = take_normed(&run, &x, stack->x[i + 1], b, ff_in);
    if (st == GQA_OK && b->ff.experts)
        return add_experts(&run, i, ff_in, x, again);
    if (st == GQA_OK)
        st = make_hidden(&run, &hidden, &room->ff, &b->ff, ff_in);
    if (st != GQA_OK || (again && ends_at_hidden(&b->ff)))
        return st;
    last = (struct addition){
        .l = &b->ff.down,
        .scale = b->ff.residual_scale,
        .output_norm = &b->ff.output_norm,
        .after_norm = &b->ff.after_norm,
        .in = hidden,
        .before = x,
        .output = room->ff.output,
        .sum = room->ff.sum,
        .after = stack->x[i + 1],
    };
    return add_output(&run, &last);
}
