#include "align/score_bias.h"

#include <stdlib.h>

#include "runtime/relative_bias.h"
#include "runtime/values.h"

enum gqa_status gqa_score_bias_upload(void **out,
                                      const struct gqa_backend *backend,
                                      struct gqa_device *device,
                                      enum gqa_dtype real,
                                      const struct gqa_attention_block *block,
                                      const double *table, uint64_t reach)
{
    const enum gqa_dtype wide = gqa_wide_of(real);
    const uint64_t n_heads = block->heads->n_heads;
    const uint64_t n = n_heads * (2 * reach - 1);
    double *values;
    enum gqa_status st;

    *out = NULL;
    if (!table && !block->slopes)
        return GQA_OK;
    if (!(values = malloc(n * sizeof *values)))
        return gqa_fail_nomem();
    if (block->slopes)
        gqa_slopes_spread(values, block->slopes, n_heads, reach);
    else
        gqa_relative_bias_spread(values, &block->bias, table, n_heads, reach);
    if (block->within)
        gqa_bias_keep_within(values, n_heads, reach, block->within);
    st = backend->alloc(device, out, n * gqa_dtype_bits(wide) / 8);
    if (st == GQA_OK)
        st = gqa_values_upload(backend, device, *out, wide, values, n);
    free(values);
    return st;
}
