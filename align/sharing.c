#include "align/sharing.h"

#include <math.h>
#include <stdlib.h>

#include "align/sets.h"

double gqa_sharing_scores(const struct gqa_network *network,
                          const struct gqa_attention *a,
                          const struct gqa_likeness *likeness)
{
    const struct gqa_attention_block *block = gqa_block_of(network, a);
    double all[2];

    gqa_likeness_all(all, likeness);
    return (block ? block->scale : 1) * sqrt(all[0] / (double)a->n_heads);
}

enum gqa_status gqa_sharing_choose(struct gqa_sharing_choice *out,
                                   const struct gqa_compared_heads *alike,
                                   uint64_t pooled, double scores,
                                   unsigned n_threads)
{
    enum gqa_status st;

    *out = (struct gqa_sharing_choice){.pooled = pooled};
    out->heads = malloc(alike->n * sizeof *out->heads);
    if (!out->heads)
        return gqa_fail_nomem();
    st = gqa_compare_groups(out->heads, out->lost, alike, (size_t)pooled,
                            n_threads);
    out->predicted =
        (out->lost[0] * (scores > 0 ? scores : 1) + out->lost[1]) / 2;
    return st;
}
