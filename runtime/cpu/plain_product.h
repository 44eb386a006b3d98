/* Products of the plain computation (plain.h). */
#ifndef GQA_RUNTIME_CPU_PLAIN_PRODUCT_H
#define GQA_RUNTIME_CPU_PLAIN_PRODUCT_H

#include <stddef.h>

/* Outputs side by side, in whose lanes a compiler may use vectors. */
enum { GQA_PLAIN_OUTPUTS = 32 };

/* sum[r][j] += x[r][i] * w[i][j], for one input i after another: sum [n_rows,
 * GQA_PLAIN_OUTPUTS], w [n_inputs, GQA_PLAIN_OUTPUTS], rows of x ldx apart. */
typedef void gqa_plain_add(float *sum, const float *x, size_t ldx,
                           size_t n_rows, const float *w, size_t n_inputs);

/* v3, v4: the same bits for x86-64-v3 and v4, where GQA_X86_LEVELS is
 * defined. */
gqa_plain_add gqa_plain_add_base, gqa_plain_add_v3, gqa_plain_add_v4;

#endif
