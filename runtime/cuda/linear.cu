/*
 * Products with weights.
 *
 *   x    [n_rows, inputs]      real
 *   W    [outputs, inputs], or [inputs, outputs] when input_major
 *   out  [n_rows, outputs]     real, or float32 (logits)
 *
 * Columns first, as products.cuh counts, each of these is transposed:
 * out^T = W x^T.
 *
 * A few rows have a kernel of their own (few_rows.cu). Else a weight whose
 * dtype is not real's is converted panel by panel, PANEL bytes at most, so
 * that it is never held twice.
 */
#include <string.h>

#include "runtime/cuda/device.cuh"
#include "runtime/cuda/few_rows.cuh"
#include "runtime/cuda/products.cuh"
#include "runtime/cuda/real.cuh"

static const uint64_t PANEL = (uint64_t)64 << 20;

enum { THREADS = 256 };

static unsigned blocks_for(uint64_t n_rows)
{
    const uint64_t most = 1 << 20;

    return (unsigned)(n_rows < most ? n_rows : most);
}

/* dst [n_rows, n_cols] = src [n_rows, pitch ...] from `first` on. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    convert_kernel(T *dst, struct weight_view src, int64_t first, int64_t pitch,
                   int64_t n_rows, int64_t n_cols)
{
    for (int64_t row = blockIdx.x; row < n_rows; row += gridDim.x)
        for (int64_t c = threadIdx.x; c < n_cols; c += THREADS)
            dst[row * n_cols + c] = real<T>::round(
                weight_at<typename real<T>::sum>(src, first + row * pitch + c));
}

static void convert(struct gqa_device *device, void *dst,
                    const struct gqa_weight *src, uint64_t first,
                    uint64_t pitch, uint64_t n_rows, uint64_t n_cols)
{
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        convert_kernel<T><<<blocks_for(n_rows), THREADS, 0, device->stream>>>(
            (T *)dst, view_of(src), (int64_t)first, (int64_t)pitch,
            (int64_t)n_rows, (int64_t)n_cols);
    });
}

/* The outputs [first, first + shape.m) of all rows. Converts the weight's
 * panel where it has to. */
static enum gqa_status multiply_panel(struct gqa_device *device,
                                      struct gqa_product *product, void *out,
                                      const void *added, const void *x,
                                      uint64_t n_rows,
                                      const struct gqa_weight *weight,
                                      uint64_t first)
{
    struct gqa_product_shape *s = &product->shape;
    const uint64_t n_in = s->k, n_out = s->d_ld;
    const uint64_t real_size = gqa_size_of(device->real);
    const uint64_t out_size = gqa_size_of(s->out_type);
    const bool input_major = !s->a_transposed;
    const uint64_t at = input_major ? first : first * n_in;
    uint64_t step = GQA_PRODUCT_MAX_ELEMENTS / (n_in > n_out ? n_in : n_out);
    enum gqa_status st = GQA_OK;

    if (step == 0)
        step = 1;
    if (weight->dtype == device->real) {
        product->a = (const char *)weight->data + at * real_size;
        s->a_ld = input_major ? n_out : n_in;
    } else {
        product->a = device->panel.data;
        s->a_ld = input_major ? s->m : n_in;
        if (input_major)
            convert(device, device->panel.data, weight, at, n_out, n_in, s->m);
        else
            convert(device, device->panel.data, weight, at, n_in, s->m, n_in);
        if ((st = gqa_cuda_launched(device)) != GQA_OK)
            return st;
    }
    for (uint64_t row = 0; row < n_rows && st == GQA_OK; row += step) {
        s->n = n_rows - row < step ? n_rows - row : step;
        product->b = (const char *)x + row * n_in * real_size;
        product->d = (char *)out + (row * n_out + first) * out_size;
        if (added)
            product->c = (const char *)added + (row * n_out + first) * out_size;
        st = gqa_cuda_multiply(device, product);
    }
    return st;
}

/* bias, in device->real: as it is or converted. */
static enum gqa_status bias_as_real(struct gqa_device *device, const void **out,
                                    const struct gqa_weight *bias)
{
    const uint64_t n = bias->rows * bias->cols;
    enum gqa_status st;

    if (bias->dtype == device->real) {
        *out = bias->data;
        return GQA_OK;
    }
    st = gqa_cuda_reserve(device, &device->bias, n * gqa_size_of(device->real));
    if (st != GQA_OK)
        return st;
    *out = device->bias.data;
    convert(device, device->bias.data, bias, 0, n, 1, n);
    return gqa_cuda_launched(device);
}

/* product: scale, and of its shape out_type and the flags. */
static enum gqa_status multiply_all(struct gqa_device *device,
                                    struct gqa_product *product, void *out,
                                    const void *added, const void *x,
                                    uint64_t n_rows,
                                    const struct gqa_weight *weight,
                                    const struct gqa_weight *bias)
{
    struct gqa_product_shape *s = &product->shape;
    const uint64_t n_out = s->a_transposed ? weight->rows : weight->cols;
    const uint64_t n_in = s->a_transposed ? weight->cols : weight->rows;
    const uint64_t size = gqa_size_of(device->real);
    uint64_t step = GQA_PRODUCT_MAX_ELEMENTS / n_in;
    const void *all_bias = NULL;
    enum gqa_status st = GQA_OK;

    if (weight->dtype != device->real)
        step = PANEL / (n_in * size);
    /* Whole tiles, and aligned pointers. */
    step = step < 128 ? 128 : step / 128 * 128;
    if (step > n_out)
        step = n_out;
    if (weight->dtype != device->real)
        st = gqa_cuda_reserve(device, &device->panel, step * n_in * size);
    if (st == GQA_OK && bias)
        st = bias_as_real(device, &all_bias, bias);
    s->type = device->real;
    s->k = s->b_ld = n_in;
    s->d_ld = n_out;
    s->has_bias = bias != NULL;
    for (uint64_t first = 0; first < n_out && st == GQA_OK; first += step) {
        s->m = n_out - first < step ? n_out - first : step;
        if (bias)
            product->bias = (const char *)all_bias + first * size;
        st = multiply_panel(device, product, out, added, x, n_rows, weight,
                            first);
    }
    return st;
}

enum gqa_status gqa_cuda_linear(struct gqa_device *device, void *out,
                                const void *x, uint64_t n_rows,
                                const struct gqa_weight *weight,
                                bool input_major, const struct gqa_weight *bias,
                                const void *added)
{
    const struct gqa_few_rows few = {
        out, x, added, weight, bias, (int64_t)n_rows, 1, false};
    enum gqa_status st = gqa_cuda_enter(device);
    struct gqa_product product;

    if (st != GQA_OK || n_rows == 0)
        return st;
    if (!input_major && gqa_few_rows_takes(&few))
        return gqa_few_rows_multiply(device, &few);
    memset(&product, 0, sizeof product); /* shapes are compared as bytes */
    product.shape.out_type = device->real;
    product.shape.a_transposed = !input_major;
    product.shape.accumulate = added != NULL;
    product.scale = 1;
    return multiply_all(device, &product, out, added, x, n_rows, weight, bias);
}

static __global__ void __launch_bounds__(THREADS)
    add_bias_kernel(float *out, int64_t n_rows, int64_t n_cols,
                    struct weight_view bias)
{
    for (int64_t row = blockIdx.x; row < n_rows; row += gridDim.x)
        for (int64_t c = threadIdx.x; c < n_cols; c += THREADS)
            out[row * n_cols + c] += weight_at<float>(bias, c);
}

enum gqa_status gqa_cuda_unembed(struct gqa_device *device, void *out,
                                 const void *x, uint64_t n_rows,
                                 const struct gqa_weight *weight,
                                 bool input_major,
                                 const struct gqa_weight *bias, double scale)
{
    const struct gqa_few_rows few = {
        out, x, NULL, weight, bias, (int64_t)n_rows, (float)scale, true};
    enum gqa_status st = gqa_cuda_enter(device);
    struct gqa_product product;

    if (st != GQA_OK || n_rows == 0)
        return st;
    if (!input_major && gqa_few_rows_takes(&few))
        return gqa_few_rows_multiply(device, &few);
    memset(&product, 0, sizeof product);
    product.shape.out_type = GQA_F32;
    product.shape.a_transposed = !input_major;
    product.scale = scale;
    st = multiply_all(device, &product, out, NULL, x, n_rows, weight, NULL);
    if (st != GQA_OK || !bias)
        return st;
    add_bias_kernel<<<blocks_for(n_rows), THREADS, 0, device->stream>>>(
        (float *)out, (int64_t)n_rows,
        (int64_t)(input_major ? weight->cols : weight->rows), view_of(bias));
    return gqa_cuda_launched(device);
}
