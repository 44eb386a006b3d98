#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/checked.h"
#include "common/ull.h"
#include "formats/model/rope.h"
#include "runtime/position_tables.h"
#include "runtime/state.h"
#include "runtime/summaries.h"

/* Rows that a product takes at once: enough to be fast, and few enough for
 * the activations to stay small beside the weights. */
#define MANY_ROWS ((uint64_t)2048)
/* A batch of more tokens than this is a mistake. */
#define MAX_ROWS ((uint64_t)1 << 31)
/* Logits computed at once. */
#define MANY_LOGITS ((uint64_t)4 << 20)

/* --- Device memory -------------------------------------------------------- */

static enum gqa_status alloc(struct gqa_session *s, void **out,
                             enum gqa_dtype dtype, uint64_t rows,
                             uint64_t width)
{
    const struct gqa_runtime *r = s->runtime;
    uint64_t n, n_bytes;

    if (!gqa_mul_u64(rows, width, &n) || !gqa_dtype_bytes(dtype, n, &n_bytes))
        return gqa_fail(GQA_ERR_NOMEM,
                        "%llu x %llu values are more than any memory holds",
                        ULL(rows), ULL(width));
    return r->backend->alloc(r->device, out, n_bytes);
}

static uint64_t kv_width(const struct gqa_attention *a)
{
    return a->n_kv_heads * a->head_dim;
}

static enum gqa_status alloc_cache(struct gqa_session *s,
                                   struct gqa_kv_cache *cache,
                                   const struct gqa_attention *a,
                                   uint64_t tokens)
{
    const enum gqa_dtype real = s->runtime->real;
    enum gqa_status st = alloc(s, &cache->k, real, tokens, kv_width(a));

    if (st == GQA_OK)
        st = alloc(s, &cache->v, real, tokens, kv_width(a));
    return st == GQA_OK ? st : gqa_fail_prefix(st, "KV cache");
}

/* Whose keys and values are widest: a cache for it serves all. */
static const struct gqa_attention *widest(const struct gqa_network_stack *stack,
                                          bool cross)
{
    const struct gqa_attention *most = NULL;

    for (size_t i = 0; i < stack->n_blocks; i++) {
        const struct gqa_block *b = &stack->blocks[i];
        const struct gqa_attention *a = cross ? b->cross.heads : b->self.heads;

        if (!most || kv_width(a) > kv_width(most))
            most = a;
    }
    return most;
}

void gqa_session_token_bytes(const struct gqa_runtime *r, uint64_t *encoder,
                             uint64_t *decoder)
{
    const struct gqa_network *n = r->network;
    const struct gqa_network_stack *stack = &n->stacks[n->n_stacks - 1];
    const uint64_t pair = 2 * gqa_dtype_bits(r->real) / 8; /* of k and v */

    *encoder = *decoder = 0;
    for (size_t i = 0; i < stack->n_blocks; i++) {
        const struct gqa_block *b = &stack->blocks[i];

        *decoder += pair * kv_width(b->self.heads);
        *encoder += b->has_cross ? pair * kv_width(b->cross.heads) : 0;
    }
}

/* Caches of all blocks of the decoder, or one for all. */
static enum gqa_status alloc_decoder_caches(struct gqa_session *s,
                                            struct gqa_kv_cache *caches,
                                            bool cross, uint64_t tokens)
{
    const struct gqa_network *n = s->runtime->network;
    const struct gqa_network_stack *decoder = &n->stacks[n->n_stacks - 1];
    enum gqa_status st = GQA_OK;

    if (s->one_cache) {
        st = alloc_cache(s, &caches[0], widest(decoder, cross), tokens);
        for (size_t i = 1; i < decoder->n_blocks; i++)
            caches[i] = caches[0];
        return st;
    }
    for (size_t i = 0; i < decoder->n_blocks && st == GQA_OK; i++) {
        const struct gqa_block *b = &decoder->blocks[i];

        st = alloc_cache(s, &caches[i], cross ? b->cross.heads : b->self.heads,
                         tokens);
    }
    return st;
}

static enum gqa_status alloc_caches(struct gqa_session *s)
{
    const struct gqa_network *n = s->runtime->network;
    const size_t n_blocks = n->stacks[n->n_stacks - 1].n_blocks;
    enum gqa_status st;

    s->self = calloc(n_blocks, sizeof *s->self);
    s->cross = calloc(n_blocks, sizeof *s->cross);
    if (!s->self || !s->cross)
        return gqa_fail_nomem();
    st = alloc_decoder_caches(s, s->self, false, s->room.tokens);
    if (st == GQA_OK && n->n_stacks > 1)
        st = alloc_decoder_caches(s, s->cross, true, s->room.encoder_tokens);
    if (st == GQA_OK && n->n_stacks > 1 && n->stacks[0].n_blocks > 0)
        st = alloc_cache(s, &s->encoder, widest(&n->stacks[0], false),
                         s->room.encoder_tokens);
    return st;
}

/* --- Tables --------------------------------------------------------------- */

uint64_t gqa_session_reach(const struct gqa_session *s,
                           const struct gqa_network_stack *stack)
{
    return gqa_network_is_input(s->runtime->network, stack)
               ? s->room.encoder_capacity
               : s->room.capacity;
}

static enum gqa_status make_biases(struct gqa_session *s)
{
    const struct gqa_network *n = s->runtime->network;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < n->n_stacks; i++) {
        const struct gqa_network_stack *stack = &n->stacks[i];
        void **tables = calloc(stack->n_blocks, sizeof *tables);

        s->bias[stack->stack] = tables;
        if (!tables)
            return gqa_fail_nomem();
        for (size_t j = 0; j < stack->n_blocks && st == GQA_OK; j++) {
            const struct gqa_attention_block *a = &stack->blocks[j].self;

            if (!gqa_position_has_bias(a))
                continue;
            if (j && gqa_position_same_bias(a, &stack->blocks[j - 1].self))
                tables[j] = tables[j - 1];
            else
                st = gqa_position_bias(s->runtime, &tables[j], a,
                                       gqa_session_reach(s, stack));
        }
    }
    return st;
}

static enum gqa_status make_summary_biases(
    struct gqa_session *s, const struct gqa_network_stack *stack)
{
    const struct gqa_block *blocks = stack->blocks;
    void **tables = calloc(stack->n_blocks, sizeof *tables);
    enum gqa_status st = GQA_OK;

    s->summaries.bias = tables;
    if (!tables)
        return gqa_fail_nomem();
    for (size_t j = 0; j < stack->n_blocks && st == GQA_OK; j++) {
        const struct gqa_attention_block *a = &blocks[j].self;

        if (a->summaries.size == 0)
            continue;
        if (j && gqa_position_same_summary_bias(a, &blocks[j - 1].self))
            tables[j] = tables[j - 1];
        else
            st = gqa_position_summary_bias(
                s->runtime, &tables[j], a,
                gqa_summaries_reach(&a->summaries,
                                    gqa_session_reach(s, stack)));
    }
    return st;
}

/* --- Activations ---------------------------------------------------------- */

/* Widest outputs of the network's projections. */
struct widths {
    uint64_t q, k, v, attended, heads, ff;
    bool gated, second_norm, output_norm, experts;
    bool lse; /* more than keys of tokens has a share of some softmax */
};

static void widen(struct widths *w, const struct gqa_runtime *r,
                  const struct gqa_attention_block *a)
{
    w->q = gqa_max_u64(w->q, gqa_runtime_outputs(r, &a->q));
    w->k = gqa_max_u64(w->k, gqa_runtime_outputs(r, &a->k));
    w->v = gqa_max_u64(w->v, gqa_runtime_outputs(r, &a->v));
    w->attended =
        gqa_max_u64(w->attended, a->heads->n_heads * a->heads->head_dim);
    w->heads = gqa_max_u64(w->heads, a->heads->n_heads);
    w->lse = w->lse || a->summaries.size || a->sinks != GQA_NO_PARAM;
    w->output_norm = w->output_norm || a->output_norm.kind != GQA_NORM_NONE;
}

static void widen_for_experts(struct widths *w, const struct gqa_runtime *r,
                              const struct gqa_experts *x)
{
    w->experts = w->gated = w->output_norm = true;
    w->ff = gqa_max_u64(w->ff, x->n);
    for (uint64_t e = 0; e < x->n; e++)
        w->ff = gqa_max_u64(w->ff, gqa_runtime_outputs(r, &x->each[e].up));
    w->ff = gqa_max_u64(w->ff, gqa_runtime_outputs(r, &x->shared.up));
}

static struct widths widths_of(const struct gqa_runtime *r)
{
    struct widths w = {.gated = false};

    for (size_t i = 0; i < r->network->n_stacks; i++) {
        const struct gqa_network_stack *stack = &r->network->stacks[i];

        for (size_t j = 0; j < stack->n_blocks; j++) {
            const struct gqa_block *b = &stack->blocks[j];

            widen(&w, r, &b->self);
            if (b->has_cross)
                widen(&w, r, &b->cross);
            w.ff = gqa_max_u64(w.ff, gqa_runtime_outputs(r, &b->ff.up));
            w.gated = w.gated || b->ff.gate.weight != GQA_NO_PARAM;
            if (b->ff.experts)
                widen_for_experts(&w, r, b->ff.experts);
            w.output_norm = w.output_norm || b->ff.residual_scale != 0;
            w.second_norm = w.second_norm || (b->parallel && !b->shared_norm);
            w.output_norm =
                w.output_norm || b->ff.output_norm.kind != GQA_NORM_NONE;
        }
    }
    return w;
}

/* The fewest tokens that a summary of the stack stands for; 0: it has none. */
static uint64_t summary_size(const struct gqa_network_stack *stack)
{
    uint64_t least = 0;

    for (size_t i = 0; i < stack->n_blocks; i++) {
        const uint64_t size = stack->blocks[i].self.summaries.size;

        if (size && (!least || size < least))
            least = size;
    }
    return least;
}

/* Bytes of a token of input for its summaries' sake. */
static uint64_t summary_bytes(const struct gqa_runtime *r,
                              const struct widths *w)
{
    const struct gqa_network_stack *encoder = &r->network->stacks[0];
    const uint64_t size = summary_size(encoder);
    const uint64_t real = gqa_dtype_bits(r->real) / 8;
    const uint64_t lse =
        gqa_dtype_bits(r->wide) / 8 * encoder->blocks[0].self.heads->n_heads;
    const uint64_t each =
        r->network->d_model + 2 * kv_width(widest(encoder, false));

    return size ? real * (w->attended + each / size) + lse : 0;
}

uint64_t gqa_session_sequence_bytes(const struct gqa_runtime *r,
                                    uint64_t length, uint64_t width)
{
    const struct gqa_network *n = r->network;
    const struct widths w = widths_of(r);
    const uint64_t real = gqa_dtype_bits(r->real) / 8;
    /* An encoder's rows all run at once; of its caches there is one. */
    const uint64_t row =
        real * (4 * gqa_network_row_width(n) + w.q + w.k + w.v + w.attended) +
        (w.lse ? w.heads * gqa_dtype_bits(r->wide) / 8 : 0);
    uint64_t encoder, decoder;

    gqa_session_token_bytes(r, &encoder, &decoder);
    if (n->n_stacks < 2)
        width = 0;
    else
        encoder += row;
    if (width > 0 && n->stacks[0].n_blocks > 0)
        encoder += 2 * real * kv_width(widest(&n->stacks[0], false)) +
                   summary_bytes(r, &w);
    return row + length * decoder + width * encoder +
           n->n_outputs * gqa_dtype_bits(r->wide) / 8;
}

static enum gqa_status alloc_workspace(struct gqa_session *s)
{
    const struct gqa_runtime *r = s->runtime;
    const struct widths w = widths_of(r);
    const uint64_t d = r->network->d_model;
    const uint64_t widest_row = gqa_network_row_width(r->network);
    const uint64_t last = gqa_max_u64(d, r->network->logit_width);
    const struct {
        void **out;
        enum gqa_dtype dtype;
        uint64_t rows, width;
    } parts[] = {
        {&s->work.x, r->real, s->rows, widest_row},
        {&s->work.normed, r->real, s->rows, widest_row},
        {&s->work.ff_normed, r->real, w.second_norm ? s->rows : 0, d},
        {&s->work.output, r->real, w.output_norm ? s->rows : 0, d},
        {&s->work.q, r->real, s->rows, w.q},
        {&s->work.k, r->real, s->rows, w.k},
        {&s->work.v, r->real, s->rows, w.v},
        {&s->work.attended, r->real, s->rows, w.attended},
        {&s->work.lse, r->wide, w.lse ? s->rows : 0, w.heads},
        {&s->work.picked, r->real, w.experts ? s->ff_rows : 0, d},
        {&s->work.up, r->real, s->ff_rows, w.ff},
        {&s->work.gate, r->real, w.gated ? s->ff_rows : 0, w.ff},
        {&s->work.last, r->real, s->head_rows, last},
        {&s->work.last_normed, r->real, s->head_rows, last},
        {&s->work.logits, r->wide, r->network->has_logits ? s->head_rows : 0,
         r->network->n_outputs},
    };
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < sizeof parts / sizeof *parts && st == GQA_OK; i++)
        st = alloc(s, parts[i].out, parts[i].dtype, parts[i].rows,
                   parts[i].width);
    return st;
}

static enum gqa_status alloc_summaries(struct gqa_session *s)
{
    const struct gqa_runtime *r = s->runtime;
    const struct gqa_network_stack *stack = &r->network->stacks[0];
    const struct widths w = widths_of(r);
    struct gqa_summary_room *room = &s->summaries;
    const uint64_t rows = gqa_network_is_input(r->network, stack)
                              ? s->room.encoder_tokens
                              : s->room.tokens;
    uint64_t n;
    enum gqa_status st;

    if (summary_size(stack) == 0)
        return GQA_OK;
    n = rows / summary_size(stack);
    room->n = calloc(s->room.n_sequences, sizeof *room->n);
    if (!room->n)
        return gqa_fail_nomem();
    if ((st = alloc_cache(s, &room->cache, widest(stack, false), n)) !=
            GQA_OK ||
        (st = alloc(s, &room->rows, r->real, n, r->network->d_model)) !=
            GQA_OK ||
        (st = alloc(s, &room->attended, r->real, rows, w.attended)) != GQA_OK ||
        (st = alloc(s, &room->lse, r->wide, rows, w.heads)) != GQA_OK)
        return st;
    return make_summary_biases(s, stack);
}

static enum gqa_status alloc_taken(struct gqa_session *s)
{
    const struct gqa_network *n = s->runtime->network;

    for (size_t i = 0; i < n->n_stacks; i++) {
        const struct gqa_network_stack *stack = &n->stacks[i];

        s->taken[i] = calloc(stack->n_blocks, sizeof *s->taken[i]);
        if (!s->taken[i])
            return gqa_fail_nomem();
        for (size_t j = 0; j < stack->n_blocks; j++) {
            const struct gqa_experts *x = stack->blocks[j].ff.experts;

            if (!x || x->capacity == 0)
                continue;
            s->taken[i][j] =
                calloc(s->room.n_sequences * x->n, sizeof *s->taken[i][j]);
            if (!s->taken[i][j])
                return gqa_fail_nomem();
        }
    }
    return GQA_OK;
}

static void free_taken(struct gqa_session *s)
{
    const struct gqa_network *n = s->runtime->network;

    for (size_t i = 0; i < n->n_stacks; i++) {
        for (size_t j = 0; s->taken[i] && j < n->stacks[i].n_blocks; j++)
            free(s->taken[i][j]);
        free(s->taken[i]);
    }
}

static enum gqa_status alloc_host(struct gqa_session *s)
{
    const struct gqa_network *n = s->runtime->network;
    const size_t values =
        (size_t)(s->head_rows * gqa_max_u64(n->n_outputs, n->d_model));

    assert(s->rows > 0 && s->room.n_sequences > 0);
    s->numbers = calloc(s->room.n_sequences, sizeof *s->numbers);
    s->seen = calloc(s->room.n_sequences, sizeof *s->seen);
    s->inputs = calloc(s->room.n_sequences, sizeof *s->inputs);
    s->n_tokens = calloc(s->room.n_sequences, sizeof *s->n_tokens);
    s->starts = calloc(s->room.n_sequences, sizeof *s->starts);
    s->ends = calloc(s->room.n_sequences, sizeof *s->ends);
    s->tokens = calloc(s->rows, sizeof *s->tokens);
    s->out_rows = calloc(s->rows, sizeof *s->out_rows);
    s->out_sequence = calloc(s->rows, sizeof *s->out_sequence);
    s->out_position = calloc(s->rows, sizeof *s->out_position);
    s->raw = calloc(values, sizeof(double));
    s->values = calloc(values, sizeof *s->values);
    return s->numbers && s->seen && s->inputs && s->n_tokens && s->starts &&
                   s->ends && s->tokens && s->out_rows && s->out_sequence &&
                   s->out_position && s->raw && s->values
               ? alloc_taken(s)
               : gqa_fail_nomem();
}

/* --- Life ----------------------------------------------------------------- */

static enum gqa_status choose_sizes(struct gqa_session *s)
{
    const struct gqa_network *n = s->runtime->network;
    const struct gqa_session_room *room = &s->room;

    /* Of decoders some at a time, of encoders all. */
    s->rows = gqa_network_is_encoder(n)
                  ? room->tokens
                  : gqa_min_u64(room->tokens,
                                gqa_max_u64(MANY_ROWS, room->n_sequences));
    s->rows = gqa_max_u64(s->rows, room->encoder_tokens);
    if (s->rows > MAX_ROWS)
        return gqa_fail(GQA_ERR_NOMEM,
                        "a batch of %llu tokens is more than any memory holds",
                        ULL(s->rows));
    s->ff_rows = gqa_min_u64(s->rows, MANY_ROWS);
    s->head_rows =
        gqa_min_u64(s->rows, gqa_max_u64(MANY_LOGITS / n->n_outputs, 1));
    return GQA_OK;
}

static enum gqa_status create(struct gqa_session **out,
                              struct gqa_runtime *runtime, bool one_cache,
                              const struct gqa_session_room *room)
{
    const struct gqa_network *n = runtime->network;
    struct gqa_session *s;
    enum gqa_status st;

    if (room->n_sequences == 0 || room->capacity == 0 ||
        (n->n_stacks > 1 && room->encoder_capacity == 0))
        return gqa_fail(GQA_ERR_USAGE, "a session needs room for a sequence "
                                       "and a token");
    if (!(s = calloc(1, sizeof *s)))
        return gqa_fail_nomem();
    s->runtime = runtime;
    /* Nothing of an encoder is kept behind its blocks. */
    s->one_cache = one_cache || gqa_network_is_encoder(n);
    s->room = *room;
    if (n->n_stacks < 2)
        s->room.encoder_capacity = s->room.encoder_tokens = 0;
    if ((st = choose_sizes(s)) == GQA_OK && (st = alloc_host(s)) == GQA_OK &&
        (st = gqa_position_turn(s->runtime, &s->angles, s->room.capacity,
                                room->capacity)) == GQA_OK &&
        (st = make_biases(s)) == GQA_OK && (st = alloc_caches(s)) == GQA_OK &&
        (st = alloc_summaries(s)) == GQA_OK)
        st = alloc_workspace(s);
    if (st == GQA_OK)
        *out = s;
    else
        gqa_session_free(s);
    return st;
}

enum gqa_status gqa_session_create_for(struct gqa_session **out,
                                       struct gqa_runtime *runtime,
                                       const struct gqa_session_room *room)
{
    return create(out, runtime, false, room);
}

enum gqa_status gqa_session_create_one_cache(
    struct gqa_session **out, struct gqa_runtime *runtime,
    const struct gqa_session_room *room)
{
    return create(out, runtime, true, room);
}

enum gqa_status gqa_session_create(struct gqa_session **out,
                                   struct gqa_runtime *runtime,
                                   uint64_t n_sequences, uint64_t capacity,
                                   uint64_t encoder_capacity)
{
    struct gqa_session_room room = {n_sequences, capacity, encoder_capacity, 0,
                                    0};
    struct gqa_session *s = NULL;
    enum gqa_status st;

    if (!gqa_mul_u64(n_sequences, capacity, &room.tokens))
        room.tokens = UINT64_MAX;
    if (!gqa_mul_u64(n_sequences, encoder_capacity, &room.encoder_tokens))
        room.encoder_tokens = UINT64_MAX;
    st = gqa_session_create_for(&s, runtime, &room);
    if (st == GQA_OK)
        st =
            gqa_session_begin(s, n_sequences, capacity, encoder_capacity, NULL);
    if (st == GQA_OK)
        *out = s;
    else
        gqa_session_free(s);
    return st;
}

static void release(struct gqa_session *s, void *memory)
{
    if (memory)
        s->runtime->backend->free(s->runtime->device, memory);
}

static void free_biases(struct gqa_session *s)
{
    const struct gqa_network *n = s->runtime->network;

    for (size_t i = 0; i < n->n_stacks; i++) {
        void **tables = s->bias[n->stacks[i].stack];

        for (size_t j = 0; tables && j < n->stacks[i].n_blocks; j++)
            if (j == 0 || tables[j] != tables[j - 1])
                release(s, tables[j]);
        free(tables);
    }
}

static void free_summaries(struct gqa_session *s)
{
    struct gqa_summary_room *room = &s->summaries;
    const size_t n = s->runtime->network->stacks[0].n_blocks;

    for (size_t j = 0; room->bias && j < n; j++)
        if (j == 0 || room->bias[j] != room->bias[j - 1])
            release(s, room->bias[j]);
    release(s, room->cache.k);
    release(s, room->cache.v);
    release(s, room->rows);
    release(s, room->attended);
    release(s, room->lse);
    free(room->bias);
    free(room->n);
}

static void free_caches(struct gqa_session *s)
{
    const struct gqa_network *n = s->runtime->network;
    const size_t n_caches =
        s->one_cache ? 1 : n->stacks[n->n_stacks - 1].n_blocks;

    for (size_t i = 0; i < n_caches; i++) {
        if (s->self) {
            release(s, s->self[i].k);
            release(s, s->self[i].v);
        }
        if (s->cross) {
            release(s, s->cross[i].k);
            release(s, s->cross[i].v);
        }
    }
    release(s, s->encoder.k);
    release(s, s->encoder.v);
    free(s->self);
    free(s->cross);
}

void gqa_session_free(struct gqa_session *s)
{
    if (!s)
        return;
    free_biases(s);
    free_summaries(s);
    free_caches(s);
    free_taken(s);
    gqa_position_free(s->runtime, &s->angles);
    release(s, s->work.x);
    release(s, s->work.normed);
    release(s, s->work.ff_normed);
    release(s, s->work.output);
    release(s, s->work.q);
    release(s, s->work.k);
    release(s, s->work.v);
    release(s, s->work.attended);
    release(s, s->work.lse);
    release(s, s->work.up);
    release(s, s->work.gate);
    release(s, s->work.picked);
    release(s, s->work.last);
    release(s, s->work.last_normed);
    release(s, s->work.logits);
    free(s->numbers);
    free(s->seen);
    free(s->inputs);
    free(s->n_tokens);
    free(s->starts);
    free(s->ends);
    free(s->tokens);
    free(s->out_rows);
    free(s->out_sequence);
    free(s->out_position);
    free(s->raw);
    free(s->values);
    free(s);
}

void gqa_session_reset(struct gqa_session *s)
{
    memset(s->seen, 0, (size_t)s->n_sequences * sizeof *s->seen);
    memset(s->inputs, 0, (size_t)s->n_sequences * sizeof *s->inputs);
}

/* Whether n rows of `each` tokens are within what there is. */
static bool has_room(uint64_t n, uint64_t each, uint64_t most, uint64_t tokens)
{
    uint64_t all;

    return each <= most && gqa_mul_u64(n, each, &all) && all <= tokens;
}

enum gqa_status gqa_session_begin(struct gqa_session *s, uint64_t n_sequences,
                                  uint64_t capacity, uint64_t encoder_capacity,
                                  const uint64_t *numbers)
{
    const struct gqa_session_room *room = &s->room;

    if (s->runtime->network->n_stacks < 2)
        encoder_capacity = 0;
    if (n_sequences == 0 || n_sequences > room->n_sequences ||
        !has_room(n_sequences, capacity, room->capacity, room->tokens) ||
        !has_room(n_sequences, encoder_capacity, room->encoder_capacity,
                  room->encoder_tokens))
        return gqa_fail(GQA_ERR_USAGE,
                        "the session has no room for %llu sequences of %llu "
                        "and %llu tokens",
                        ULL(n_sequences), ULL(encoder_capacity), ULL(capacity));
    s->n_sequences = n_sequences;
    s->capacity = capacity;
    s->encoder_capacity = encoder_capacity;
    s->chunk =
        gqa_network_is_encoder(s->runtime->network)
            ? gqa_max_u64(capacity, 1)
            : gqa_min_u64(capacity, gqa_max_u64(MANY_ROWS / n_sequences, 1));
    for (uint64_t i = 0; i < n_sequences; i++)
        s->numbers[i] = numbers ? numbers[i] : i;
    gqa_session_reset(s);
    return gqa_position_turn(s->runtime, &s->angles, s->room.capacity,
                             capacity);
}
