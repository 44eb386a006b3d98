#include "align/eigen.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "runtime/blas.h"

static enum gqa_status verdict(int info)
{
    return info == 0 ? GQA_OK
                     : gqa_fail(GQA_ERR_FORMAT,
                                "an eigenvalue problem has no solution: what "
                                "it is made of is not finite");
}

/* jobz: "V" with vectors, "N" without. */
static enum gqa_status solve_real(double *a, double *values, int n,
                                  const char *jobz)
{
    double size = 0;
    int isize = 0, ask = -1, info = 0, lwork;
    double *work;
    int *iwork;
    enum gqa_status st;

    gqa_blas.dsyevd(jobz, "U", &n, a, &n, values, &size, &ask, &isize, &ask,
                    &info, 1, 1);
    lwork = (int)size;
    work = malloc((size_t)lwork * sizeof *work);
    iwork = malloc((size_t)isize * sizeof *iwork);
    if (work && iwork) {
        gqa_blas.dsyevd(jobz, "U", &n, a, &n, values, work, &lwork, iwork,
                        &isize, &info, 1, 1);
        st = verdict(info);
    } else {
        st = gqa_fail_nomem();
    }
    free(work);
    free(iwork);
    return st;
}

/* Two n^2 of workspace must be an int. */
static enum gqa_status check_size(size_t n)
{
    return n <= 16384
               ? GQA_OK
               : gqa_fail(GQA_ERR_UNSUPPORTED,
                          "an eigenvalue problem of %zu unknowns is too large",
                          n);
}

static enum gqa_status solve_complex(double complex *a, double *values, int n)
{
    double complex size = 0;
    double rsize = 0;
    int isize = 0, ask = -1, info = 0, lwork, lrwork;
    double complex *work;
    double *rwork;
    int *iwork;
    enum gqa_status st;

    gqa_blas.zheevd("V", "U", &n, a, &n, values, &size, &ask, &rsize, &ask,
                    &isize, &ask, &info, 1, 1);
    lwork = (int)creal(size);
    lrwork = (int)rsize;
    work = malloc((size_t)lwork * sizeof *work);
    rwork = malloc((size_t)lrwork * sizeof *rwork);
    iwork = malloc((size_t)isize * sizeof *iwork);
    if (work && rwork && iwork) {
        gqa_blas.zheevd("V", "U", &n, a, &n, values, work, &lwork, rwork,
                        &lrwork, iwork, &isize, &info, 1, 1);
        st = verdict(info);
    } else {
        st = gqa_fail_nomem();
    }
    free(work);
    free(rwork);
    free(iwork);
    return st;
}

/* LAPACK's matrices lie by columns: what it saw is the transpose, which is the
 * conjugate, and so its vectors, in rows here, are conjugate ones. */
static void turn(double complex *a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            const double complex upper = conj(a[j * n + i]);

            a[j * n + i] = conj(a[i * n + j]);
            a[i * n + j] = upper;
        }
}

enum gqa_status gqa_eigen(double complex *a, double *values, size_t n,
                          bool is_real)
{
    enum gqa_status st;
    double *real;

    if ((st = check_size(n)) != GQA_OK)
        return st;
    for (size_t i = 0; i < n * n; i++)
        if (!isfinite(creal(a[i])) || !isfinite(cimag(a[i])))
            return verdict(1);
    if (!is_real) {
        st = solve_complex(a, values, (int)n);
        if (st == GQA_OK)
            turn(a, n);
        return st;
    }
    real = malloc(n * n * sizeof *real);
    if (!real)
        return gqa_fail_nomem();
    for (size_t i = 0; i < n * n; i++)
        real[i] = creal(a[i]);
    st = solve_real(real, values, (int)n, "V");
    for (size_t i = 0; i < n && st == GQA_OK; i++)
        for (size_t j = 0; j < n; j++)
            a[j * n + i] = real[i * n + j];
    free(real);
    return st;
}

enum gqa_status gqa_eigenvalues(double *a, double *values, size_t n)
{
    const enum gqa_status st = check_size(n);

    if (st != GQA_OK)
        return st;
    for (size_t i = 0; i < n * n; i++)
        if (!isfinite(a[i]))
            return verdict(1);
    return solve_real(a, values, (int)n, "N");
}
