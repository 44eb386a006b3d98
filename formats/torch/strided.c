#include "formats/torch/strided.h"

#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "formats/rectangles.h"
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
                                   uint64_t at, const struct gqa_rectangle *r,
                                   unsigned char *out)
{
    const uint64_t size = s->element_bytes, pitch = s->stride[s->rank - 1];
    const uint64_t n_rows = gqa_min_u64(r->n_rows, TILE_BYTES / size);
    const uint64_t n_columns =
        gqa_min_u64(r->n_columns, gqa_max_u64(TILE_BYTES / size / n_rows, 1));
    unsigned char *tile = malloc((size_t)(n_rows * n_columns * size) + 1);
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
                                  uint64_t base, const struct gqa_rectangle *r,
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

struct reading {
    const struct gqa_strided *strided;
    int fd;
    uint64_t base;
};

static enum gqa_status read_rectangle(void *ctx, const struct gqa_rectangle *r,
                                      unsigned char *out)
{
    const struct reading *reading = ctx;
    const struct gqa_strided *s = reading->strided;
    const uint64_t length = block_length(s);
    struct gqa_rectangle left = *r;
    enum gqa_status st = GQA_OK;

    while (left.n_rows > 0 && st == GQA_OK) {
        struct gqa_rectangle part = left;

        part.n_rows = gqa_min_u64(left.n_rows, length - left.row % length);
        st = read_block(s, reading->fd, reading->base, &part, out);
        out += part.n_rows * part.n_columns * s->element_bytes;
        left.row += part.n_rows;
        left.n_rows -= part.n_rows;
    }
    return st;
}

enum gqa_status gqa_strided_read(const struct gqa_strided *s, int fd,
                                 uint64_t base, const struct gqa_span *span,
                                 void *buf)
{
    struct reading reading = {s, fd, base};

    return gqa_rectangles_read(
        &(const struct gqa_rows){s->shape[s->rank - 1], s->element_bytes,
                                 read_rectangle, &reading},
        span, buf);
}
