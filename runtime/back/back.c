/* A block's way back. */
#include "runtime/back/state.h"
#include "runtime/joint.h"
#include "runtime/parts.h"

static const struct gqa_gradient_ops *ops_of(const struct gqa_tape *t)
{
    return t->runtime->backend->gradients;
}

void *gqa_tape_gradient_of(const struct gqa_tape *t, size_t param)
{
    return param == GQA_NO_PARAM ? NULL : t->gradients[param];
}

static uint64_t inputs_of(const struct gqa_runtime *r,
                          const struct gqa_linear *l)
{
    const struct gqa_param *p = &r->network->model->params[l->weight];

    if (l->rows)
        return l->input_major ? l->rows : l->cols;
    return l->input_major ? p->rows : p->cols;
}

enum gqa_status gqa_tape_norm_back(const struct gqa_tape *t, void *dx,
                                   const void *x, const void *dy,
                                   uint64_t n_rows, const struct gqa_norm *norm,
                                   bool accumulate)
{
    const struct gqa_runtime *r = t->runtime;
    const uint64_t n = n_rows * r->network->d_model;
    const struct gqa_norm_op op = gqa_runtime_norm(r, norm);

    if (norm->kind != GQA_NORM_NONE)
        return ops_of(t)->norm(r->device, dx,
                               gqa_tape_gradient_of(t, norm->weight),
                               gqa_tape_gradient_of(t, norm->bias), x, dy,
                               n_rows, r->network->d_model, &op, accumulate);
    if (accumulate)
        return ops_of(t)->add(r->device, dx, dy, n);
    return dx == dy ? GQA_OK
                    : r->backend->copy(r->device, dx, dy,
                                       n * gqa_dtype_bits(r->real) / 8);
}

enum gqa_status gqa_tape_linear_back(const struct gqa_tape *t, void *dx,
                                     const void *x, const void *dy,
                                     uint64_t n_rows,
                                     const struct gqa_linear *l,
                                     bool accumulate)
{
    const struct gqa_runtime *r = t->runtime;
    void *d_weight = gqa_tape_gradient_of(t, l->weight);
    void *d_bias = gqa_tape_gradient_of(t, l->bias);
    struct gqa_weight room;
    enum gqa_status st = GQA_OK;

    /* Gradients are wide, and lie as the weight does. */
    if (d_weight)
        d_weight = (char *)d_weight + l->offset * gqa_dtype_bits(r->wide) / 8;
    if (d_bias)
        d_bias = (char *)d_bias + l->bias_offset * gqa_dtype_bits(r->wide) / 8;
    if (d_weight || d_bias)
        st = ops_of(t)->linear_weight(
            r->device, d_weight, d_bias, x, inputs_of(r, l), dy,
            gqa_runtime_outputs(r, l), n_rows, l->input_major);
    return st == GQA_OK && dx
               ? gqa_linear_transposed(r->backend, r->device, dx, dy, n_rows,
                                       gqa_runtime_matrix(r, l, &room),
                                       l->input_major, accumulate)
               : st;
}

/* Through a product of several weights: theirs and biases' gradients lie as
 * they do, d_weight and d_bias those of the first, NULL where none is trained.
 */
static enum gqa_status joint_back(const struct gqa_tape *t, void *dx,
                                  const void *x, const void *dy,
                                  uint64_t n_rows,
                                  const struct gqa_weight *weight,
                                  void *d_weight, void *d_bias, bool accumulate)
{
    const struct gqa_runtime *r = t->runtime;
    enum gqa_status st = GQA_OK;

    if (d_weight || d_bias)
        st = ops_of(t)->linear_weight(r->device, d_weight, d_bias, x,
                                      weight->cols, dy, weight->rows, n_rows,
                                      false);
    return st == GQA_OK && dx
               ? gqa_linear_transposed(r->backend, r->device, dx, dy, n_rows,
                                       weight, false, accumulate)
               : st;
}

static bool norm_is_trained(const struct gqa_tape *t,
                            const struct gqa_norm *norm)
{
    return norm->kind != GQA_NORM_NONE &&
           (gqa_tape_gradient_of(t, norm->weight) ||
            gqa_tape_gradient_of(t, norm->bias));
}

enum gqa_status gqa_tape_scale_rows(const struct gqa_tape *t, void *out,
                                    const void *x, const double *weights,
                                    double scale, uint64_t n_rows)
{
    const struct gqa_runtime *r = t->runtime;
    const uint64_t d = r->network->d_model;
    const enum gqa_status st = r->backend->zero(
        r->device, out, n_rows * d * gqa_dtype_bits(r->real) / 8);

    return st == GQA_OK ? r->backend->add_rows(r->device, out, x, d, NULL,
                                               weights, scale, n_rows)
                        : st;
}

/* d of what was normed or scaled before it was added: dy itself, or in
 * scratch. */
static enum gqa_status output_back(const struct gqa_tape *t, const void **out,
                                   const void *output, const void *dy,
                                   uint64_t n_rows, const struct gqa_norm *norm,
                                   double scale)
{
    *out = dy;
    if (norm->kind == GQA_NORM_NONE && scale == 0)
        return GQA_OK;
    *out = t->scratch.output;
    if (scale != 0)
        return gqa_tape_scale_rows(t, t->scratch.output, dy, NULL, scale,
                                   n_rows);
    return gqa_tape_norm_back(t, t->scratch.output, output, dy, n_rows, norm,
                              false);
}

/* --- Attention ------------------------------------------------------------ */

/* One attention's surroundings. */
struct attention {
    const struct gqa_tape *tape;
    const struct gqa_tape_stack *stack;
    const struct gqa_tape_attention *room;
    const struct gqa_attention_block *a;
    struct gqa_attention_op op; /* as it ran */
    void *d_bias;
    struct gqa_heads q, k, v; /* d of projections */
    void *d_k, *d_v;          /* d of caches */
    bool adds_q;              /* d of queries is there already, of other keys */
    /* Of all three; data NULL: they are not one product. */
    struct gqa_weight weight;
};

static struct gqa_heads heads_of(const struct gqa_tape *t, void *x,
                                 const struct gqa_linear *l,
                                 const struct gqa_slice *slice)
{
    return (struct gqa_heads){x, gqa_runtime_outputs(t->runtime, l),
                              gqa_part_place(slice)};
}

/* Where projections share a weight, or are one product, they share rows. */
static void place_heads(struct attention *at, bool cross)
{
    const struct gqa_attention_block *a = at->a;
    const struct gqa_tape_scratch *s = &at->tape->scratch;
    struct gqa_weight bias;
    void *k = !cross && a->k.weight == a->q.weight ? s->q : s->k;
    void *v = a->v.weight == a->k.weight ? k : s->v;

    if (!cross && gqa_tape_joint(&at->weight, &bias, at->tape, a)) {
        gqa_joint_heads(&at->q, &at->k, &at->v, at->tape->runtime, a, s->q);
        return;
    }
    at->weight.data = NULL;
    at->q = heads_of(at->tape, s->q, &a->q, &a->heads->q);
    at->k = heads_of(at->tape, k, &a->k, &a->heads->k);
    at->v = heads_of(at->tape, v, &a->v, &a->heads->v);
}

/* Rows of which heads alone are set: the rest is 0. */
static enum gqa_status clear(const struct attention *at,
                             const struct gqa_heads *heads, uint64_t n_rows)
{
    const struct gqa_runtime *r = at->tape->runtime;

    const uint64_t n_heads =
        at->weight.data
            ? at->q.place.n_heads + at->k.place.n_heads + at->v.place.n_heads
            : heads->place.n_heads;

    if (n_heads * at->a->heads->head_dim == heads->width)
        return GQA_OK;
    return r->backend->zero(r->device, heads->x,
                            n_rows * heads->width * gqa_dtype_bits(r->real) /
                                8);
}

/* d of heads, as they were before they were normed. */
static enum gqa_status heads_back(const struct attention *at,
                                  const struct gqa_heads *heads,
                                  const struct gqa_norm *norm,
                                  const void *plain)
{
    const struct gqa_tape *t = at->tape;
    const struct gqa_runtime *r = t->runtime;
    const struct gqa_norm_op op = gqa_runtime_norm(r, norm);
    uint64_t width;
    const struct gqa_head_place normed =
        gqa_part_normed(&width, at->a->heads, &heads->place);

    return norm->kind != GQA_NORM_NONE
               ? ops_of(t)->norm_heads(r->device, heads->x,
                                       gqa_tape_gradient_of(t, norm->weight),
                                       gqa_tape_gradient_of(t, norm->bias),
                                       plain, heads->width, &normed, width, &op)
               : GQA_OK;
}

/* From d of what was attended to, to d of queries, turned, and of the caches;
 * and farther, through `turn`, where *turned says so behind it. */
static enum gqa_status keys_back(const struct attention *at,
                                 const struct gqa_turn_op *turn, bool *turned)
{
    const struct gqa_tape *t = at->tape;
    const struct gqa_tape_scratch *s = &t->scratch;
    const struct gqa_attention_gradient op = {
        .forward = at->op,
        .d_out = s->attended,
        .d_q = s->q,
        .adds_q = at->adds_q,
        .d_k = at->d_k,
        .d_v = at->d_v,
        .d_bias = at->d_bias,
        .turn = turn,
        .turned = turned,
    };

    return ops_of(t)->attend_back(t->runtime->device, &op);
}

/* From d of what was attended to, to that of sinks. */
static enum gqa_status sinks_back(const struct attention *at)
{
    const struct gqa_tape *t = at->tape;
    const struct gqa_attention *heads = at->a->heads;
    void *d_sinks = gqa_tape_gradient_of(t, at->a->sinks);

    return d_sinks
               ? ops_of(t)->sink(t->runtime->device, d_sinks,
                                 at->room->attended, at->room->lse,
                                 t->scratch.attended,
                                 gqa_runtime_weight(t->runtime, at->a->sinks),
                                 heads->n_heads, heads->head_dim)
               : GQA_OK;
}

/* From dy, of what is added to the stream, to d of what was attended to. */
static enum gqa_status attended_back(const struct attention *at, const void *dy)
{
    const struct gqa_tape *t = at->tape;
    const struct gqa_tape_scratch *s = &t->scratch;
    const uint64_t n_rows = at->stack->n_rows;
    enum gqa_status st =
        output_back(t, &dy, at->room->output, dy, n_rows, &at->a->output_norm,
                    at->a->residual_scale);

    if (st == GQA_OK)
        st = gqa_tape_linear_back(t, s->attended, at->room->attended, dy,
                                  n_rows, &at->a->o, false);
    if (st == GQA_OK)
        st = sinks_back(at);
    return st == GQA_OK ? clear(at, &at->q, n_rows) : st;
}

/* d of what was clipped, in place, of the rows that turn_back() is about. */
static enum gqa_status clip_back(const struct attention *at, bool queries,
                                 bool keys, uint64_t n_rows)
{
    const struct gqa_tape_attention *room = at->room;
    const struct {
        bool wanted;
        const struct gqa_heads *d;
        const void *x;
    } rows[] = {{queries, &at->q, room->q_unclipped},
                {keys, &at->k, room->k_unclipped},
                {keys, &at->v, room->v_unclipped}};
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < 3 && st == GQA_OK; i++)
        if (rows[i].wanted && rows[i].x)
            st = ops_of(at->tape)->clip(at->tape->runtime->device, rows[i].d->x,
                                        rows[i].x, n_rows * rows[i].d->width,
                                        at->a->clip);
    return st;
}

/* Of heads that turn by themselves: in place, rotated back. */
static enum gqa_status apart_back(const struct attention *at,
                                  const struct gqa_heads *heads)
{
    const struct gqa_tape *t = at->tape;
    const struct gqa_rope *rope = at->a->rope;
    struct gqa_turn_op op = {
        .q = heads->x,
        .q_width = heads->width,
        .q_place = heads->place,
        .head_dim = at->a->heads->head_dim,
    };

    if (!gqa_tape_turns_apart(at->a))
        return GQA_OK;
    op.q_place.base += rope->first;
    op.n_pairs = rope->n_pairs;
    op.interleaved = rope->interleaved;
    op.cos_sin = gqa_angles_of(&t->angles, t->runtime->network, rope);
    return ops_of(t)->turn_back(t->runtime->device, &op);
}

/* To d of queries, and from the caches of keys and values. */
static struct gqa_turn_op turn_of(const struct attention *at, bool queries,
                                  bool keys)
{
    const struct gqa_tape_attention caches = {.cache_k = at->d_k,
                                              .cache_v = at->d_v};

    return gqa_tape_turn(at->tape, at->a, &caches, queries ? &at->q : NULL,
                         keys ? &at->k : NULL, &at->v, at->op.capacity);
}

/* Rows of keys and values, before their heads are set. */
static enum gqa_status clear_keys(const struct attention *at, uint64_t n_rows)
{
    enum gqa_status st =
        at->k.x != at->q.x ? clear(at, &at->k, n_rows) : GQA_OK;

    return st == GQA_OK && at->v.x != at->k.x ? clear(at, &at->v, n_rows) : st;
}

static enum gqa_status norms_back(const struct attention *at, bool queries,
                                  bool keys)
{
    enum gqa_status st =
        queries ? heads_back(at, &at->q, &at->a->q_norm, at->room->q_plain)
                : GQA_OK;

    return st == GQA_OK && keys
               ? heads_back(at, &at->k, &at->a->k_norm, at->room->k_plain)
               : st;
}

/* From d of heads as turn_back() leaves them, to d of projections. */
static enum gqa_status plain_back(const struct attention *at, bool queries,
                                  bool keys, uint64_t n_rows)
{
    const bool turned = at->a->norms_turned;
    enum gqa_status st = turned ? norms_back(at, queries, keys) : GQA_OK;

    if (st == GQA_OK && queries)
        st = apart_back(at, &at->q);
    if (st == GQA_OK && keys)
        st = apart_back(at, &at->k);
    if (st == GQA_OK)
        st = clip_back(at, queries, keys, n_rows);
    return st == GQA_OK && !turned ? norms_back(at, queries, keys) : st;
}

/* To d of projections: of queries, and from the caches of keys and values; the
 * batch is theirs. */
static enum gqa_status turn_back(const struct attention *at, bool queries,
                                 bool keys, uint64_t n_rows)
{
    const struct gqa_tape *t = at->tape;
    const struct gqa_turn_op op = turn_of(at, queries, keys);
    enum gqa_status st = keys ? clear_keys(at, n_rows) : GQA_OK;

    if (st == GQA_OK)
        st = ops_of(t)->turn_back(t->runtime->device, &op);
    return st == GQA_OK ? plain_back(at, queries, keys, n_rows) : st;
}

/* From d of what was attended to, to d of projections: at once, where the
 * device can. */
static enum gqa_status attention_back(const struct attention *at)
{
    const uint64_t n_rows = at->stack->n_rows;
    const struct gqa_turn_op turn = turn_of(at, true, true);
    bool turned = false;
    enum gqa_status st = clear_keys(at, n_rows);

    if (st == GQA_OK)
        st = keys_back(at, &turn, &turned);
    if (st == GQA_OK && !turned)
        st = ops_of(at->tape)->turn_back(at->tape->runtime->device, &turn);
    return st == GQA_OK ? plain_back(at, true, true, n_rows) : st;
}

/* Behind place_heads(): queries lie in their rows as their gradients do. */
static void self_op(struct attention *at, size_t i)
{
    const struct gqa_tape *t = at->tape;
    const enum gqa_stack stack = at->stack->network->stack;
    const struct gqa_heads q = {at->room->q, at->q.width, at->q.place};

    at->op = gqa_part_attention(at->a, &q);
    at->op.out = at->room->attended;
    at->op.lse = at->room->lse;
    at->op.k = at->room->cache_k;
    at->op.v = at->room->cache_v;
    at->op.capacity = gqa_tape_stack_length(&t->sizes, stack);
    at->op.bias = at->stack->bias[i];
    at->op.reach = gqa_tape_stack_length(&t->room, stack);
    at->d_bias = at->stack->d_bias[i];
}

static void cross_op(struct attention *at)
{
    const struct gqa_tape *t = at->tape;
    const struct gqa_heads q =
        heads_of(t, at->room->q, &at->a->q, &at->a->heads->q);

    at->op = gqa_part_attention(at->a, &q);
    at->op.out = at->room->attended;
    at->op.lse = at->room->lse;
    at->op.k = at->room->cache_k;
    at->op.v = at->room->cache_v;
    at->op.capacity = t->sizes.encoder_length;
    at->op.key_counts = t->stacks[0].n_tokens;
}

/* The attention to summaries that is beside one to tokens; both have queries,
 * so that d of these is added to. */
static struct attention summaries_of(const struct attention *tokens, size_t i)
{
    const struct gqa_tape *t = tokens->tape;
    struct attention at = *tokens;

    at.op = gqa_tape_summaries_op(t, tokens->stack, i, &tokens->op);
    at.d_bias = tokens->stack->d_summary_bias[i];
    at.d_k = t->scratch.summed_k;
    at.d_v = t->scratch.summed_v;
    at.adds_q = true;
    place_heads(&at, true);
    return at;
}

/* From d of their keys and values, behind all that tokens have of scratch: d of
 * the rows that they sum up, in scratch.summed. */
static enum gqa_status summaries_back(const struct attention *at, size_t i)
{
    const struct gqa_tape *t = at->tape;
    const struct gqa_tape_attention *room = at->room;
    const uint64_t n_rows = gqa_tape_n_summaries(at->stack, i);
    void *d = t->scratch.summed;
    enum gqa_status st = gqa_tape_set_summaries(t, at->stack, i);

    if (st == GQA_OK)
        st = turn_back(at, false, true, n_rows);
    if (st == GQA_OK)
        st = gqa_tape_linear_back(t, d, room->summed_normed, at->k.x, n_rows,
                                  &at->a->k, false);
    if (st == GQA_OK && at->v.x != at->k.x)
        st = gqa_tape_linear_back(t, d, room->summed_normed, at->v.x, n_rows,
                                  &at->a->v, true);
    if (st == GQA_OK)
        st = gqa_tape_norm_back(t, d, room->summed, d, n_rows,
                                &at->a->summaries.norm, false);
    return st == GQA_OK ? gqa_tape_set_batch(t, at->stack) : st;
}

/* d_in += what the rows that summaries sum up are to blame for. */
static enum gqa_status add_summed(const struct attention *summaries, void *d_in)
{
    const struct gqa_tape *t = summaries->tape;

    return d_in ? ops_of(t)->sum_pieces(
                      t->runtime->device, d_in, t->scratch.summed,
                      t->runtime->network->d_model,
                      summaries->a->summaries.size, summaries->op.capacity)
                : GQA_OK;
}

/* Through the projections, from d of queries, keys and values. */
static enum gqa_status projections_back(const struct attention *at, void *d_in,
                                        const void *in, bool accumulate)
{
    const struct gqa_tape *t = at->tape;
    const uint64_t n_rows = at->stack->n_rows;
    enum gqa_status st;

    if (at->weight.data)
        return joint_back(t, d_in, in, at->q.x, n_rows, &at->weight,
                          gqa_tape_gradient_of(t, at->a->q.weight),
                          gqa_tape_gradient_of(t, at->a->q.bias), accumulate);
    st = gqa_tape_linear_back(t, d_in, in, at->q.x, n_rows, &at->a->q,
                              accumulate);
    if (st == GQA_OK && at->k.x != at->q.x)
        st =
            gqa_tape_linear_back(t, d_in, in, at->k.x, n_rows, &at->a->k, true);
    if (st == GQA_OK && at->v.x != at->k.x)
        st =
            gqa_tape_linear_back(t, d_in, in, at->v.x, n_rows, &at->a->v, true);
    return st;
}

/* d_in (+)= what the attention's normed input, `in`, is to blame for; NULL: it
 * is not asked. */
static enum gqa_status self_back(const struct gqa_tape *t,
                                 const struct gqa_tape_stack *stack, size_t i,
                                 void *d_in, const void *in, const void *dy,
                                 bool accumulate)
{
    struct attention at = {.tape = t,
                           .stack = stack,
                           .room = &stack->rooms[i].self,
                           .a = &stack->network->blocks[i].self,
                           .d_k = t->scratch.cache_k,
                           .d_v = t->scratch.cache_v};
    const bool summed = gqa_tape_n_summaries(stack, i) > 0;
    struct attention summaries;
    enum gqa_status st;

    place_heads(&at, false);
    self_op(&at, i);
    if (summed)
        summaries = summaries_of(&at, i);
    st = attended_back(&at, dy);
    if (st == GQA_OK && !summed)
        st = attention_back(&at);
    if (st == GQA_OK && summed)
        st = keys_back(&at, NULL, NULL);
    if (st == GQA_OK && summed)
        st = keys_back(&summaries, NULL, NULL);
    if (st == GQA_OK && summed)
        st = turn_back(&at, true, true, stack->n_rows);
    if (st == GQA_OK)
        st = projections_back(&at, d_in, in, accumulate);
    if (st == GQA_OK && summed)
        st = summaries_back(&summaries, i);
    return st == GQA_OK && summed ? add_summed(&summaries, d_in) : st;
}

/* Whether keys and values of a cross-attention, or what they are made of, are
 * trained. */
static bool asks_memory(const struct attention *at)
{
    const struct gqa_tape *t = at->tape;
    const struct gqa_attention_block *a = at->a;

    return t->d_memory || gqa_tape_gradient_of(t, a->k.weight) ||
           gqa_tape_gradient_of(t, a->k.bias) ||
           gqa_tape_gradient_of(t, a->v.weight) ||
           gqa_tape_gradient_of(t, a->v.bias) || norm_is_trained(t, &a->k_norm);
}

/* To the encoder's output through keys and values. */
static enum gqa_status memory_back(const struct attention *at)
{
    const struct gqa_tape *t = at->tape;
    const struct gqa_tape_stack *encoder = &t->stacks[0];
    enum gqa_status st = gqa_tape_set_batch(t, encoder);

    if (st == GQA_OK)
        st = turn_back(at, false, true, encoder->n_rows);
    if (st == GQA_OK)
        st = gqa_tape_linear_back(t, t->d_memory, encoder->normed, at->k.x,
                                  encoder->n_rows, &at->a->k, true);
    if (st == GQA_OK && at->v.x != at->k.x)
        st = gqa_tape_linear_back(t, t->d_memory, encoder->normed, at->v.x,
                                  encoder->n_rows, &at->a->v, true);
    return st == GQA_OK ? gqa_tape_set_batch(t, at->stack) : st;
}

static enum gqa_status cross_back(const struct gqa_tape *t,
                                  const struct gqa_tape_stack *stack, size_t i,
                                  void *d_in, const void *in, const void *dy)
{
    struct attention at = {.tape = t,
                           .stack = stack,
                           .room = &stack->rooms[i].cross,
                           .a = &stack->network->blocks[i].cross,
                           .d_k = t->scratch.cache_k,
                           .d_v = t->scratch.cache_v};
    enum gqa_status st;

    cross_op(&at);
    place_heads(&at, true);
    st = attended_back(&at, dy);
    if (st == GQA_OK)
        st = keys_back(&at, NULL, NULL);
    if (st == GQA_OK)
        st = turn_back(&at, true, false, stack->n_rows);
    if (st == GQA_OK)
        st = gqa_tape_linear_back(t, d_in, in, at.q.x, stack->n_rows, &at.a->q,
                                  false);
    return st == GQA_OK && asks_memory(&at) ? memory_back(&at) : st;
}

/* --- Feed-forward --------------------------------------------------------- */

/* Through the activation: of gate and up, or of up alone, in place; of both in
 * rows of both. */
static enum gqa_status activation_back(const struct gqa_tape *t,
                                       const struct gqa_tape_stack *stack,
                                       size_t i, bool joint)
{
    const struct gqa_runtime *r = t->runtime;
    const struct gqa_feed_forward *ff = &stack->network->blocks[i].ff;
    const struct gqa_tape_feed_forward *room = &stack->rooms[i].ff;
    const struct gqa_tape_scratch *s = &t->scratch;
    const bool gated = ff->gate.weight != GQA_NO_PARAM;
    const uint64_t width = gqa_runtime_outputs(r, &ff->up);
    const uint64_t n = stack->n_rows * width;
    struct gqa_xielu constants;

    if (joint)
        return ops_of(t)->activate(r->device, s->up,
                                   (char *)s->up +
                                       width * gqa_dtype_bits(r->real) / 8,
                                   2 * width, room->gate, room->up, s->hidden,
                                   stack->n_rows, width, ff->activation);
    if (!ff->has_xielu)
        return ops_of(t)->activate(r->device, s->hidden, gated ? s->up : NULL,
                                   width, gated ? room->gate : room->up,
                                   gated ? room->up : NULL, s->hidden,
                                   stack->n_rows, width, ff->activation);
    constants = gqa_part_xielu_constants(r, ff);
    return ops_of(t)->xielu(r->device, s->hidden,
                            stack->d_xielu ? stack->d_xielu + 2 * i : NULL,
                            room->up, s->hidden, n, &constants);
}

static enum gqa_status feed_forward_back(const struct gqa_tape *t,
                                         const struct gqa_tape_stack *stack,
                                         size_t i, void *d_in, const void *in,
                                         const void *dy)
{
    const struct gqa_feed_forward *ff = &stack->network->blocks[i].ff;
    const struct gqa_tape_feed_forward *room = &stack->rooms[i].ff;
    const struct gqa_tape_scratch *s = &t->scratch;
    const bool gated = ff->gate.weight != GQA_NO_PARAM;
    const uint64_t n_rows = stack->n_rows;
    struct gqa_weight both;
    const bool joint = gqa_tape_joint_gated(&both, t, ff);
    enum gqa_status st;

    if (ff->experts)
        return gqa_tape_experts_back(t, stack, i, d_in, in, dy);
    st = output_back(t, &dy, room->output, dy, n_rows, &ff->output_norm,
                     ff->residual_scale);

    if (st == GQA_OK)
        st = gqa_tape_linear_back(t, s->hidden, room->hidden, dy, n_rows,
                                  &ff->down, false);
    if (st == GQA_OK)
        st = activation_back(t, stack, i, joint);
    if (st == GQA_OK && joint)
        return joint_back(t, d_in, in, s->up, n_rows, &both,
                          gqa_tape_gradient_of(t, ff->gate.weight), NULL,
                          false);
    if (st == GQA_OK)
        st = gqa_tape_linear_back(t, d_in, in, gated ? s->up : s->hidden,
                                  n_rows, &ff->up, false);
    return st == GQA_OK && gated ? gqa_tape_linear_back(t, d_in, in, s->hidden,
                                                        n_rows, &ff->gate, true)
                                 : st;
}

/* --- Blocks --------------------------------------------------------------- */

/* What a sublayer was given, normed or not. */
static const void *input_of(const struct gqa_norm *norm, const void *x,
                            const void *normed)
{
    return norm->kind == GQA_NORM_NONE ? x : normed;
}

/* d_x += what the sublayer's input is to blame for, through its norm; where the
 * stream itself is what was normed, it comes from there as well. */
static enum gqa_status add_input(const struct gqa_tape *t,
                                 const struct gqa_tape_stack *stack, size_t i,
                                 const void *x, void *d_in,
                                 const struct gqa_norm *norm, bool wanted)
{
    const struct gqa_runtime *r = t->runtime;
    const double scale = stack->network->blocks[i].normed_scale;
    enum gqa_status st = GQA_OK;

    if (!wanted && !norm_is_trained(t, norm))
        return GQA_OK;
    if (scale != 0)
        st = r->backend->add_rows(r->device, d_in, t->d_x, r->network->d_model,
                                  NULL, NULL, scale, stack->n_rows);
    return st == GQA_OK ? gqa_tape_norm_back(t, t->d_x, x, d_in, stack->n_rows,
                                             norm, scale == 0)
                        : st;
}

/* d_x through the norm behind a sublayer. */
static enum gqa_status after_back(const struct gqa_tape *t,
                                  const struct gqa_tape_stack *stack,
                                  const void *sum, const struct gqa_norm *norm)
{
    return gqa_tape_norm_back(t, t->d_x, sum, t->d_x, stack->n_rows, norm,
                              false);
}

static enum gqa_status parallel_back(const struct gqa_tape *t,
                                     const struct gqa_tape_stack *stack,
                                     size_t i)
{
    const struct gqa_block *b = &stack->network->blocks[i];
    const struct gqa_tape_room *room = &stack->rooms[i];
    const bool below = stack->below[i];
    const struct gqa_norm *ff_norm =
        b->shared_norm ? &b->self.norm : &b->ff.norm;
    const bool any = below || norm_is_trained(t, &b->self.norm) ||
                     norm_is_trained(t, ff_norm);
    void *d_in = any ? t->scratch.normed : NULL;
    void *d_ff = any && !b->shared_norm ? t->scratch.ff_normed : d_in;
    enum gqa_status st = after_back(t, stack, room->ff.sum, &b->ff.after_norm);

    if (st == GQA_OK)
        st = feed_forward_back(
            t, stack, i, d_ff,
            b->shared_norm ? room->self.normed : room->ff.normed, t->d_x);
    if (st == GQA_OK && (any || stack->self_attention[i]))
        st = self_back(t, stack, i, d_in, room->self.normed, t->d_x,
                       b->shared_norm);
    if (st == GQA_OK)
        st = add_input(t, stack, i, stack->x[i], d_in, &b->self.norm, below);
    return st == GQA_OK && !b->shared_norm
               ? add_input(t, stack, i, stack->x[i], d_ff, &b->ff.norm, below)
               : st;
}

static enum gqa_status sequential_back(const struct gqa_tape *t,
                                       const struct gqa_tape_stack *stack,
                                       size_t i)
{
    const struct gqa_block *b = &stack->network->blocks[i];
    const struct gqa_tape_room *room = &stack->rooms[i];
    const bool below = stack->below[i];
    const bool before_cross = below || stack->self_attention[i];
    const bool before_ff =
        before_cross || (b->has_cross && stack->cross_attention[i]);
    const void *between = b->has_cross ? room->cross.after : room->self.after;
    void *d_in = t->scratch.normed;
    enum gqa_status st = after_back(t, stack, room->ff.sum, &b->ff.after_norm);

    if (st == GQA_OK)
        st = feed_forward_back(
            t, stack, i,
            before_ff || norm_is_trained(t, &b->ff.norm) ? d_in : NULL,
            input_of(&b->ff.norm, between, room->ff.normed), t->d_x);
    if (st == GQA_OK)
        st = add_input(t, stack, i, between, d_in, &b->ff.norm, before_ff);
    if (st == GQA_OK && b->has_cross && before_ff) {
        st = after_back(t, stack, room->cross.sum, &b->cross.after_norm);
        if (st == GQA_OK)
            st = cross_back(
                t, stack, i, d_in,
                input_of(&b->cross.norm, room->self.after, room->cross.normed),
                t->d_x);
        if (st == GQA_OK)
            st = add_input(t, stack, i, room->self.after, d_in, &b->cross.norm,
                           before_cross);
    }
    if (st != GQA_OK || !before_cross)
        return st;
    st = after_back(t, stack, room->self.sum, &b->self.after_norm);
    if (st == GQA_OK)
        st = self_back(t, stack, i,
                       below || norm_is_trained(t, &b->self.norm) ? d_in : NULL,
                       input_of(&b->self.norm, stack->x[i], room->self.normed),
                       t->d_x, false);
    return st == GQA_OK
               ? add_input(t, stack, i, stack->x[i], d_in, &b->self.norm, below)
               : st;
}

enum gqa_status gqa_tape_block_back(const struct gqa_tape *t,
                                    const struct gqa_tape_stack *stack,
                                    size_t i)
{
    return stack->network->blocks[i].parallel ? parallel_back(t, stack, i)
                                              : sequential_back(t, stack, i);
}

enum gqa_status gqa_tape_attention_back(const struct gqa_tape *t,
                                        const struct gqa_tape_stack *stack,
                                        size_t i, bool cross)
{
    const struct gqa_block *b = &stack->network->blocks[i];
    const struct gqa_attention_block *a = cross ? &b->cross : &b->self;
    const struct gqa_tape_attention *room =
        cross ? &stack->rooms[i].cross : &stack->rooms[i].self;
    const void *in =
        input_of(&a->norm, cross ? stack->rooms[i].self.after : stack->x[i],
                 room->normed);
    const enum gqa_status st = after_back(t, stack, room->sum, &a->after_norm);

    if (st != GQA_OK)
        return st;
    return cross ? cross_back(t, stack, i, NULL, in, t->d_x)
                 : self_back(t, stack, i, NULL, in, t->d_x, false);
}
