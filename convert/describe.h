/*
 * What a converted checkpoint says of itself: configuration, recipe and
 * metadata.
 */
#ifndef GQA_CONVERT_DESCRIBE_H
#define GQA_CONVERT_DESCRIBE_H

#include <jansson.h>

#include "convert/plan.h"

/*
 * config.json of the grouped model: the source's, changed only where the
 * conversion requires. The caller owns the result; NULL: out of memory.
 */
json_t *gqa_describe_config(const struct gqa_plan *plan);

/* How it was made; see docs/gqa-format.md. Owned by the caller; NULL: out of
 * memory. */
json_t *gqa_describe_recipe(const struct gqa_plan *plan,
                            const struct gqa_checkpoint *source);

/* __metadata__: strings only. Owned by the caller; NULL: out of memory. */
json_t *gqa_describe_metadata(const struct gqa_checkpoint *source,
                              const json_t *config, const json_t *recipe);

#endif
