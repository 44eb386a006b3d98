#include "runtime/values.h"

#include <stdlib.h>

enum gqa_status gqa_values_upload(const struct gqa_backend *backend,
                                  struct gqa_device *device, void *out,
                                  enum gqa_dtype dtype, const double *values,
                                  uint64_t n)
{
    const uint64_t n_bytes = n * gqa_dtype_bits(dtype) / 8;
    enum gqa_status st;
    void *raw;

    if (dtype == GQA_F64)
        return backend->upload(device, out, values, n_bytes);
    raw = malloc((size_t)n_bytes + 1);
    if (!raw)
        return gqa_fail_nomem();
    gqa_store_f64(raw, dtype, values, (size_t)n);
    st = backend->upload(device, out, raw, n_bytes);
    free(raw);
    return st;
}

enum gqa_status gqa_values_download(const struct gqa_backend *backend,
                                    struct gqa_device *device, double *values,
                                    const void *from, enum gqa_dtype dtype,
                                    uint64_t n)
{
    const uint64_t n_bytes = n * gqa_dtype_bits(dtype) / 8;
    enum gqa_status st;
    void *raw;

    if (dtype == GQA_F64)
        return backend->download(device, values, from, n_bytes);
    raw = malloc((size_t)n_bytes + 1);
    if (!raw)
        return gqa_fail_nomem();
    st = backend->download(device, raw, from, n_bytes);
    if (st == GQA_OK)
        gqa_load_f64(values, raw, dtype, (size_t)n);
    free(raw);
    return st;
}
