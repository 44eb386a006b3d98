#include "formats/gguf/rows.h"

#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/file.h"
#include "formats/rectangles.h"
#include "formats/span.h"

/* As much of a transposed tensor is turned at a time. */
enum { TILE_BYTES = 256 << 10 };

struct reading {
    const struct gqa_gguf_rows *rows;
    const int *fds;
};

static int fd_of(const struct reading *r)
{
    return r->fds[r->rows->part];
}

static uint64_t element_bytes(const struct gqa_gguf_rows *rows)
{
    return gqa_dtype_bits(rows->type->dtype) / 8;
}

/* Columns of rows that lie `step` apart, first of all in the file. */
static enum gqa_status read_plain(const struct reading *r, uint64_t row,
                                  uint64_t step, uint64_t n_rows,
                                  uint64_t column, uint64_t n_columns,
                                  unsigned char *out)
{
    const uint64_t size = element_bytes(r->rows);
    const uint64_t row_bytes = r->rows->length * size;

    return gqa_span_pread(
        fd_of(r), r->rows->offset + row * row_bytes + column * size,
        &(const struct gqa_span){0, n_columns * size, step * row_bytes, n_rows},
        out);
}

/* The same of blocks, row by row: those that the columns lie in. */
static enum gqa_status read_blocks(const struct reading *r, uint64_t row,
                                   uint64_t step, uint64_t n_rows,
                                   uint64_t column, uint64_t n_columns,
                                   unsigned char *out)
{
    const struct gqa_gguf_type *t = r->rows->type;
    const uint64_t row_bytes =
        r->rows->length / t->block_elements * t->block_bytes;
    const uint64_t first = column / t->block_elements;
    const uint64_t n_blocks =
        (column + n_columns - 1) / t->block_elements - first + 1;
    unsigned char *blocks = malloc((size_t)(n_blocks * t->block_bytes));
    float *values =
        malloc((size_t)(n_blocks * t->block_elements) * sizeof *values);
    enum gqa_status st = blocks && values ? GQA_OK : gqa_fail_nomem();

    for (uint64_t i = 0; i < n_rows && st == GQA_OK; i++) {
        st =
            gqa_file_read(fd_of(r), blocks, (size_t)(n_blocks * t->block_bytes),
                          r->rows->offset + (row + i * step) * row_bytes +
                              first * t->block_bytes);
        for (uint64_t k = 0; k < n_blocks && st == GQA_OK; k++)
            t->decode(values + k * t->block_elements,
                      blocks + k * t->block_bytes);
        if (st == GQA_OK)
            memcpy(out + i * n_columns * sizeof *values,
                   values + (column - first * t->block_elements),
                   (size_t)n_columns * sizeof *values);
    }
    free(blocks);
    free(values);
    return st;
}

static enum gqa_status read_rows(const struct reading *r, uint64_t row,
                                 uint64_t step, uint64_t n_rows,
                                 uint64_t column, uint64_t n_columns,
                                 unsigned char *out)
{
    return r->rows->type->is_quantised
               ? read_blocks(r, row, step, n_rows, column, n_columns, out)
               : read_plain(r, row, step, n_rows, column, n_columns, out);
}

/* Which tensor has a row of all, and where in it; *row is counted there. */
static const struct gqa_gguf_rows *find_slice(const struct gqa_gguf_rows *rows,
                                              uint64_t *row)
{
    const struct gqa_gguf_rows *slice = rows;

    for (size_t i = 0; i < rows->n_rest && *row >= slice->n_rows; i++) {
        *row -= slice->n_rows;
        slice = &rows->rest[i];
    }
    return slice;
}

/* Rows of the original, as many at once as lie at one distance. */
static enum gqa_status read_ordered(const struct reading *r,
                                    const struct gqa_rectangle *a,
                                    unsigned char *out)
{
    const struct gqa_gguf_place *p = &r->rows->place;
    const uint64_t size = a->n_columns * element_bytes(r->rows);
    enum gqa_status st = GQA_OK;
    uint64_t n;

    for (uint64_t i = 0; i < a->n_rows && st == GQA_OK; i += n) {
        const uint64_t first = gqa_gguf_row(p, a->row + i);
        uint64_t within = first, step = 1;
        const struct reading one = {find_slice(r->rows, &within), r->fds};

        n = 1;
        if (i + 1 < a->n_rows && gqa_gguf_row(p, a->row + i + 1) > first)
            step = gqa_gguf_row(p, a->row + i + 1) - first;
        while (i + n < a->n_rows &&
               gqa_gguf_row(p, a->row + i + n) == first + n * step)
            n++;
        n = gqa_min_u64(n, (one.rows->n_rows - 1 - within) / step + 1);
        st = read_rows(&one, within, step, n, a->column, a->n_columns,
                       out + i * size);
    }
    return st;
}

/* Of experts whose halves are two tensors, rows of one half at a time. */
static enum gqa_status read_halves(const struct reading *r,
                                   const struct gqa_rectangle *a,
                                   unsigned char *out)
{
    const uint64_t n_half = r->rows->n_half;
    const uint64_t size = a->n_columns * element_bytes(r->rows);
    enum gqa_status st = GQA_OK;
    uint64_t n;

    for (uint64_t i = 0; i < a->n_rows && st == GQA_OK; i += n) {
        const uint64_t half = (a->row + i) / n_half;
        const uint64_t within = (a->row + i) % n_half;
        const struct reading one = {half % 2 == 0 ? r->rows : r->rows->rest,
                                    r->fds};

        n = gqa_min_u64(a->n_rows - i, n_half - within);
        st = read_rows(&one, half / 2 * n_half + within, 1, n, a->column,
                       a->n_columns, out + i * size);
    }
    return st;
}

/* Rows of the original are columns in the file. */
static enum gqa_status read_turned(const struct reading *r,
                                   const struct gqa_rectangle *a,
                                   unsigned char *out)
{
    const uint64_t size = element_bytes(r->rows);
    const uint64_t most =
        gqa_max_u64(TILE_BYTES / size / gqa_max_u64(a->n_rows, 1), 1);
    const uint64_t n_columns = gqa_min_u64(a->n_columns, most);
    unsigned char *tile = malloc((size_t)(a->n_rows * n_columns * size) + 1);
    enum gqa_status st = tile ? GQA_OK : gqa_fail_nomem();

    for (uint64_t k = 0; k < a->n_columns && st == GQA_OK; k += n_columns) {
        const uint64_t n = gqa_min_u64(n_columns, a->n_columns - k);

        st = read_rows(r, a->column + k, 1, n, a->row, a->n_rows, tile);
        for (uint64_t y = 0; y < a->n_rows && st == GQA_OK; y++)
            for (uint64_t x = 0; x < n; x++)
                memcpy(out + (y * a->n_columns + k + x) * size,
                       tile + (x * a->n_rows + y) * size, (size_t)size);
    }
    free(tile);
    return st;
}

/* Exact for the norms of models in 16 bits, to which one was added in
 * float32. */
static void take_one_off(unsigned char *values, enum gqa_dtype dtype,
                         uint64_t n)
{
    const uint64_t size = gqa_dtype_bits(dtype) / 8;
    double some[256];

    for (uint64_t i = 0; i < n; i += sizeof some / sizeof *some) {
        const size_t k = (size_t)gqa_min_u64(n - i, sizeof some / sizeof *some);

        gqa_load_f64(some, values + i * size, dtype, k);
        for (size_t m = 0; m < k; m++)
            some[m] -= 1;
        gqa_store_f64(values + i * size, dtype, some, k);
    }
}

static enum gqa_status read_rectangle(void *ctx, const struct gqa_rectangle *a,
                                      unsigned char *out)
{
    const struct reading *r = ctx;

    enum gqa_status st;

    if (r->rows->place.order == GQA_GGUF_TURNED)
        return read_turned(r, a, out);
    if (gqa_gguf_is_half(r->rows->place.order))
        return read_halves(r, a, out);
    st = read_ordered(r, a, out);
    if (st == GQA_OK && r->rows->place.order == GQA_GGUF_ONE_MORE)
        take_one_off(out, r->rows->type->dtype, a->n_rows * a->n_columns);
    return st;
}

static void read_number(const struct gqa_gguf_rows *rows,
                        const struct gqa_span *span, void *buf)
{
    const unsigned char *bytes = (const unsigned char *)&rows->number;
    unsigned char *out = buf;

    for (uint64_t i = 0; i < span->count; i++)
        memcpy(out + i * span->piece, bytes + span->offset + i * span->stride,
               span->piece);
}

enum gqa_status gqa_gguf_rows_read(const struct gqa_gguf_rows *rows,
                                   const int *fds, const struct gqa_span *span,
                                   void *buf)
{
    struct reading reading = {rows, fds};

    if (rows->is_number) {
        read_number(rows, span, buf);
        return GQA_OK;
    }
    if ((rows->place.order == GQA_GGUF_AS_IT_IS ||
         rows->place.order == GQA_GGUF_ROW) &&
        !rows->type->is_quantised)
        return gqa_span_pread(fds[rows->part], rows->offset, span, buf);
    return gqa_rectangles_read(
        &(const struct gqa_rows){
            rows->place.order == GQA_GGUF_TURNED ? rows->n_rows : rows->length,
            element_bytes(rows), read_rectangle, &reading},
        span, buf);
}
