/* What a configuration says, or what the family takes where it is silent. */
#ifndef GQA_FORMATS_MODEL_NETWORK_CONFIG_H
#define GQA_FORMATS_MODEL_NETWORK_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/functions.h"
#include "common/status.h"

/*
 * Each leaves *out as it is where the key is absent or null. Errors
 * GQA_ERR_FORMAT, naming the key and its value.
 */

/* A finite number above 0. */
GQA_MUST_USE
enum gqa_status gqa_config_positive(double *out, const json_t *config,
                                    const char *key);
/* A whole number, 0 among them. */
GQA_MUST_USE
enum gqa_status gqa_config_natural(uint64_t *out, const json_t *config,
                                   const char *key);
GQA_MUST_USE
enum gqa_status gqa_config_flag(bool *out, const json_t *config,
                                const char *key);
/* Lent by the configuration. */
GQA_MUST_USE
enum gqa_status gqa_config_text(const char **out, const json_t *config,
                                const char *key);
/* A token; of a list, the first. One outside the vocabulary is as good as
 * none. */
GQA_MUST_USE
enum gqa_status gqa_config_token(int64_t *out, const json_t *config,
                                 const char *key, uint64_t vocab_size);

/* An activation by one of its names in configurations. Errors
 * GQA_ERR_UNSUPPORTED. */
GQA_MUST_USE
enum gqa_status gqa_activation_parse(enum gqa_activation *out,
                                     const char *name);

#endif
