/* What a run did, for people and for programs. */
#ifndef GQA_UPTRAIN_SUMMARY_H
#define GQA_UPTRAIN_SUMMARY_H

#include <stdio.h>

#include "uptrain/uptrain.h"

/* As text. */
void gqa_uptrain_summary_print(FILE *out, const struct gqa_uptraining *u);

/* As JSON; see docs/uptrain-json.md. The caller owns *out (free). Errors
 * GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_uptrain_summary_json(char **out,
                                         const struct gqa_uptraining *u);

#endif
