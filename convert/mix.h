/* Rows made from others by a matrix of factors. */
#ifndef GQA_CONVERT_MIX_H
#define GQA_CONVERT_MIX_H

#include <stddef.h>
#include <stdint.h>

/*
 * out [n_rows, n] = factors [n_rows, w] times rows [w, n]. Each element's sum
 * is of its products in order, rounded as it grows: the same bits whatever
 * the instruction set, and whichever rows and columns are made together. Whole
 * blocks of GQA_MIX_ROWS by GQA_MIX_COLUMNS are made fastest.
 */
void gqa_mix(double *out, const double *factors, uint64_t n_rows,
             const double *rows, uint64_t w, size_t n);

enum { GQA_MIX_ROWS = 4, GQA_MIX_COLUMNS = 16 };

#endif
