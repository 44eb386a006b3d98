#include "convert/mix.h"

#include <string.h>

#include "common/vectorised.h"

enum {
    LANES = 8,
    /* Of a row: GQA_MIX_ROWS of them are sums that fill the registers. */
    VECTORS = GQA_MIX_COLUMNS / LANES,
};

/* Of any address a double may have. Where registers are shorter, the compiler
 * takes several. */
typedef double vector __attribute__((vector_size(LANES * sizeof(double)),
                                     aligned(sizeof(double)), may_alias));

/* GQA_MIX_ROWS of out, as many of the n columns as make up whole
 * GQA_MIX_COLUMNS: each element of rows is read once for all of them. */
static GQA_VECTORISED void mix_block(double *out, const double *factors,
                                     const double *rows, uint64_t w, size_t n)
{
    for (size_t i = 0; i + GQA_MIX_COLUMNS <= n; i += GQA_MIX_COLUMNS) {
        vector sums[GQA_MIX_ROWS][VECTORS];

        memset(sums, 0, sizeof sums);
        for (uint64_t k = 0; k < w; k++) {
            const vector *row = (const vector *)(rows + k * n + i);

#pragma GCC unroll 4
            for (int r = 0; r < GQA_MIX_ROWS; r++)
#pragma GCC unroll 2
                for (int v = 0; v < VECTORS; v++)
                    sums[r][v] += factors[(uint64_t)r * w + k] * row[v];
        }
        for (size_t r = 0; r < GQA_MIX_ROWS; r++)
            memcpy(out + r * n + i, sums[r], sizeof sums[r]);
    }
}

/* Columns from `from` on. */
static GQA_VECTORISED void mix_row(double *out, const double *factors,
                                   const double *rows, uint64_t w, size_t n,
                                   size_t from)
{
    memset(out + from, 0, (n - from) * sizeof *out);
    for (uint64_t k = 0; k < w; k++)
        for (size_t i = from; i < n; i++)
            out[i] += factors[k] * rows[k * n + i];
}

void gqa_mix(double *out, const double *factors, uint64_t n_rows,
             const double *rows, uint64_t w, size_t n)
{
    const size_t rest = n - n % GQA_MIX_COLUMNS;
    uint64_t r = 0;

    for (; r + GQA_MIX_ROWS <= n_rows; r += GQA_MIX_ROWS) {
        mix_block(out + r * n, factors + r * w, rows, w, n);
        for (uint64_t i = 0; i < GQA_MIX_ROWS && rest < n; i++)
            mix_row(out + (r + i) * n, factors + (r + i) * w, rows, w, n, rest);
    }
    for (; r < n_rows; r++)
        mix_row(out + r * n, factors + r * w, rows, w, n, 0);
}
