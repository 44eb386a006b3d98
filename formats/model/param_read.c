/* Rectangles of a parameter, whichever way its parts lie in the file. */
#include <string.h>

#include "formats/model/model.h"

/*
 * dst[r][c] = src[c][r] for small squares at a time, so that both sides
 * stay in the first-level cache.
 */
#define DEFINE_TRANSPOSE(name, type)                                       \
    static void name(type *restrict dst, size_t pitch,                     \
                     const type *restrict src, size_t rows, size_t cols)   \
    {                                                                      \
        enum { SQUARE = 16 };                                              \
                                                                           \
        for (size_t c0 = 0; c0 < cols; c0 += SQUARE)                       \
            for (size_t r0 = 0; r0 < rows; r0 += SQUARE) {                 \
                const size_t r1 = r0 + SQUARE < rows ? r0 + SQUARE : rows; \
                const size_t c1 = c0 + SQUARE < cols ? c0 + SQUARE : cols; \
                                                                           \
                for (size_t r = r0; r < r1; r++)                           \
                    for (size_t c = c0; c < c1; c++)                       \
                        dst[r * pitch + c] = src[c * rows + r];            \
            }                                                              \
    }

DEFINE_TRANSPOSE(transpose_8, uint8_t)
DEFINE_TRANSPOSE(transpose_16, uint16_t)
DEFINE_TRANSPOSE(transpose_32, uint32_t)
DEFINE_TRANSPOSE(transpose_64, uint64_t)

static void transpose(void *dst, size_t pitch, const void *src, size_t rows,
                      size_t cols, size_t width)
{
    switch (width) {
    case 1:
        transpose_8(dst, pitch, src, rows, cols);
        break;
    case 2:
        transpose_16(dst, pitch, src, rows, cols);
        break;
    case 4:
        transpose_32(dst, pitch, src, rows, cols);
        break;
    default:
        transpose_64(dst, pitch, src, rows, cols);
        break;
    }
}

/* Elements from a row of what the tensor has to the next, as it stands. */
static uint64_t stored_pitch(const struct gqa_view *view)
{
    if (view->pitch)
        return view->pitch;
    return view->transposed ? view->rows : view->cols;
}

/* Columns of a transposed view, one after another, into scratch. */
static enum gqa_status read_columns(struct gqa_checkpoint *checkpoint,
                                    const struct gqa_view *view, uint64_t row,
                                    uint64_t n_rows, uint64_t col,
                                    uint64_t n_cols, size_t width,
                                    char *scratch)
{
    const uint64_t inputs = view->places ? view->cols / view->places : 0;
    const uint64_t pitch = stored_pitch(view);
    struct gqa_span span = {
        .piece = n_rows * width, .stride = pitch * width, .count = n_cols};
    enum gqa_status st = GQA_OK;

    if (!view->places) {
        span.offset = (view->first + col * pitch + row) * width;
        return gqa_checkpoint_read(checkpoint, view->tensor, &span, scratch);
    }
    span.count = 1;
    for (uint64_t c = col; c < col + n_cols && st == GQA_OK; c++) {
        const uint64_t there = c % view->places * inputs + c / view->places;

        span.offset = (view->first + there * pitch + row) * width;
        st = gqa_checkpoint_read(checkpoint, view->tensor, &span,
                                 scratch + (c - col) * span.piece);
    }
    return st;
}

/* The rectangle's part in one view; buf has `pitch` elements in a row. */
static enum gqa_status read_view(struct gqa_checkpoint *checkpoint,
                                 const struct gqa_view *view, uint64_t row,
                                 uint64_t n_rows, uint64_t col, uint64_t n_cols,
                                 size_t width, char *buf, uint64_t pitch,
                                 char *scratch)
{
    const uint64_t stored = stored_pitch(view);
    enum gqa_status st;
    struct gqa_span span;

    if (view->transposed) {
        st = read_columns(checkpoint, view, row, n_rows, col, n_cols, width,
                          scratch);
        if (st == GQA_OK)
            transpose(buf, pitch, scratch, n_rows, n_cols, width);
        return st;
    }
    span.offset = (view->first + row * stored + col) * width;
    span.piece = n_cols * width;
    span.stride = stored * width;
    span.count = n_rows;
    if (n_cols == stored) {
        span.piece *= n_rows;
        span.count = 1;
    }
    if (pitch == n_cols)
        return gqa_checkpoint_read(checkpoint, view->tensor, &span, buf);
    st = gqa_checkpoint_read(checkpoint, view->tensor, &span, scratch);
    if (st == GQA_OK)
        for (uint64_t r = 0; r < n_rows; r++)
            memcpy(buf + r * pitch * width, scratch + r * n_cols * width,
                   n_cols * width);
    return st;
}

enum gqa_status gqa_param_read(struct gqa_checkpoint *checkpoint,
                               const struct gqa_param *param, uint64_t row,
                               uint64_t n_rows, uint64_t col, uint64_t n_cols,
                               void *buf, uint64_t pitch, void *scratch)
{
    const size_t width = gqa_dtype_bits(param->dtype) / 8;
    uint64_t start = 0; /* of the part, along the axis */

    for (size_t i = 0; i < param->n_parts; i++) {
        const struct gqa_view *view = &param->parts[i];
        const uint64_t length = param->axis == 0 ? view->rows : view->cols;
        const uint64_t want = param->axis == 0 ? row : col;
        const uint64_t n_want = param->axis == 0 ? n_rows : n_cols;
        const uint64_t from = want > start ? want : start;
        const uint64_t to =
            want + n_want < start + length ? want + n_want : start + length;

        if (from < to) {
            const bool rows = param->axis == 0;
            const uint64_t r = rows ? from - start : row;
            const uint64_t c = rows ? col : from - start;
            char *at = (char *)buf +
                       (rows ? (from - row) * pitch : from - col) * width;
            const enum gqa_status st =
                read_view(checkpoint, view, r, rows ? to - from : n_rows, c,
                          rows ? n_cols : to - from, width, at, pitch, scratch);

            if (st != GQA_OK)
                return st;
        }
        start += length;
    }
    return GQA_OK;
}
