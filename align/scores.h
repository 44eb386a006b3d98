/*
 * Query and key projections fitted to the original's scores: queries with keys
 * as they are, keys with queries, queries again, each a least-squares problem
 * of its own (docs/numerics.md derives it).
 */
#ifndef GQA_ALIGN_SCORES_H
#define GQA_ALIGN_SCORES_H

#include "align/head_rows.h"
#include "align/score_records.h"

struct gqa_scores_job {
    const struct gqa_score_records *records; /* finished; of block */
    /* Of the original, and of the converted model in the original's shapes. */
    const struct gqa_attention_block *block, *becomes;
    /* [n_heads]: which of the original's each query head stands for; NULL:
     * the same. */
    const uint64_t *heads;
    uint64_t pooled;    /* KV heads of the converted model */
    const double *bias; /* T5's [n_buckets, n_heads]; NULL: none */
    unsigned n_threads; /* of the host */
};

struct gqa_scores_gain {
    /* Over what was held out, before and after: of all heads. */
    double before, after;
    bool queries, keys; /* which of them changed */
};

/*
 * queries, keys  of the converted model: all query heads, and pooled KV heads;
 *                changed where what is held out gains in its mean, and its
 *                worst sequence loses nothing.
 * Errors         those of the device; GQA_ERR_NOMEM; GQA_ERR_FORMAT: not
 *                finite; GQA_ERR_INTERRUPTED.
 */
GQA_MUST_USE
enum gqa_status gqa_scores_fit(struct gqa_head_rows *queries,
                               struct gqa_head_rows *keys,
                               struct gqa_scores_gain *out,
                               const struct gqa_scores_job *job);

#endif
