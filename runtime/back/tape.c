#include "runtime/back/tape.h"

#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/checked.h"
#include "common/interrupt.h"
#include "common/ull.h"
#include "formats/model/rope.h"
#include "runtime/back/state.h"
#include "runtime/parts.h"
#include "runtime/position_tables.h"
#include "runtime/relative_bias.h"
#include "runtime/values.h"

/* A batch of more tokens than this is a mistake. */
#define MAX_ROWS ((uint64_t)1 << 31)

static const struct gqa_gradient_ops *ops_of(const struct gqa_tape *t)
{
    return t->runtime->backend->gradients;
}

static struct gqa_tape_stack *decoder_of(struct gqa_tape *t)
{
    return &t->stacks[t->n_stacks - 1];
}

/* --- What is trained ------------------------------------------------------ */

static bool norm_trained(const struct gqa_tape *t, const struct gqa_norm *norm,
                         enum gqa_use *uses)
{
    const struct gqa_network *n = t->runtime->network;

    memset(uses, 0, n->model->n_params * sizeof *uses);
    gqa_use_norm(uses, norm);
    return gqa_tape_any(n, uses, t->trained);
}

/* Of a block alone, with nothing else in uses. */
static bool block_trained(const struct gqa_tape *t, enum gqa_use *uses,
                          const struct gqa_block *block)
{
    const struct gqa_network *n = t->runtime->network;

    memset(uses, 0, n->model->n_params * sizeof *uses);
    gqa_use_block(uses, block);
    return gqa_tape_any(n, uses, t->trained);
}

static bool attention_trained(const struct gqa_tape *t, enum gqa_use *uses,
                              const struct gqa_attention_block *a)
{
    const struct gqa_network *n = t->runtime->network;

    memset(uses, 0, n->model->n_params * sizeof *uses);
    gqa_use_attention(uses, a);
    return gqa_tape_any(n, uses, t->trained);
}

/* From the lowest part up, encoder before decoder. */
static void find_trained(struct gqa_tape *t, enum gqa_use *uses)
{
    for (size_t i = 0; i < t->n_stacks; i++) {
        struct gqa_tape_stack *s = &t->stacks[i];
        const bool encoder = i > 0 && t->stacks[0].any;
        bool below;

        s->embedding = norm_trained(t, &s->network->embedding_norm, uses) ||
                       t->trained[s->network->embedding] ||
                       (s->network->positions != GQA_NO_PARAM &&
                        t->trained[s->network->positions]);
        below = s->embedding;
        for (size_t j = 0; j < s->network->n_blocks; j++) {
            const struct gqa_block *b = &s->network->blocks[j];

            s->below[j] = below;
            s->self_attention[j] = attention_trained(t, uses, &b->self);
            s->cross_attention[j] =
                b->has_cross &&
                (encoder || attention_trained(t, uses, &b->cross));
            s->block[j] = s->cross_attention[j] || block_trained(t, uses, b);
            below = below || s->block[j];
        }
        s->any = below || norm_trained(t, &s->network->final_norm, uses);
    }
}

/* --- Memory --------------------------------------------------------------- */

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

        most = gqa_max_u64(most, rows);
        for (size_t j = 0; j <= s->network->n_blocks && st == GQA_OK; j++)
            if (j > 0 && !t->trained)
                s->x[j] = s->x[0];
            else
                st = take(a, &s->x[j], r->real, rows, d);
        s->normed = s->x[s->network->n_blocks];
        if (st == GQA_OK && s->network->final_norm.kind != GQA_NORM_NONE)
            st = take(a, &s->normed, r->real, rows, d);
        if (st == GQA_OK && t->trained && i == 0 && t->n_stacks > 1 && s->any)
            st = take(a, &t->d_memory, r->real, rows, d);
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

static enum gqa_status take_gradients(struct allotment *a)
{
    struct gqa_tape *t = a->tape;
    const struct gqa_model *model = t->runtime->network->model;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; t->trained && i < model->n_params && st == GQA_OK; i++)
        if (t->trained[i])
            st = take(a, &t->gradients[i], t->runtime->wide,
                      model->params[i].n_elements, 1);
    return st == GQA_OK ? take_bias_gradients(a) : st;
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

static enum gqa_status take_all(struct allotment *a, uint64_t keep_bytes)
{
    struct gqa_tape *t = a->tape;
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
    return st == GQA_OK ? take_rooms(a, keep_bytes) : st;
}

/* --- Life ----------------------------------------------------------------- */

static enum gqa_status make_stack(struct gqa_tape *t, size_t i)
{
    struct gqa_tape_stack *s = &t->stacks[i];
    size_t n, rows;

    s->network = &t->runtime->network->stacks[i];
    n = s->network->n_blocks;
    rows = (size_t)gqa_tape_stack_rows(&t->room, s->network->stack);
    s->x = calloc(n + 1, sizeof *s->x);
    s->rooms = calloc(n, sizeof *s->rooms);
    s->kept = calloc(n, sizeof *s->kept);
    s->bias = calloc(n, sizeof *s->bias);
    s->d_bias = calloc(n, sizeof *s->d_bias);
    s->below = calloc(n, sizeof *s->below);
    s->block = calloc(n, sizeof *s->block);
    s->self_attention = calloc(n, sizeof *s->self_attention);
    s->cross_attention = calloc(n, sizeof *s->cross_attention);
    s->tokens = calloc(rows, sizeof *s->tokens);
    s->n_tokens = calloc((size_t)t->room.n_sequences, sizeof *s->n_tokens);
    s->starts = calloc((size_t)t->room.n_sequences, sizeof *s->starts);
    return s->x && s->rooms && s->kept && s->bias && s->d_bias && s->below &&
                   s->block && s->self_attention && s->cross_attention &&
                   s->tokens && s->n_tokens && s->starts
               ? GQA_OK
               : gqa_fail_nomem();
}

static enum gqa_status check_options(const struct gqa_runtime *r,
                                     const struct gqa_tape_options *o)
{
    const bool encodes = r->network->n_stacks > 1;
    uint64_t rows, encoder_rows;

    if (!r->backend->gradients)
        return gqa_fail(GQA_ERR_UNSUPPORTED, "the %s backend cannot train",
                        r->backend->name);
    if (o->n_sequences == 0 || o->length == 0 ||
        (encodes && o->encoder_length == 0))
        return gqa_fail(GQA_ERR_USAGE,
                        "a tape needs room for a sequence and a token");
    if (!gqa_mul_u64(o->n_sequences, o->length, &rows) ||
        !gqa_mul_u64(o->n_sequences, o->encoder_length, &encoder_rows) ||
        gqa_max_u64(rows, encoder_rows) > MAX_ROWS)
        return gqa_fail(GQA_ERR_NOMEM,
                        "a batch of %llu x %llu tokens is more than any memory "
                        "holds",
                        ULL(o->n_sequences),
                        ULL(gqa_max_u64(o->length, o->encoder_length)));
    if (o->trained && r->network->unembedding.bias != GQA_NO_PARAM &&
        o->trained[r->network->unembedding.bias] &&
        r->network->logit_scale != 1)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "the bias of logits that are scaled cannot be trained");
    return GQA_OK;
}

/* All but memory of the device. */
static enum gqa_status begin(struct gqa_tape **out, struct gqa_runtime *r,
                             const struct gqa_tape_options *o)
{
    const size_t n = r->network->model->n_params;
    struct gqa_tape *t = calloc(1, sizeof *t);
    enum gqa_use *uses;
    enum gqa_status st = GQA_OK;

    if (!t)
        return gqa_fail_nomem();
    t->runtime = r;
    t->trained = o->trained;
    t->n_stacks = r->network->n_stacks;
    t->room = (struct gqa_tape_sizes){o->n_sequences, o->length,
                                      t->n_stacks > 1 ? o->encoder_length : 0};
    t->gradients = calloc(n, sizeof *t->gradients);
    t->tables = calloc(n, sizeof *t->tables);
    uses = calloc(n, sizeof *uses);
    if (!t->gradients || !t->tables || !uses)
        st = gqa_fail_nomem();
    for (size_t i = 0; i < t->n_stacks && st == GQA_OK; i++)
        st = make_stack(t, i);
    if (st == GQA_OK && t->trained)
        find_trained(t, uses);
    free(uses);
    if (st == GQA_OK)
        *out = t;
    else
        gqa_tape_free(t);
    return st;
}

/* Tables on the host, of the relative biases that are trained. */
static enum gqa_status make_tables(struct gqa_tape *t)
{
    const struct gqa_model *model = t->runtime->network->model;

    for (size_t i = 0; t->trained && i < model->n_params; i++)
        if (t->trained[i] && t->runtime->tables[i] &&
            !(t->tables[i] = calloc((size_t)model->params[i].n_elements,
                                    sizeof **t->tables)))
            return gqa_fail_nomem();
    return GQA_OK;
}

void gqa_tape_bytes(const struct gqa_runtime *runtime,
                    const struct gqa_tape_options *options, uint64_t *least,
                    uint64_t *most)
{
    /* Only read. */
    struct gqa_runtime *r = (struct gqa_runtime *)(uintptr_t)runtime;
    struct gqa_tape *t = NULL;
    struct allotment a = {.counts = true};
    uint64_t ignored, all;

    *least = *most = UINT64_MAX;
    if (check_options(r, options) != GQA_OK || begin(&t, r, options) != GQA_OK)
        return;
    a.tape = t;
    if (take_all(&a, 0) == GQA_OK) {
        choose_kept(t, 0, &ignored, &all);
        *least = a.n_bytes;
        *most = a.n_bytes + all;
    }
    gqa_tape_free(t);
}

enum gqa_status gqa_tape_create(struct gqa_tape **out,
                                struct gqa_runtime *runtime,
                                const struct gqa_tape_options *options)
{
    struct gqa_tape *t = NULL;
    struct allotment count = {.counts = true}, a = {.counts = false};
    enum gqa_status st = check_options(runtime, options);

    if (st == GQA_OK)
        st = begin(&t, runtime, options);
    if (st != GQA_OK)
        return st;
    count.tape = a.tape = t;
    st = take_all(&count, options->keep_bytes);
    if (st == GQA_OK)
        st = gqa_runtime_check_room(
            runtime, t->trained ? "going back takes" : "going forth takes",
            count.n_bytes);
    if (st == GQA_OK)
        st = take_all(&a, options->keep_bytes);
    if (st == GQA_OK)
        st = make_tables(t);
    if (st == GQA_OK && t->trained)
        st = gqa_tape_zero(t);
    if (st == GQA_OK)
        *out = t;
    else
        gqa_tape_free(t);
    return st;
}

static void free_biases(struct gqa_tape *t, struct gqa_tape_stack *s)
{
    for (size_t j = 0; s->bias && j < s->network->n_blocks; j++)
        if (s->bias[j] && (j == 0 || s->bias[j] != s->bias[j - 1]))
            t->runtime->backend->free(t->runtime->device, s->bias[j]);
}

void gqa_tape_free(struct gqa_tape *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n_owned; i++)
        t->runtime->backend->free(t->runtime->device, t->owned[i]);
    if (t->cos_sin)
        t->runtime->backend->free(t->runtime->device, t->cos_sin);
    for (size_t i = 0; i < t->n_stacks; i++) {
        struct gqa_tape_stack *s = &t->stacks[i];

        free_biases(t, s);
        free(s->x);
        free(s->rooms);
        free(s->kept);
        free(s->bias);
        free(s->d_bias);
        free(s->below);
        free(s->block);
        free(s->self_attention);
        free(s->cross_attention);
        free(s->tokens);
        free(s->n_tokens);
        free(s->starts);
    }
    for (size_t i = 0; t->tables && i < t->runtime->network->model->n_params;
         i++)
        free(t->tables[i]);
    free(t->tables);
    free(t->gradients);
    free(t->owned);
    free(t);
}

/* --- A batch -------------------------------------------------------------- */

enum gqa_status gqa_tape_set_batch(const struct gqa_tape *t,
                                   const struct gqa_tape_stack *s)
{
    return t->runtime->backend->set_batch(t->runtime->device, &s->batch);
}

/* Tokens of one side, checked; those that are none become one that is. */
static enum gqa_status take_tokens(struct gqa_tape *t, struct gqa_tape_stack *s,
                                   uint64_t n_sequences, uint64_t length,
                                   const int32_t *tokens,
                                   const uint64_t *n_tokens)
{
    const struct gqa_network *n = t->runtime->network;
    const size_t positions = s->network->positions;
    const uint64_t most =
        positions == GQA_NO_PARAM
            ? UINT64_MAX
            : n->model->params[positions].rows - s->network->position_offset;

    for (uint64_t i = 0; i < n_sequences; i++) {
        if (n_tokens[i] == 0 || n_tokens[i] > length)
            return gqa_fail(GQA_ERR_USAGE,
                            "sequence %llu: %llu tokens are not 1 to %llu",
                            ULL(i), ULL(n_tokens[i]), ULL(length));
        if (n_tokens[i] > most)
            return gqa_fail(GQA_ERR_USAGE,
                            "sequence %llu has %llu tokens, but the model has "
                            "positions for %llu",
                            ULL(i), ULL(n_tokens[i]), ULL(most));
        s->n_tokens[i] = n_tokens[i];
        for (uint64_t j = 0; j < length; j++) {
            const int32_t token = j < n_tokens[i] ? tokens[i * length + j] : 0;

            if (token < 0 || (uint64_t)token >= n->vocab_size)
                return gqa_fail(GQA_ERR_USAGE,
                                "token %d (number %llu of sequence %llu) is "
                                "not in the vocabulary of %llu",
                                token, ULL(j), ULL(i), ULL(n->vocab_size));
            s->tokens[i * length + j] = token;
        }
    }
    s->n_rows = n_sequences * length;
    s->batch = (struct gqa_batch){n_sequences, length, s->tokens, s->n_tokens,
                                  s->starts};
    return GQA_OK;
}

static enum gqa_status take_batch(struct gqa_tape *t,
                                  const struct gqa_tape_batch *b)
{
    const bool encodes = t->n_stacks > 1;
    enum gqa_status st = GQA_OK;

    t->sizes = (struct gqa_tape_sizes){b->n_sequences, b->length,
                                       encodes ? b->encoder_length : 0};
    if (b->n_sequences == 0 || b->n_sequences > t->room.n_sequences ||
        b->length == 0 || b->length > t->room.length ||
        (encodes && (b->encoder_length == 0 ||
                     b->encoder_length > t->room.encoder_length)))
        return gqa_fail(GQA_ERR_USAGE,
                        "the tape has no room for %llu sequences of %llu and "
                        "%llu tokens",
                        ULL(b->n_sequences), ULL(b->encoder_length),
                        ULL(b->length));
    if (encodes)
        st = take_tokens(t, &t->stacks[0], b->n_sequences, b->encoder_length,
                         b->encoder, b->n_encoder);
    return st == GQA_OK ? take_tokens(t, decoder_of(t), b->n_sequences,
                                      b->length, b->decoder, b->n_decoder)
                        : st;
}

/* --- Tables --------------------------------------------------------------- */

static enum gqa_status turn(struct gqa_tape *t)
{
    const struct gqa_rope *rope = &t->runtime->network->rope;
    const uint64_t kind = gqa_rope_kind(rope, t->sizes.length);
    enum gqa_status st;

    if (rope->n_pairs == 0 || (t->cos_sin && t->turned_for == kind))
        return GQA_OK;
    st = gqa_position_angles(
        t->runtime, &t->cos_sin,
        gqa_max_u64(t->room.length, t->room.encoder_length), t->sizes.length);
    if (st == GQA_OK)
        t->turned_for = kind;
    return st;
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

/* --- Forward -------------------------------------------------------------- */

static enum gqa_status run_block(const struct gqa_tape *t,
                                 const struct gqa_tape_stack *s, size_t i,
                                 bool again)
{
    enum gqa_status st = GQA_OK;

    if (gqa_interrupt_pending())
        return gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
    if (s->network->blocks[i].has_cross) {
        st = gqa_tape_set_batch(t, &t->stacks[0]);
        if (st == GQA_OK)
            st = gqa_tape_run_keys(t, i);
        if (st == GQA_OK)
            st = gqa_tape_set_batch(t, s);
    }
    return st == GQA_OK ? gqa_tape_run_block(t, s, i, again) : st;
}

static enum gqa_status run_stack(const struct gqa_tape *t,
                                 const struct gqa_tape_stack *s)
{
    const size_t n = s->network->n_blocks;
    enum gqa_status st = gqa_tape_set_batch(t, s);

    if (st == GQA_OK)
        st = gqa_part_embed(t->runtime, s->network, s->x[0], s->n_rows);
    for (size_t i = 0; i < n && st == GQA_OK; i++)
        st = run_block(t, s, i, false);
    return st == GQA_OK && s->network->final_norm.kind != GQA_NORM_NONE
               ? gqa_part_norm(t->runtime, s->normed, s->x[n], s->n_rows,
                               &s->network->final_norm, false)
               : st;
}

/* Gradients of what the stacks make begin as 0. */
static enum gqa_status clear_streams(struct gqa_tape *t)
{
    const struct gqa_runtime *r = t->runtime;
    const uint64_t row_bytes =
        r->network->d_model * gqa_dtype_bits(r->real) / 8;
    enum gqa_status st = ops_of(t)->zero(r->device, t->d_normed,
                                         decoder_of(t)->n_rows * row_bytes);

    return st == GQA_OK && t->d_memory
               ? ops_of(t)->zero(r->device, t->d_memory,
                                 t->stacks[0].n_rows * row_bytes)
               : st;
}

enum gqa_status gqa_tape_forward(struct gqa_tape *t,
                                 const struct gqa_tape_batch *batch)
{
    enum gqa_status st;

    t->forward_done = false;
    if ((st = take_batch(t, batch)) != GQA_OK || (st = turn(t)) != GQA_OK ||
        (st = make_biases(t)) != GQA_OK)
        return st;
    for (size_t i = 0; i < t->n_stacks && st == GQA_OK; i++)
        st = run_stack(t, &t->stacks[i]);
    if (st == GQA_OK && t->trained)
        st = clear_streams(t);
    t->forward_done = st == GQA_OK;
    return st;
}

uint64_t gqa_tape_n_rows(const struct gqa_tape *t)
{
    return t->sizes.n_sequences * t->sizes.length;
}

static enum gqa_status check_rows(const struct gqa_tape *t, uint64_t row,
                                  uint64_t n)
{
    if (!t->forward_done)
        return gqa_fail(GQA_ERR_USAGE, "the tape has run no batch");
    if (n > gqa_tape_n_rows(t) || row > gqa_tape_n_rows(t) - n)
        return gqa_fail(GQA_ERR_USAGE, "rows %llu to %llu are not of the %llu",
                        ULL(row), ULL(row + n), ULL(gqa_tape_n_rows(t)));
    return GQA_OK;
}

static char *row_of(const struct gqa_tape *t, void *x, uint64_t row)
{
    const struct gqa_runtime *r = t->runtime;

    return (char *)x + row * r->network->d_model * gqa_dtype_bits(r->real) / 8;
}

enum gqa_status gqa_tape_logits(struct gqa_tape *t, uint64_t row, uint64_t n,
                                void *logits)
{
    const struct gqa_runtime *r = t->runtime;
    const struct gqa_network *net = r->network;
    enum gqa_status st = check_rows(t, row, n);

    if (st == GQA_OK)
        st = r->backend->unembed(
            r->device, logits, row_of(t, decoder_of(t)->normed, row), n,
            gqa_runtime_weight(r, net->unembedding.weight),
            net->unembedding.input_major,
            gqa_runtime_weight(r, net->unembedding.bias), net->logit_scale);
    return st == GQA_OK && net->logit_soft_cap > 0
               ? r->backend->soft_cap(r->device, logits, n * net->vocab_size,
                                      net->logit_soft_cap)
               : st;
}

/* --- Back ----------------------------------------------------------------- */

enum gqa_status gqa_tape_logits_back(struct gqa_tape *t, uint64_t row,
                                     uint64_t n, const void *d_logits)
{
    const enum gqa_status st = check_rows(t, row, n);

    if (st != GQA_OK)
        return st;
    if (!t->trained)
        return gqa_fail(GQA_ERR_USAGE, "the tape cannot go back");
    return gqa_tape_linear_back(
        t, decoder_of(t)->any ? row_of(t, t->d_normed, row) : NULL,
        row_of(t, decoder_of(t)->normed, row), d_logits, n,
        &t->runtime->network->unembedding, false);
}

static enum gqa_status embedding_back(const struct gqa_tape *t,
                                      const struct gqa_tape_stack *s)
{
    const struct gqa_runtime *r = t->runtime;
    const struct gqa_network_stack *net = s->network;
    const uint64_t d = r->network->d_model;
    struct gqa_weight room;
    const struct gqa_weight *positions = gqa_part_positions(r, net, &room);
    void *d_table = gqa_tape_gradient_of(t, net->embedding);
    char *d_positions = gqa_tape_gradient_of(t, net->positions);
    enum gqa_status st = GQA_OK;

    if (d_positions)
        d_positions += net->position_offset * d * gqa_dtype_bits(r->wide) / 8;
    if (net->embedding_norm.kind != GQA_NORM_NONE) {
        st = r->backend->embed(r->device, t->scratch.normed,
                               gqa_runtime_weight(r, net->embedding),
                               net->embedding_scale, positions);
        if (st == GQA_OK)
            st = gqa_tape_norm_back(t, t->d_x, t->scratch.normed, t->d_x,
                                    s->n_rows, &net->embedding_norm, false);
    }
    return st == GQA_OK && (d_table || d_positions)
               ? ops_of(t)->embed(
                     r->device, d_table,
                     r->network->model->params[net->embedding].rows,
                     d_positions, positions ? positions->rows : 0, t->d_x, d,
                     net->embedding_scale)
               : st;
}

/* dy: of the stack's final norm's output. *held: the block that was run last,
 * in the shared room. */
static enum gqa_status stack_back(const struct gqa_tape *t,
                                  const struct gqa_tape_stack *s,
                                  const void *dy, bool *held)
{
    const size_t n = s->network->n_blocks;
    enum gqa_status st = gqa_tape_set_batch(t, s);

    if (st == GQA_OK)
        st = gqa_tape_norm_back(t, t->d_x, s->x[n], dy, s->n_rows,
                                &s->network->final_norm, false);
    for (size_t i = n; i-- > 0 && st == GQA_OK;) {
        /* All that is asked is above it. */
        if (!s->below[i] && !s->block[i])
            return GQA_OK;
        if (!s->kept[i] && !*held)
            st = run_block(t, s, i, true);
        *held = false;
        if (st == GQA_OK && gqa_interrupt_pending())
            st = gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
        if (st == GQA_OK)
            st = gqa_tape_block_back(t, s, i);
    }
    return st == GQA_OK && s->embedding ? embedding_back(t, s) : st;
}

/* Biases by distance are summed into their table's buckets, on the host. */
static enum gqa_status add_table(struct gqa_tape *t,
                                 const struct gqa_tape_stack *s, size_t i)
{
    const struct gqa_runtime *r = t->runtime;
    const struct gqa_attention_block *a = &s->network->blocks[i].self;
    const uint64_t n_heads = a->heads->n_heads;
    const uint64_t reach = gqa_tape_stack_length(&t->room, s->network->stack);
    const uint64_t width = 2 * reach - 1;
    double *table = t->tables[a->bias.table];
    double *values = malloc((size_t)(n_heads * width) * sizeof *values);
    enum gqa_status st;

    if (!values)
        return gqa_fail_nomem();
    st = gqa_values_download(r->backend, r->device, values, s->d_bias[i],
                             r->wide, n_heads * width);
    for (uint64_t h = 0; h < n_heads && st == GQA_OK; h++)
        for (uint64_t j = 0; j < width; j++)
            table[gqa_relative_bucket(&a->bias,
                                      (int64_t)j - (int64_t)reach + 1) *
                      n_heads +
                  h] += values[h * width + j];
    free(values);
    return st == GQA_OK
               ? gqa_values_upload(
                     r->backend, r->device, t->gradients[a->bias.table],
                     r->wide, table,
                     r->network->model->params[a->bias.table].n_elements)
               : st;
}

/* Of each bias by distance, once: begin with 0, or end in its table. */
static enum gqa_status for_biases(struct gqa_tape *t, bool end)
{
    const struct gqa_runtime *r = t->runtime;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < t->n_stacks; i++) {
        const struct gqa_tape_stack *s = &t->stacks[i];
        const uint64_t width =
            2 * gqa_tape_stack_length(&t->room, s->network->stack) - 1;

        for (size_t j = 0; j < s->network->n_blocks && st == GQA_OK; j++) {
            if (!s->d_bias[j] || (j > 0 && s->d_bias[j] == s->d_bias[j - 1]))
                continue;
            st = end ? add_table(t, s, j)
                     : ops_of(t)->zero(
                           r->device, s->d_bias[j],
                           s->network->blocks[j].self.heads->n_heads * width *
                               gqa_dtype_bits(r->wide) / 8);
        }
    }
    return st;
}

enum gqa_status gqa_tape_back(struct gqa_tape *t)
{
    const struct gqa_tape_stack *decoder = decoder_of(t);
    bool held = true;
    enum gqa_status st = check_rows(t, 0, 0);

    if (st != GQA_OK)
        return st;
    if (!t->trained)
        return gqa_fail(GQA_ERR_USAGE, "the tape cannot go back");
    t->forward_done = false;
    st = for_biases(t, false);
    if (st == GQA_OK && decoder->any)
        st = stack_back(t, decoder, t->d_normed, &held);
    if (st == GQA_OK && t->n_stacks > 1 && t->stacks[0].any)
        st = stack_back(t, &t->stacks[0], t->d_memory, &held);
    return st == GQA_OK ? for_biases(t, true) : st;
}

void *gqa_tape_gradient(const struct gqa_tape *t, size_t param)
{
    return gqa_tape_gradient_of(t, param);
}

enum gqa_status gqa_tape_zero(struct gqa_tape *t)
{
    const struct gqa_runtime *r = t->runtime;
    const struct gqa_model *model = r->network->model;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < model->n_params && st == GQA_OK; i++) {
        const uint64_t n = model->params[i].n_elements;

        if (t->gradients[i])
            st = ops_of(t)->zero(r->device, t->gradients[i],
                                 n * gqa_dtype_bits(r->wide) / 8);
        if (t->tables[i])
            memset(t->tables[i], 0, (size_t)n * sizeof **t->tables);
    }
    return st;
}
