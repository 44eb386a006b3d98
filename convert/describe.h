/*
 * What a converted checkpoint says of itself: configuration, recipe and
 * metadata. Each is incomplete or NULL where memory was short, which
 * gqa_json_check() tells. The caller owns them.
 */
#ifndef GQA_CONVERT_DESCRIBE_H
#define GQA_CONVERT_DESCRIBE_H

#include <jansson.h>

#include "convert/calibrate.h"
#include "convert/plan.h"
#include "convert/transforms.h"

/* Whether the weights come out as they went in. */
bool gqa_is_repacking(const struct gqa_plan *plan);

/*
 * config.json of the grouped model: the source's, changed only where the
 * conversion requires. told: as gqa_adapt_config() has it.
 */
json_t *gqa_describe_config(const struct gqa_plan *plan,
                            const struct gqa_inventory *inventory,
                            json_t *told);

/*
 * How it was made; see docs/gqa-format.md. That of the source, if it has one,
 * is part of it; where nothing but the container changes, it is that one.
 * budget: what numbers of KV heads were chosen by, digests: of what was fitted
 * (gqa_output_digests()); each NULL or taken.
 */
json_t *gqa_describe_recipe(const struct gqa_plan *plan,
                            const struct gqa_checkpoint *source,
                            const struct gqa_calibration *calibration,
                            const struct gqa_kept_transforms *kept,
                            json_t *budget, json_t *digests);

#endif
