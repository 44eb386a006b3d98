/*
 * Python pickles as PyTorch writes them, read by a machine that makes values
 * (values.h) and does nothing else: no function is called, no class is made,
 * no module is looked for. What refers to a name that is not in globals.h is
 * refused, by that name and the place where it stands.
 */
#ifndef GQA_FORMATS_TORCH_UNPICKLE_H
#define GQA_FORMATS_TORCH_UNPICKLE_H

#include "formats/input.h"
#include "formats/torch/values.h"

/*
 * Read one pickle, up to its end mark; `in` stands behind it then.
 *
 * root    receives its value.
 * values  gets what is in it.
 * Errors  GQA_ERR_FORMAT: not a pickle, or one that contradicts itself;
 *         GQA_ERR_UNSUPPORTED: what PyTorch does not write, or more than the
 *         limits of values.h; GQA_ERR_IO, GQA_ERR_NOMEM. The message begins
 *         with the byte of the pickle.
 * Memory and time grow with its bytes alone: at most some 16 bytes for each.
 */
GQA_MUST_USE
enum gqa_status gqa_unpickle(uint32_t *root, struct gqa_pickle_values *values,
                             struct gqa_input *in);

#endif
