/*
 * Tensors whose content is made as it is read, from rows that lie elsewhere or
 * otherwise: a span of the content cut into rectangles of them.
 */
#ifndef GQA_FORMATS_RECTANGLES_H
#define GQA_FORMATS_RECTANGLES_H

#include <stdint.h>

#include "formats/tensor.h"

/* Rows of the content, counted over all dimensions but the last, and columns
 * within them. */
struct gqa_rectangle {
    uint64_t row, n_rows;
    uint64_t column, n_columns;
};

struct gqa_rows {
    uint64_t length; /* elements of a row, at least 1 */
    uint64_t element_bytes;
    /* Put a rectangle's elements into out, row after row. */
    enum gqa_status (*read)(void *ctx, const struct gqa_rectangle *r,
                            unsigned char *out);
    void *ctx;
};

/* Read a span, which fits, into buf; errors are those of read(), and
 * GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_rectangles_read(const struct gqa_rows *rows,
                                    const struct gqa_span *span, void *buf);

#endif
