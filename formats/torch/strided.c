#include "formats/torch/strided.h"

#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "formats/span.h"

/* As much of a transposed tensor is turned at a time. */
enum { TILE_BYTES = 256 << 10 };

void gqa_strided_begin(struct gqa_strided *out, uint64_t element_bytes,
                       unsigned rank, const uint64_t *shape,
                       const uint64_t *stride)
{
    unsigned n = 0;

    out->element_bytes = element_bytes;
    for (unsigned i = 0; i < rank; i++) {
        if (shape[i] == 1)
            continue;
        if (n > 0 && out->stride[n - 1] == shape[i] * stride[i]) {
            out->shape[n - 1] *= shape[i];
            out->stride[n - 1] = stride[i];
        } else {
            out->shape[n] = shape[i];
            out->stride[n++] = stride[i];
        }
    }
    if (n == 0) {
        out->shape[n] = 1;
        out->stride[n++] = 1;
    }
    out->rank = n;
}

bool gqa_strided_is_plain(const struct gqa_strided *s)
{
    return s->rank == 1 && s->stride[0] == 1;
}

/* A rectangle of the content: rows of the last dimension, counted over all
 * others, and columns within them. */
struct rectangle {
    uint64_t row, n_rows;
    uint64_t column, n_columns;
};

static uint64_t row_length(const struct gqa_strided *s)
{
    return s->shape[s->rank - 1];
}

/* Rows that lie at one distance from each other: the last dimension but one. */
static uint64_t block_length(const struct gqa_strided *s)
{
    return s->rank > 1 ? s->shape[s->rank - 2] : 1;
}

static uint64_t row_stride(const struct gqa_strided *s)
{
    return s->rank > 1 ? s->stride[s->rank - 2] : 0;
}

/* Where a row begins, in elements. */
static uint64_t row_place(const struct gqa_strided *s, uint64_t row)
{
    uint64_t place = 0;

    for (unsigned i = s->rank - 1; i-- > 0;) {
        place += row % s->shape[i] * s->stride[i];
        row /= s->shape[i];
    }
    return place;
}

/* Columns lie far apart, and the elements of each side by side: they are read
 * as rows, some at a time, and turned. */
static enum gqa_status read_turned(const struct gqa_strided *s, int fd,
                                   uint64_t at, const struct rectangle *r,
                                   unsigned char *out)
{
    const uint64_t size = s->element_bytes, pitch = s->stride[s->rank - 1];
    const uint64_t n_rows = gqa_min_u64(r->n_rows, TILE_BYTES / size);
    const uint64_t n_columns =
        gqa_min_u64(r->n_columns, gqa_max_u64(TILE_BYTES / size / n_rows, 1));
    unsigned char *tile = malloc((size_t)(n_rows * n_columns * size));
    enum gqa_status st = GQA_OK;

    if (!tile)
        return gqa_fail_nomem();
    for (uint64_t i = 0; i < r->n_rows && st == GQA_OK; i += n_rows)
        for (uint64_t k = 0; k < r->n_columns && st == GQA_OK; k += n_columns) {
            const uint64_t m = gqa_min_u64(n_rows, r->n_rows - i);
            const uint64_t n = gqa_min_u64(n_columns, r->n_columns - k);

            st = gqa_span_pread(
                fd, at + (i + k * pitch) * size,
                &(const struct gqa_span){0, m * size, pitch * size, n}, tile);
            for (uint64_t y = 0; y < m && st == GQA_OK; y++)
                for (uint64_t x = 0; x < n; x++)
                    memcpy(out + ((i + y) * r->n_columns + k + x) * size,
                           tile + (x * m + y) * size, (size_t)size);
        }
    free(tile);
    return st;
}

/* Rows of one block. */
static enum gqa_status read_block(const struct gqa_strided *s, int fd,
                                  uint64_t base, const struct rectangle *r,
                                  unsigned char *out)
{
    const uint64_t size = s->element_bytes, pitch = s->stride[s->rank - 1];
    const uint64_t at =
        base + (row_place(s, r->row) + r->column * pitch) * size;
    enum gqa_status st = GQA_OK;

    if (pitch == 1)
        return gqa_span_pread(fd, at,
                              &(const struct gqa_span){0, r->n_columns * size,
                                                       row_stride(s) * size,
                                                       r->n_rows},
                              out);
    if (row_stride(s) == 1 && pitch > 1)
        return read_turned(s, fd, at, r, out);
    for (uint64_t i = 0; i < r->n_rows && st == GQA_OK; i++)
        st = gqa_span_pread(
            fd, at + i * row_stride(s) * size,
            &(const struct gqa_span){0, size, pitch * size, r->n_columns},
            out + i * r->n_columns * size);
    return st;
}

static enum gqa_status read_rectangle(const struct gqa_strided *s, int fd,
                                      uint64_t base, struct rectangle r,
                                      unsigned char *out)
{
    const uint64_t length = block_length(s);
    enum gqa_status st = GQA_OK;

    while (r.n_rows > 0 && st == GQA_OK) {
        struct rectangle part = r;

        part.n_rows = gqa_min_u64(r.n_rows, length - r.row % length);
        st = read_block(s, fd, base, &part, out);
        out += part.n_rows * part.n_columns * s->element_bytes;
        r.row += part.n_rows;
        r.n_rows -= part.n_rows;
    }
    return st;
}

/* A run of elements: the rest of a row, whole rows, the beginning of one. */
static enum gqa_status read_run(const struct gqa_strided *s, int fd,
                                uint64_t base, uint64_t first, uint64_t n,
                                unsigned char *out)
{
    const uint64_t length = row_length(s);
    enum gqa_status st = GQA_OK;

    while (n > 0 && st == GQA_OK) {
        const uint64_t column = first % length;
        const bool is_whole = column == 0 && n >= length;
        const struct rectangle r = {
            first / length, is_whole ? n / length : 1, column,
            is_whole ? length : gqa_min_u64(n, length - column)};

        st = read_rectangle(s, fd, base, r, out);
        out += r.n_rows * r.n_columns * s->element_bytes;
        first += r.n_rows * r.n_columns;
        n -= r.n_rows * r.n_columns;
    }
    return st;
}

/* Bytes that begin or end within an element. */
static enum gqa_status read_bytes(const struct gqa_strided *s, int fd,
                                  uint64_t base, uint64_t offset, uint64_t n,
                                  unsigned char *out)
{
    const uint64_t size = s->element_bytes, first = offset / size;
    const uint64_t n_elements = (offset + n - 1) / size - first + 1;
    unsigned char *elements = malloc((size_t)(n_elements * size));
    enum gqa_status st;

    if (!elements)
        return gqa_fail_nomem();
    st = read_run(s, fd, base, first, n_elements, elements);
    if (st == GQA_OK)
        memcpy(out, elements + (offset - first * size), (size_t)n);
    free(elements);
    return st;
}

enum gqa_status gqa_strided_read(const struct gqa_strided *s, int fd,
                                 uint64_t base, const struct gqa_span *span,
                                 void *buf)
{
    const struct gqa_span p = gqa_span_simplify(*span);
    const uint64_t size = s->element_bytes, row_bytes = row_length(s) * size;
    const bool is_even =
        p.offset % size == 0 && p.piece % size == 0 && p.stride % size == 0;
    unsigned char *out = buf;
    enum gqa_status st = GQA_OK;

    /* The same columns of rows that follow each other */
    if (is_even && p.count > 1 && p.stride == row_bytes &&
        p.offset % row_bytes + p.piece <= row_bytes)
        return read_rectangle(s, fd, base,
                              (struct rectangle){p.offset / row_bytes, p.count,
                                                 p.offset % row_bytes / size,
                                                 p.piece / size},
                              out);
    for (uint64_t i = 0; i < p.count && st == GQA_OK; i++) {
        const uint64_t offset = p.offset + i * p.stride;

        st = is_even ? read_run(s, fd, base, offset / size, p.piece / size, out)
                     : read_bytes(s, fd, base, offset, p.piece, out);
        out += p.piece;
    }
    return st;
}
