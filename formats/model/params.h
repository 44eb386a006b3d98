/* A growing list of parameters, for the code that names them. */
#ifndef GQA_FORMATS_MODEL_PARAMS_H
#define GQA_FORMATS_MODEL_PARAMS_H

#include "formats/families/load.h"

struct gqa_params {
    struct gqa_param *items;
    size_t n, capacity;
};

void gqa_params_free(struct gqa_params *params);

/*
 * Append a parameter with room for n_parts parts, all unset (their rows are
 * 0), and return it; NULL when memory runs out. name is copied.
 */
struct gqa_param *gqa_params_add(struct gqa_params *params, const char *name,
                                 size_t n_parts);

/* Index of the parameter of this name. Only after gqa_params_finish(). */
bool gqa_params_find(const struct gqa_params *params, const char *name,
                     size_t *index);

/*
 * Sort by name and refuse two of the same name. Errors GQA_ERR_FORMAT.
 */
GQA_MUST_USE
enum gqa_status gqa_params_finish(struct gqa_params *params);

/* The parameter is the tensor, as it stands. */
GQA_MUST_USE
enum gqa_status gqa_params_add_tensor(struct gqa_params *params,
                                      const char *name,
                                      const struct gqa_tensor *tensor,
                                      size_t index);

/*
 * Give each way of naming its parameters. Errors GQA_ERR_FORMAT,
 * GQA_ERR_UNSUPPORTED, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_params_from_torch(struct gqa_params *params,
                                      const struct gqa_checkpoint *checkpoint);
GQA_MUST_USE
enum gqa_status gqa_params_from_tf(struct gqa_params *params,
                                   const struct gqa_checkpoint *checkpoint);
/*
 * Also finds the family: its number among the choice, the family itself, for
 * all its model types, which the caller owns then, and the type of the
 * KerasHub backbone (lent by the family) where names tell it, else NULL.
 */
GQA_MUST_USE
enum gqa_status gqa_params_from_keras(struct gqa_params *params, size_t *number,
                                      struct gqa_family **family,
                                      const char **backbone_type,
                                      const struct gqa_family_choice *choice,
                                      const struct gqa_checkpoint *checkpoint);

/*
 * Hugging Face's configuration for a KerasHub backbone's (as
 * gqa_config_backbone() finds it): the same function. backbone_type: NULL where
 * the variables do not tell; then the backbone's class does, and it receives
 * that, lent by the family. outer: receives that of the whole where such a
 * model is a part of one (gqa_keras_names), without what describes the part;
 * else it is left as it is. The caller owns both.
 *
 * Errors GQA_ERR_UNSUPPORTED, naming the key that nothing of transformers
 * says, or that is not known; GQA_ERR_FORMAT, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_config_from_preset(json_t **out, json_t **outer,
                                       const char **backbone_type,
                                       const struct gqa_family *family,
                                       const json_t *backbone);

#endif
