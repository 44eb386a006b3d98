/* What a conversion did, for people and for programs. */
#ifndef GQA_CONVERT_SUMMARY_H
#define GQA_CONVERT_SUMMARY_H

#include "convert/convert.h"

/* Text on stdout. */
void gqa_summary_print(const struct gqa_conversion *c);

/* JSON on stdout; see docs/convert-json.md. Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_summary_print_json(const struct gqa_conversion *c);

#endif
