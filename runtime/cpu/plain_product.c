#include "runtime/cpu/plain_product.h"

#ifndef EXPORT
#define EXPORT gqa_plain_add_base
#endif

enum { TILE = 4, LANES = GQA_PLAIN_OUTPUTS };

/* n_rows, at most TILE, is a constant where this is inlined. */
static inline __attribute__((always_inline)) void add_tile(
    float *sum, const float *x, size_t ldx, size_t n_rows, const float *w,
    size_t n_inputs)
{
    float tile[TILE][LANES];

    for (size_t r = 0; r < n_rows; r++)
        for (size_t j = 0; j < LANES; j++)
            tile[r][j] = sum[r * LANES + j];
    for (size_t i = 0; i < n_inputs; i++)
        for (size_t r = 0; r < n_rows; r++)
            for (size_t j = 0; j < LANES; j++)
                tile[r][j] += x[r * ldx + i] * w[i * LANES + j];
    for (size_t r = 0; r < n_rows; r++)
        for (size_t j = 0; j < LANES; j++)
            sum[r * LANES + j] = tile[r][j];
}

void EXPORT(float *sum, const float *x, size_t ldx, size_t n_rows,
            const float *w, size_t n_inputs)
{
    size_t r = 0;

    for (; r + TILE <= n_rows; r += TILE)
        add_tile(sum + r * LANES, x + r * ldx, ldx, TILE, w, n_inputs);
    for (; r < n_rows; r++)
        add_tile(sum + r * LANES, x + r * ldx, ldx, 1, w, n_inputs);
}
