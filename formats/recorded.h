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

/*
 * Give a source that is opened the metadata of its file, and the configuration
 * in it, if there is one. metadata: string -> string, or NULL; lent. where: it
 * stands, for messages. Errors GQA_ERR_UNSUPPORTED: of a newer version;
 * GQA_ERR_FORMAT, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_recorded_take(struct gqa_source *source, json_t *metadata,
                                  const char *where);

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
