#include "align/gradient_sums.h"

#include "runtime/values.h"

static uint64_t bytes_of(const struct gqa_gradient_sums *s, uint64_t n)
{
    return n * gqa_dtype_bits(s->wide) / 8;
}

enum gqa_status gqa_gradient_sums_create(struct gqa_gradient_sums *out,
                                         const struct gqa_backend *backend,
                                         struct gqa_device *device,
                                         enum gqa_dtype real, uint64_t n)
{
    *out = (struct gqa_gradient_sums){
        .backend = backend, .device = device, .wide = gqa_wide_of(real)};
    return backend->alloc(device, &out->sums, bytes_of(out, n));
}

void gqa_gradient_sums_clear(struct gqa_gradient_sums *s)
{
    if (s->backend)
        s->backend->free(s->device, s->sums);
    *s = (struct gqa_gradient_sums){.backend = NULL};
}

enum gqa_status gqa_gradient_sums_begin(const struct gqa_gradient_sums *s,
                                        uint64_t n)
{
    return s->backend->zero(s->device, s->sums, bytes_of(s, n));
}

enum gqa_status gqa_gradient_sums_add(const struct gqa_gradient_sums *s,
                                      const void *gradient, uint64_t rows,
                                      const void *x, uint64_t inputs,
                                      uint64_t n)
{
    return s->backend->gradients->linear_weight(
        s->device, s->sums, NULL, x, inputs, gradient, rows, n, false);
}

enum gqa_status gqa_gradient_sums_get(const struct gqa_gradient_sums *s,
                                      double *out, uint64_t n)
{
    return gqa_values_download(s->backend, s->device, out, s->sums, s->wide, n);
}
