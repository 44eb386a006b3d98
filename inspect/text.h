/*
 * Text for people: aligned tables, sizes in human units, and names from
 * files that cannot steer a terminal.
 */
#ifndef GQA_INSPECT_TEXT_H
#define GQA_INSPECT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/status.h"

/*
 * Make the functions below read and measure UTF-8, whatever the user's
 * locale. Where the system cannot, they escape all that is not ASCII.
 */
GQA_MUST_USE
enum gqa_status gqa_text_init(void);

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

/* Of one table. */
enum { GQA_TABLE_MAX_COLUMNS = 16 };

struct gqa_column {
    const char *title;
    bool right; /* numbers are set flush right */
};

/*
 * Write a table with a head line of the titles, which are plain; two spaces
 * between columns, none at a line's end. cell() writes one cell and is called
 * twice for each, so that the table takes no memory.
 *
 * Errors GQA_ERR_NOMEM. Errors of out are left to its owner.
 */
GQA_MUST_USE
enum gqa_status gqa_table_print(FILE *out, const struct gqa_column *columns,
                                size_t n_columns, size_t n_rows,
                                void (*cell)(FILE *out, const void *ctx,
                                             size_t row, size_t column),
                                const void *ctx);

#endif
