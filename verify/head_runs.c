#include "verify/head_runs.h"

#include <stdlib.h>
#include <string.h>

/* Numbers across a head that are looked at. */
enum { MAX_ACROSS = 64 };

struct heads {
    unsigned char *bytes; /* of each, one after another */
    uint64_t n;
    size_t size; /* of one */
};

static enum gqa_status read_heads(struct heads *heads,
                                  const struct gqa_head_pair *pair,
                                  uint64_t across, void *scratch)
{
    const struct gqa_slice *slice = pair->to_slice;
    enum gqa_status st = GQA_OK;

    for (uint64_t h = 0; h < heads->n && st == GQA_OK; h++) {
        const uint64_t first = gqa_slice_head(slice, pair->head_dim, h);
        void *to = heads->bytes + h * heads->size;

        st =
            pair->axis == 0
                ? gqa_param_read(pair->converted, pair->to, first,
                                 pair->head_dim, 0, across, to, across, scratch)
                : gqa_param_read(pair->converted, pair->to, 0, across, first,
                                 pair->head_dim, to, pair->head_dim, scratch);
    }
    return st;
}

/* Whether all heads of each run of `length` are the same. */
static bool are_runs(const struct heads *heads, uint64_t length)
{
    for (uint64_t h = 0; h < heads->n; h++)
        if (h % length != 0 &&
            memcmp(heads->bytes + h * heads->size,
                   heads->bytes + (h - 1) * heads->size, heads->size) != 0)
            return false;
    return true;
}

enum gqa_status gqa_head_runs(uint64_t *n, const struct gqa_head_pair *pair)
{
    const uint64_t all = pair->axis == 0 ? pair->to->cols : pair->to->rows;
    const uint64_t across = all < MAX_ACROSS ? all : MAX_ACROSS;
    const size_t width = gqa_dtype_bits(pair->to->dtype) / 8;
    struct heads heads = {.n = pair->to_slice->n_heads,
                          .size = (size_t)(pair->head_dim * across) * width};
    void *scratch = calloc(heads.size + 1, 1);
    enum gqa_status st;

    *n = heads.n;
    heads.bytes = calloc((size_t)heads.n, heads.size + 1);
    st = heads.bytes && scratch ? read_heads(&heads, pair, across, scratch)
                                : gqa_fail_nomem();
    for (uint64_t g = heads.n; g > 0 && st == GQA_OK; g--)
        if (heads.n % g == 0 && are_runs(&heads, heads.n / g))
            *n = g;
    free(heads.bytes);
    free(scratch);
    return st;
}
