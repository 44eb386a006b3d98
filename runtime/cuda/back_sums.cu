/* Sums down columns, and the second stage of sums: parts in order. */
#include "runtime/cuda/back.cuh"
#include "runtime/cuda/real.cuh"
#include "runtime/cuda/sums.cuh"

enum { LANES = 32, STRIPS = 8, THREADS = 256 };

/* A block has LANES columns; strip s sums parts s, s + STRIPS, ... */
static __global__ void __launch_bounds__(LANES *STRIPS)
    add_parts_kernel(float *out, const float *parts, int64_t n_parts,
                     int64_t stride, int64_t width)
{
    __shared__ double sums[STRIPS][LANES];
    const int64_t c = (int64_t)blockIdx.x * LANES + threadIdx.x;
    double sum = 0;

    if (c < width)
#pragma unroll 4
        for (int64_t i = threadIdx.y; i < n_parts; i += STRIPS)
            sum += (double)parts[i * stride + c];
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && c < width) {
        for (int s = 1; s < STRIPS; s++)
            sum += sums[s][threadIdx.x];
        out[c] = (float)((double)out[c] + sum);
    }
}

enum gqa_status gqa_cuda_add_parts(struct gqa_device *device, float *out,
                                   const float *parts, uint64_t n_parts,
                                   uint64_t stride, uint64_t width)
{
    add_parts_kernel<<<(unsigned)((width + LANES - 1) / LANES),
                       dim3(LANES, STRIPS), 0, device->stream>>>(
        out, parts, (int64_t)n_parts, (int64_t)stride, (int64_t)width);
    return gqa_cuda_launched(device);
}

/* A block has a column. */
static __global__ void __launch_bounds__(THREADS)
    add_sums_kernel(double *out, const double *parts, int64_t n_parts,
                    int64_t width)
{
    double sum = 0;

    /* Several are on their way at once. */
#pragma unroll 8
    for (int64_t i = threadIdx.x; i < n_parts; i += THREADS)
        sum += parts[i * width + blockIdx.x];
    sum = block_sum<THREADS>(sum);
    if (threadIdx.x == 0)
        out[blockIdx.x] += sum;
}

enum gqa_status gqa_cuda_add_sums(struct gqa_device *device, double *out,
                                  const double *parts, uint64_t n_parts,
                                  uint64_t width)
{
    add_sums_kernel<<<(unsigned)width, THREADS, 0, device->stream>>>(
        out, parts, (int64_t)n_parts, (int64_t)width);
    return gqa_cuda_launched(device);
}

/* --- Columns ---------------------------------------------------------------
 */

static const uint64_t MOST_PARTS = 1024, PART_ROWS = 64;

static uint64_t rows_of_part(uint64_t n_rows)
{
    const uint64_t n = (n_rows + MOST_PARTS - 1) / MOST_PARTS;

    return n < PART_ROWS ? PART_ROWS : n;
}

/* parts [n_parts, 2, width]: of weights and of biases. A block has LANES
 * columns of the rows of a part, a strip every STRIPS-th of them. */
template <typename T>
static __global__ void __launch_bounds__(LANES *STRIPS)
    columns_kernel(float *parts, const T *x, const T *dy, const double *stats,
                   int64_t n_rows, int64_t width, int64_t each)
{
    typedef typename real<T>::sum S;
    __shared__ S sums[2][STRIPS][LANES];
    const int64_t c = (int64_t)blockIdx.x * LANES + threadIdx.x;
    const int64_t first = (int64_t)blockIdx.y * each;
    const int64_t end = first + each < n_rows ? first + each : n_rows;
    S weight = 0, bias = 0;

    if (c < width) {
#pragma unroll 4
        for (int64_t row = first + threadIdx.y; row < end; row += STRIPS) {
            const S slope = real<T>::load(dy[row * width + c]);

            bias += slope;
            if (x)
                weight += slope * (S)(((S)real<T>::load(x[row * width + c]) -
                                       (S)stats[2 * row]) *
                                      (S)stats[2 * row + 1]);
        }
    }
    sums[0][threadIdx.y][threadIdx.x] = weight;
    sums[1][threadIdx.y][threadIdx.x] = bias;
    __syncthreads();
    if (threadIdx.y < 2 && c < width) {
        S sum = 0;

        for (int s = 0; s < STRIPS; s++)
            sum += sums[threadIdx.y][s][threadIdx.x];
        parts[((int64_t)blockIdx.y * 2 + threadIdx.y) * width + c] = (float)sum;
    }
}

uint64_t gqa_cuda_columns_bytes(uint64_t n_rows, uint64_t width)
{
    const uint64_t each = rows_of_part(n_rows);

    return (n_rows + each - 1) / each * 2 * width * sizeof(float);
}

enum gqa_status gqa_cuda_add_columns(struct gqa_device *device,
                                     const struct gqa_columns *columns)
{
    const uint64_t width = columns->width;
    const uint64_t each = rows_of_part(columns->n_rows);
    const uint64_t n_parts = (columns->n_rows + each - 1) / each;
    float *parts = (float *)columns->room;
    enum gqa_status st;

    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;
        const dim3 grid((unsigned)((width + LANES - 1) / LANES),
                        (unsigned)n_parts);

        columns_kernel<T><<<grid, dim3(LANES, STRIPS), 0, device->stream>>>(
            parts, columns->d_weight ? (const T *)columns->x : NULL,
            (const T *)columns->dy, columns->stats, (int64_t)columns->n_rows,
            (int64_t)width, (int64_t)each);
    });
    st = gqa_cuda_launched(device);
    if (st == GQA_OK && columns->d_weight)
        st = gqa_cuda_add_parts(device, columns->d_weight, parts, n_parts,
                                2 * width, width);
    if (st == GQA_OK && columns->d_bias)
        st = gqa_cuda_add_parts(device, columns->d_bias, parts + width, n_parts,
                                2 * width, width);
    return st;
}
