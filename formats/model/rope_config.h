/* What a configuration says of RoPE whose frequencies were changed. */
#ifndef GQA_FORMATS_MODEL_ROPE_CONFIG_H
#define GQA_FORMATS_MODEL_ROPE_CONFIG_H

#include <jansson.h>
#include <stdbool.h>

#include "formats/families/family.h"

/*
 * Whether gqa_rope_config_divide() can say it: the configuration says how long
 * the model's context is, and nothing of RoPE that differs by layer.
 */
bool gqa_rope_config_is_plain(const json_t *config);

/*
 * Make config that of a model whose plain frequencies are divided by a list
 * of numbers, one for each pair, at any length: RoPE of kind longrope, in
 * rope_scaling, and in rope_parameters too where the configuration has that.
 */
void gqa_rope_config_divide(json_t *config, const json_t *divisors);

/*
 * Say in config, for transformers 4 too, what rope_parameters say, which it
 * does not read: numbers that it would take otherwise, under the keys that it
 * reads them from, and in rope_scaling what scales. What transformers 5 and
 * these tools make of config stays as it is. Where a family's classes have
 * kinds of RoPE of their own, or layers that slide have a base that no key can
 * say, the difference stays, and is told of (readings.h).
 */
void gqa_rope_config_say_older(json_t *config, const struct gqa_family *family);

#endif
