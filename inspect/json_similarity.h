/* Members of the JSON report: docs/inspect-json.md. */
#ifndef GQA_INSPECT_JSON_SIMILARITY_H
#define GQA_INSPECT_JSON_SIMILARITY_H

#include <jansson.h>

#include "inspect/inspection.h"

json_t *gqa_json_similarity(const struct gqa_inspection *in);
json_t *gqa_json_plan(const struct gqa_inspection *in);

#endif
