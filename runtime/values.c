#include "runtime/values.h"

#include <stdlib.h>

#include "common/ranges.h"

/* Values that a thread takes at a time; few are not worth a thread. */
enum { STEP = 1 << 18, FEW = 4 * STEP };

/* Doubles, and the same in another type. */
struct conversion {
    double *values;
    char *raw;
    enum gqa_dtype dtype;
    bool loads; /* values from raw, not raw from values */
};

static enum gqa_status convert_range(void *ctx, uint64_t first, uint64_t n)
{
    const struct conversion *c = ctx;
    char *raw = c->raw + first * gqa_dtype_bits(c->dtype) / 8;

    if (c->loads)
        gqa_load_f64(c->values + first, raw, c->dtype, (size_t)n);
    else
        gqa_store_f64(raw, c->dtype, c->values + first, (size_t)n);
    return GQA_OK;
}

static enum gqa_status convert(const struct gqa_backend *backend,
                               struct gqa_device *device, struct conversion *c,
                               uint64_t n)
{
    struct gqa_device_info info = {.n_threads = 1};
    enum gqa_status st = GQA_OK;

    if (n > FEW)
        st = backend->describe(device, &info);
    return st == GQA_OK
               ? gqa_ranges_run(n, STEP, info.n_threads, convert_range, c)
               : st;
}

enum gqa_status gqa_values_upload(const struct gqa_backend *backend,
                                  struct gqa_device *device, void *out,
                                  enum gqa_dtype dtype, const double *values,
                                  uint64_t n)
{
    const uint64_t n_bytes = n * gqa_dtype_bits(dtype) / 8;
    struct conversion c = {.values = (double *)(uintptr_t)values,
                           .dtype = dtype};
    enum gqa_status st;

    if (dtype == GQA_F64)
        return backend->upload(device, out, values, n_bytes);
    c.raw = malloc((size_t)n_bytes + 1);
    if (!c.raw)
        return gqa_fail_nomem();
    st = convert(backend, device, &c, n);
    if (st == GQA_OK)
        st = backend->upload(device, out, c.raw, n_bytes);
    free(c.raw);
    return st;
}

enum gqa_status gqa_values_fill(const struct gqa_backend *backend,
                                struct gqa_device *device, void *out,
                                enum gqa_dtype dtype, double value, uint64_t n)
{
    double *values = malloc((size_t)n * sizeof *values + 1);
    enum gqa_status st = GQA_OK;

    if (!values)
        return gqa_fail_nomem();
    for (uint64_t i = 0; i < n; i++)
        values[i] = value;
    st = gqa_values_upload(backend, device, out, dtype, values, n);
    free(values);
    return st;
}

enum gqa_status gqa_values_download(const struct gqa_backend *backend,
                                    struct gqa_device *device, double *values,
                                    const void *from, enum gqa_dtype dtype,
                                    uint64_t n)
{
    const uint64_t n_bytes = n * gqa_dtype_bits(dtype) / 8;
    struct conversion c = {.values = values, .dtype = dtype, .loads = true};
    enum gqa_status st;

    if (dtype == GQA_F64)
        return backend->download(device, values, from, n_bytes);
    c.raw = malloc((size_t)n_bytes + 1);
    if (!c.raw)
        return gqa_fail_nomem();
    st = backend->download(device, c.raw, from, n_bytes);
    if (st == GQA_OK)
        st = convert(backend, device, &c, n);
    free(c.raw);
    return st;
}

enum gqa_dtype gqa_wide_of(enum gqa_dtype real)
{
    return real == GQA_F64 ? GQA_F64 : GQA_F32;
}

size_t gqa_wide_bytes(enum gqa_dtype real)
{
    return gqa_dtype_bits(gqa_wide_of(real)) / 8;
}
