/*
 * Tokens drawn from a session, each fed as the next. What a step needs of the
 * last stays on the device; ids are fetched many steps at a time.
 */
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/checked.h"
#include "common/ull.h"
#include "formats/model/network.h"
#include "runtime/block.h"
#include "runtime/parts.h"

enum {
    /* Steps between looks at what was drawn. On the host a look costs nothing;
     * on a device it is a wait, and sequences that have all ended are seen
     * late. */
    STEPS = 64,
    /* Sequences at once: enough for the weights to be a small part of what a
     * step reads; on the host, of the time. */
    MOST = 512,
    MOST_IN_PLACE = 16,
};

/* Logits made at once: all that a step needs, but of huge vocabularies. */
#define MANY_LOGITS ((uint64_t)64 << 20)

struct drawing {
    struct gqa_session *s;
    const struct gqa_draw *draw;
    struct gqa_draw_op op;
    struct gqa_pass pass;
    uint64_t n_steps, head_rows;
    /* Memory of the device. */
    void *keys;   /* uint64 [n_sequences] */
    void *ids;    /* int32 [n_steps, n_sequences] */
    void *logits; /* wide [head_rows, vocab_size] */
    /* Of the host: [n_steps, n_sequences], and what was drawn. */
    int32_t *fetched;
    int32_t *out;
    uint64_t *drawn;
    bool *ended;
    uint64_t n_left; /* sequences that go on */
};

static enum gqa_status alloc(const struct drawing *w, void **out, uint64_t n,
                             uint64_t each, uint64_t size)
{
    const struct gqa_runtime *r = w->s->runtime;
    uint64_t n_bytes;

    if (!gqa_mul_u64(n, each, &n_bytes) ||
        !gqa_mul_u64(n_bytes, size, &n_bytes))
        return gqa_fail_nomem();
    return r->backend->alloc(r->device, out, n_bytes);
}

static enum gqa_status prepare(struct drawing *w)
{
    const struct gqa_session *s = w->s;
    const struct gqa_runtime *r = s->runtime;
    const uint64_t n = s->n_sequences, vocab = r->network->vocab_size;
    enum gqa_status st;

    w->op = w->draw->op;
    w->op.vocab_size = vocab;
    w->n_steps = r->backend->in_place ? 1 : STEPS;
    w->head_rows = gqa_min_u64(n, gqa_max_u64(MANY_LOGITS / vocab, 1));
    w->n_left = n;
    w->fetched = calloc(n * w->n_steps, sizeof *w->fetched);
    w->ended = calloc(n, sizeof *w->ended);
    if (!w->fetched || !w->ended)
        return gqa_fail_nomem();
    if ((st = alloc(w, &w->keys, n, 1, sizeof(uint64_t))) != GQA_OK ||
        (st = alloc(w, &w->ids, n, w->n_steps, sizeof(int32_t))) != GQA_OK ||
        (st = alloc(w, &w->logits, w->head_rows, vocab,
                    gqa_dtype_bits(r->wide) / 8)) != GQA_OK)
        return st;
    return r->backend->upload(r->device, w->keys, w->draw->keys,
                              n * sizeof *w->draw->keys);
}

static void release(const struct drawing *w)
{
    const struct gqa_runtime *r = w->s->runtime;
    void *const memory[] = {w->keys, w->ids, w->logits};

    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        if (memory[i])
            r->backend->free(r->device, memory[i]);
    free(w->fetched);
    free(w->ended);
}

/* The first token of each sequence as the device's batch. */
static enum gqa_status start(struct drawing *w)
{
    struct gqa_session *s = w->s;
    const struct gqa_runtime *r = s->runtime;
    int32_t *tokens = calloc(s->n_sequences, sizeof *tokens);
    uint64_t *counts = calloc(s->n_sequences, sizeof *counts);
    enum gqa_status st = tokens && counts ? GQA_OK : gqa_fail_nomem();

    for (uint64_t i = 0; i < s->n_sequences && st == GQA_OK; i++) {
        tokens[i] = w->draw->start;
        counts[i] = w->draw->length;
    }
    if (st == GQA_OK)
        st = gqa_session_check_room(s, counts);
    for (uint64_t i = 0; i < s->n_sequences && st == GQA_OK; i++) {
        counts[i] = 1;
        s->starts[i] = s->seen[i];
    }
    if (st == GQA_OK)
        st = gqa_session_check_tokens(s, tokens, 1, counts);
    if (st == GQA_OK) {
        gqa_pass_fill(&w->pass, tokens, 1, counts, 0, 1);
        st = r->backend->set_batch(r->device, &w->pass.batch);
    }
    free(tokens);
    free(counts);
    return st;
}

/* One step: the batch through the model, and a token from each row of logits
 * to `ids`. */
static enum gqa_status step(struct drawing *w, int32_t *ids)
{
    const struct gqa_session *s = w->s;
    const struct gqa_runtime *r = s->runtime;
    const struct gqa_network *net = r->network;
    const uint64_t row_bytes = net->d_model * gqa_dtype_bits(r->real) / 8;
    const void *x = NULL;
    void *room;
    enum gqa_status st = gqa_forward_batch(&w->pass);

    if (st == GQA_OK)
        st = gqa_block_norm(&w->pass, &x, s->work.normed,
                            &w->pass.stack->final_norm);
    /* Of the two the one that these rows are not in. */
    room = x == s->work.x ? s->work.normed : s->work.x;
    for (uint64_t row = 0; row < s->n_sequences && st == GQA_OK;
         row += w->head_rows) {
        const uint64_t n = gqa_min_u64(s->n_sequences - row, w->head_rows);

        st = gqa_part_unembed(r, w->logits, (const char *)x + row * row_bytes,
                              n, room);
        if (st == GQA_OK)
            st = r->backend->draw(r->device, ids, w->logits, w->keys, row, n,
                                  &w->op);
    }
    return st;
}

/* Take n steps' tokens, `first` of each sequence being there already. */
static enum gqa_status take(struct drawing *w, uint64_t first, uint64_t n)
{
    const struct gqa_session *s = w->s;
    const struct gqa_runtime *r = s->runtime;
    const enum gqa_status st = r->backend->download(
        r->device, w->fetched, w->ids, n * s->n_sequences * sizeof *w->fetched);

    if (st != GQA_OK)
        return st;
    for (uint64_t i = 0; i < n; i++)
        for (uint64_t j = 0; j < s->n_sequences; j++) {
            const int32_t token = w->fetched[i * s->n_sequences + j];

            if (w->ended[j])
                continue;
            if (token < 0)
                return gqa_fail(GQA_ERR_FORMAT,
                                "sample %llu, position %llu: the logits are "
                                "not finite, so that no token can be drawn",
                                ULL(s->numbers[j]),
                                ULL(s->seen[j] + first + i));
            w->out[j * w->draw->length + first + i] = token;
            w->drawn[j]++;
            if (token == w->draw->end) {
                w->ended[j] = true;
                w->n_left--;
            }
        }
    return GQA_OK;
}

static enum gqa_status run(struct drawing *w)
{
    const struct gqa_draw *draw = w->draw;
    const struct gqa_session *s = w->s;
    const struct gqa_runtime *r = s->runtime;
    enum gqa_status st = GQA_OK;

    for (uint64_t first = 0, n; first < draw->length && w->n_left > 0;
         first += n) {
        n = gqa_min_u64(w->n_steps, draw->length - first);
        for (uint64_t i = 0; i < n && st == GQA_OK; i++) {
            int32_t *ids = (int32_t *)w->ids + i * s->n_sequences;

            st = step(w, ids);
            if (st == GQA_OK && first + i + 1 < draw->length)
                st = r->backend->follow(r->device, ids, draw->end);
        }
        if (st == GQA_OK)
            st = take(w, first, n);
        if (st != GQA_OK)
            return st;
        if (draw->progress)
            draw->progress(draw->progress_ctx,
                           s->n_sequences *
                               (w->n_left > 0 ? first + n : draw->length));
    }
    return GQA_OK;
}

enum gqa_status gqa_session_draw(struct gqa_session *s, int32_t *out,
                                 uint64_t *drawn, const struct gqa_draw *draw)
{
    const struct gqa_network *n = s->runtime->network;
    struct drawing w = {
        .s = s,
        .draw = draw,
        .pass = {.session = s, .stack = &n->stacks[n->n_stacks - 1]},
        .out = out,
        .drawn = drawn,
    };
    enum gqa_status st;

    memset(drawn, 0, (size_t)s->n_sequences * sizeof *drawn);
    if ((st = prepare(&w)) == GQA_OK && (st = start(&w)) == GQA_OK)
        st = run(&w);
    for (uint64_t i = 0; i < s->n_sequences && st == GQA_OK; i++)
        s->seen[i] += drawn[i];
    release(&w);
    return st;
}

uint64_t gqa_session_most_drawn(const struct gqa_backend *backend)
{
    return backend->in_place ? MOST_IN_PLACE : MOST;
}

uint64_t gqa_session_n_drawn(const struct gqa_runtime *r, uint64_t length,
                             uint64_t width)
{
    const uint64_t most = gqa_session_most_drawn(r->backend);
    struct gqa_device_info info;
    uint64_t each, room, n = 1;

    if (r->backend->describe(r->device, &info) != GQA_OK)
        return 1;
    each = gqa_session_sequence_bytes(r, length, width);
    /* Of all memory, so that what else there is changes nothing while there is
     * room; powers of two for the same reason. */
    room = gqa_min_u64(info.total_bytes / 4, info.free_bytes / 2);
    while (n < most && each <= room / (2 * n))
        n *= 2;
    return n;
}
