/* Text in HTML, SVG and reports, which are all XML here. */
#ifndef GQA_COMMON_MARKUP_H
#define GQA_COMMON_MARKUP_H

#include <stdio.h>

#include "common/status.h"

/* Write text of ours, lines of it too, with what has a meaning in markup
 * escaped. */
void gqa_markup_escape(FILE *out, const char *text);

/*
 * Write a name from a file so that it is text and nothing else: what
 * gqa_text_put() makes of it, with what has a meaning in markup escaped.
 * Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_markup_put(FILE *out, const char *name);

#endif
