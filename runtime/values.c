#include "runtime/values.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "common/bounds.h"
#include "common/workers.h"

/* Values that a thread takes at a time; fewer than several such are not worth
 * a thread. */
enum { CHUNK = 1 << 18, FEW = 4 * CHUNK };

/* Doubles, and the same in another type. */
struct conversion {
    double *values;
    char *raw;
    enum gqa_dtype dtype;
    bool loads; /* values from raw, not raw from values */
    uint64_t n;
    atomic_uint_fast64_t next;
};

static enum gqa_status convert_chunks(void *ctx, unsigned worker)
{
    struct conversion *c = ctx;
    const uint64_t width = gqa_dtype_bits(c->dtype) / 8;
    uint64_t at;

    (void)worker;
    while ((at = atomic_fetch_add(&c->next, CHUNK)) < c->n) {
        const size_t n = (size_t)gqa_min_u64(CHUNK, c->n - at);

        if (c->loads)
            gqa_load_f64(c->values + at, c->raw + at * width, c->dtype, n);
        else
            gqa_store_f64(c->raw + at * width, c->dtype, c->values + at, n);
    }
    return GQA_OK;
}

static enum gqa_status convert(const struct gqa_backend *backend,
                               struct gqa_device *device, struct conversion *c)
{
    struct gqa_device_info info = {.n_threads = 1};
    enum gqa_status st = GQA_OK;

    if (c->n > FEW)
        st = backend->describe(device, &info);
    return st == GQA_OK ? gqa_workers_run((unsigned)gqa_min_u64(
                                              info.n_threads, c->n / CHUNK + 1),
                                          convert_chunks, c)
                        : st;
}

enum gqa_status gqa_values_upload(const struct gqa_backend *backend,
                                  struct gqa_device *device, void *out,
                                  enum gqa_dtype dtype, const double *values,
                                  uint64_t n)
{
    const uint64_t n_bytes = n * gqa_dtype_bits(dtype) / 8;
    struct conversion c = {
        .values = (double *)(uintptr_t)values, .dtype = dtype, .n = n};
    enum gqa_status st;

    if (dtype == GQA_F64)
        return backend->upload(device, out, values, n_bytes);
    c.raw = malloc((size_t)n_bytes + 1);
    if (!c.raw)
        return gqa_fail_nomem();
    st = convert(backend, device, &c);
    if (st == GQA_OK)
        st = backend->upload(device, out, c.raw, n_bytes);
    free(c.raw);
    return st;
}

enum gqa_status gqa_values_download(const struct gqa_backend *backend,
                                    struct gqa_device *device, double *values,
                                    const void *from, enum gqa_dtype dtype,
                                    uint64_t n)
{
    const uint64_t n_bytes = n * gqa_dtype_bits(dtype) / 8;
    struct conversion c = {
        .values = values, .dtype = dtype, .loads = true, .n = n};
    enum gqa_status st;

    if (dtype == GQA_F64)
        return backend->download(device, values, from, n_bytes);
    c.raw = malloc((size_t)n_bytes + 1);
    if (!c.raw)
        return gqa_fail_nomem();
    st = backend->download(device, c.raw, from, n_bytes);
    if (st == GQA_OK)
        st = convert(backend, device, &c);
    free(c.raw);
    return st;
}
