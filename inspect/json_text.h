/* JSON as text for people. */
#ifndef GQA_INSPECT_JSON_TEXT_H
#define GQA_INSPECT_JSON_TEXT_H

#include <jansson.h>
#include <stdio.h>

#include "common/status.h"

/*
 * Print a value: a line for each member, what is in it indented; a list of
 * objects that have the same members as a table.
 *
 * Errors GQA_ERR_NOMEM. Those of out are left to its owner.
 */
GQA_MUST_USE
enum gqa_status gqa_json_text_print(FILE *out, const json_t *value);

#endif
