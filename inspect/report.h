/* An inspection on a stream: for people, or as JSON for programs. */
#ifndef GQA_INSPECT_REPORT_H
#define GQA_INSPECT_REPORT_H

#include <stdio.h>

#include "inspect/inspection.h"

/* Errors GQA_ERR_NOMEM. Those of out are left to its owner. */
GQA_MUST_USE
enum gqa_status gqa_report_text(FILE *out,
                                const struct gqa_inspection *inspection);

/* The form is a promise: docs/inspect-json.md. Errors as above. */
GQA_MUST_USE
enum gqa_status gqa_report_json(FILE *out,
                                const struct gqa_inspection *inspection);

#endif
