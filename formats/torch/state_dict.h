/*
 * The weights in what a training program saved: a dictionary of tensors by
 * name, by itself or below others.
 */
#ifndef GQA_FORMATS_TORCH_STATE_DICT_H
#define GQA_FORMATS_TORCH_STATE_DICT_H

#include "formats/torch/values.h"

struct gqa_named_tensor {
    const char *name; /* lent by the values */
    uint32_t tensor;  /* of the values */
};

/*
 * The tensors of the one dictionary below root that holds matrices, or, where
 * none does, that holds tensors. Dictionaries by numbers, as optimisers have,
 * do not count; neither does what else lies beside tensors.
 *
 * name    which of several it is, by its path ("state.model"); NULL: there is
 *         one.
 * out     [*n], owned by the caller (free).
 * Errors  GQA_ERR_UNSUPPORTED: no tensors by name, or several dictionaries of
 *         them, or none of that name; the message names them; GQA_ERR_FORMAT: a
 * name that occurs twice or is none; GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_state_dict_find(struct gqa_named_tensor **out, size_t *n,
                                    const struct gqa_pickle_values *values,
                                    uint32_t root, const char *name);

#endif
