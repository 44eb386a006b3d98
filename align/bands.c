#include <math.h>
#include <stdlib.h>

#include "align/factor.h"
#include "formats/model/rope.h"

static enum gqa_status allocate(struct gqa_bands *out, size_t head_dim,
                                size_t n)
{
    *out = (struct gqa_bands){.head_dim = head_dim, .n = n};
    out->items = calloc(n ? n : 1, sizeof *out->items);
    out->coordinates =
        calloc(head_dim ? head_dim : 1, sizeof *out->coordinates);
    if (out->items && out->coordinates)
        return GQA_OK;
    gqa_bands_clear(out);
    return gqa_fail_nomem();
}

void gqa_bands_clear(struct gqa_bands *bands)
{
    free(bands->items);
    free(bands->coordinates);
    *bands = (struct gqa_bands){0};
}

enum gqa_status gqa_bands_whole(struct gqa_bands *out, size_t head_dim)
{
    const enum gqa_status st = allocate(out, head_dim, 1);

    if (st != GQA_OK)
        return st;
    out->items[0] = (struct gqa_band){head_dim, out->coordinates, NULL};
    for (size_t i = 0; i < head_dim; i++)
        out->coordinates[i] = i;
    return GQA_OK;
}

/* The pairs first .. last - 1 of a head, in one band. */
static size_t take_pairs(struct gqa_bands *b, size_t used, size_t first,
                         size_t last, const size_t (*pairs)[2])
{
    struct gqa_band *band = &b->items[b->n++];

    *band = (struct gqa_band){last - first, b->coordinates + used,
                              b->coordinates + used + (last - first)};
    for (size_t i = 0; i < band->n; i++) {
        band->re[i] = pairs[first + i][0];
        band->im[i] = pairs[first + i][1];
    }
    return used + 2 * band->n;
}

/* Rounded twice at most on their way through a configuration. */
static bool turn_together(const struct gqa_rope *rope, size_t a, size_t b)
{
    const double x = rope ? rope->frequency[a] : 0;
    const double y = rope ? rope->frequency[b] : 0;

    return rope && rope->context == 0 && fabs(x - y) <= 1e-12 * x;
}

static bool turns(const struct gqa_rope *rope, size_t pair)
{
    return !rope || gqa_rope_turns(rope, pair);
}

static void make_bands(struct gqa_bands *b, size_t n_pairs,
                       const size_t (*pairs)[2], const struct gqa_rope *rope)
{
    size_t used = 0, rest;

    b->n = 0;
    for (size_t j = 0, end; j < n_pairs; j = end) {
        end = j + 1;
        if (!turns(rope, j))
            continue;
        while (end < n_pairs && turn_together(rope, j, end))
            end++;
        used = take_pairs(b, used, j, end, pairs);
    }
    rest = used;
    for (size_t j = 0; j < n_pairs; j++)
        if (!turns(rope, j)) {
            b->coordinates[used++] = pairs[j][0];
            b->coordinates[used++] = pairs[j][1];
        }
    for (size_t i = 2 * n_pairs; i < b->head_dim; i++)
        b->coordinates[used++] = i;
    if (used > rest)
        b->items[b->n++] =
            (struct gqa_band){used - rest, b->coordinates + rest, NULL};
}

enum gqa_status gqa_bands_of_position(struct gqa_bands *out, size_t head_dim,
                                      const struct gqa_position *position,
                                      const struct gqa_rope *rope)
{
    const size_t n_pairs = position->scheme == GQA_POSITION_ROPE
                               ? (size_t)position->rotary_dim / 2
                               : 0;
    const bool beside = position->interleaved;
    size_t(*pairs)[2] = calloc(n_pairs ? n_pairs : 1, sizeof *pairs);
    enum gqa_status st = allocate(out, head_dim, n_pairs + 1);

    if (st == GQA_OK && !pairs) {
        gqa_bands_clear(out);
        st = gqa_fail_nomem();
    }
    if (st == GQA_OK) {
        for (size_t j = 0; j < n_pairs; j++) {
            pairs[j][0] = beside ? 2 * j : j;
            pairs[j][1] = beside ? 2 * j + 1 : j + n_pairs;
        }
        make_bands(out, n_pairs, (const size_t(*)[2])pairs, rope);
    }
    free(pairs);
    return st;
}

enum gqa_status gqa_bands_of_keys(struct gqa_bands *out,
                                  const struct gqa_attention *a,
                                  const struct gqa_attention_block *block)
{
    /* Some layers have no positions, though their model rotates. */
    if (block && !block->rope)
        return gqa_bands_whole(out, a->head_dim);
    return gqa_bands_of_position(out, a->head_dim, &a->position,
                                 block ? block->rope : NULL);
}
