/* What a conversion did, for people and for programs. */
#ifndef GQA_CONVERT_SUMMARY_H
#define GQA_CONVERT_SUMMARY_H

#include <stdio.h>

#include "convert/convert.h"

/* As text. */
void gqa_summary_print(FILE *out, const struct gqa_conversion *c);

/*
 * JSON; see docs/convert-json.md. The caller owns *out (free). Errors
 * GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_summary_json(char **out, const struct gqa_conversion *c);

#endif
