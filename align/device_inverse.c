#include "align/device_inverse.h"

#include <string.h>

#include "align/solve.h"

static enum gqa_status invert_there(const struct gqa_backend *backend,
                                    struct gqa_device *device, double *out,
                                    const double *a, uint64_t n, double ridge)
{
    void *memory[4] = {NULL}; /* a, an identity, zeros, the inverse */
    const uint64_t n_bytes = n * n * sizeof *out;
    enum gqa_status st = GQA_OK;

    for (int i = 0; i < 4 && st == GQA_OK; i++)
        st = backend->alloc(device, &memory[i], n_bytes);
    if (st == GQA_OK)
        st = backend->upload(device, memory[0], a, n_bytes);
    if (st == GQA_OK)
        st = backend->zero(device, memory[2], n_bytes);
    memset(out, 0, n_bytes);
    for (uint64_t i = 0; i < n; i++)
        out[i * n + i] = 1;
    if (st == GQA_OK)
        st = backend->upload(device, memory[1], out, n_bytes);
    if (st == GQA_OK)
        st = backend->fit_ridge(device, memory[3], memory[2], memory[0],
                                memory[1], n, n, ridge);
    if (st == GQA_OK)
        st = backend->download(device, out, memory[3], n_bytes);
    for (int i = 0; i < 4; i++)
        backend->free(device, memory[i]);
    return st;
}

/* What the device may not do, the host may. */
enum gqa_status gqa_device_invert(const struct gqa_backend *backend,
                                  struct gqa_device *device, double *out,
                                  const double *a, uint64_t n, double ridge)
{
    enum gqa_status st = GQA_ERR_UNSUPPORTED;

    if (backend->fit_ridge)
        st = invert_there(backend, device, out, a, n, ridge);
    return st == GQA_ERR_UNSUPPORTED || st == GQA_ERR_FORMAT
               ? gqa_inverse(out, a, n, ridge)
               : st;
}
