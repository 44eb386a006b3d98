/* Parameters of a network's parts by their names, for the code that makes
 * one. */
#ifndef GQA_FORMATS_MODEL_NETWORK_PARAMS_H
#define GQA_FORMATS_MODEL_NETWORK_PARAMS_H

#include "formats/families/family.h"

struct gqa_network_builder {
    const struct gqa_family *family;
    const struct gqa_model *model;
    const char *prefix; /* of the parameters' names */
    struct gqa_network *network;
};

/* A module of a layer, or of the whole model, by its whole name. */
struct gqa_stem {
    char text[2 * GQA_MAX_NAME];
};

/* A module without a layer, behind the family's prefix. */
/* The prefix that the model's attentions were found behind; lent by its
 * family. */
const char *gqa_prefix_of(const struct gqa_model *model);

const char *gqa_stem_of(struct gqa_stem *out,
                        const struct gqa_network_builder *b,
                        const char *module);

/* A module of layer `layer`; layers: the pattern of its stack. */
const char *gqa_stem_in(struct gqa_stem *out,
                        const struct gqa_network_builder *b, const char *layers,
                        size_t layer, const char *module);

bool gqa_find_param(const struct gqa_network_builder *b, const char *name,
                    size_t *index);

/*
 * Each errors GQA_ERR_FORMAT where a parameter is missing or misshapen,
 * GQA_ERR_UNSUPPORTED where it is not of floats.
 */

/* Optional ones that are missing are GQA_NO_PARAM. */
GQA_MUST_USE
enum gqa_status gqa_take_param(size_t *out, const struct gqa_network_builder *b,
                               const char *name, bool optional);
GQA_MUST_USE
enum gqa_status gqa_check_matrix(const struct gqa_network_builder *b,
                                 size_t index, uint64_t rows, uint64_t cols);
/* GQA_NO_PARAM is as good as any vector. */
GQA_MUST_USE
enum gqa_status gqa_check_vector(const struct gqa_network_builder *b,
                                 size_t index, uint64_t length);

/* The weight of a module and the bias that `bias` says it has. */
GQA_MUST_USE
enum gqa_status gqa_take_linear(struct gqa_linear *out,
                                const struct gqa_network_builder *b,
                                const char *stem,
                                const struct gqa_setting *bias);
GQA_MUST_USE
enum gqa_status gqa_check_linear(const struct gqa_network_builder *b,
                                 const struct gqa_linear *linear,
                                 uint64_t inputs, uint64_t outputs);
/* Of two that have the same weight: the halves of its outputs. */
GQA_MUST_USE
enum gqa_status gqa_linear_halves(struct gqa_linear *first,
                                  struct gqa_linear *second,
                                  const struct gqa_network_builder *b);
uint64_t gqa_linear_outputs(const struct gqa_network_builder *b,
                            const struct gqa_linear *linear);

/* The norm of a module as the family has them; of kind NONE where it has none
 * there by the configuration. layers NULL: not in a layer. */
GQA_MUST_USE
enum gqa_status gqa_take_norm(struct gqa_norm *out,
                              const struct gqa_network_builder *b,
                              const char *layers, size_t layer,
                              const struct gqa_setting *module, uint64_t width);

/* The norm of a whole name. */
GQA_MUST_USE
enum gqa_status gqa_take_norm_at(struct gqa_norm *out,
                                 const struct gqa_network_builder *b,
                                 const char *stem, uint64_t width);

/* "a.b" beside "a.c" is "a.b" for the leaf "b": another name in the module. */
const char *gqa_name_beside(char *room, size_t size, const char *name,
                            const char *leaf);

/* The norms of a sublayer of layer `layer`. */
GQA_MUST_USE
enum gqa_status gqa_take_sublayer_norms(struct gqa_norm *before,
                                        struct gqa_norm *output,
                                        struct gqa_norm *after,
                                        const struct gqa_network_builder *b,
                                        const char *layers, size_t layer,
                                        const struct gqa_sublayer_norms *rule);

/* The norm of queries or keys that a module of the attention is, likewise. */
GQA_MUST_USE
enum gqa_status gqa_take_head_norm(struct gqa_norm *out,
                                   const struct gqa_network_builder *b,
                                   const struct gqa_attention_rule *rule,
                                   const struct gqa_attention *heads,
                                   const struct gqa_setting *module);

#endif
