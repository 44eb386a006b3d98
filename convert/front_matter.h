/* What the model card of a checkpoint says in the lines before its text. */
#ifndef GQA_CONVERT_FRONT_MATTER_H
#define GQA_CONVERT_FRONT_MATTER_H

#include <jansson.h>

#include "common/status.h"

/*
 * Of folder/README.md the keys that hold for what is made of the model too:
 * licence, languages, data and so on, and what it was made from itself.
 *
 * out     receives an object, each value a string or a list of strings; what
 *         has another form is not taken. NULL: there is none. The caller owns
 *         it.
 * folder  NULL for none.
 * Errors  GQA_ERR_NOMEM. What cannot be read is as if it were not there.
 */
GQA_MUST_USE
enum gqa_status gqa_front_matter_read(json_t **out, const char *folder);

#endif
