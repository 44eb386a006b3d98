/*
 * How much of the residual stream an attention makes: what is lost of its
 * heads' energy is lost of that.
 */
#ifndef GQA_ALIGN_INFLUENCE_H
#define GQA_ALIGN_INFLUENCE_H

#include "runtime/layers.h"

struct gqa_influence_job {
    const struct gqa_network *network;
    const struct gqa_backend *backend;
    struct gqa_device *device;
    const struct gqa_weight_source *weights;
    const struct gqa_tokens *tokens;
    void (*progress)(void *ctx, uint64_t done, uint64_t all);
    void *progress_ctx;
};

/*
 * out: [n_attentions], of each the energy of what it changes in the stream,
 * as a share of the stream's behind it, over all tokens. Errors those of
 * layers.h, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_influence_measure(double *out,
                                      const struct gqa_influence_job *job);

#endif
