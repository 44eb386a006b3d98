/* Where a configuration speaks of RoPE, and what each version of transformers
 * reads of that. */
#ifndef GQA_FORMATS_MODEL_ROPE_SAID_H
#define GQA_FORMATS_MODEL_ROPE_SAID_H

#include <jansson.h>
#include <stdbool.h>

#include "formats/families/family.h"

/*
 * The object that counts: rope_scaling where that says anything, else
 * rope_parameters; NULL: there is neither. Lent by config. It may be nested by
 * kind of layer.
 */
const json_t *gqa_rope_said(const json_t *config);

/*
 * Likewise of one kind of layers (layer_types), in models whose layers differ:
 * the object of that name in rope_parameters, which are not read besides, and
 * over it what rope_scaling says, which is of layers that see everything. New;
 * NULL: no memory.
 */
json_t *gqa_rope_said_of(const json_t *config, const char *layers);

/* Whether parts of said are for kinds of layers. */
bool gqa_rope_said_is_nested(const json_t *said);

/*
 * The kind of RoPE that such an object, not nested, names: by rope_type, whose
 * old name is type; "default" where it has neither, "" where what it has is no
 * text. Lent by said.
 */
const char *gqa_rope_said_kind(const json_t *said);

/* Of YaRN: whether mscale and mscale_all_dim count. Neither does by itself, nor
 * beside an attention_factor. */
bool gqa_rope_said_mscales(const json_t *said);

/* Likewise, by the name that it has now where models of these types have an old
 * one. Lent by said, or constant. */
const char *gqa_rope_known_kind(const struct gqa_position_rule *rule,
                                const json_t *said);

/*
 * The configuration that transformers 4 makes of one: without rope_parameters,
 * and without what it does not read in rope_scaling. New; NULL: no memory.
 */
json_t *gqa_rope_older(const json_t *config);

#endif
