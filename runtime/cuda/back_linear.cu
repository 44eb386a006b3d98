/*
 * Gradients of weights: d_weight += dy^T x, by cuBLASLt, which counts columns
 * first, so that it makes the transposed matrix:
 *
 *   [outputs, inputs]: m = inputs,  n = outputs, a = x,  b = dy
 *   input_major:       m = outputs, n = inputs,  a = dy, b = x
 *
 * Sums are float32 and go to the float32 gradient as they are.
 */
#include <string.h>

#include "runtime/cuda/back.cuh"
#include "runtime/cuda/products.cuh"
#include "runtime/cuda/real.cuh"

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Whole tiles, and aligned pointers, where there is more than one piece. */
static uint64_t piece_of(uint64_t width)
{
    const uint64_t n = GQA_PRODUCT_MAX_ELEMENTS / (width ? width : 1);

    return n < 128 ? 128 : n / 128 * 128;
}

enum gqa_status gqa_cuda_linear_weight(struct gqa_device *device,
                                       void *d_weight, void *d_bias,
                                       const void *x, uint64_t inputs,
                                       const void *dy, uint64_t outputs,
                                       uint64_t n_rows, bool input_major)
{
    const uint64_t size = gqa_size_of(device->real);
    const uint64_t m = input_major ? outputs : inputs;
    const uint64_t n = input_major ? inputs : outputs;
    const char *a = (const char *)(input_major ? dy : x);
    const char *b = (const char *)(input_major ? x : dy);
    const uint64_t rows_step = piece_of(m > n ? m : n), n_step = piece_of(m);
    struct gqa_columns columns = {};
    struct gqa_product product;
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n_rows == 0)
        return st;
    memset(&product, 0, sizeof product); /* shapes are compared as bytes */
    product.shape.m = m;
    product.shape.a_ld = m;
    product.shape.b_ld = n;
    product.shape.d_ld = m;
    product.shape.type = device->real;
    product.shape.out_type = GQA_F32;
    product.shape.b_transposed = 1;
    product.shape.accumulate = 1;
    product.scale = 1;
    for (uint64_t row = 0; d_weight && row < n_rows && st == GQA_OK;
         row += rows_step) {
        product.shape.k = smaller(rows_step, n_rows - row);
        product.a = a + row * m * size;
        for (uint64_t first = 0; first < n && st == GQA_OK; first += n_step) {
            product.shape.n = smaller(n_step, n - first);
            product.b = b + (row * n + first) * size;
            product.d = (float *)d_weight + first * m;
            st = gqa_cuda_multiply(device, &product);
        }
    }
    if (st != GQA_OK || !d_bias)
        return st;
    st = gqa_cuda_reserve(device, &device->back,
                          gqa_cuda_columns_bytes(n_rows, outputs));
    if (st != GQA_OK)
        return st;
    columns.d_bias = (float *)d_bias;
    columns.dy = dy;
    columns.n_rows = n_rows;
    columns.width = outputs;
    columns.room = device->back.data;
    return gqa_cuda_add_columns(device, &columns);
}
