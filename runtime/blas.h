/*
 * OpenBLAS and its LAPACK, loaded when something is computed: with its threads
 * it takes longer to start than the tools do, and most of what they do needs
 * none of it. Call gqa_blas_load() before gqa_blas is used.
 */
#ifndef GQA_RUNTIME_BLAS_H
#define GQA_RUNTIME_BLAS_H

#include <cblas.h>
#include <complex.h>
#include <stddef.h>

#include "common/status.h"

/* By their names in OpenBLAS, whose reference says what they do; LAPACK's by
 * Fortran's convention, the lengths of its strings last. */
struct gqa_blas {
    __typeof__(cblas_sgemm) *sgemm;
    __typeof__(cblas_dgemm) *dgemm;
    __typeof__(cblas_zgemm) *zgemm;
    __typeof__(cblas_sgemv) *sgemv;
    __typeof__(cblas_dgemv) *dgemv;
    void (*dposv)(const char *uplo, const int *n, const int *nrhs, double *a,
                  const int *lda, double *b, const int *ldb, int *info,
                  size_t uplo_length);
    void (*dsyevd)(const char *jobz, const char *uplo, const int *n, double *a,
                   const int *lda, double *w, double *work, const int *lwork,
                   int *iwork, const int *liwork, int *info, size_t jobz_length,
                   size_t uplo_length);
    void (*zheevd)(const char *jobz, const char *uplo, const int *n,
                   double complex *a, const int *lda, double *w,
                   double complex *work, const int *lwork, double *rwork,
                   const int *lrwork, int *iwork, const int *liwork, int *info,
                   size_t jobz_length, size_t uplo_length);
    __typeof__(openblas_get_config) *get_config;
    __typeof__(openblas_get_parallel) *get_parallel;
    __typeof__(openblas_set_num_threads) *set_num_threads;
};

extern struct gqa_blas gqa_blas;

/*
 * Once for a process, or again to ask whether more threads have room; from any
 * thread. It is never unloaded.
 *
 * n_threads  that compute with it at the same time, the caller's among them.
 * Errors     GQA_ERR_NOMEM: a limit of the process (ulimit -v, -d) leaves no
 *            room for its buffers, with the figures (OpenBLAS itself would try
 *            for ever); GQA_ERR_UNSUPPORTED: it is not installed.
 */
GQA_MUST_USE
enum gqa_status gqa_blas_load(unsigned n_threads);

#endif
