#include "align/solve.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/large.h"
#include "runtime/blas.h"

/* b [n, m] = a^-1 b; a is overwritten. By columns for LAPACK, to which a
 * symmetric a is the same. */
static enum gqa_status solve(double *a, double *b, uint64_t n, uint64_t m)
{
    const int order = (int)n, columns = (int)m;
    double *turned = gqa_large_malloc(n * m * sizeof *turned);
    int info = 0;

    if (!turned)
        return gqa_fail_nomem();
    for (uint64_t i = 0; i < n; i++)
        for (uint64_t j = 0; j < m; j++)
            turned[j * n + i] = b[i * m + j];
    gqa_blas.dposv("U", &order, &columns, a, &order, turned, &order, &info, 1);
    for (uint64_t i = 0; i < n && info == 0; i++)
        for (uint64_t j = 0; j < m; j++) {
            b[i * m + j] = turned[j * n + i];
            /* Not every LAPACK says so itself. */
            if (!isfinite(turned[j * n + i]))
                info = 1;
        }
    free(turned);
    return info == 0
               ? GQA_OK
               : gqa_fail(GQA_ERR_FORMAT,
                          "a least-squares problem has no solution: what it is "
                          "made of is not finite");
}

enum gqa_status gqa_fit_ridge(double *out, const double *began,
                              const double *inputs, const double *products,
                              uint64_t n, uint64_t m, double ridge)
{
    double *a = gqa_large_malloc(n * n * sizeof *a);
    double trace = 0, extra;
    enum gqa_status st;

    if (!a)
        return gqa_fail_nomem();
    memcpy(a, inputs, n * n * sizeof *a);
    for (uint64_t i = 0; i < n; i++)
        trace += a[i * n + i];
    extra = ridge * trace / (double)n;
    for (uint64_t i = 0; i < n; i++)
        a[i * n + i] += extra;
    for (uint64_t i = 0; i < n * m; i++)
        out[i] = products[i] + extra * began[i];
    st = solve(a, out, n, m);
    free(a);
    return st;
}

enum gqa_status gqa_fit_loss(double *out, const double *weight,
                             const double *inputs, const double *products,
                             double squares, uint64_t n, uint64_t m)
{
    double *image = gqa_large_malloc(n * m * sizeof *image);

    if (!image)
        return gqa_fail_nomem();
    gqa_blas.dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, (int)m,
                   (int)n, 1, inputs, (int)n, weight, (int)m, 0, image, (int)m);
    *out = squares;
    for (uint64_t i = 0; i < n * m; i++)
        *out += weight[i] * (image[i] - 2 * products[i]);
    free(image);
    return GQA_OK;
}

enum gqa_status gqa_inverse(double *out, const double *a, uint64_t n,
                            double ridge)
{
    double *copy = gqa_large_malloc(n * n * sizeof *copy);
    double trace = 0, extra;
    enum gqa_status st;

    if (!copy)
        return gqa_fail_nomem();
    memcpy(copy, a, n * n * sizeof *copy);
    memset(out, 0, n * n * sizeof *out);
    for (uint64_t i = 0; i < n; i++)
        trace += a[i * n + i];
    extra = trace > 0 ? ridge * trace / (double)n : 1;
    for (uint64_t i = 0; i < n; i++) {
        copy[i * n + i] += extra;
        out[i * n + i] = 1;
    }
    st = solve(copy, out, n, n);
    free(copy);
    return st;
}
