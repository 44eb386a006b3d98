/* What was chosen within a budget, in words and as JSON. */
#ifndef GQA_CONVERT_TELL_CHOICE_H
#define GQA_CONVERT_TELL_CHOICE_H

#include <jansson.h>
#include <stdio.h>

#include "convert/budget.h"

/* Lines of the summary: what was asked for and what it came to, and KV heads
 * layer by layer. */
void gqa_choice_print(FILE *out, const struct gqa_plan *plan,
                      const struct gqa_kv_budget *budget,
                      const struct gqa_kv_choice *choice);

/* The member `budget` of the summary and of the recipe. */
json_t *gqa_choice_describe(const struct gqa_kv_budget *budget,
                            const struct gqa_kv_choice *choice);

#endif
