#include "formats/rectangles.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "formats/span.h"

/* A run of elements: the rest of a row, whole rows, the beginning of one. */
static enum gqa_status read_run(const struct gqa_rows *rows, uint64_t first,
                                uint64_t n, unsigned char *out)
{
    enum gqa_status st = GQA_OK;

    while (n > 0 && st == GQA_OK) {
        const uint64_t column = first % rows->length;
        const bool is_whole = column == 0 && n >= rows->length;
        const struct gqa_rectangle r = {
            first / rows->length, is_whole ? n / rows->length : 1, column,
            is_whole ? rows->length : gqa_min_u64(n, rows->length - column)};

        st = rows->read(rows->ctx, &r, out);
        out += r.n_rows * r.n_columns * rows->element_bytes;
        first += r.n_rows * r.n_columns;
        n -= r.n_rows * r.n_columns;
    }
    return st;
}

/* Bytes that begin or end within an element. */
static enum gqa_status read_bytes(const struct gqa_rows *rows, uint64_t offset,
                                  uint64_t n, unsigned char *out)
{
    const uint64_t size = rows->element_bytes, first = offset / size;
    const uint64_t n_elements = (offset + n - 1) / size - first + 1;
    unsigned char *elements = malloc((size_t)(n_elements * size));
    enum gqa_status st;

    if (!elements)
        return gqa_fail_nomem();
    st = read_run(rows, first, n_elements, elements);
    if (st == GQA_OK)
        memcpy(out, elements + (offset - first * size), (size_t)n);
    free(elements);
    return st;
}

enum gqa_status gqa_rectangles_read(const struct gqa_rows *rows,
                                    const struct gqa_span *span, void *buf)
{
    const struct gqa_span p = gqa_span_simplify(*span);
    const uint64_t size = rows->element_bytes, row_bytes = rows->length * size;
    const bool is_even =
        p.offset % size == 0 && p.piece % size == 0 && p.stride % size == 0;
    unsigned char *out = buf;
    enum gqa_status st = GQA_OK;

    /* The same columns of rows that follow each other */
    if (is_even && p.count > 1 && p.stride == row_bytes &&
        p.offset % row_bytes + p.piece <= row_bytes)
        return rows->read(rows->ctx,
                          &(const struct gqa_rectangle){
                              p.offset / row_bytes, p.count,
                              p.offset % row_bytes / size, p.piece / size},
                          out);
    for (uint64_t i = 0; i < p.count && st == GQA_OK; i++) {
        const uint64_t offset = p.offset + i * p.stride;

        st = is_even ? read_run(rows, offset / size, p.piece / size, out)
                     : read_bytes(rows, offset, p.piece, out);
        out += p.piece;
    }
    return st;
}
