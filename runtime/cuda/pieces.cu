/*
 * Sums of the rows of pieces of sequences, and back. A block has a piece, or a
 * row, and a thread columns of it.
 */
#include "runtime/cuda/back.cuh"
#include "runtime/cuda/device.cuh"
#include "runtime/cuda/real.cuh"
#include "runtime/cuda/rows.cuh"

enum { THREADS = 256 };

/* What is left over behind the last whole piece counts to it. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    sum_kernel(T *out, const T *x, struct batch_view batch, int64_t width,
               int64_t size, int64_t n_out, int64_t n)
{
    typedef typename real<T>::sum S;

    for (int64_t piece = blockIdx.x; piece < n; piece += gridDim.x) {
        const int64_t sequence = piece / n_out, i = piece % n_out;
        const int64_t n_tokens = batch.n_tokens[sequence];
        const int64_t pieces = n_tokens / size;
        const int64_t first = i < pieces ? i * size : 0;
        const int64_t end = i + 1 < pieces ? first + size
                            : i < pieces   ? n_tokens
                                           : 0;

        for (int64_t c = threadIdx.x; c < width; c += THREADS) {
            S sum = 0;

            for (int64_t r = first; r < end; r++)
                sum +=
                    real<T>::load(x[(sequence * batch.n_new + r) * width + c]);
            out[piece * width + c] = real<T>::round(sum);
        }
    }
}

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    spread_kernel(T *dx, const T *dy, struct batch_view batch, int64_t width,
                  int64_t size, int64_t n_out)
{
    for (int64_t row = blockIdx.x; row < batch.n_rows; row += gridDim.x) {
        const int64_t sequence = row / batch.n_new, i = row % batch.n_new;
        const int64_t n_tokens = batch.n_tokens[sequence];
        const int64_t last = n_tokens / size - 1;
        const int64_t piece = i / size < last ? i / size : last;
        const T *from = dy + (sequence * n_out + piece) * width;

        if (i >= n_tokens || last < 0)
            continue;
        for (int64_t c = threadIdx.x; c < width; c += THREADS)
            dx[row * width + c] = real<T>::round(
                real<T>::load(dx[row * width + c]) + real<T>::load(from[c]));
    }
}

enum gqa_status gqa_cuda_sum_pieces(struct gqa_device *device, void *out,
                                    const void *x, uint64_t width,
                                    uint64_t size, uint64_t n_out)
{
    const uint64_t n = device->n_sequences * n_out;
    const enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n == 0)
        return st;
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        sum_kernel<T><<<blocks_for(n), THREADS, 0, device->stream>>>(
            (T *)out, (const T *)x, batch_of(device), (int64_t)width,
            (int64_t)size, (int64_t)n_out, (int64_t)n);
    });
    return gqa_cuda_launched(device);
}

enum gqa_status gqa_cuda_sum_pieces_back(struct gqa_device *device, void *dx,
                                         const void *dy, uint64_t width,
                                         uint64_t size, uint64_t n_out)
{
    const struct batch_view batch = batch_of(device);
    const enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n_out == 0)
        return st;
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        spread_kernel<T><<<blocks_for((uint64_t)batch.n_rows), THREADS, 0,
                           device->stream>>>((T *)dx, (const T *)dy, batch,
                                             (int64_t)width, (int64_t)size,
                                             (int64_t)n_out);
    });
    return gqa_cuda_launched(device);
}
