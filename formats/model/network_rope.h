/* Frequencies of rotary position embeddings, as the configuration asks. */
#ifndef GQA_FORMATS_MODEL_NETWORK_ROPE_H
#define GQA_FORMATS_MODEL_NETWORK_ROPE_H

#include <jansson.h>

#include "formats/families/family.h"
#include "formats/model/network.h"

/*
 * rule      of the model's family.
 * position  of the model's attentions.
 * theta     the base where the configuration has none under theta_key.
 *
 * layers: of which kind of layers (layer_types) it is, where the configuration
 * may differ by that; NULL: of all.
 *
 * The caller owns out->frequency and out->longer. Errors GQA_ERR_UNSUPPORTED: a
 * kind of scaling that is not known, or nothing to rotate; GQA_ERR_FORMAT.
 *
 * Source: transformers, modeling_rope_utils.
 */
GQA_MUST_USE
enum gqa_status gqa_rope_create(struct gqa_rope *out, const json_t *config,
                                double theta, const char *layers,
                                const struct gqa_position_rule *rule,
                                const struct gqa_position *position);

/* The base, with what it is times: 0 where there is none. Errors
 * GQA_ERR_FORMAT, naming the key. */
GQA_MUST_USE
enum gqa_status gqa_rope_theta(double *theta,
                               const struct gqa_position_rule *rule,
                               const json_t *config);

/*
 * Those of a model: of all attentions that rotate, and of those that slide,
 * where the family has another base for them. Both stay as they are where
 * nothing rotates, local where all do so alike. The caller owns what is in
 * them, also after a failure, and ends it with gqa_rope_free(). Errors as
 * gqa_rope_create().
 */
GQA_MUST_USE
enum gqa_status gqa_ropes_create(struct gqa_rope *out, struct gqa_rope *local,
                                 const struct gqa_model *model);

/* What is in it. */
void gqa_rope_free(struct gqa_rope *rope);

#endif
