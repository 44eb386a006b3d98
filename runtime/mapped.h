/*
 * Weights made of another model's on the way: heads of keys and values
 * taken from other places, averaged, or replaced by noise. No weights are
 * stored.
 */
#ifndef GQA_RUNTIME_MAPPED_H
#define GQA_RUNTIME_MAPPED_H

#include "formats/model/model.h"
#include "runtime/runtime.h"

struct gqa_mapped;

/*
 * A multi-head model with the function of a grouped one: each KV head stands
 * there once for each query head that reads it, in the same layout.
 *
 * model, weights  lent; must outlive the result.
 * Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_expand(struct gqa_mapped **out,
                           const struct gqa_model *model,
                           const struct gqa_weight_source *weights);

enum gqa_regrouping {
    GQA_REGROUP_FIRST,  /* the first KV head of each group */
    GQA_REGROUP_MEAN,   /* their mean, rounded once */
    GQA_REGROUP_RANDOM, /* noise of the same standard deviation; first-head
                           biases */
};

/*
 * `model` with its KV heads grouped as those of `like` are, for a measure
 * of what careless grouping does. Needs the same attentions in both, and
 * numbers of KV heads that divide; else GQA_ERR_UNSUPPORTED. RANDOM reads
 * the weights of all keys and values once.
 */
GQA_MUST_USE
enum gqa_status gqa_regroup(struct gqa_mapped **out,
                            const struct gqa_model *model,
                            const struct gqa_weight_source *weights,
                            const struct gqa_model *like,
                            enum gqa_regrouping regrouping, uint64_t seed);

void gqa_mapped_free(struct gqa_mapped *mapped);

/* Lent. Its parameters have no parts: only the weight source reads them. */
const struct gqa_model *gqa_mapped_model(const struct gqa_mapped *mapped);
struct gqa_weight_source gqa_mapped_weights(struct gqa_mapped *mapped);

#endif
