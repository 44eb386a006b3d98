#include "runtime/cpu/kth.h"

static void swap(double *a, double *b)
{
    const double kept = *a;

    *a = *b;
    *b = kept;
}

/* The median of the first, the middle and the last. */
static double pivot_of(const double *v, size_t n)
{
    const double a = v[0], b = v[n / 2], c = v[n - 1];

    if ((a >= b) == (b >= c))
        return b;
    return (b >= a) == (a >= c) ? a : c;
}

double gqa_kth_largest(double *v, size_t n, size_t k)
{
    while (n > 1) {
        const double pivot = pivot_of(v, n);
        size_t larger = 0, i = 0, smaller = n;

        /* [larger ones | equal ones | smaller ones] */
        while (i < smaller) {
            if (v[i] > pivot)
                swap(&v[i++], &v[larger++]);
            else if (v[i] < pivot)
                swap(&v[i], &v[--smaller]);
            else
                i++;
        }
        if (k <= larger) {
            n = larger;
        } else if (k <= smaller) {
            return pivot;
        } else {
            v += smaller;
            n -= smaller;
            k -= smaller;
        }
    }
    return v[0];
}
