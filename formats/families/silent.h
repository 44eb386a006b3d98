/*
 * What transformers takes where a configuration of any family does not have a
 * key, and the keys that decide nothing.
 */
#ifndef GQA_FORMATS_FAMILIES_SILENT_H
#define GQA_FORMATS_FAMILIES_SILENT_H

#include <jansson.h>
#include <stdbool.h>

/* Objects of values by key, the caller's; NULL when out of memory. The second
 * holds the keys that generation_config.json has too. */
json_t *gqa_silent_common(void);
json_t *gqa_silent_generation(void);

/* Read by training or by nothing, or a note of who wrote it: it decides
 * neither results nor what is loaded. */
bool gqa_is_idle_key(const char *key);

#endif
