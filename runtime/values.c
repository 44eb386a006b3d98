#include "runtime/values.h"

#include <stdlib.h>

#include "common/bounds.h"
#include "common/large.h"
#include "common/ranges.h"

/* Values that a thread takes at a time; few are not worth a thread. */
enum { STEP = 1 << 18, FEW = 4 * STEP };

/* That are converted before they go to the device, or when they have come: the
 * room for more is not worth its pages. */
enum { PIECE = 1 << 22 };

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

/* `there` is on the device; values to it or, where c->loads, from it. */
static enum gqa_status move(const struct gqa_backend *backend,
                            struct gqa_device *device, struct conversion c,
                            char *there, uint64_t n)
{
    const uint64_t size = gqa_dtype_bits(c.dtype) / 8;
    struct gqa_device_info info = {.n_threads = 1};
    enum gqa_status st = n > FEW ? backend->describe(device, &info) : GQA_OK;

    c.raw = gqa_large_malloc((size_t)(gqa_min_u64(n, PIECE) * size) + 1);
    if (st == GQA_OK && !c.raw)
        st = gqa_fail_nomem();
    for (uint64_t at = 0, k; at < n && st == GQA_OK; at += k) {
        k = gqa_min_u64(n - at, PIECE);
        if (c.loads)
            st = backend->download(device, c.raw, there + at * size, k * size);
        if (st == GQA_OK)
            st = gqa_ranges_run(k, STEP, info.n_threads, convert_range, &c);
        if (st == GQA_OK && !c.loads)
            st = backend->upload(device, there + at * size, c.raw, k * size);
        c.values += k;
    }
    free(c.raw);
    return st;
}

enum gqa_status gqa_values_upload(const struct gqa_backend *backend,
                                  struct gqa_device *device, void *out,
                                  enum gqa_dtype dtype, const double *values,
                                  uint64_t n)
{
    const struct conversion c = {.values = (double *)(uintptr_t)values,
                                 .dtype = dtype};

    return dtype == GQA_F64
               ? backend->upload(device, out, values, n * sizeof *values)
               : move(backend, device, c, out, n);
}

enum gqa_status gqa_values_fill(const struct gqa_backend *backend,
                                struct gqa_device *device, void *out,
                                enum gqa_dtype dtype, double value, uint64_t n)
{
    double *values = gqa_large_malloc((size_t)n * sizeof *values + 1);
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
    const struct conversion c = {
        .values = values, .dtype = dtype, .loads = true};

    return dtype == GQA_F64
               ? backend->download(device, values, from, n * sizeof *values)
               : move(backend, device, c, (char *)(uintptr_t)from, n);
}

enum gqa_dtype gqa_wide_of(enum gqa_dtype real)
{
    return real == GQA_F64 ? GQA_F64 : GQA_F32;
}

size_t gqa_wide_bytes(enum gqa_dtype real)
{
    return gqa_dtype_bits(gqa_wide_of(real)) / 8;
}
