#include "runtime/taps.h"

#include "runtime/values.h"

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
    return gqa_values_download(t->backend, t->device, values, t->x, t->real,
                               t->n_rows * t->width);
}
