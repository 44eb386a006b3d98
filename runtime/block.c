#include "runtime/block.h"

/* --- Calls to the backend, with the pass's own arguments ------------------ */

enum gqa_status gqa_block_norm(const struct gqa_pass *pass, void *out,
                               const void *x, const struct gqa_norm *n)
{
    const struct gqa_runtime *r = pass->session->runtime;

    return r->backend->norm(r->device, out, x, pass->n_rows, n->kind, n->eps,
                            gqa_runtime_weight(r, n->weight),
                            gqa_runtime_weight(r, n->bias));
}

enum gqa_status gqa_block_embed(const struct gqa_pass *pass)
{
    const struct gqa_runtime *r = pass->session->runtime;

    return r->backend->embed(r->device, pass->session->work.x,
                             gqa_runtime_weight(r, pass->stack->embedding),
                             gqa_runtime_weight(r, pass->stack->positions));
}

static enum gqa_status linear(const struct gqa_runtime *r, void *out,
                              const void *x, uint64_t n_rows,
                              const struct gqa_linear *l, bool accumulate)
{
    return r->backend->linear(r->device, out, x, n_rows,
                              gqa_runtime_weight(r, l->weight), l->input_major,
                              gqa_runtime_weight(r, l->bias), accumulate);
}

static struct gqa_head_place place_of(const struct gqa_slice *slice)
{
    return (struct gqa_head_place){slice->n_heads, slice->base,
                                   slice->per_block, slice->block_stride};
}

/* --- Taps ----------------------------------------------------------------- */

static bool is_tapped(const struct gqa_pass *pass, enum gqa_tap_point point)
{
    return pass->output && pass->output->taps &&
           pass->output->taps->points & GQA_TAP(point);
}

/* Rows of the whole batch at a point of an attention. */
static enum gqa_status tap_attention(const struct gqa_pass *pass,
                                     const struct gqa_attention_block *a,
                                     enum gqa_tap_point point, const void *x)
{
    const struct gqa_tapped tapped = {
        .point = point,
        .stack = a->heads->stack,
        .layer = a->heads->layer,
        .kind = a->heads->kind,
        .x = x,
        .width = pass->session->runtime->network->d_model,
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

/* A projection's output: heads of one slice in rows of this width. */
struct heads {
    void *x;
    uint64_t width;
    struct gqa_head_place place;
};

static enum gqa_status tap_heads(const struct gqa_pass *pass,
                                 const struct gqa_attention_block *a,
                                 enum gqa_tap_point point,
                                 const struct heads *heads)
{
    const struct gqa_tapped tapped = {
        .point = point,
        .stack = a->heads->stack,
        .layer = a->heads->layer,
        .kind = a->heads->kind,
        .x = heads->x,
        .width = heads->width,
        .n_rows = pass->n_rows,
        .place = heads->place,
        .head_dim = a->heads->head_dim,
    };

    return is_tapped(pass, point) ? gqa_emit_tap(pass, &tapped) : GQA_OK;
}

static enum gqa_status rotate(const struct gqa_pass *pass,
                              const struct gqa_attention_block *a,
                              const struct heads *heads,
                              enum gqa_tap_point turned)
{
    const struct gqa_runtime *r = pass->session->runtime;
    enum gqa_status st;

    if (!a->rope)
        return GQA_OK;
    st = r->backend->rotate(r->device, heads->x, heads->width, &heads->place,
                            a->heads->head_dim, a->rope->n_pairs,
                            a->rope->interleaved, pass->session->cos_sin);
    return st == GQA_OK ? tap_heads(pass, a, turned, heads) : st;
}

static enum gqa_status store(const struct gqa_pass *pass,
                             const struct gqa_attention_block *a, void *cache,
                             uint64_t capacity, const struct heads *heads)
{
    const struct gqa_runtime *r = pass->session->runtime;

    return r->backend->store(r->device, cache, capacity, heads->x, heads->width,
                             &heads->place, a->heads->head_dim);
}

/* Project normed rows; a weight that another slice had is not used again. */
static enum gqa_status project(const struct gqa_pass *pass, struct heads *out,
                               void *room, const struct gqa_linear *l,
                               const struct gqa_slice *slice,
                               const struct gqa_linear *before,
                               const struct heads *of_before)
{
    const struct gqa_runtime *r = pass->session->runtime;

    out->place = place_of(slice);
    out->width = gqa_runtime_outputs(r, l);
    if (before && before->weight == l->weight) {
        out->x = of_before->x;
        return GQA_OK;
    }
    out->x = room;
    return linear(r, room, pass->session->work.normed, pass->n_rows, l, false);
}

static enum gqa_status attend(const struct gqa_pass *pass,
                              const struct gqa_attention_block *a,
                              const struct heads *q,
                              const struct gqa_kv_cache *cache,
                              uint64_t capacity, const uint64_t *key_counts,
                              const void *bias)
{
    struct gqa_session *s = pass->session;
    const struct gqa_runtime *r = s->runtime;
    const struct gqa_attention_op op = {
        .out = s->work.attended,
        .q = q->x,
        .q_width = q->width,
        .q_place = q->place,
        .k = cache->k,
        .v = cache->v,
        .n_kv_heads = a->heads->n_kv_heads,
        .head_dim = a->heads->head_dim,
        .capacity = capacity,
        .scale = a->scale,
        .causal = a->causal,
        .window = a->window,
        .key_counts = key_counts,
        .bias = bias,
        .reach = pass->stack->stack == GQA_STACK_ENCODER
                     ? s->room.encoder_capacity
                     : s->room.capacity,
    };
    const struct heads out = {
        s->work.attended,
        a->heads->n_heads * a->heads->head_dim,
        {.n_heads = a->heads->n_heads, .per_block = a->heads->n_heads},
    };
    enum gqa_status st = r->backend->attend(r->device, &op);

    if (st == GQA_OK)
        st = tap_heads(pass, a, GQA_TAP_ATTENDED, &out);
    if (st == GQA_OK)
        st = linear(r, s->work.x, out.x, pass->n_rows, &a->o, true);
    return st == GQA_OK
               ? tap_attention(pass, a, GQA_TAP_AFTER_ATTENTION, s->work.x)
               : st;
}

static enum gqa_status self_attention(const struct gqa_pass *pass,
                                      const struct gqa_attention_block *a,
                                      size_t layer)
{
    struct gqa_session *s = pass->session;
    const bool encoder = pass->stack->stack == GQA_STACK_ENCODER;
    const struct gqa_kv_cache *cache = encoder ? &s->encoder : &s->self[layer];
    const uint64_t capacity = encoder ? s->encoder_capacity : s->capacity;
    struct heads q, k, v;
    enum gqa_status st;

    if ((st = tap_attention(pass, a, GQA_TAP_INPUT, s->work.normed)) !=
            GQA_OK ||
        (st = project(pass, &q, s->work.q, &a->q, &a->heads->q, NULL, NULL)) !=
            GQA_OK ||
        (st = project(pass, &k, s->work.k, &a->k, &a->heads->k, &a->q, &q)) !=
            GQA_OK ||
        (st = project(pass, &v, s->work.v, &a->v, &a->heads->v, &a->k, &k)) !=
            GQA_OK ||
        (st = tap_heads(pass, a, GQA_TAP_Q, &q)) != GQA_OK ||
        (st = tap_heads(pass, a, GQA_TAP_K, &k)) != GQA_OK ||
        (st = tap_heads(pass, a, GQA_TAP_V, &v)) != GQA_OK ||
        (st = rotate(pass, a, &q, GQA_TAP_Q_TURNED)) != GQA_OK ||
        (st = rotate(pass, a, &k, GQA_TAP_K_TURNED)) != GQA_OK ||
        (st = store(pass, a, cache->k, capacity, &k)) != GQA_OK ||
        (st = store(pass, a, cache->v, capacity, &v)) != GQA_OK)
        return st;
    return attend(pass, a, &q, cache, capacity, NULL,
                  s->bias[pass->stack->stack][layer]);
}

static enum gqa_status cross_attention(const struct gqa_pass *pass,
                                       const struct gqa_attention_block *a,
                                       size_t layer)
{
    struct gqa_session *s = pass->session;
    struct heads q;
    enum gqa_status st;

    if ((st = gqa_block_norm(pass, s->work.normed, s->work.x, &a->norm)) !=
            GQA_OK ||
        (st = tap_attention(pass, a, GQA_TAP_INPUT, s->work.normed)) !=
            GQA_OK ||
        (st = project(pass, &q, s->work.q, &a->q, &a->heads->q, NULL, NULL)) !=
            GQA_OK ||
        (st = tap_heads(pass, a, GQA_TAP_Q, &q)) != GQA_OK)
        return st;
    return attend(pass, a, &q, &s->cross[layer], s->encoder_capacity, s->inputs,
                  NULL);
}

enum gqa_status gqa_block_keys(const struct gqa_pass *pass,
                               const struct gqa_attention_block *a,
                               size_t layer)
{
    struct gqa_session *s = pass->session;
    const struct gqa_kv_cache *cache = &s->cross[layer];
    struct heads k, v;
    enum gqa_status st;

    if ((st = tap_attention(pass, a, GQA_TAP_MEMORY, s->work.normed)) !=
            GQA_OK ||
        (st = project(pass, &k, s->work.k, &a->k, &a->heads->k, NULL, NULL)) !=
            GQA_OK ||
        (st = project(pass, &v, s->work.v, &a->v, &a->heads->v, &a->k, &k)) !=
            GQA_OK ||
        (st = tap_heads(pass, a, GQA_TAP_K, &k)) != GQA_OK ||
        (st = tap_heads(pass, a, GQA_TAP_V, &v)) != GQA_OK ||
        (st = store(pass, a, cache->k, s->encoder_capacity, &k)) != GQA_OK)
        return st;
    return store(pass, a, cache->v, s->encoder_capacity, &v);
}

/* --- Feed-forward --------------------------------------------------------- */

/* Add ff(normed) to the residual stream, some rows at a time. */
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
    enum gqa_status st = tap_block(pass, layer, GQA_TAP_FF_INPUT, normed,
                                   r->network->d_model, 0, pass->n_rows);

    for (uint64_t row = 0; row < pass->n_rows && st == GQA_OK;
         row += s->ff_rows) {
        const uint64_t n =
            pass->n_rows - row < s->ff_rows ? pass->n_rows - row : s->ff_rows;
        const char *in = (const char *)normed + row * row_bytes;

        st = linear(r, s->work.up, in, n, &ff->up, false);
        if (st == GQA_OK && gated)
            st = linear(r, s->work.gate, in, n, &ff->gate, false);
        if (st == GQA_OK)
            st = r->backend->activate(r->device, hidden,
                                      gated ? s->work.up : NULL, n * width,
                                      ff->activation);
        if (st == GQA_OK)
            st = tap_block(pass, layer, GQA_TAP_HIDDEN, hidden, width, row, n);
        if (st == GQA_OK)
            st = linear(r, (char *)s->work.x + row * row_bytes, hidden, n,
                        &ff->down, true);
    }
    return st;
}

/* --- Blocks --------------------------------------------------------------- */

enum gqa_status gqa_block_run(const struct gqa_pass *pass,
                              const struct gqa_block *block, size_t layer)
{
    const struct gqa_workspace *w = &pass->session->work;
    const void *ff_normed = block->parallel ? w->ff_normed : w->normed;
    const uint64_t d = pass->session->runtime->network->d_model;
    enum gqa_status st =
        tap_block(pass, layer, GQA_TAP_BEFORE, w->x, d, 0, pass->n_rows);

    if (st == GQA_OK)
        st = gqa_block_norm(pass, w->normed, w->x, &block->self.norm);
    if (st == GQA_OK && block->parallel)
        st = gqa_block_norm(pass, w->ff_normed, w->x, &block->ff_norm);
    if (st == GQA_OK)
        st = self_attention(pass, &block->self, layer);
    if (st == GQA_OK && block->has_cross)
        st = cross_attention(pass, &block->cross, layer);
    if (st == GQA_OK && !block->parallel)
        st = gqa_block_norm(pass, w->normed, w->x, &block->ff_norm);
    if (st == GQA_OK)
        st = feed_forward(pass, &block->ff, layer, ff_normed);
    return st == GQA_OK
               ? tap_block(pass, layer, GQA_TAP_AFTER, w->x, d, 0, pass->n_rows)
               : st;
}
