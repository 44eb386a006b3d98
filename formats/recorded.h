/*
 * What a checkpoint of ours records of its making, in the metadata of its
 * files; see docs/gqa-format.md. What is made is incomplete or NULL where
 * memory was short, which gqa_json_check() tells. The caller owns it.
 */
#ifndef GQA_FORMATS_RECORDED_H
#define GQA_FORMATS_RECORDED_H

#include <jansson.h>

#include "formats/checkpoint.h"

/* What stands behind the last slash of a path. Lent. */
const char *gqa_base_name(const char *path);

/* The recipe of the checkpoint, or NULL: there is none that can be read. */
json_t *gqa_recorded_recipe(const struct gqa_checkpoint *checkpoint);

/* Steps that it tells of, one after another. */
uint64_t gqa_recorded_steps(const struct gqa_checkpoint *checkpoint);

/* "source" of a step that is made of it. recipe: its own, which this takes, or
 * NULL. */
json_t *gqa_record_source(const struct gqa_checkpoint *source, json_t *recipe);

/*
 * __metadata__ of each shard of a folder, whose configuration is a file of its
 * own: the source's, with this recipe. recipe: NULL: as many groups as heads
 * give the source's bytes, and its recipe.
 */
json_t *gqa_record_shards(const struct gqa_checkpoint *source,
                          const json_t *recipe);

/* __metadata__ of a file by itself: strings only. */
json_t *gqa_record_metadata(const struct gqa_checkpoint *source,
                            const json_t *config, const json_t *recipe);

#endif
