/*
 * Moments of activations: out += X^T Y.
 *
 *   x    [n_rows, x_width]     real
 *   y    [n_rows, y_width]     real; may be x
 *   out  [x_width, y_width]    float64
 *
 * Rows are taken in slabs, and of `out` in panels of rows: cuBLASLt makes
 * the moments of a slab, and a kernel adds them to `out`. Moments of bf16
 * and f16 are float32, whose products are exact and whose sums are short.
 * Those of float32 are float64, as the factors are made first: where tensor
 * cores do float64 (8.0, 9.0) that takes no longer, and it rounds nothing.
 *
 * Where y is x, a panel begins at the diagonal, and what is added above it
 * is added below it as well: half the work, and symmetric to the bit.
 */
#include <string.h>

#include "runtime/cuda/products.cuh"
#include "runtime/cuda/real.cuh"

static const uint64_t PANEL = (uint64_t)64 << 20; /* bytes */
static const uint64_t SLAB = 1024;                /* rows */

enum { THREADS = 256, TILE = 32, STRIPS = 8 };

static __global__ void __launch_bounds__(THREADS)
    widen_kernel(double *dst, const float *src, int64_t n)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;

    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n;
         i += step)
        dst[i] = src[i];
}

/*
 * out [first + i, col + j] += panel [i, j]. Where mirrored (col is first
 * then), only from the diagonal on, and to [col + j, first + i] above it. A
 * block has a tile, whose transpose goes through shared memory, so that both
 * are written along rows.
 */
template <typename S>
static __global__ void __launch_bounds__(TILE *STRIPS)
    add_kernel(double *out, int64_t width, const S *panel, int64_t n_rows,
               int64_t n_cols, int64_t first, int64_t col, bool mirrored)
{
    __shared__ S tile[TILE][TILE + 1];
    const int64_t row0 = (int64_t)blockIdx.y * TILE;
    const int64_t col0 = (int64_t)blockIdx.x * TILE;
    const int lane = threadIdx.x;

    if (mirrored && col0 < row0)
        return;
    for (int strip = threadIdx.y; strip < TILE; strip += STRIPS) {
        const int64_t i = row0 + strip, j = col0 + lane;

        if (i >= n_rows || j >= n_cols)
            continue;
        tile[strip][lane] = panel[i * n_cols + j];
        if (!mirrored || j >= i)
            out[(first + i) * width + col + j] += tile[strip][lane];
    }
    if (!mirrored)
        return;
    __syncthreads();
    for (int strip = threadIdx.y; strip < TILE; strip += STRIPS) {
        const int64_t i = row0 + lane, j = col0 + strip;

        if (i < n_rows && j < n_cols && j > i)
            out[(col + j) * width + first + i] += tile[lane][strip];
    }
}

/* A call's matrices; after them, those of a slab in the type of moments. */
struct gram {
    double *out;
    const char *x, *y;
    uint64_t x_width, y_width;
    enum gqa_dtype type, sum;
    bool symmetric;
};

static enum gqa_status widen(struct gqa_device *device, double *dst,
                             const void *src, uint64_t n)
{
    const uint64_t n_blocks = (n + THREADS - 1) / THREADS;

    widen_kernel<<<(unsigned)(n_blocks < 65536 ? n_blocks : 65536), THREADS, 0,
                   device->stream>>>(dst, (const float *)src, (int64_t)n);
    return gqa_cuda_launched(device);
}

/* The slab of n rows from `row` on, as *slab has it. */
static enum gqa_status take_slab(struct gqa_device *device, struct gram *slab,
                                 const struct gram *g, uint64_t row, uint64_t n)
{
    const uint64_t size = gqa_size_of(device->real);
    double *room = (double *)device->factors.data;
    enum gqa_status st;

    *slab = *g;
    slab->x = g->x + row * g->x_width * size;
    slab->y = g->y + row * g->y_width * size;
    if (device->real != GQA_F32)
        return GQA_OK;
    st = widen(device, room, slab->x, n * g->x_width);
    if (st == GQA_OK && !g->symmetric)
        st = widen(device, room + n * g->x_width, slab->y, n * g->y_width);
    slab->x = (const char *)room;
    slab->y = (const char *)(g->symmetric ? room : room + n * g->x_width);
    return st;
}

/* Rows [first, first + m) of `out`, from column `col` on. */
static enum gqa_status add_panel(struct gqa_device *device,
                                 const struct gram *slab, uint64_t n_rows,
                                 uint64_t first, uint64_t m, uint64_t col)
{
    const uint64_t size = gqa_size_of(slab->type);
    const uint64_t n_cols = slab->y_width - col;
    const dim3 tiles((unsigned)((n_cols + TILE - 1) / TILE),
                     (unsigned)((m + TILE - 1) / TILE));
    const dim3 threads(TILE, STRIPS);
    struct gqa_product product;
    enum gqa_status st;

    /* Columns first: panel^T [n_cols, m] = Y^T [n_cols, n_rows] X. */
    memset(&product, 0, sizeof product);
    product.shape.m = n_cols;
    product.shape.n = m;
    product.shape.k = n_rows;
    product.shape.a_ld = slab->y_width;
    product.shape.b_ld = slab->x_width;
    product.shape.d_ld = n_cols;
    product.shape.type = slab->type;
    product.shape.out_type = slab->sum;
    product.shape.b_transposed = 1;
    product.a = slab->y + col * size;
    product.b = slab->x + first * size;
    product.d = device->panel.data;
    product.scale = 1;
    if ((st = gqa_cuda_multiply(device, &product)) != GQA_OK)
        return st;
    if (slab->sum == GQA_F64)
        add_kernel<<<tiles, threads, 0, device->stream>>>(
            slab->out, (int64_t)slab->y_width,
            (const double *)device->panel.data, (int64_t)m, (int64_t)n_cols,
            (int64_t)first, (int64_t)col, slab->symmetric);
    else
        add_kernel<<<tiles, threads, 0, device->stream>>>(
            slab->out, (int64_t)slab->y_width,
            (const float *)device->panel.data, (int64_t)m, (int64_t)n_cols,
            (int64_t)first, (int64_t)col, slab->symmetric);
    return gqa_cuda_launched(device);
}

enum gqa_status gqa_cuda_gram(struct gqa_device *device, void *out,
                              const void *x, uint64_t x_width, const void *y,
                              uint64_t y_width, uint64_t n_rows)
{
    const bool f32 = device->real == GQA_F32;
    const struct gram g = {(double *)out,
                           (const char *)x,
                           (const char *)(y ? y : x),
                           x_width,
                           y ? y_width : x_width,
                           f32 ? GQA_F64 : device->real,
                           f32 ? GQA_F64 : GQA_F32,
                           y == NULL};
    const uint64_t slab_rows = n_rows < SLAB ? n_rows : SLAB;
    const uint64_t sum_size = gqa_size_of(g.sum);
    uint64_t step = PANEL / (g.y_width * sum_size);
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n_rows == 0)
        return st;
    /* Whole tiles, and aligned pointers. */
    step = step < 128 ? 128 : step / 128 * 128;
    if (step > x_width)
        step = x_width;
    st = gqa_cuda_reserve(device, &device->panel, step * g.y_width * sum_size);
    if (st == GQA_OK && f32)
        st = gqa_cuda_reserve(device, &device->factors,
                              slab_rows * (g.x_width + g.y_width) *
                                  sizeof(double));
    for (uint64_t row = 0; row < n_rows && st == GQA_OK; row += SLAB) {
        const uint64_t n = n_rows - row < SLAB ? n_rows - row : SLAB;
        struct gram slab;

        st = take_slab(device, &slab, &g, row, n);
        for (uint64_t first = 0; first < x_width && st == GQA_OK; first += step)
            st = add_panel(device, &slab, n, first,
                           x_width - first < step ? x_width - first : step,
                           g.symmetric ? first : 0);
    }
    return st;
}
