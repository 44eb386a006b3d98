/* What an original model says of its heads: second moments of its queries,
 * keys and values over tokens, gathered one layer after another. */
#ifndef GQA_ALIGN_STATISTICS_H
#define GQA_ALIGN_STATISTICS_H

#include "runtime/layers.h"

/* Of one attention; d is its head_dim. Before rotation, biases included. */
struct gqa_head_statistics {
    double *queries; /* [n_heads, d, d]: E[q q^T] of each */
    /* [n_kv_heads d, n_kv_heads d]: of keys about their mean, since a softmax
     * does not see what all keys have in common, and about 0; of values about
     * 0. */
    double *centred_keys, *keys, *values;
};

/* Room for those of an attention; end it with gqa_head_statistics_clear(), also
 * after GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_head_statistics_create(struct gqa_head_statistics *out,
                                           const struct gqa_attention *a);
void gqa_head_statistics_clear(struct gqa_head_statistics *statistics);

/*
 * Run tokens through the model and hand over the statistics of each
 * attention that is wanted, as its layer is done, with the share of
 * gqa_statistics_add_share() in them.
 *
 * wanted   by the model's attentions.
 * take     the statistics are lent until it returns, and may be overwritten.
 * progress told of layers; may be NULL.
 * Errors   those of layers.h, of take, of reading, GQA_ERR_NOMEM.
 */
struct gqa_statistics_job {
    const struct gqa_network *network;
    const struct gqa_backend *backend;
    struct gqa_device *device;
    const struct gqa_weight_source *weights;
    struct gqa_checkpoint *checkpoint; /* which the weights are of */
    const struct gqa_tokens *tokens;
    const bool *wanted;
    enum gqa_status (*take)(void *ctx, size_t attention,
                            const struct gqa_head_statistics *statistics);
    void *ctx;
    unsigned n_threads; /* of the host; the result is the same for any */
    void (*progress)(void *ctx, uint64_t done, uint64_t all);
    void *progress_ctx;
};

GQA_MUST_USE
enum gqa_status gqa_statistics_collect(const struct gqa_statistics_job *job);

#endif
