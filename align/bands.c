#include <stdlib.h>

#include "align/factor.h"

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

/* Coordinates first .. head_dim - 1, in one band. */
static void take_rest(struct gqa_bands *b, struct gqa_band *band, size_t first)
{
    band->n = b->head_dim - first;
    band->re = b->coordinates + first;
    for (size_t i = 0; i < band->n; i++)
        band->re[i] = first + i;
}

enum gqa_status gqa_bands_whole(struct gqa_bands *out, size_t head_dim)
{
    const enum gqa_status st = allocate(out, head_dim, 1);

    if (st == GQA_OK)
        take_rest(out, &out->items[0], 0);
    return st;
}

enum gqa_status gqa_bands_of_position(struct gqa_bands *out, size_t head_dim,
                                      const struct gqa_position *position)
{
    const size_t rotated = position->scheme == GQA_POSITION_ROPE
                               ? (size_t)position->rotary_dim
                               : 0;
    const size_t n_pairs = rotated / 2;
    const bool has_rest = rotated < head_dim;
    enum gqa_status st = allocate(out, head_dim, n_pairs + has_rest);

    if (st != GQA_OK)
        return st;
    for (size_t j = 0; j < n_pairs; j++) {
        struct gqa_band *band = &out->items[j];
        const bool beside = position->interleaved;

        *band = (struct gqa_band){1, out->coordinates + 2 * j,
                                  out->coordinates + 2 * j + 1};
        band->re[0] = beside ? 2 * j : j;
        band->im[0] = beside ? 2 * j + 1 : j + n_pairs;
    }
    if (has_rest)
        take_rest(out, &out->items[n_pairs], rotated);
    return GQA_OK;
}
