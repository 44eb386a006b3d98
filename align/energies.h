/* What an attention's heads are, as sharing sees it, by KV head: it outlives
 * the statistics that it is made of. */
#ifndef GQA_ALIGN_ENERGIES_H
#define GQA_ALIGN_ENERGIES_H

#include "align/factor.h"
#include "align/statistics.h"

/* n = n_kv_heads, d = head_dim; owned, zero-initialise. */
struct gqa_energies {
    struct gqa_bands key_bands, value_bands;
    double *keys, *values;               /* moments [n d, n d], factor.h */
    double *key_metrics, *value_metrics; /* [n, d, d] */
    double *outputs; /* [n_heads]: E|O_h v|^2 of each query head */
};

/*
 * block: of the converted model, as gqa_bands_of_keys() takes it. End it with
 * gqa_energies_clear(), also on an error. OpenBLAS is loaded. Errors
 * GQA_ERR_NOMEM, those of gqa_heads_read().
 */
GQA_MUST_USE
enum gqa_status gqa_energies_take(struct gqa_energies *out,
                                  struct gqa_checkpoint *checkpoint,
                                  const struct gqa_model *model,
                                  const struct gqa_attention *a,
                                  const struct gqa_attention_block *block,
                                  const struct gqa_head_statistics *statistics,
                                  unsigned n_threads);
void gqa_energies_clear(struct gqa_energies *energies);

#endif
