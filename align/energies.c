#include "align/energies.h"

#include <stdlib.h>
#include <string.h>

#include "align/moments.h"
#include "common/large.h"

enum gqa_status gqa_energies_take(struct gqa_energies *out,
                                  struct gqa_checkpoint *checkpoint,
                                  const struct gqa_model *model,
                                  const struct gqa_attention *a,
                                  const struct gqa_attention_block *block,
                                  const struct gqa_head_statistics *statistics,
                                  unsigned n_threads)
{
    const uint64_t d = a->head_dim, n = a->n_kv_heads, all = n * d * n * d;
    double *outputs = gqa_large_malloc(a->n_heads * d * d * sizeof *outputs);
    enum gqa_status st = gqa_bands_of_keys(&out->key_bands, a, block);

    if (st == GQA_OK)
        st = gqa_bands_whole(&out->value_bands, d);
    out->keys = gqa_large_malloc(all * sizeof *out->keys);
    out->values = gqa_large_malloc(all * sizeof *out->values);
    out->key_metrics = gqa_large_malloc(n * d * d * sizeof *out->key_metrics);
    out->value_metrics =
        gqa_large_malloc(n * d * d * sizeof *out->value_metrics);
    out->outputs = malloc(a->n_heads * sizeof *out->outputs);
    if (st == GQA_OK &&
        (!outputs || !out->keys || !out->values || !out->key_metrics ||
         !out->value_metrics || !out->outputs))
        st = gqa_fail_nomem();
    /* O_h^T O_h; o's bias is no head's. */
    if (st == GQA_OK)
        st = gqa_moments_of_weights(outputs, checkpoint, model, &a->o, d, false,
                                    false, n_threads);
    if (st == GQA_OK) {
        gqa_moments_of_keys(out->keys, a, &out->key_bands, statistics);
        memcpy(out->values, statistics->values, all * sizeof *out->values);
        gqa_moments_by_kv_head(out->key_metrics, a, statistics->queries);
        gqa_moments_by_kv_head(out->value_metrics, a, outputs);
        gqa_moments_of_outputs(out->outputs, a, outputs, out->values);
    }
    free(outputs);
    return st;
}

void gqa_energies_clear(struct gqa_energies *e)
{
    gqa_bands_clear(&e->key_bands);
    gqa_bands_clear(&e->value_bands);
    free(e->keys);
    free(e->values);
    free(e->key_metrics);
    free(e->value_metrics);
    free(e->outputs);
    *e = (struct gqa_energies){0};
}
