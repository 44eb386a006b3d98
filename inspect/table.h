/* Aligned tables for people. */
#ifndef GQA_INSPECT_TABLE_H
#define GQA_INSPECT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/status.h"

/* Of one table. */
enum { GQA_TABLE_MAX_COLUMNS = 16 };

struct gqa_column {
    const char *title; /* plain */
    bool right;        /* numbers are set flush right */
};

struct gqa_table {
    const struct gqa_column *columns; /* [n_columns] */
    size_t n_columns, n_rows;
    bool wraps; /* the last column, where it does not fit a line */
    /* Writes one cell; called twice for each, so that the table takes no
     * memory. */
    void (*cell)(FILE *out, const void *ctx, size_t row, size_t column);
    /* Writes what stands below a row, indented and wrapped, or NULL. */
    void (*note)(FILE *out, const void *ctx, size_t row);
    const void *ctx;
};

/*
 * Write a table with a head line of the titles; two spaces between columns,
 * none at a line's end.
 *
 * Errors GQA_ERR_NOMEM. Errors of out are left to its owner.
 */
GQA_MUST_USE
enum gqa_status gqa_table_print(FILE *out, const struct gqa_table *table);

#endif
