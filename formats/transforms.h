/*
 * Transforms of aligned conversions, kept beside the weights that they made:
 * tensors with names of their own, which are no parameter of any model. In a
 * folder they lie in a file that loaders of others do not look at.
 */
#ifndef GQA_FORMATS_TRANSFORMS_H
#define GQA_FORMATS_TRANSFORMS_H

#include "formats/model/model.h"

#define GQA_TRANSFORMS_PREFIX "gqa.transforms."

/* A safetensors file; not called so, since vLLM reads all that are. */
#define GQA_TRANSFORMS_FILE "gqa-transforms.dat"

/* Room for a name, with its NUL. */
enum { GQA_TRANSFORM_NAME_MAX = 96 };

bool gqa_is_transform(const char *tensor);

/* Which conversion, from 1, of those that were made one after another, a
 * tensor of that kind belongs to; 0: its name tells of none. */
uint64_t gqa_transform_step(const char *tensor);

/* Of part 'k', 'v', 'q' or 'o' of an attention. */
const char *gqa_transform_name(char out[GQA_TRANSFORM_NAME_MAX], uint64_t step,
                               const struct gqa_attention *attention,
                               char part);

#endif
