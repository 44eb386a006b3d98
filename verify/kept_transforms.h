/* Transforms that an aligned conversion kept beside its weights. */
#ifndef GQA_VERIFY_KEPT_TRANSFORMS_H
#define GQA_VERIFY_KEPT_TRANSFORMS_H

#include "verify/recipe.h"

/*
 * *out: of part 'k', 'v', 'q' or 'o' of an attention of a step that groups,
 * owned by the caller (free); NULL: it is not there, or not of its shape.
 * Errors those of reading.
 */
GQA_MUST_USE
enum gqa_status gqa_transform_load(double **out,
                                   struct gqa_checkpoint *checkpoint,
                                   const struct gqa_pool_step *step,
                                   const struct gqa_attention *attention,
                                   char part);

/*
 * Whether the transforms of all steps are those that the recipe tells of: what
 * is not is noted. Errors those of reading.
 */
GQA_MUST_USE
enum gqa_status gqa_transforms_check(struct gqa_finding *finding,
                                     const struct gqa_subject *converted,
                                     const struct gqa_recipe *recipe);

#endif
