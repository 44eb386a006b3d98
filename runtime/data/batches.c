#include "runtime/data/batches.h"

#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/checked.h"
#include "formats/model/rope.h"

/*
 * A shorter sequence joins a batch while its padding is at most this share
 * of the longest, or this many tokens: below that a batch of its own, which
 * reads all weights once more, takes longer than the padding.
 */
enum { PADDING_SHARE = 8, PADDING_TOKENS = 32 };

void gqa_batches_clear(struct gqa_batches *b)
{
    free(b->order);
    free(b->items);
    *b = (struct gqa_batches){.order = NULL};
}

struct entry {
    uint64_t index, n_encoder, n_decoder;
};

static int by_length(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    const uint64_t m = x->n_encoder + x->n_decoder;
    const uint64_t n = y->n_encoder + y->n_decoder;

    if (m != n)
        return m < n ? 1 : -1;
    if (x->n_decoder != y->n_decoder)
        return x->n_decoder < y->n_decoder ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

static bool within(uint64_t n, uint64_t each, uint64_t limit)
{
    uint64_t all;

    return limit == 0 || (gqa_mul_u64(n, each, &all) && all <= limit);
}

static bool little_padding(uint64_t longest, uint64_t n)
{
    return longest - n <= gqa_max_u64(longest / PADDING_SHARE, PADDING_TOKENS);
}

static bool turn_alike(const struct gqa_rope *rope, uint64_t a, uint64_t b)
{
    return !rope || gqa_rope_kind(rope, a) == gqa_rope_kind(rope, b);
}

/* Whether the batch may take one more; where it may, its lengths grow. */
static bool join(struct gqa_token_batch *batch, const struct entry *e,
                 const struct gqa_batch_limits *limits)
{
    const uint64_t n = batch->n + 1;
    const uint64_t encoder = gqa_max_u64(batch->n_encoder, e->n_encoder);
    const uint64_t decoder = gqa_max_u64(batch->n_decoder, e->n_decoder);
    uint64_t of_encoder, of_decoder, bytes;

    if (!gqa_mul_u64(encoder, limits->encoder_token_bytes, &of_encoder) ||
        !gqa_mul_u64(decoder, limits->decoder_token_bytes, &of_decoder) ||
        !gqa_add_u64(of_encoder, of_decoder, &bytes))
        bytes = UINT64_MAX;
    if (batch->n > 0 &&
        (!within(n, 1, limits->sequences) ||
         !within(n, gqa_max_u64(encoder, decoder), limits->rows) ||
         !within(n, bytes, limits->bytes) ||
         !little_padding(encoder,
                         gqa_min_u64(batch->n_encoder, e->n_encoder)) ||
         !little_padding(decoder,
                         gqa_min_u64(batch->n_decoder, e->n_decoder)) ||
         !turn_alike(limits->rope, batch->n_decoder, e->n_decoder)))
        return false;
    batch->n++;
    batch->n_encoder = encoder;
    batch->n_decoder = decoder;
    return true;
}

static void cut(struct gqa_batches *out, const struct entry *entries, size_t n,
                const struct gqa_batch_limits *limits)
{
    for (size_t i = 0; i < n; i++) {
        struct gqa_token_batch *batch;

        out->order[i] = entries[i].index;
        if (out->n == 0 ||
            !join(&out->items[out->n - 1], &entries[i], limits)) {
            out->items[out->n] = (struct gqa_token_batch){.first = i};
            join(&out->items[out->n++], &entries[i], limits);
        }
        batch = &out->items[out->n - 1];
        out->most_sequences = gqa_max_u64(out->most_sequences, batch->n);
        out->most_encoder = gqa_max_u64(out->most_encoder, batch->n_encoder);
        out->most_decoder = gqa_max_u64(out->most_decoder, batch->n_decoder);
        out->encoder_rows =
            gqa_max_u64(out->encoder_rows, batch->n * batch->n_encoder);
        out->decoder_rows =
            gqa_max_u64(out->decoder_rows, batch->n * batch->n_decoder);
    }
}

enum gqa_status gqa_batches_create(struct gqa_batches *out,
                                   const struct gqa_tokens *tokens,
                                   const struct gqa_batch_limits *limits)
{
    const size_t n = tokens->n;
    struct entry *entries = calloc(n ? n : 1, sizeof *entries);
    struct gqa_batches b = {.n = 0};

    b.order = calloc(n ? n : 1, sizeof *b.order);
    b.items = calloc(n ? n : 1, sizeof *b.items);
    if (!entries || !b.order || !b.items) {
        free(entries);
        gqa_batches_clear(&b);
        return gqa_fail_nomem();
    }
    for (size_t i = 0; i < n; i++) {
        const struct gqa_sequence *s = &tokens->sequences[i];

        if (s->n_decoder == 0) {
            free(entries);
            gqa_batches_clear(&b);
            return gqa_fail(GQA_ERR_USAGE, "sequence %zu has no labels", i);
        }
        entries[i] = (struct entry){i, s->n_encoder, s->n_decoder};
    }
    qsort(entries, n, sizeof *entries, by_length);
    cut(&b, entries, n, limits);
    free(entries);
    *out = b;
    return GQA_OK;
}

void gqa_batches_fill(int32_t *ids, uint64_t *lengths,
                      const struct gqa_batches *batches, size_t index,
                      const struct gqa_tokens *tokens, bool encoder,
                      int32_t start_token)
{
    const struct gqa_token_batch *batch = &batches->items[index];
    const uint64_t width = encoder ? batch->n_encoder : batch->n_decoder;

    for (size_t i = 0; i < batch->n; i++) {
        const struct gqa_sequence *s =
            &tokens->sequences[batches->order[batch->first + i]];
        const uint64_t n = encoder ? s->n_encoder : s->n_decoder;
        int32_t *row = ids + i * width;

        lengths[i] = n;
        memcpy(row, encoder ? s->encoder : s->decoder, n * sizeof *row);
        if (!encoder && s->starts)
            row[0] = start_token;
        memset(row + n, 0, (width - n) * sizeof *row);
    }
}
