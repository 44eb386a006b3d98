#include "align/turning.h"

#include <math.h>
#include <stdlib.h>

#include "formats/model/rope.h"
#include "runtime/values.h"

static enum gqa_status put(void **out, const struct gqa_backend *backend,
                           struct gqa_device *device, enum gqa_dtype wide,
                           const double *values, size_t n)
{
    const enum gqa_status st =
        backend->alloc(device, out, n * gqa_dtype_bits(wide) / 8);

    return st == GQA_OK
               ? gqa_values_upload(backend, device, *out, wide, values, n)
               : st;
}

bool gqa_turns_by_table(const struct gqa_rope *rope)
{
    return !rope || rope->context == 0;
}

enum gqa_status gqa_turning_create(struct gqa_turning *out,
                                   const struct gqa_backend *backend,
                                   struct gqa_device *device,
                                   enum gqa_dtype real,
                                   const struct gqa_rope *rope,
                                   uint64_t n_positions)
{
    const enum gqa_dtype wide = gqa_wide_of(real);
    double *frequency, *values;
    enum gqa_status st;
    size_t n;

    *out = (struct gqa_turning){.rope = rope};
    if (!rope)
        return GQA_OK;
    n = (size_t)(2 * rope->n_pairs * n_positions);
    frequency = malloc(rope->n_pairs * sizeof *frequency);
    values = malloc(n * sizeof *values);
    st = frequency && values ? GQA_OK : gqa_fail_nomem();
    if (st == GQA_OK)
        gqa_rope_frequencies(frequency, rope, 1);
    for (size_t i = 0; i < n / 2 && st == GQA_OK; i++) {
        const uint64_t position = i / rope->n_pairs;
        const double angle = (double)position * frequency[i % rope->n_pairs];

        values[2 * i] = cos(angle) * rope->magnitude;
        values[2 * i + 1] = sin(angle) * rope->magnitude;
    }
    if (st == GQA_OK)
        st = put(&out->forth, backend, device, wide, values, n);
    for (size_t i = 0; i < n / 2 && st == GQA_OK; i++)
        values[2 * i + 1] = -values[2 * i + 1];
    if (st == GQA_OK)
        st = put(&out->back, backend, device, wide, values, n);
    free(frequency);
    free(values);
    return st;
}

void gqa_turning_clear(struct gqa_turning *turning,
                       const struct gqa_backend *backend,
                       struct gqa_device *device)
{
    backend->free(device, turning->forth);
    backend->free(device, turning->back);
    *turning = (struct gqa_turning){.rope = NULL};
}
