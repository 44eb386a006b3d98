/*
 * Steps of optimisers, each element by one thread. All is float32 but sums,
 * which are float64.
 */
#include <math.h>

#include "runtime/cuda/back.cuh"
#include "runtime/cuda/pack.cuh"
#include "runtime/cuda/rows.cuh"
#include "runtime/cuda/sums.cuh"

enum { THREADS = 256, EACH = 4, PART = 8192 /* elements of a sum's part */ };

/* Weights in another type; data NULL: none. */
struct copy_view {
    void *data;
    enum gqa_dtype dtype;
};

static __device__ __forceinline__ void copy_to(const struct copy_view &copy,
                                               int64_t i, float x)
{
    if (!copy.data)
        return;
    switch (copy.dtype) {
    case GQA_F32:
        ((float *)copy.data)[i] = x;
        return;
    case GQA_BF16:
        ((__nv_bfloat16 *)copy.data)[i] = __float2bfloat16_rn(x);
        return;
    case GQA_F16:
        ((__half *)copy.data)[i] = __float2half_rn(x);
        return;
    default:
        ((double *)copy.data)[i] = x;
        return;
    }
}

/* sums[part] = sum of squares of its PART elements. */
static __global__ void __launch_bounds__(THREADS)
    norm2_kernel(double *sums, const float *x, int64_t n, int64_t n_parts)
{
    for (int64_t part = blockIdx.x; part < n_parts; part += gridDim.x) {
        const int64_t end = (part + 1) * PART < n ? (part + 1) * PART : n;
        double sum = 0;

#pragma unroll 8
        for (int64_t i = part * PART + threadIdx.x; i < end; i += THREADS)
            sum += (double)x[i] * (double)x[i];
        sum = block_sum<THREADS>(sum);
        if (threadIdx.x == 0)
            sums[part] = sum;
    }
}

enum gqa_status gqa_cuda_norm2(struct gqa_device *device, void *out,
                               const void *x, uint64_t n)
{
    const uint64_t n_parts = (n + PART - 1) / PART;
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n == 0)
        return st;
    st = gqa_cuda_reserve(device, &device->back, n_parts * sizeof(double));
    if (st != GQA_OK)
        return st;
    norm2_kernel<<<blocks_for(n_parts), THREADS, 0, device->stream>>>(
        (double *)device->back.data, (const float *)x, (int64_t)n,
        (int64_t)n_parts);
    if ((st = gqa_cuda_launched(device)) != GQA_OK)
        return st;
    return gqa_cuda_add_sums(device, (double *)out,
                             (const double *)device->back.data, n_parts, 1);
}

/* --- AdamW ------------------------------------------------------------------
 */

struct adamw_args {
    float *weights, *mean, *square;
    const float *gradients;
    int64_t n;
    float gradient_scale, keep, rate, beta1, rest1, beta2, rest2, unbias, eps;
    struct copy_view copy;
};

/* four: elements in fours, which all begin at 16-byte borders. */
static __global__ void __launch_bounds__(THREADS)
    adamw_kernel(struct adamw_args args, bool four)
{
    typedef pack<float, EACH> some;
    const int64_t step = (int64_t)gridDim.x * THREADS * EACH;

    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * EACH;
         i < args.n; i += step) {
        const int count = args.n - i < EACH ? (int)(args.n - i) : EACH;
        const bool whole = four && count == EACH;
        some w = {}, m = {}, v = {}, g = {};

        if (whole) {
            w = *(const some *)(args.weights + i);
            m = *(const some *)(args.mean + i);
            v = *(const some *)(args.square + i);
            g = *(const some *)(args.gradients + i);
        } else {
#pragma unroll
            for (int j = 0; j < EACH; j++)
                if (j < count) {
                    w.v[j] = args.weights[i + j];
                    m.v[j] = args.mean[i + j];
                    v.v[j] = args.square[i + j];
                    g.v[j] = args.gradients[i + j];
                }
        }
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            const float d = args.gradient_scale * g.v[j];

            m.v[j] = args.beta1 * m.v[j] + args.rest1 * d;
            v.v[j] = args.beta2 * v.v[j] + args.rest2 * d * d;
            w.v[j] =
                args.keep * w.v[j] -
                args.rate * m.v[j] / (sqrtf(v.v[j]) * args.unbias + args.eps);
        }
        if (whole) {
            *(some *)(args.weights + i) = w;
            *(some *)(args.mean + i) = m;
            *(some *)(args.square + i) = v;
        }
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            if (j >= count)
                break;
            if (!whole) {
                args.weights[i + j] = w.v[j];
                args.mean[i + j] = m.v[j];
                args.square[i + j] = v.v[j];
            }
            copy_to(args.copy, i + j, w.v[j]);
        }
    }
}

enum gqa_status gqa_cuda_adamw(struct gqa_device *device,
                               const struct gqa_adamw_op *op)
{
    const double t = (double)op->step;
    const uint64_t each = THREADS * EACH;
    struct adamw_args args = {};
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || op->n == 0)
        return st;
    args.weights = (float *)op->weights;
    args.mean = (float *)op->mean;
    args.square = (float *)op->square;
    args.gradients = (const float *)op->gradients;
    args.n = (int64_t)op->n;
    args.gradient_scale = (float)op->gradient_scale;
    args.keep = (float)(1 - op->rate * op->decay);
    args.rate = (float)(op->rate / (1 - pow(op->beta1, t)));
    args.beta1 = (float)op->beta1;
    args.rest1 = (float)(1 - op->beta1);
    args.beta2 = (float)op->beta2;
    args.rest2 = (float)(1 - op->beta2);
    args.unbias = (float)(1 / sqrt(1 - pow(op->beta2, t)));
    args.eps = (float)op->eps;
    args.copy.data = op->copy;
    args.copy.dtype = op->copy_dtype;
    adamw_kernel<<<blocks_for((op->n + each - 1) / each), THREADS, 0,
                   device->stream>>>(
        args, is_aligned(op->weights) && is_aligned(op->mean) &&
                  is_aligned(op->square) && is_aligned(op->gradients));
    return gqa_cuda_launched(device);
}

/* --- Adafactor --------------------------------------------------------------
 *
 * Moments of rows and columns first, then the mean of the rows' and the sum of
 * the update's squares, which say how far it is clipped, then the update.
 */

enum { LANES = 32, STRIPS = 8 };

struct adafactor_args {
    float *weights, *row, *col;
    const float *gradients;
    int64_t n_rows, n_cols;
    double scale, rate, beta, eps, clip, keep;
    struct copy_view copy;
    double *sums;  /* [n_rows]: of the squares of the update's rows */
    double *total; /* [2]: of the rows' moments, and of sums */
    double *parts; /* [n_parts, n_cols]: of the columns' squares */
    int64_t part_rows, n_parts;
};

static __device__ __forceinline__ double adafactor_square(
    const struct adafactor_args &args, int64_t i)
{
    const double g = args.scale * (double)args.gradients[i];

    return g * g + args.eps;
}

static __global__ void __launch_bounds__(THREADS)
    adafactor_rows_kernel(struct adafactor_args args)
{
    for (int64_t r = blockIdx.x; r < args.n_rows; r += gridDim.x) {
        double sum = 0;

        for (int64_t c = threadIdx.x; c < args.n_cols; c += THREADS)
            sum += adafactor_square(args, r * args.n_cols + c);
        sum = block_sum<THREADS>(sum);
        if (threadIdx.x == 0)
            args.row[r] = (float)(args.beta * (double)args.row[r] +
                                  (1 - args.beta) * sum / (double)args.n_cols);
    }
}

static __global__ void __launch_bounds__(LANES *STRIPS)
    adafactor_parts_kernel(struct adafactor_args args)
{
    __shared__ double sums[STRIPS][LANES];
    const int64_t c = (int64_t)blockIdx.x * LANES + threadIdx.x;
    const int64_t first = (int64_t)blockIdx.y * args.part_rows;
    const int64_t end = first + args.part_rows < args.n_rows
                            ? first + args.part_rows
                            : args.n_rows;
    double sum = 0;

    if (c < args.n_cols)
        for (int64_t r = first + threadIdx.y; r < end; r += STRIPS)
            sum += adafactor_square(args, r * args.n_cols + c);
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && c < args.n_cols) {
        for (int s = 1; s < STRIPS; s++)
            sum += sums[s][threadIdx.x];
        args.parts[blockIdx.y * args.n_cols + c] = sum;
    }
}

static __global__ void __launch_bounds__(THREADS)
    adafactor_columns_kernel(struct adafactor_args args)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;

    for (int64_t c = (int64_t)blockIdx.x * THREADS + threadIdx.x;
         c < args.n_cols; c += step) {
        double sum = 0;

        for (int64_t part = 0; part < args.n_parts; part++)
            sum += args.parts[part * args.n_cols + c];
        args.col[c] = (float)(args.beta * (double)args.col[c] +
                              (1 - args.beta) * sum / (double)args.n_rows);
    }
}

/* total[which]: of the rows' moments, or of sums. One block. */
static __global__ void __launch_bounds__(THREADS)
    adafactor_total_kernel(struct adafactor_args args, int which)
{
    double sum = 0;

    for (int64_t r = threadIdx.x; r < args.n_rows; r += THREADS)
        sum += which ? args.sums[r] : args.n_rows > 1 ? (double)args.row[r] : 1;
    sum = block_sum<THREADS>(sum);
    if (threadIdx.x == 0)
        args.total[which] = sum;
}

/* The update before it is clipped. */
static __device__ __forceinline__ double adafactor_update(
    const struct adafactor_args &args, int64_t r, int64_t c)
{
    const double mean = args.total[0] / (double)args.n_rows;
    const double row = args.n_rows > 1 ? (double)args.row[r] / mean : 1;

    return args.scale * (double)args.gradients[r * args.n_cols + c] *
           rsqrt(row * (double)args.col[c]);
}

static __global__ void __launch_bounds__(THREADS)
    adafactor_sums_kernel(struct adafactor_args args)
{
    for (int64_t r = blockIdx.x; r < args.n_rows; r += gridDim.x) {
        double sum = 0;

        for (int64_t c = threadIdx.x; c < args.n_cols; c += THREADS) {
            const double u = adafactor_update(args, r, c);

            sum += u * u;
        }
        sum = block_sum<THREADS>(sum);
        if (threadIdx.x == 0)
            args.sums[r] = sum;
    }
}

static __global__ void __launch_bounds__(THREADS)
    adafactor_kernel(struct adafactor_args args)
{
    const double n = (double)args.n_rows * (double)args.n_cols;
    const double size = sqrt(args.total[1] / n);
    const double rate =
        size > args.clip ? args.rate * args.clip / size : args.rate;

    for (int64_t r = blockIdx.x; r < args.n_rows; r += gridDim.x) {
        for (int64_t c = threadIdx.x; c < args.n_cols; c += THREADS) {
            const int64_t i = r * args.n_cols + c;
            const float w = (float)(args.keep * (double)args.weights[i] -
                                    rate * adafactor_update(args, r, c));

            args.weights[i] = w;
            copy_to(args.copy, i, w);
        }
    }
}

enum gqa_status gqa_cuda_adafactor(struct gqa_device *device,
                                   const struct gqa_adafactor_op *op)
{
    const uint64_t n_rows = op->n_rows, n_cols = op->n_cols;
    const uint64_t each = n_rows / 256 + 1 < 64 ? 64 : n_rows / 256 + 1;
    const uint64_t n_parts = (n_rows + each - 1) / each;
    const unsigned n_blocks = blocks_for(n_rows);
    struct adafactor_args args = {};
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n_rows == 0 || n_cols == 0)
        return st;
    st = gqa_cuda_reserve(device, &device->back,
                          (n_rows + 2 + n_parts * n_cols) * sizeof(double));
    if (st != GQA_OK)
        return st;
    args.weights = (float *)op->weights;
    args.row = (float *)op->row;
    args.col = (float *)op->col;
    args.gradients = (const float *)op->gradients;
    args.n_rows = (int64_t)n_rows;
    args.n_cols = (int64_t)n_cols;
    args.scale = op->gradient_scale;
    args.rate = op->rate;
    args.beta = 1 - pow((double)op->step, -op->decay_power);
    args.eps = op->eps;
    args.clip = op->clip;
    args.keep = 1 - op->rate * op->weight_decay;
    args.copy.data = op->copy;
    args.copy.dtype = op->copy_dtype;
    args.total = (double *)device->back.data;
    args.sums = args.total + 2;
    args.parts = args.sums + n_rows;
    args.part_rows = (int64_t)each;
    args.n_parts = (int64_t)n_parts;
    if (n_rows > 1)
        adafactor_rows_kernel<<<n_blocks, THREADS, 0, device->stream>>>(args);
    adafactor_parts_kernel<<<dim3((unsigned)((n_cols + LANES - 1) / LANES),
                                  (unsigned)n_parts),
                             dim3(LANES, STRIPS), 0, device->stream>>>(args);
    adafactor_columns_kernel<<<blocks_for((n_cols + THREADS - 1) / THREADS),
                               THREADS, 0, device->stream>>>(args);
    adafactor_total_kernel<<<1, THREADS, 0, device->stream>>>(args, 0);
    adafactor_sums_kernel<<<n_blocks, THREADS, 0, device->stream>>>(args);
    adafactor_total_kernel<<<1, THREADS, 0, device->stream>>>(args, 1);
    adafactor_kernel<<<n_blocks, THREADS, 0, device->stream>>>(args);
    return gqa_cuda_launched(device);
}
