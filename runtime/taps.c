#include "runtime/taps.h"

#include <stdlib.h>

bool gqa_tapped_row(const struct gqa_tapped *t, uint64_t r, uint64_t *sequence,
                    uint64_t *position)
{
    const uint64_t s = (t->first_row + r) / t->n_new;
    const uint64_t i = (t->first_row + r) % t->n_new;

    *sequence = t->numbers[s];
    *position = t->starts[s] + i;
    return i < t->n_tokens[s];
}

uint64_t gqa_tapped_rows(const struct gqa_tapped *t, uint64_t *rows)
{
    uint64_t n = 0;

    for (uint64_t r = 0; r < t->n_rows; r++) {
        uint64_t sequence, position;

        if (gqa_tapped_row(t, r, &sequence, &position))
            rows[n++] = r;
    }
    return n;
}

enum gqa_status gqa_tapped_fetch(const struct gqa_tapped *t, double *values)
{
    const uint64_t n = t->n_rows * t->width;
    const uint64_t n_bytes = n * gqa_dtype_bits(t->real) / 8;
    void *raw = malloc((size_t)n_bytes);
    enum gqa_status st;

    if (!raw)
        return gqa_fail_nomem();
    st = t->backend->download(t->device, raw, t->x, n_bytes);
    if (st == GQA_OK)
        gqa_load_f64(values, raw, t->real, (size_t)n);
    free(raw);
    return st;
}
