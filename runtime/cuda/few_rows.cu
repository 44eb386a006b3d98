/*
 * A few rows times a weight: decoding, where the time is that of reading the
 * weight.
 *
 *   x    [n_rows, inputs]    real, at most 8 rows
 *   W    [outputs, inputs]   in its own dtype, converted on the way
 *   out  [n_rows, outputs]   real or float32
 *
 * A block makes OUTPUTS outputs of all rows. Its threads lie along the
 * inputs, 16 bytes of W each; their sums are joined in fixed order.
 */
#include "runtime/cuda/few_rows.cuh"
#include "runtime/cuda/pack.cuh"
#include "runtime/cuda/real.cuh"

enum { THREADS = 128, WARPS = THREADS / 32, OUTPUTS = 2, MAX_ROWS = 8 };

struct few_args {
    void *out;
    const void *x, *w, *added;
    struct weight_view bias;
    int64_t n_rows, n_in, n_out;
    float scale;
    bool wide;
};

/* V weights; they are read once, so they need not stay in the cache. */
template <typename W, int V>
static __device__ __forceinline__ void load_weights(float *to, const W *from)
{
    union {
        uint4 bits;
        pack<W, 16 / sizeof(W)> some;
    } loaded;

    if (V == 1) {
        to[0] = (float)real<W>::load(*from);
        return;
    }
    loaded.bits = __ldcs((const uint4 *)from);
#pragma unroll
    for (int i = 0; i < V; i++)
        to[i] = (float)real<W>::load(loaded.some.v[i]);
}

/* V: weights at a time, 16 bytes or one. */
template <typename T, typename W, int ROWS, int V>
static __global__ void __launch_bounds__(THREADS)
    few_rows_kernel(struct few_args args)
{
    __shared__ float sums[WARPS][OUTPUTS * ROWS];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int64_t first = (int64_t)blockIdx.x * OUTPUTS;
    const T *x = (const T *)args.x;
    const W *w[OUTPUTS];
    float sum[OUTPUTS][ROWS];

#pragma unroll
    for (int o = 0; o < OUTPUTS; o++) {
        /* A last odd output is made twice and written once. */
        w[o] = (const W *)args.w +
               (first + o < args.n_out ? first + o : first) * args.n_in;
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            sum[o][r] = 0;
    }

#pragma unroll 2
    for (int64_t i = threadIdx.x * V; i < args.n_in; i += THREADS * V) {
        float weights[OUTPUTS][V];

#pragma unroll
        for (int o = 0; o < OUTPUTS; o++)
            load_weights<W, V>(weights[o], w[o] + i);
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            if (r < args.n_rows) {
                const pack<T, V> some =
                    *(const pack<T, V> *)(x + r * args.n_in + i);

#pragma unroll
                for (int n = 0; n < V; n++)
#pragma unroll
                    for (int o = 0; o < OUTPUTS; o++)
                        sum[o][r] +=
                            (float)real<T>::load(some.v[n]) * weights[o][n];
            }
        }
    }

#pragma unroll
    for (int o = 0; o < OUTPUTS; o++)
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
#pragma unroll
            for (int offset = 16; offset > 0; offset /= 2)
                sum[o][r] += __shfl_xor_sync(0xffffffffu, sum[o][r], offset);
            if (lane == 0)
                sums[warp][o * ROWS + r] = sum[o][r];
        }
    __syncthreads();
    if (threadIdx.x < OUTPUTS * ROWS) {
        const int64_t o = first + threadIdx.x / ROWS, r = threadIdx.x % ROWS;
        const int64_t at = r * args.n_out + o;
        float y = 0;

        if (o >= args.n_out || r >= args.n_rows)
            return;
        for (int n = 0; n < WARPS; n++)
            y += sums[n][threadIdx.x];
        y = y * args.scale + weight_at<float>(args.bias, o);
        if (args.wide)
            ((float *)args.out)[at] = y;
        else
            ((T *)args.out)[at] = real<T>::round(
                args.added
                    ? y + (float)real<T>::load(((const T *)args.added)[at])
                    : y);
    }
}

template <typename T, typename W>
static void launch(const struct few_args *args, cudaStream_t stream)
{
    constexpr int V = 16 / sizeof(W);
    const unsigned blocks = (unsigned)((args->n_out + OUTPUTS - 1) / OUTPUTS);
    const bool whole = args->n_in % (16 / sizeof(W)) == 0 &&
                       args->n_in % (16 / sizeof(T)) == 0 &&
                       is_aligned(args->w) && is_aligned(args->x);

    if (!whole)
        few_rows_kernel<T, W, MAX_ROWS, 1>
            <<<blocks, THREADS, 0, stream>>>(*args);
    else if (args->n_rows == 1)
        few_rows_kernel<T, W, 1, V><<<blocks, THREADS, 0, stream>>>(*args);
    else if (args->n_rows <= 4)
        few_rows_kernel<T, W, 4, V><<<blocks, THREADS, 0, stream>>>(*args);
    else
        few_rows_kernel<T, W, MAX_ROWS, V>
            <<<blocks, THREADS, 0, stream>>>(*args);
}

bool gqa_few_rows_takes(const struct gqa_few_rows *args)
{
    return args->n_rows <= MAX_ROWS && args->weight->dtype != GQA_F64 &&
           args->weight->rows <= INT32_MAX;
}

enum gqa_status gqa_few_rows_multiply(struct gqa_device *device,
                                      const struct gqa_few_rows *args)
{
    const struct few_args all = {args->out,
                                 args->x,
                                 args->weight->data,
                                 args->added,
                                 view_of(args->bias),
                                 args->n_rows,
                                 (int64_t)args->weight->cols,
                                 (int64_t)args->weight->rows,
                                 args->scale,
                                 args->wide};

    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        with_real(args->weight->dtype, [&](auto w) {
            typedef decltype(w) W;

            launch<T, W>(&all, device->stream);
        });
    });
    return gqa_cuda_launched(device);
}
