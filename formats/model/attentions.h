/*
 * Finding the attentions of a model among its parameters by their names,
 * and the places of the heads by their shapes. Part of making a gqa_model.
 */
#ifndef GQA_FORMATS_MODEL_ATTENTIONS_H
#define GQA_FORMATS_MODEL_ATTENTIONS_H

#include "formats/families/family.h"
#include "formats/model/params.h"

/* An attention's parameters by name, before their shapes are looked at. */
struct gqa_found_attention {
    const struct gqa_attention_rule *rule;
    size_t rule_index;
    uint64_t layer;
    bool input_major;          /* weights are [in, out] */
    size_t weight[4], bias[4]; /* q, k, v, o: param index or GQA_NO_PARAM */
    size_t proof;              /* of n_heads, or GQA_NO_PARAM */
    size_t sinks;              /* of query heads, or GQA_NO_PARAM */
    /* Norms of queries and of keys, that all heads share or of all heads
     * together: weight and bias, or GQA_NO_PARAM; their modules, lent by the
     * description. */
    size_t head_norm[2][2];
    const char *head_norm_module[2];
};

/*
 * All attentions that the family's rules find under one of its prefixes, in
 * the order of gqa_model; none: *n is 0. Errors GQA_ERR_FORMAT: one is
 * missing or incomplete, or has parameters too many; GQA_ERR_UNSUPPORTED:
 * norms of single heads, quantised projections.
 */
GQA_MUST_USE
enum gqa_status gqa_find_attentions(struct gqa_found_attention **out, size_t *n,
                                    const struct gqa_family *family,
                                    const struct gqa_params *params);

/* "decoder self-attention of layer 3", for messages; lent until the next
 * call on this thread. */
const char *gqa_attention_label(enum gqa_stack stack,
                                enum gqa_attention_kind kind, uint64_t layer);

/*
 * Lay out the heads: n_heads and head_dim are known, n_kv_heads follows from
 * the shapes. Errors GQA_ERR_FORMAT where they do not fit.
 */
GQA_MUST_USE
enum gqa_status gqa_place_heads(struct gqa_attention *out,
                                const struct gqa_found_attention *found,
                                const struct gqa_param *params,
                                uint64_t n_heads, uint64_t head_dim);

/* Length of all query heads together: n_heads * head_dim. */
uint64_t gqa_query_length(const struct gqa_found_attention *found,
                          const struct gqa_param *params);

#endif
