/* Eigenvalues by LAPACK, of Hermitian and of symmetric matrices. */
#ifndef GQA_ALIGN_EIGEN_H
#define GQA_ALIGN_EIGEN_H

#include <complex.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/status.h"

/*
 * a = V diag(values) V^H.
 *
 * a        [n, n], row-major, Hermitian; replaced by V, an eigenvector in each
 *          column, in the order of values.
 * is_real  all imaginary parts are 0, and so are those of V.
 * values   [n], ascending.
 * Errors   GQA_ERR_NOMEM; GQA_ERR_FORMAT: a holds what is not finite.
 */
GQA_MUST_USE
enum gqa_status gqa_eigen(double complex *a, double *values, size_t n,
                          bool is_real);

/* Eigenvalues alone, ascending, of a symmetric one, which is overwritten.
 * Errors the same. */
GQA_MUST_USE
enum gqa_status gqa_eigenvalues(double *a, double *values, size_t n);

#endif
