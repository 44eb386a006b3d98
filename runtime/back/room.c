#include "runtime/back/room.h"

#include <stdlib.h>

#include "common/bounds.h"
#include "runtime/joint.h"
#include "runtime/summaries.h"

/* Pieces begin where any device likes them to. */
enum { ALIGNMENT = 256 };

uint64_t gqa_tape_stack_length(const struct gqa_tape_sizes *s,
                               enum gqa_stack stack)
{
    return stack == GQA_STACK_ENCODER ? s->encoder_length : s->length;
}

uint64_t gqa_tape_stack_rows(const struct gqa_tape_sizes *s,
                             enum gqa_stack stack)
{
    return s->n_sequences * gqa_tape_stack_length(s, stack);
}

bool gqa_tape_any(const struct gqa_network *network, const enum gqa_use *uses,
                  const bool *trained)
{
    for (size_t i = 0; trained && i < network->model->n_params; i++)
        if (uses[i] != GQA_USE_NONE && trained[i])
            return true;
    return false;
}

/* Pieces, one behind the other; base NULL: they are only counted. */
struct pieces {
    const struct gqa_runtime *runtime;
    const bool *trained;
    char *base;
    uint64_t n_bytes;
};

static void *take(struct pieces *p, enum gqa_dtype dtype, uint64_t rows,
                  uint64_t width)
{
    const uint64_t n_bytes = rows * width * gqa_dtype_bits(dtype) / 8;
    void *piece = p->base ? p->base + p->n_bytes : NULL;

    p->n_bytes += (n_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return piece;
}

static void *take_reals(struct pieces *p, uint64_t rows, uint64_t width)
{
    return take(p, p->runtime->real, rows, width);
}

static bool is_trained(const struct pieces *p, const struct gqa_linear *l)
{
    return p->trained && l->weight != GQA_NO_PARAM && p->trained[l->weight];
}

static bool has(const struct gqa_norm *norm)
{
    return norm->kind != GQA_NORM_NONE;
}

/* --- Of sublayers --------------------------------------------------------- */

/* Of what makes queries: of a self-attention whose projections may be one, keys
 * and values too. */
static uint64_t q_width(const struct gqa_runtime *r,
                        const struct gqa_attention_block *a, bool cross)
{
    return !cross && gqa_joint_may(r->network, a)
               ? gqa_joint_outputs(r, a)
               : gqa_runtime_outputs(r, &a->q);
}

/* Summaries of all sequences; 0: there are none. */
static uint64_t n_summaries(const struct gqa_attention_block *a,
                            const struct gqa_tape_sizes *sizes)
{
    return a->summaries.size
               ? sizes->n_sequences *
                     (gqa_tape_stack_length(sizes, a->heads->stack) /
                      a->summaries.size)
               : 0;
}

static void place_summaries(struct pieces *p, struct gqa_tape_attention *room,
                            const struct gqa_attention_block *a, uint64_t n)
{
    const uint64_t d = p->runtime->network->d_model;
    const uint64_t kv = a->heads->n_kv_heads * a->heads->head_dim;

    if (n == 0)
        return;
    room->summed = take_reals(p, n, d);
    room->summed_normed =
        has(&a->summaries.norm) ? take_reals(p, n, d) : room->summed;
    room->summed_k = take_reals(p, n, kv);
    room->summed_v = take_reals(p, n, kv);
}

/* is_last: nothing but the block's end comes behind it; is_read: what is
 * normed is kept for another. */
static void place_attention(struct pieces *p, struct gqa_tape_attention *room,
                            const struct gqa_attention_block *a, uint64_t rows,
                            uint64_t cached, bool cross, bool is_last,
                            bool is_read)
{
    const struct gqa_runtime *r = p->runtime;
    const uint64_t d = r->network->d_model;
    const uint64_t q = q_width(r, a, cross);
    const uint64_t k = gqa_runtime_outputs(r, &a->k);
    const uint64_t kv = a->heads->n_kv_heads * a->heads->head_dim;
    const bool back = p->trained != NULL;

    if (has(&a->norm) && (is_trained(p, &a->q) || is_trained(p, &a->k) ||
                          is_trained(p, &a->v) || is_read))
        room->normed = take_reals(p, rows, d);
    room->q = take_reals(p, rows, q);
    if (back && has(&a->q_norm))
        room->q_plain = take_reals(p, rows, q);
    if (back && has(&a->k_norm) && a->k.weight != a->q.weight)
        room->k_plain = take_reals(p, cached, k);
    else if (back && has(&a->k_norm))
        room->k_plain = room->q_plain ? room->q_plain : take_reals(p, rows, q);
    if (back && a->clip > 0) {
        room->q_unclipped = take_reals(p, rows, q);
        if (cross || a->k.weight != a->q.weight)
            room->k_unclipped = take_reals(p, cached, k);
        if (a->v.weight != a->k.weight)
            room->v_unclipped =
                take_reals(p, cached, gqa_runtime_outputs(r, &a->v));
    }
    room->cache_k = take_reals(p, cached, kv);
    room->cache_v = take_reals(p, cached, kv);
    room->attended =
        take_reals(p, rows, a->heads->n_heads * a->heads->head_dim);
    if (back || a->summaries.size || a->sinks != GQA_NO_PARAM)
        room->lse = take(p, r->wide, rows, a->heads->n_heads);
    if (has(&a->output_norm))
        room->output = take_reals(p, rows, d);
    if (back && has(&a->after_norm))
        room->sum = take_reals(p, rows, d);
    if (back && !is_last)
        room->after = take_reals(p, rows, d);
}

static void place_feed_forward(struct pieces *p,
                               struct gqa_tape_feed_forward *room,
                               const struct gqa_feed_forward *ff, uint64_t rows)
{
    const struct gqa_runtime *r = p->runtime;
    const uint64_t d = r->network->d_model;
    const uint64_t width = gqa_runtime_outputs(r, &ff->up);

    if (has(&ff->norm) && (is_trained(p, &ff->up) || is_trained(p, &ff->gate)))
        room->normed = take_reals(p, rows, d);
    room->up = take_reals(p, rows, width);
    if (ff->gate.weight != GQA_NO_PARAM)
        room->gate = take_reals(p, rows, width);
    if (is_trained(p, &ff->down))
        room->hidden = take_reals(p, rows, width);
    if (has(&ff->output_norm))
        room->output = take_reals(p, rows, d);
    if (p->trained && has(&ff->after_norm))
        room->sum = take_reals(p, rows, d);
}

/* --- Of experts ----------------------------------------------------------- */

/* Parts of experts, or of what chooses them. */
enum part { INPUTS, OUTPUTS };

static bool expert_is_trained(const struct pieces *p,
                              const struct gqa_expert *x, enum part part)
{
    return part == INPUTS ? is_trained(p, &x->up) || is_trained(p, &x->gate)
                          : is_trained(p, &x->down);
}

static bool experts_are_trained(const struct pieces *p,
                                const struct gqa_experts *x, enum part part)
{
    for (uint64_t e = 0; e < x->n; e++)
        if (expert_is_trained(p, &x->each[e], part))
            return true;
    return false;
}

/* Whether any gradient is made of what experts and router are given. */
static bool reads_input(const struct pieces *p, const struct gqa_experts *x)
{
    return experts_are_trained(p, x, INPUTS) || is_trained(p, &x->router) ||
           expert_is_trained(p, &x->shared, INPUTS) ||
           is_trained(p, &x->shared_gate);
}

/* Of the widest. */
static uint64_t expert_width(const struct gqa_runtime *r,
                             const struct gqa_experts *x)
{
    uint64_t width = 0;

    for (uint64_t e = 0; e < x->n; e++)
        width = gqa_max_u64(width, gqa_runtime_outputs(r, &x->each[e].up));
    return width;
}

static void place_shared(struct pieces *p, struct gqa_tape_experts *room,
                         const struct gqa_experts *x, uint64_t rows)
{
    const struct gqa_runtime *r = p->runtime;
    const uint64_t width = gqa_runtime_outputs(r, &x->shared.up);

    if (width == 0)
        return;
    room->up = take_reals(p, rows, width);
    if (x->shared.gate.weight != GQA_NO_PARAM)
        room->gate = take_reals(p, rows, width);
    if (expert_is_trained(p, &x->shared, OUTPUTS))
        room->hidden = take_reals(p, rows, width);
    room->made_shared = take_reals(p, rows, r->network->d_model);
    if (x->shared_gate.weight != GQA_NO_PARAM)
        room->share = take_reals(p, rows, 1);
}

/* Elements of up that make one of what down reads. */
static uint64_t per_hidden(const struct gqa_feed_forward *ff)
{
    return ff->has_pairs ? 2 : 1;
}

static void place_experts(struct pieces *p, struct gqa_tape_feed_forward *room,
                          const struct gqa_feed_forward *ff, uint64_t rows)
{
    const uint64_t d = p->runtime->network->d_model;
    const struct gqa_experts *x = ff->experts;
    const uint64_t pairs = rows * x->n_chosen;
    const uint64_t width = expert_width(p->runtime, x);

    if (reads_input(p, x))
        room->normed = take_reals(p, rows, d);
    room->experts.logits = take_reals(p, rows, x->n);
    room->up = take_reals(p, pairs, width);
    if (x->each[0].gate.weight != GQA_NO_PARAM)
        room->gate = take_reals(p, pairs, width);
    /* Pairs leave no place for what is made of them. */
    if (experts_are_trained(p, x, OUTPUTS) || (ff->has_pairs && !p->trained))
        room->hidden = take_reals(p, pairs, width / per_hidden(ff));
    room->experts.made = take_reals(p, pairs, d);
    place_shared(p, &room->experts, x, rows);
}

/* --- Of a block ----------------------------------------------------------- */

uint64_t gqa_tape_room_place(struct gqa_tape_room *room, char *base,
                             const struct gqa_runtime *runtime,
                             const struct gqa_block *block,
                             const struct gqa_tape_sizes *sizes,
                             const bool *trained)
{
    struct pieces p = {runtime, trained, base, 0};
    const enum gqa_stack stack = block->self.heads->stack;
    const uint64_t rows = gqa_tape_stack_rows(sizes, stack);

    *room = (struct gqa_tape_room){.self = {.normed = NULL}};
    place_attention(&p, &room->self, &block->self, rows, rows, false,
                    block->parallel,
                    block->shared_norm && (is_trained(&p, &block->ff.up) ||
                                           is_trained(&p, &block->ff.gate)));
    place_summaries(&p, &room->self, &block->self,
                    n_summaries(&block->self, sizes));
    if (block->has_cross)
        place_attention(&p, &room->cross, &block->cross, rows,
                        gqa_tape_stack_rows(sizes, GQA_STACK_ENCODER), true,
                        false, false);
    if (block->ff.experts)
        place_experts(&p, &room->ff, &block->ff, rows);
    else
        place_feed_forward(&p, &room->ff, &block->ff, rows);
    return p.n_bytes;
}

/* --- Of all blocks -------------------------------------------------------- */

struct widths {
    uint64_t rows, q, k, v, attended, cache, ff;
    uint64_t summed, summed_kv, summed_attended, summed_lse; /* of summaries */
    uint64_t pairs, logits;                                  /* of experts */
    bool gated, joint, normed, output, scaled;
};

static void widen(struct widths *w, const struct gqa_runtime *r,
                  const struct gqa_attention_block *a, uint64_t rows,
                  uint64_t cached, bool cross)
{
    const uint64_t kv = a->heads->n_kv_heads * a->heads->head_dim;

    w->q = gqa_max_u64(w->q, rows * q_width(r, a, cross));
    w->k = gqa_max_u64(w->k, cached * gqa_runtime_outputs(r, &a->k));
    w->v = gqa_max_u64(w->v, cached * gqa_runtime_outputs(r, &a->v));
    w->attended =
        gqa_max_u64(w->attended, rows * a->heads->n_heads * a->heads->head_dim);
    w->cache = gqa_max_u64(w->cache, cached * kv);
    w->output = w->output || has(&a->output_norm);
    w->scaled = w->scaled || a->residual_scale != 0;
}

static void widen_summaries(struct widths *w, const struct gqa_runtime *r,
                            const struct gqa_attention_block *a, uint64_t rows,
                            uint64_t n)
{
    if (n == 0)
        return;
    w->summed = gqa_max_u64(w->summed, n * r->network->d_model);
    w->summed_kv = gqa_max_u64(w->summed_kv,
                               n * a->heads->n_kv_heads * a->heads->head_dim);
    w->summed_attended = gqa_max_u64(
        w->summed_attended, rows * a->heads->n_heads * a->heads->head_dim);
    w->summed_lse = gqa_max_u64(w->summed_lse, rows * a->heads->n_heads);
}

static void widen_experts(struct widths *w, const struct gqa_runtime *r,
                          const struct gqa_experts *x, uint64_t rows)
{
    const uint64_t pairs = rows * x->n_chosen;

    w->pairs = gqa_max_u64(w->pairs, pairs);
    w->logits = gqa_max_u64(w->logits, rows * x->n);
    w->ff = gqa_max_u64(w->ff, pairs * expert_width(r, x));
    w->ff = gqa_max_u64(w->ff, rows * gqa_runtime_outputs(r, &x->shared.up));
    w->gated = w->gated || x->each[0].gate.weight != GQA_NO_PARAM ||
               x->shared.gate.weight != GQA_NO_PARAM;
}

static void widen_feed_forward(struct widths *w, const struct gqa_runtime *r,
                               const struct gqa_feed_forward *ff, uint64_t rows)
{
    w->output = w->output || has(&ff->output_norm);
    w->scaled = w->scaled || (ff->residual_scale != 0 && !ff->experts);
    w->ff = gqa_max_u64(w->ff, rows * gqa_runtime_outputs(r, &ff->up));
    w->gated = w->gated || ff->gate.weight != GQA_NO_PARAM || ff->has_pairs;
    w->joint = w->joint || gqa_joint_gated_may(r->network, ff);
    if (ff->experts)
        widen_experts(w, r, ff->experts, rows);
}

static struct widths widths_of(const struct gqa_runtime *r,
                               const struct gqa_tape_sizes *sizes)
{
    struct widths w = {.rows = 0};

    for (size_t i = 0; i < r->network->n_stacks; i++) {
        const struct gqa_network_stack *stack = &r->network->stacks[i];
        const uint64_t rows = gqa_tape_stack_rows(sizes, stack->stack);

        w.rows = gqa_max_u64(w.rows, rows);
        for (size_t j = 0; j < stack->n_blocks; j++) {
            const struct gqa_block *b = &stack->blocks[j];

            widen(&w, r, &b->self, rows, rows, false);
            widen_summaries(&w, r, &b->self, rows,
                            n_summaries(&b->self, sizes));
            if (b->has_cross)
                widen(&w, r, &b->cross, rows,
                      gqa_tape_stack_rows(sizes, GQA_STACK_ENCODER), true);
            widen_feed_forward(&w, r, &b->ff, rows);
            w.normed = w.normed || b->parallel;
        }
    }
    if (r->network->transforms)
        w.ff = gqa_max_u64(w.ff, w.rows * r->network->d_model);
    return w;
}

/* Whether embedding or logits have rows of their own, which are made again. */
static bool has_other_rows(const struct gqa_network *n)
{
    return n->logit_width || n->transforms ||
           n->stacks[n->n_stacks - 1].embedding_width;
}

/* Whether what is normed is a sum, which the way back makes again. */
static bool norms_sums(const struct gqa_network *n)
{
    for (size_t i = 0; i < n->n_stacks; i++)
        if (n->stacks[i].embedding_norm.kind != GQA_NORM_NONE &&
            n->stacks[i].n_codes + n->stacks[i].n_places > 0)
            return true;
    return false;
}

uint64_t gqa_tape_scratch_place(struct gqa_tape_scratch *scratch, char *base,
                                const struct gqa_runtime *runtime,
                                const struct gqa_tape_sizes *sizes,
                                const bool *trained)
{
    struct pieces p = {runtime, trained, base, 0};
    const struct widths w = widths_of(runtime, sizes);
    const uint64_t d = runtime->network->d_model;
    const uint64_t widest = gqa_network_row_width(runtime->network);

    *scratch = (struct gqa_tape_scratch){.normed = NULL};
    scratch->normed = take_reals(&p, w.rows, widest);
    if (w.normed)
        scratch->ff_normed = take_reals(&p, w.rows, d);
    scratch->k = take_reals(&p, w.k, 1);
    scratch->v = take_reals(&p, w.v, 1);
    if (w.scaled || (trained && (w.output || has_other_rows(runtime->network) ||
                                 norms_sums(runtime->network))))
        scratch->output = take_reals(&p, w.rows, widest);
    scratch->picked = take_reals(&p, w.pairs, d);
    scratch->summed_attended = take_reals(&p, w.summed_attended, 1);
    scratch->summed_lse = take(&p, runtime->wide, w.summed_lse, 1);
    if (!trained)
        return p.n_bytes;
    scratch->mixed = take_reals(&p, w.pairs, d);
    scratch->logits = take_reals(&p, w.logits, 1);
    scratch->hidden = take_reals(&p, w.ff, 1);
    if (w.gated)
        scratch->up = take_reals(&p, w.ff, w.joint ? 2 : 1);
    scratch->q = take_reals(&p, w.q, 1);
    scratch->attended = take_reals(&p, w.attended, 1);
    scratch->cache_k = take_reals(&p, w.cache, 1);
    scratch->cache_v = take_reals(&p, w.cache, 1);
    scratch->summed = take_reals(&p, w.summed, 1);
    scratch->summed_k = take_reals(&p, w.summed_kv, 1);
    scratch->summed_v = take_reals(&p, w.summed_kv, 1);
    return p.n_bytes;
}
