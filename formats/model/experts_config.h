/* What a configuration says of a mixture of experts. */
#ifndef GQA_FORMATS_MODEL_EXPERTS_CONFIG_H
#define GQA_FORMATS_MODEL_EXPERTS_CONFIG_H

#include <jansson.h>
#include <stdint.h>

#include "common/status.h"
#include "formats/families/family.h"

/* How many experts there are, and how many of them a row has, from 1 on.
 * Errors GQA_ERR_FORMAT, naming the numbers: that cannot be. */
GQA_MUST_USE
enum gqa_status gqa_experts_numbers(uint64_t *n, uint64_t *n_chosen,
                                    const struct gqa_experts_rule *rule,
                                    const json_t *config);

/* Of how many groups of as many experts, the best how many are chosen from;
 * n_groups 1: of all. Errors likewise. */
GQA_MUST_USE
enum gqa_status gqa_experts_groups(uint64_t *n_groups, uint64_t *n_best,
                                   const struct gqa_experts_rule *rule,
                                   const json_t *config);

/* The name of what holds the matrices of all experts, or their biases, whose
 * module's name is `stem`; into room, of size bytes. */
const char *gqa_stacked_name(char *room, size_t size,
                             const struct gqa_experts_rule *rule,
                             const char *stem, bool is_bias);

/* The module of the expert that all rows have, NULL where there is none, and
 * the names of its gate (or NULL), up and down within it, as `bias` has them.
 * Errors GQA_ERR_FORMAT, naming the key. All lent by the description. */
GQA_MUST_USE
enum gqa_status gqa_shared_expert(const char **module, const char *names[3],
                                  const struct gqa_experts_rule *rule,
                                  const json_t *config);

#endif
