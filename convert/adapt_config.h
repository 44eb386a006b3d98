/* KV heads that a configuration tells of besides the key of its family. */
#ifndef GQA_CONVERT_ADAPT_CONFIG_H
#define GQA_CONVERT_ADAPT_CONFIG_H

#include "convert/plan.h"

/*
 * Make what stands in config, in lists for each block and under other names
 * for KV heads (formats/families/kv_words.h), true of the output; what cannot
 * be is removed. own: the family's key, which is left alone, or NULL. told:
 * receives a sentence for each key that is changed; or NULL.
 */
void gqa_adapt_config(json_t *config, const char *own,
                      const struct gqa_plan *plan, json_t *told);

#endif
