#include "align/score_records.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/large.h"
#include "common/ranges.h"
#include "runtime/values.h"

/* One sequence in so many is held out. */
enum { HELD_OUT = 8 };

/*
 * Products of a query with a key, counted by their elements, that are enough
 * for an attention: as many as fits of a small model are made of in all. What
 * a larger one has beyond that would take hours and change little.
 */
static const double enough = 1.5e11;

/* A stream that is nothing weighs nothing: its norm is all noise. */
static const double least_square = 1e-8;

/* Of the mean, that a head which adds next to nothing counts for. */
static const double least_share = 1e-2;

/* The parts of a batch. */
struct gqa_score_batch {
    size_t first, n;
};

static bool is_held_out(const struct gqa_tapped *t, uint64_t i)
{
    return t->numbers[i] % HELD_OUT == HELD_OUT - 1;
}

static enum gqa_status add_part(struct gqa_score_records *r,
                                const struct gqa_tapped *t, uint64_t held)
{
    struct gqa_score_part *grown =
        reallocarray(r->parts, r->n_parts + 1, sizeof *grown);
    struct gqa_score_part *part;

    if (!grown)
        return gqa_fail_nomem();
    r->parts = grown;
    part = &grown[r->n_parts++];
    memset(part, 0, sizeof *part);
    part->held_out = held < t->n_sequences;
    part->members = calloc(t->n_sequences, sizeof *part->members);
    part->n_tokens = calloc(t->n_sequences, sizeof *part->n_tokens);
    part->key_counts = calloc(t->n_sequences, sizeof *part->key_counts);
    if (!part->members || !part->n_tokens || !part->key_counts)
        return gqa_fail_nomem();
    for (uint64_t i = 0; i < t->n_sequences; i++)
        if (part->held_out ? i == held : !is_held_out(t, i))
            part->members[part->n_sequences++] = i;
    return GQA_OK;
}

static bool have_enough(const struct gqa_score_records *r)
{
    bool has[2] = {false, false};

    for (size_t i = 0; i < r->n_parts; i++)
        has[r->parts[i].held_out] = true;
    return has[false] && has[true] && r->work >= enough;
}

static enum gqa_status add_parts(struct gqa_score_records *r,
                                 const struct gqa_tapped *t)
{
    const struct gqa_attention *a = r->block->heads;
    uint64_t n_held = 0;
    enum gqa_status st = GQA_OK;

    for (uint64_t i = 0; i < t->n_sequences && st == GQA_OK; i++)
        if (is_held_out(t, i)) {
            st = add_part(r, t, i);
            n_held++;
        }
    if (st == GQA_OK && n_held < t->n_sequences)
        st = add_part(r, t, t->n_sequences);
    r->work += (double)t->n_rows * (double)t->n_new *
               (double)(a->n_heads * a->head_dim);
    return st;
}

static enum gqa_status add_batch(struct gqa_score_records *r,
                                 const struct gqa_tapped *t)
{
    struct gqa_score_batch *grown =
        reallocarray(r->batches, r->n_batches + 1, sizeof *grown);
    enum gqa_status st = GQA_OK;

    if (!grown)
        return gqa_fail_nomem();
    r->batches = grown;
    grown[r->n_batches] = (struct gqa_score_batch){r->n_parts, 0};
    if (!have_enough(r))
        st = add_parts(r, t);
    grown[r->n_batches].n = r->n_parts - grown[r->n_batches].first;
    r->n_batches++;
    return st;
}

/* The batch that rows belong to: each point sees one after another. NULL:
 * they are later ones of a sequence. */
static enum gqa_status batch_of(const struct gqa_score_batch **out,
                                struct gqa_score_records *r,
                                const struct gqa_tapped *t)
{
    const size_t i = r->n_seen[t->point];
    enum gqa_status st = GQA_OK;

    *out = NULL;
    for (uint64_t s = 0; s < t->n_sequences; s++)
        if (t->starts[s] > 0)
            return GQA_OK;
    r->n_seen[t->point]++;
    if (i == r->n_batches)
        st = add_batch(r, t);
    *out = &r->batches[i];
    return st;
}

/* The part's rows of what was tapped, on the device. */
static enum gqa_status keep(void **out, const struct gqa_score_records *r,
                            const struct gqa_score_part *part,
                            const struct gqa_tapped *t)
{
    const uint64_t n = part->n_sequences * t->n_new;
    uint64_t *rows = malloc(n * sizeof *rows);
    enum gqa_status st =
        rows ? r->backend->alloc(r->device, out,
                                 n * t->width * gqa_dtype_bits(t->real) / 8)
             : gqa_fail_nomem();

    for (uint64_t i = 0; i < n && st == GQA_OK; i++)
        rows[i] = part->members[i / t->n_new] * t->n_new + i % t->n_new;
    if (st == GQA_OK)
        st = r->backend->gather(r->device, *out, t->x, t->width, rows, n);
    free(rows);
    return st;
}

static void count(uint64_t *out, const struct gqa_score_part *part,
                  const struct gqa_tapped *t)
{
    for (uint64_t i = 0; i < part->n_sequences; i++)
        out[i] = t->n_tokens[part->members[i]];
}

/* --- The original --------------------------------------------------------- */

/* Each row counts as the norm that comes next sees it. */
static void weigh(double *out, const double *stream, uint64_t width,
                  const double *shares, uint64_t n_heads, bool is_real)
{
    double square = 0;

    for (uint64_t j = 0; j < width; j++)
        square += stream[j] * stream[j];
    square /= (double)width;
    for (uint64_t h = 0; h < n_heads; h++)
        out[h] = is_real && square > least_square ? shares[h] / square : 0;
}

struct weighing {
    double *out;
    const double *stream, *shares;
    const struct gqa_score_part *part;
    const struct gqa_tapped *t;
    uint64_t n_heads;
};

static enum gqa_status weigh_rows(void *ctx, uint64_t first, uint64_t n)
{
    const struct weighing *w = ctx;
    const struct gqa_tapped *t = w->t;

    for (uint64_t i = first; i < first + n; i++) {
        const uint64_t member = w->part->members[i / t->n_new];

        weigh(w->out + i * w->n_heads,
              w->stream + (member * t->n_new + i % t->n_new) * t->width,
              t->width, w->shares, w->n_heads,
              i % t->n_new < t->n_tokens[member]);
    }
    return GQA_OK;
}

/* How much heads count: as they can change what the attention adds, but none
 * less than a hundredth of the mean, so that all are fitted. */
static void share_out(double *shares, const double *outputs, uint64_t n_heads)
{
    double sum = 0;

    for (uint64_t h = 0; h < n_heads; h++) {
        shares[h] = 1;
        sum += outputs ? outputs[h] : 0;
    }
    if (!outputs || !isfinite(sum) || sum <= 0)
        return;
    for (uint64_t h = 0; h < n_heads; h++)
        shares[h] = (outputs[h] * (double)n_heads / sum + least_share) /
                    (1 + least_share);
}

static enum gqa_status keep_weights(const struct gqa_score_records *r,
                                    struct gqa_score_part *part,
                                    const struct gqa_tapped *t,
                                    const double *stream)
{
    enum { STEP = 64 }; /* rows of a thread, each of thousands of elements */
    const uint64_t n_heads = r->block->heads->n_heads;
    const uint64_t n = part->n_sequences * t->n_new;
    const enum gqa_dtype wide = gqa_wide_of(r->real);
    const size_t n_bytes = (size_t)(n * n_heads * gqa_dtype_bits(wide) / 8);
    double *values = gqa_large_malloc(n * n_heads * sizeof *values);
    double *shares = malloc(n_heads * sizeof *shares);
    struct weighing w = {values, stream, shares, part, t, n_heads};
    enum gqa_status st = values && shares ? GQA_OK : gqa_fail_nomem();

    if (st == GQA_OK) {
        share_out(shares, r->outputs, n_heads);
        st = gqa_ranges_run(n, STEP, r->n_threads, weigh_rows, &w);
    }
    if (st == GQA_OK)
        st = r->backend->alloc(r->device, &part->weights, n_bytes);
    if (st == GQA_OK)
        st = gqa_values_upload(r->backend, r->device, part->weights, wide,
                               values, n * n_heads);
    free(values);
    free(shares);
    return st;
}

static enum gqa_status see_stream(struct gqa_score_records *r,
                                  const struct gqa_score_batch *b,
                                  const struct gqa_tapped *t)
{
    double *stream = gqa_large_malloc(t->n_rows * t->width * sizeof *stream);
    enum gqa_status st =
        stream ? gqa_tapped_fetch(t, stream) : gqa_fail_nomem();

    for (size_t i = b->first; i < b->first + b->n && st == GQA_OK; i++)
        st = keep_weights(r, &r->parts[i], t, stream);
    free(stream);
    return st;
}

/* Which of two points has what attention takes. */
static bool is_last(const struct gqa_score_records *r, enum gqa_tap_point point)
{
    const bool turns = r->block->rope != NULL;

    return point == GQA_TAP_Q || point == GQA_TAP_K ? !turns : turns;
}

static bool is_ours(const struct gqa_score_records *r,
                    const struct gqa_tapped *t)
{
    return t->kind == r->block->heads->kind;
}

enum gqa_status gqa_score_records_see_original(struct gqa_score_records *r,
                                               const struct gqa_tapped *t)
{
    const bool stream = t->point == GQA_TAP_AFTER_ATTENTION;
    const bool keys = t->point == GQA_TAP_K || t->point == GQA_TAP_K_TURNED;
    const struct gqa_score_batch *b;
    enum gqa_status st;

    if (!is_ours(r, t) || (!stream && !is_last(r, t->point)))
        return GQA_OK;
    if ((st = batch_of(&b, r, t)) != GQA_OK || !b)
        return st;
    if (stream)
        return b->n > 0 ? see_stream(r, b, t) : GQA_OK;
    if (keys) {
        r->k_width = t->width;
        r->k_place = t->place;
    } else {
        r->q_width = t->width;
        r->q_place = t->place;
    }
    for (size_t i = b->first; i < b->first + b->n && st == GQA_OK; i++) {
        struct gqa_score_part *part = &r->parts[i];

        if (keys) {
            part->n_keys = t->n_new;
            count(part->key_counts, part, t);
        } else {
            part->n_new = t->n_new;
            count(part->n_tokens, part, t);
        }
        st = keep(keys ? &part->k_rows : &part->q, r, part, t);
    }
    return st;
}

/* --- The converted model -------------------------------------------------- */

enum gqa_status gqa_score_records_see_converted(struct gqa_score_records *r,
                                                const struct gqa_tapped *t)
{
    const struct gqa_score_batch *b;
    enum gqa_status st;

    if (!is_ours(r, t))
        return GQA_OK;
    if ((st = batch_of(&b, r, t)) != GQA_OK || !b)
        return st;
    for (size_t i = b->first; i < b->first + b->n && st == GQA_OK; i++) {
        struct gqa_score_part *part = &r->parts[i];

        st = keep(t->point == GQA_TAP_MEMORY     ? &part->y
                  : t->point == GQA_TAP_ATTENDED ? &part->attended
                  : t->point == GQA_TAP_AFTER    ? &part->aim
                                                 : &part->x,
                  r, part, t);
    }
    return st;
}

bool gqa_score_records_are_full(const struct gqa_score_records *r)
{
    for (size_t i = r->n_seen[GQA_TAP_INPUT]; i < r->n_batches; i++)
        if (r->batches[i].n > 0)
            return false;
    return true;
}

/* --- All ------------------------------------------------------------------ */

bool gqa_score_records_are_whole(const struct gqa_score_records *r)
{
    for (size_t i = 0; i < r->n_batches; i++)
        if (r->batches[i].n == 0)
            return false;
    return true;
}

bool gqa_score_records_place(struct gqa_head_place *out,
                             const struct gqa_head_place *place, uint64_t alike,
                             uint64_t head_dim)
{
    const uint64_t per_block = gqa_min_u64(place->per_block, place->n_heads);
    uint64_t stride;

    if (per_block == place->n_heads)
        stride = alike * head_dim;
    else if (alike % per_block == 0)
        stride = alike / per_block * place->block_stride;
    else
        return false;
    *out =
        (struct gqa_head_place){place->n_heads / alike, place->base, 1, stride};
    return true;
}

/* The keys that parts have, in r->k_place. */
static void choose_keys(struct gqa_score_records *r)
{
    const struct gqa_attention *a = r->block->heads;

    r->n_kv_heads = a->n_kv_heads;
    if (r->alike > 1 && gqa_score_records_place(&r->k_place, &r->k_place,
                                                r->alike, a->head_dim))
        r->n_kv_heads /= r->alike;
}

static enum gqa_status store_keys(const struct gqa_score_records *r,
                                  struct gqa_score_part *part)
{
    const struct gqa_attention *a = r->block->heads;
    const uint64_t n =
        part->n_sequences * part->n_keys * r->n_kv_heads * a->head_dim;
    enum gqa_status st = gqa_score_records_begin(r, part, true);

    if (st == GQA_OK)
        st = r->backend->alloc(r->device, &part->k,
                               n * gqa_dtype_bits(r->real) / 8);
    if (st == GQA_OK)
        st = r->backend->store(r->device, part->k, part->n_keys, part->k_rows,
                               r->k_width, &r->k_place, a->head_dim);
    r->backend->free(r->device, part->k_rows);
    part->k_rows = NULL;
    return st;
}

enum gqa_status gqa_score_records_finish(struct gqa_score_records *r)
{
    uint64_t n_rows = 1, n_sequences = 1;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < r->n_parts; i++) {
        const struct gqa_score_part *p = &r->parts[i];

        n_sequences = gqa_max_u64(n_sequences, p->n_sequences);
        n_rows = gqa_max_u64(n_rows,
                             p->n_sequences * gqa_max_u64(p->n_new, p->n_keys));
    }
    choose_keys(r);
    r->tokens = calloc(n_rows, sizeof *r->tokens);
    r->starts = calloc(n_sequences, sizeof *r->starts);
    if (!r->tokens || !r->starts)
        return gqa_fail_nomem();
    for (size_t i = 0; i < r->n_parts && st == GQA_OK; i++)
        st = store_keys(r, &r->parts[i]);
    return st;
}

uint64_t gqa_score_part_rows(const struct gqa_score_part *p, bool keys)
{
    return p->n_sequences * (keys ? p->n_keys : p->n_new);
}

const void *gqa_score_part_inputs(const struct gqa_score_part *p, bool keys)
{
    return keys && p->y ? p->y : p->x;
}

struct gqa_score_sizes gqa_score_records_sizes(
    const struct gqa_score_records *records)
{
    struct gqa_score_sizes most = {1, 1, 1};

    for (size_t i = 0; i < records->n_parts; i++) {
        const struct gqa_score_part *p = &records->parts[i];

        most.n_queries =
            gqa_max_u64(most.n_queries, gqa_score_part_rows(p, false));
        most.n_keys = gqa_max_u64(most.n_keys, gqa_score_part_rows(p, true));
        most.reach = gqa_max_u64(most.reach, gqa_max_u64(p->n_new, p->n_keys));
    }
    return most;
}

struct gqa_attention_op gqa_score_part_attention(
    const struct gqa_score_part *part, const struct gqa_attention_block *block)
{
    const bool cross = block->heads->kind == GQA_ATTENTION_CROSS;

    return (struct gqa_attention_op){.n_kv_heads = block->heads->n_kv_heads,
                                     .head_dim = block->heads->head_dim,
                                     .capacity = part->n_keys,
                                     .scale = block->scale,
                                     .soft_cap = block->soft_cap,
                                     .causal = block->causal,
                                     .window = block->window,
                                     .key_counts =
                                         cross ? part->key_counts : NULL};
}

enum gqa_status gqa_score_records_begin(const struct gqa_score_records *r,
                                        const struct gqa_score_part *part,
                                        bool keys)
{
    const struct gqa_batch batch = {.n_sequences = part->n_sequences,
                                    .n_new = keys ? part->n_keys : part->n_new,
                                    .tokens = r->tokens,
                                    .n_tokens = keys ? part->key_counts
                                                     : part->n_tokens,
                                    .starts = r->starts};

    return r->backend->set_batch(r->device, &batch);
}

void gqa_score_records_clear(struct gqa_score_records *r)
{
    for (size_t i = 0; i < r->n_parts; i++) {
        struct gqa_score_part *p = &r->parts[i];
        void *const memory[] = {p->q, p->k_rows,  p->k,        p->x,
                                p->y, p->weights, p->attended, p->aim};

        for (size_t j = 0; j < sizeof memory / sizeof *memory; j++)
            r->backend->free(r->device, memory[j]);
        free(p->members);
        free(p->n_tokens);
        free(p->key_counts);
    }
    free(r->parts);
    free(r->batches);
    free(r->tokens);
    free(r->starts);
    memset(r, 0, sizeof *r);
}
