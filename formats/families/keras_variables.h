/*
 * What a variable of KerasHub becomes by the rule that fits its path: a
 * parameter, some of its parts, or several parameters.
 */
#ifndef GQA_FORMATS_FAMILIES_KERAS_VARIABLES_H
#define GQA_FORMATS_FAMILIES_KERAS_VARIABLES_H

#include "formats/families/keras.h"
#include "formats/model/params.h"

/*
 * layer: the number that stands for the first '%' of the rule's names. tensor:
 * the variable, of that index in the checkpoint. Parameters that others of
 * their parts have made are completed.
 *
 * Errors GQA_ERR_FORMAT: it has another shape than the rule is for, or what it
 * is a part of has one of these already; GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_keras_add_variable(struct gqa_params *params,
                                       const struct gqa_keras_rule *rule,
                                       uint64_t layer,
                                       const struct gqa_tensor *tensor,
                                       size_t index);

/* Behind the last variable: put the parts' sizes together into the parameter's
 * shape. Errors GQA_ERR_FORMAT: a part is missing, or they do not fit. */
GQA_MUST_USE
enum gqa_status gqa_keras_finish_param(struct gqa_param *param);

#endif
