/* The k-th largest of many numbers. */
#ifndef GQA_RUNTIME_CPU_KTH_H
#define GQA_RUNTIME_CPU_KTH_H

#include <stddef.h>

/* Of n, which come to stand in another order; 1 <= k <= n, and none is NaN.
 * Source: Hoare 1961, the median of three as pivot. */
double gqa_kth_largest(double *values, size_t n, size_t k);

#endif
