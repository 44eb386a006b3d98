/* The CPU backend's arithmetic in float64: what others are held against. */

#include "common/dtype.h"
#include "runtime/blas.h"

typedef double real;

static double exp_real(double x)
{
    return __builtin_exp(x);
}

static double tanh_real(double x)
{
    return __builtin_tanh(x);
}

static double sqrt_real(double x)
{
    return __builtin_sqrt(x);
}

static double normal_real(double x)
{
    return 0.5 * __builtin_erfc(-x * 0.70710678118654752440);
}

static void load_reals(void *dst, const void *src, enum gqa_dtype dtype,
                       size_t n)
{
    gqa_load_f64(dst, src, dtype, n);
}

#define LOAD   load_reals
#define GEMM   gqa_blas.dgemm
#define GEMV   gqa_blas.dgemv
#define EXPORT gqa_cpu_f64
#include "runtime/cpu/real.inl"
