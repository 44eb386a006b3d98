/*
 * Values of the JSON report. Every maker returns a new reference; what memory
 * is short for is missing in it, which gqa_json_dump() tells.
 */
#ifndef GQA_INSPECT_JSON_VALUES_H
#define GQA_INSPECT_JSON_VALUES_H

#include <jansson.h>

#include "formats/model/model.h"

/* Names in files need not be UTF-8; JSON is. NULL gives null. */
json_t *gqa_json_make_text(const char *text);

/* jansson's integers have a sign; beyond them the value is rounded. */
json_t *gqa_json_make_count(uint64_t n);

/* JSON has neither NaN nor infinity: null stands for them. */
json_t *gqa_json_make_real(double x);

/* What tells attentions apart; the same in all lists of them. */
json_t *gqa_json_make_attention_key(const struct gqa_attention *a);

#endif
