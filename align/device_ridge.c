#include "align/device_ridge.h"

#include <stdlib.h>

#include "align/solve.h"
#include "common/large.h"
#include "common/log.h"

static enum gqa_status fetch(double **out, const struct gqa_device_ridge *s,
                             const double *from, uint64_t n)
{
    *out = gqa_large_malloc(n * sizeof **out);
    return *out ? s->backend->download(s->device, *out, from, n * sizeof **out)
                : gqa_fail_nomem();
}

static enum gqa_status fit_here(const struct gqa_device_ridge *s, double *out,
                                const double *began, const double *inputs,
                                const double *products, uint64_t n, uint64_t m,
                                double ridge)
{
    double *host[3] = {NULL},
           *solution = gqa_large_malloc(n * m * sizeof *solution);
    enum gqa_status st =
        solution ? fetch(&host[0], s, began, n * m) : gqa_fail_nomem();

    if (st == GQA_OK)
        st = fetch(&host[1], s, inputs, n * n);
    if (st == GQA_OK)
        st = fetch(&host[2], s, products, n * m);
    if (st == GQA_OK)
        st = gqa_fit_ridge(solution, host[0], host[1], host[2], n, m, ridge);
    if (st == GQA_OK)
        st = s->backend->upload(s->device, out, solution,
                                n * m * sizeof *solution);
    for (int i = 0; i < 3; i++)
        free(host[i]);
    free(solution);
    return st;
}

enum gqa_status gqa_device_fit_ridge(struct gqa_device_ridge *s, double *out,
                                     const double *began, const double *inputs,
                                     const double *products, uint64_t n,
                                     uint64_t m, double ridge)
{
    enum gqa_status st = GQA_ERR_UNSUPPORTED;

    /* The CPU has no other than ours, whose memory is its own. */
    if (!s->backend->fit_ridge && s->backend->in_place)
        return gqa_fit_ridge(out, began, inputs, products, n, m, ridge);
    if (s->backend->fit_ridge && !s->is_told)
        st = s->backend->fit_ridge(s->device, out, began, inputs, products, n,
                                   m, ridge);
    if (st != GQA_ERR_UNSUPPORTED)
        return st;
    if (!s->is_told)
        gqa_info("output projections are fitted on the host, which takes "
                 "longer: %s",
                 s->backend->fit_ridge ? gqa_error_message()
                                       : "the device has no LAPACK");
    s->is_told = true;
    return fit_here(s, out, began, inputs, products, n, m, ridge);
}
