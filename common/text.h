/*
 * Text for people: lines that end in time, and names from files that cannot
 * steer a terminal.
 */
#ifndef GQA_COMMON_TEXT_H
#define GQA_COMMON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/status.h"

/* Columns of a line, on terminals and in print. */
enum { GQA_TEXT_COLUMNS = 80 };

/*
 * The functions below read and measure UTF-8, whatever the user's locale.
 * Where the system cannot, they escape all that is not ASCII; where it could
 * not for want of memory, this tells afterwards: GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_text_check(void);

/*
 * Write a name with control characters, bytes that are not UTF-8, and what
 * reverses the direction of text as \xNN.
 */
void gqa_text_put(FILE *out, const char *name);

/* True when gqa_text_put() writes name as it is. */
bool gqa_text_is_plain(const char *name);

/* Columns of a terminal that length bytes of UTF-8 take. */
size_t gqa_text_width(const char *text, size_t length);

/*
 * Several names as a shell would spell them in braces, with what they share
 * once: "layers.0.self_attn.{q,k,v,o}_proj.weight". Repeated names count
 * once.
 */
void gqa_text_put_names(FILE *out, const char *const *names, size_t n_names);

/*
 * Write text, which begins in this column, on lines that end behind a dot, a
 * slash or the like; those that follow are indented.
 */
void gqa_text_put_wrapped(FILE *out, const char *text, size_t length,
                          size_t column, size_t indent);

#endif
