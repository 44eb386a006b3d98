#include "runtime/block.h"

#include "runtime/experts.h"
#include "runtime/frames.h"
#include "runtime/parts.h"
#include "runtime/summaries.h"

/* --- Calls to the backend, with the pass's own arguments ------------------ */

enum gqa_status gqa_block_norm(const struct gqa_pass *pass, const void **out,
                               void *room, const struct gqa_norm *n)
{
    const struct gqa_session *s = pass->session;

    *out = s->work.x;
    if (n->kind == GQA_NORM_NONE)
        return GQA_OK;
    *out = room;
    return gqa_part_norm(s->runtime, room, s->work.x, pass->n_rows, n, false);
}

enum gqa_status gqa_block_embed(const struct gqa_pass *pass)
{
    const struct gqa_session *s = pass->session;
    const struct gqa_frames_run run = {s->runtime, pass->stack, &pass->batch,
                                       pass->n_rows, s->ff_rows};

    return pass->stack->frames.width
               ? gqa_frames_embed(&run, s->work.x, s->work.normed)
               : gqa_part_embed_whole(s->runtime, pass->stack, s->work.x,
                                      s->work.normed, pass->n_rows);
}

/* A norm of the stream in place. */
static enum gqa_status norm_stream(const struct gqa_pass *pass,
                                   const struct gqa_norm *n)
{
    const void *ignored;

    return gqa_block_norm(pass, &ignored, pass->session->work.x, n);
}

/* Add what l makes of n rows to those of the residual stream from `row` on,
 * normed or scaled on the way where the network says so. */
static enum gqa_status add_output(const struct gqa_session *s,
                                  const struct gqa_linear *l,
                                  const struct gqa_norm *output_norm,
                                  double scale, const void *in, uint64_t row,
                                  uint64_t n)
{
    const struct gqa_runtime *r = s->runtime;
    const uint64_t row_bytes =
        r->network->d_model * gqa_dtype_bits(r->real) / 8;
    void *x = (char *)s->work.x + row * row_bytes;
    enum gqa_status st;

    if (output_norm->kind == GQA_NORM_NONE && scale == 0)
        return gqa_part_linear(r, x, in, n, l, x);
    st = gqa_part_linear(r, s->work.output, in, n, l, NULL);
    if (st == GQA_OK && scale != 0)
        return r->backend->add_rows(r->device, x, s->work.output,
                                    r->network->d_model, NULL, NULL, scale, n);
    return st == GQA_OK
               ? gqa_part_norm(r, x, s->work.output, n, output_norm, true)
               : st;
}

/* --- Taps ----------------------------------------------------------------- */

static bool is_tapped(const struct gqa_pass *pass, enum gqa_tap_point point)
{
    return pass->output && pass->output->taps &&
           pass->output->taps->points & GQA_TAP(point);
}

/* Nothing behind this point of an attention is wanted. */
static bool ends_at(const struct gqa_pass *pass,
                    const struct gqa_attention_block *a,
                    enum gqa_tap_point point)
{
    return pass->last && pass->last->kind == a->heads->kind &&
           pass->last->point == point;
}

/* Rows of the whole batch at a point of an attention. */
static enum gqa_status tap_attention(const struct gqa_pass *pass,
                                     const struct gqa_attention_block *a,
                                     enum gqa_tap_point point, const void *x)
{
    const struct gqa_network *n = pass->session->runtime->network;
    const struct gqa_tapped tapped = {
        .point = point,
        .stack = a->heads->stack,
        .layer = pass->layer,
        .kind = a->heads->kind,
        .x = x,
        .width = point == GQA_TAP_MEMORY ? n->memory_width : n->d_model,
        .n_rows = pass->n_rows,
    };

    return is_tapped(pass, point) ? gqa_emit_tap(pass, &tapped) : GQA_OK;
}

/* Rows [first_row, first_row + n_rows) at a point of a block that belongs to
 * no attention. */
static enum gqa_status tap_block(const struct gqa_pass *pass, size_t layer,
                                 enum gqa_tap_point point, const void *x,
                                 uint64_t width, uint64_t first_row,
                                 uint64_t n_rows)
{
    const struct gqa_tapped tapped = {
        .point = point,
        .stack = pass->stack->stack,
        .layer = layer,
        .x = x,
        .width = width,
        .n_rows = n_rows,
        .first_row = first_row,
    };

    return is_tapped(pass, point) ? gqa_emit_tap(pass, &tapped) : GQA_OK;
}

/* --- Attention ------------------------------------------------------------ */

static enum gqa_status tap_heads(const struct gqa_pass *pass,
                                 const struct gqa_attention_block *a,
                                 enum gqa_tap_point point,
                                 const struct gqa_heads *heads)
{
    const struct gqa_tapped tapped = {
        .point = point,
        .stack = a->heads->stack,
        .layer = pass->layer,
        .kind = a->heads->kind,
        .x = heads->x,
        .width = heads->width,
        .n_rows = pass->n_rows,
        .place = heads->place,
        .head_dim = a->heads->head_dim,
    };

    return is_tapped(pass, point) ? gqa_emit_tap(pass, &tapped) : GQA_OK;
}

/* Keep a projection's rows within what the network says. */
static enum gqa_status clip(const struct gqa_pass *pass,
                            const struct gqa_attention_block *a,
                            const struct gqa_heads *heads)
{
    const struct gqa_runtime *r = pass->session->runtime;

    return a->clip > 0 ? r->backend->clip(r->device, heads->x,
                                          pass->n_rows * heads->width, a->clip)
                       : GQA_OK;
}

/* Norm and clip heads, where the network says so, before any is rotated: rows
 * may hold several of them. q NULL: keys and values alone; k, v NULL: queries
 * alone. */
static enum gqa_status norm_and_clip(const struct gqa_pass *pass,
                                     const struct gqa_attention_block *a,
                                     const struct gqa_heads *q,
                                     const struct gqa_heads *k,
                                     const struct gqa_heads *v)
{
    const struct gqa_runtime *r = pass->session->runtime;
    enum gqa_status st = GQA_OK;

    if (q && !a->norms_turned)
        st = gqa_part_norm_heads(r, a, q, &a->q_norm);
    if (st == GQA_OK && k && !a->norms_turned)
        st = gqa_part_norm_heads(r, a, k, &a->k_norm);
    if (st == GQA_OK && q)
        st = clip(pass, a, q);
    if (st == GQA_OK && k && (!q || k->x != q->x))
        st = clip(pass, a, k);
    return st == GQA_OK && v && v->x != k->x ? clip(pass, a, v) : st;
}

/* Rotate the heads of q or k, normed by n and clipped, where the network says
 * so; it may norm them here. */
static enum gqa_status turn(const struct gqa_pass *pass,
                            const struct gqa_attention_block *a,
                            const struct gqa_heads *heads,
                            const struct gqa_norm *n, enum gqa_tap_point turned)
{
    const struct gqa_runtime *r = pass->session->runtime;
    enum gqa_status st;

    if (n->kind == GQA_NORM_NONE && !a->rope && a->clip == 0)
        return GQA_OK;
    st = gqa_part_rotate(r, a, heads, &pass->session->angles);
    if (st == GQA_OK && a->norms_turned)
        st = gqa_part_norm_heads(r, a, heads, n);
    return st == GQA_OK ? tap_heads(pass, a, turned, heads) : st;
}

static enum gqa_status store(const struct gqa_pass *pass,
                             const struct gqa_attention_block *a, void *cache,
                             uint64_t capacity, const struct gqa_heads *heads)
{
    const struct gqa_runtime *r = pass->session->runtime;

    return r->backend->store(r->device, cache, capacity, heads->x, heads->width,
                             &heads->place, a->heads->head_dim);
}

/* Project rows; a weight that another slice had is not used again. */
static enum gqa_status project(const struct gqa_pass *pass,
                               struct gqa_heads *out, void *room,
                               const void *in, const struct gqa_linear *l,
                               const struct gqa_slice *slice,
                               const struct gqa_linear *before,
                               const struct gqa_heads *of_before)
{
    const struct gqa_runtime *r = pass->session->runtime;

    out->place = gqa_part_place(slice);
    out->width = gqa_runtime_outputs(r, l);
    if (before && before->weight == l->weight) {
        out->x = of_before->x;
        return GQA_OK;
    }
    out->x = room;
    return gqa_part_linear(r, room, in, pass->n_rows, l, NULL);
}

/* Keys and values of the batch's rows, normed, turned and in a cache. */
static enum gqa_status make_keys(const struct gqa_pass *pass,
                                 const struct gqa_attention_block *a,
                                 const void *rows,
                                 const struct gqa_kv_cache *cache,
                                 uint64_t capacity)
{
    struct gqa_session *s = pass->session;
    struct gqa_heads k, v;
    enum gqa_status st;

    if ((st = project(pass, &k, s->work.k, rows, &a->k, &a->heads->k, NULL,
                      NULL)) != GQA_OK ||
        (st = project(pass, &v, s->work.v, rows, &a->v, &a->heads->v, &a->k,
                      &k)) != GQA_OK ||
        (st = tap_heads(pass, a, GQA_TAP_K, &k)) != GQA_OK ||
        (st = tap_heads(pass, a, GQA_TAP_V, &v)) != GQA_OK ||
        (st = norm_and_clip(pass, a, NULL, &k, &v)) != GQA_OK ||
        (st = turn(pass, a, &k, &a->k_norm, GQA_TAP_K_TURNED)) != GQA_OK ||
        (st = store(pass, a, cache->k, capacity, &k)) != GQA_OK)
        return st;
    return store(pass, a, cache->v, capacity, &v);
}

/* --- Summaries ------------------------------------------------------------ */

/* Room for them in each sequence of the pass's batch; 0: no sequence is long
 * enough for one, or the attention has none. */
static uint64_t most_summaries(const struct gqa_pass *pass,
                               const struct gqa_attention_block *a)
{
    return a->summaries.size ? pass->batch.n_new / a->summaries.size : 0;
}

/* Of `in`, the attention's input: their keys and values. No tap is shown
 * them. */
static enum gqa_status make_summaries(const struct gqa_pass *pass,
                                      const struct gqa_attention_block *a,
                                      const void *in)
{
    const struct gqa_session *s = pass->session;
    const struct gqa_runtime *r = s->runtime;
    const struct gqa_summary_room *room = &s->summaries;
    const uint64_t most = most_summaries(pass, a);
    struct gqa_pass own = *pass;
    enum gqa_status st;

    if (most == 0)
        return GQA_OK;
    gqa_summaries_count(room->n, &pass->batch, a->summaries.size);
    own.batch = gqa_summaries_batch(&pass->batch, room->n, most);
    own.n_rows = own.batch.n_sequences * most;
    own.output = NULL;
    if ((st = r->backend->sum_pieces(r->device, room->rows, in,
                                     r->network->d_model, a->summaries.size,
                                     most)) != GQA_OK ||
        (a->summaries.norm.kind != GQA_NORM_NONE &&
         (st = gqa_part_norm(r, room->rows, room->rows, own.n_rows,
                             &a->summaries.norm, false)) != GQA_OK) ||
        (st = r->backend->set_batch(r->device, &own.batch)) != GQA_OK ||
        (st = make_keys(&own, a, room->rows, &room->cache, most)) != GQA_OK)
        return st;
    return r->backend->set_batch(r->device, &pass->batch);
}

/* Attention to tokens, op, becomes that to tokens and summaries. */
static enum gqa_status attend_summaries(const struct gqa_pass *pass,
                                        const struct gqa_attention_block *a,
                                        const struct gqa_attention_op *op)
{
    const struct gqa_session *s = pass->session;
    const struct gqa_runtime *r = s->runtime;
    const struct gqa_summary_room *room = &s->summaries;
    struct gqa_attention_op own =
        gqa_summaries_op(op, &a->summaries, room->n, most_summaries(pass, a));
    enum gqa_status st;

    own.out = room->attended;
    own.lse = room->lse;
    own.k = room->cache.k;
    own.v = room->cache.v;
    own.bias = room->bias[pass->layer];
    own.reach =
        gqa_summaries_reach(&a->summaries, gqa_session_reach(s, pass->stack));
    st = r->backend->attend(r->device, &own);
    return st == GQA_OK ? r->backend->merge(r->device, op->out, op->lse,
                                            own.out, own.lse, a->heads->n_heads,
                                            a->heads->head_dim)
                        : st;
}

/* --- Attention to what is in caches --------------------------------------- */

static enum gqa_status attend(const struct gqa_pass *pass,
                              const struct gqa_attention_block *a,
                              const struct gqa_heads *q,
                              const struct gqa_kv_cache *cache,
                              uint64_t capacity, const uint64_t *key_counts,
                              const void *bias)
{
    struct gqa_session *s = pass->session;
    const struct gqa_runtime *r = s->runtime;
    const bool summed = most_summaries(pass, a) > 0;
    struct gqa_attention_op op = gqa_part_attention(a, q);
    const struct gqa_heads out = {
        s->work.attended,
        a->heads->n_heads * a->heads->head_dim,
        {.n_heads = a->heads->n_heads, .per_block = a->heads->n_heads},
    };
    enum gqa_status st;

    op.out = s->work.attended;
    op.k = cache->k;
    op.v = cache->v;
    op.capacity = capacity;
    op.key_counts = key_counts;
    op.bias = bias;
    op.reach = gqa_session_reach(s, pass->stack);
    op.lse = summed || a->sinks != GQA_NO_PARAM ? s->work.lse : NULL;
    st = r->backend->attend(r->device, &op);
    if (st == GQA_OK && summed)
        st = attend_summaries(pass, a, &op);
    if (st == GQA_OK)
        st = gqa_part_sink(r, a, &op);
    if (st == GQA_OK)
        st = tap_heads(pass, a, GQA_TAP_ATTENDED, &out);
    if (st != GQA_OK || ends_at(pass, a, GQA_TAP_ATTENDED))
        return st;
    st = add_output(s, &a->o, &a->output_norm, a->residual_scale, out.x, 0,
                    pass->n_rows);
    if (st == GQA_OK)
        st = norm_stream(pass, &a->after_norm);
    return st == GQA_OK
               ? tap_attention(pass, a, GQA_TAP_AFTER_ATTENTION, s->work.x)
               : st;
}

static enum gqa_status self_attention(const struct gqa_pass *pass,
                                      const struct gqa_attention_block *a,
                                      size_t layer, const void *in)
{
    struct gqa_session *s = pass->session;
    const bool encoder = gqa_network_is_input(s->runtime->network, pass->stack);
    const struct gqa_kv_cache *cache = encoder ? &s->encoder : &s->self[layer];
    const uint64_t capacity = encoder ? s->encoder_capacity : s->capacity;
    struct gqa_heads q, k, v;
    enum gqa_status st;

    st = tap_attention(pass, a, GQA_TAP_INPUT, in);
    if (st != GQA_OK || ends_at(pass, a, GQA_TAP_INPUT))
        return st;
    if ((st = project(pass, &q, s->work.q, in, &a->q, &a->heads->q, NULL,
                      NULL)) != GQA_OK ||
        (st = project(pass, &k, s->work.k, in, &a->k, &a->heads->k, &a->q,
                      &q)) != GQA_OK ||
        (st = project(pass, &v, s->work.v, in, &a->v, &a->heads->v, &a->k,
                      &k)) != GQA_OK ||
        (st = tap_heads(pass, a, GQA_TAP_Q, &q)) != GQA_OK ||
        (st = tap_heads(pass, a, GQA_TAP_K, &k)) != GQA_OK ||
        (st = tap_heads(pass, a, GQA_TAP_V, &v)) != GQA_OK ||
        (st = norm_and_clip(pass, a, &q, &k, &v)) != GQA_OK ||
        (st = turn(pass, a, &q, &a->q_norm, GQA_TAP_Q_TURNED)) != GQA_OK ||
        (st = turn(pass, a, &k, &a->k_norm, GQA_TAP_K_TURNED)) != GQA_OK ||
        (st = store(pass, a, cache->k, capacity, &k)) != GQA_OK ||
        (st = store(pass, a, cache->v, capacity, &v)) != GQA_OK ||
        (st = make_summaries(pass, a, in)) != GQA_OK)
        return st;
    return attend(pass, a, &q, cache, capacity, NULL,
                  s->bias[pass->stack->stack][layer]);
}

static enum gqa_status cross_attention(const struct gqa_pass *pass,
                                       const struct gqa_attention_block *a,
                                       size_t layer)
{
    struct gqa_session *s = pass->session;
    const void *in;
    struct gqa_heads q;
    enum gqa_status st;

    if ((st = gqa_block_norm(pass, &in, s->work.normed, &a->norm)) != GQA_OK ||
        (st = tap_attention(pass, a, GQA_TAP_INPUT, in)) != GQA_OK)
        return st;
    if (ends_at(pass, a, GQA_TAP_INPUT))
        return GQA_OK;
    if ((st = project(pass, &q, s->work.q, in, &a->q, &a->heads->q, NULL,
                      NULL)) != GQA_OK ||
        (st = tap_heads(pass, a, GQA_TAP_Q, &q)) != GQA_OK ||
        (st = norm_and_clip(pass, a, &q, NULL, NULL)) != GQA_OK ||
        (st = turn(pass, a, &q, &a->q_norm, GQA_TAP_Q_TURNED)) != GQA_OK)
        return st;
    return attend(pass, a, &q, &s->cross[layer], s->encoder_capacity, s->inputs,
                  NULL);
}

enum gqa_status gqa_block_keys(const struct gqa_pass *pass, const void *memory,
                               const struct gqa_attention_block *a,
                               size_t layer)
{
    const struct gqa_session *s = pass->session;
    struct gqa_pass here = *pass;
    enum gqa_status st;

    here.layer = layer;
    st = tap_attention(&here, a, GQA_TAP_MEMORY, memory);
    return st == GQA_OK ? make_keys(&here, a, memory, &s->cross[layer],
                                    s->encoder_capacity)
                        : st;
}

/* --- Feed-forward --------------------------------------------------------- */

/* Add ff(normed) to the residual stream, some rows at a time. normed may be
 * the stream itself: rows are read before they are added to. */
static enum gqa_status feed_forward(const struct gqa_pass *pass,
                                    const struct gqa_feed_forward *ff,
                                    size_t layer, const void *normed)
{
    struct gqa_session *s = pass->session;
    const struct gqa_runtime *r = s->runtime;
    const uint64_t width = gqa_runtime_outputs(r, &ff->up);
    const uint64_t row_bytes =
        r->network->d_model * gqa_dtype_bits(r->real) / 8;
    const bool gated = ff->gate.weight != GQA_NO_PARAM;
    void *const hidden = gated ? s->work.gate : s->work.up;
    const struct gqa_part_hidden part = {.gate = &ff->gate,
                                         .up = &ff->up,
                                         .activation = ff->activation,
                                         .out = hidden,
                                         .gate_room = s->work.gate,
                                         .up_room = s->work.up};
    enum gqa_status st = tap_block(pass, layer, GQA_TAP_FF_INPUT, normed,
                                   r->network->d_model, 0, pass->n_rows);

    if (ff->experts)
        return st == GQA_OK ? gqa_block_experts(pass, ff, layer, normed) : st;
    for (uint64_t row = 0; row < pass->n_rows && st == GQA_OK;
         row += s->ff_rows) {
        const uint64_t n =
            pass->n_rows - row < s->ff_rows ? pass->n_rows - row : s->ff_rows;
        const char *in = (const char *)normed + row * row_bytes;

        if (ff->has_xielu) {
            st = gqa_part_linear(r, hidden, in, n, &ff->up, NULL);
            if (st == GQA_OK)
                st = gqa_part_xielu(r, hidden, n * width, ff);
        } else {
            st = gqa_part_hidden(r, &part, in, n);
        }
        if (st == GQA_OK)
            st = tap_block(pass, layer, GQA_TAP_HIDDEN, hidden, width, row, n);
        if (st == GQA_OK)
            st = add_output(s, &ff->down, &ff->output_norm, ff->residual_scale,
                            hidden, row, n);
    }
    return st == GQA_OK ? norm_stream(pass, &ff->after_norm) : st;
}

/* The stream becomes what was normed of it, where that is what is added to. */
static enum gqa_status take_normed(const struct gqa_pass *pass,
                                   const struct gqa_block *block,
                                   const void *normed)
{
    const struct gqa_session *s = pass->session;
    const struct gqa_runtime *r = s->runtime;
    const uint64_t d = r->network->d_model;
    enum gqa_status st;

    if (block->normed_scale == 0)
        return GQA_OK;
    st = r->backend->zero(r->device, s->work.x,
                          pass->n_rows * d * gqa_dtype_bits(r->real) / 8);
    return st == GQA_OK
               ? r->backend->add_rows(r->device, s->work.x, normed, d, NULL,
                                      NULL, block->normed_scale, pass->n_rows)
               : st;
}

/* --- Blocks --------------------------------------------------------------- */

static enum gqa_status run_block(const struct gqa_pass *pass,
                                 const struct gqa_block *block)
{
    const size_t layer = pass->layer;
    const struct gqa_workspace *w = &pass->session->work;
    const uint64_t d = pass->session->runtime->network->d_model;
    const void *in = NULL, *ff_in = NULL;
    enum gqa_status st =
        tap_block(pass, layer, GQA_TAP_BEFORE, w->x, d, 0, pass->n_rows);

    if (st == GQA_OK)
        st = gqa_block_norm(pass, &in, w->normed, &block->self.norm);
    if (block->shared_norm)
        ff_in = in;
    else if (st == GQA_OK && block->parallel && !pass->last)
        st = gqa_block_norm(pass, &ff_in, w->ff_normed, &block->ff.norm);
    if (st == GQA_OK)
        st = take_normed(pass, block, in);
    if (st == GQA_OK)
        st = self_attention(pass, &block->self, layer, in);
    if (pass->last && pass->last->kind == GQA_ATTENTION_SELF)
        return st;
    if (st == GQA_OK && block->has_cross)
        st = cross_attention(pass, &block->cross, layer);
    if (st != GQA_OK || pass->last)
        return st;
    if (!block->parallel)
        st = gqa_block_norm(pass, &ff_in, w->normed, &block->ff.norm);
    if (st == GQA_OK)
        st = take_normed(pass, block, ff_in);
    if (st == GQA_OK)
        st = feed_forward(pass, &block->ff, layer, ff_in);
    return st == GQA_OK
               ? tap_block(pass, layer, GQA_TAP_AFTER, w->x, d, 0, pass->n_rows)
               : st;
}

enum gqa_status gqa_block_run(const struct gqa_pass *pass,
                              const struct gqa_block *block, size_t layer)
{
    struct gqa_pass here = *pass;

    here.layer = layer;
    return run_block(&here, block);
}
