/* What the name of a tensor that belongs to no part of a model tells. */
#ifndef GQA_FORMATS_MODEL_LEFTOVER_H
#define GQA_FORMATS_MODEL_LEFTOVER_H

#include <stdbool.h>
#include <stddef.h>

/* A module of it is called an attention, or is a projection of one. */
bool gqa_name_is_attention(const char *name);

/* A constant that old writers stored and nothing reads: RoPE's frequencies,
 * causal masks, numbers of positions. */
bool gqa_name_is_buffer(const char *name);

/* Of a weight that is stored in fewer bits, beside it: a scale, a zero point.
 * n: length of the module's name, which `name` begins with. */
bool gqa_name_is_scale(const char *name, size_t n);

/* What it comes from and what helps, in a clause: "an adapter that is not
 * merged: merge it first (merge_and_unload() of PEFT)"; NULL: no idea. */
const char *gqa_leftover_cause(const char *name);

/* Whether that is a weight stored in fewer bits. */
bool gqa_leftover_is_quantised(const char *name);

/* The cause of what stands before all names, as "_orig_mod." does. */
const char *gqa_prefix_cause(const char *prefix);

/* Whether that says that the model is a part of another. */
bool gqa_prefix_is_of_larger(const char *prefix);

/* The name without what wrappers of modules put between its parts; whether
 * there is such a part, and the first, lent by `name`, without the dot. */
bool gqa_name_unwrap(char *out, size_t size, const char *name,
                     const char **part);

#endif
