/*
 * Norms of rows and of heads. A narrow row is a warp's, which holds it in
 * registers and has begun to read the next; a wide one a block's, which reads
 * it once for each of the norm's steps.
 */
#include "runtime/cuda/device.cuh"
#include "runtime/cuda/launch.cuh"
#include "runtime/cuda/norm_rows.cuh"
#include "runtime/cuda/pack.cuh"
#include "runtime/cuda/real.cuh"
#include "runtime/cuda/rows.cuh"
#include "runtime/cuda/sums.cuh"

enum { THREADS = NORM_THREADS, BLOCKS = 4 };

/* PLAIN: there is neither a mean, nor a bias, nor anything that is added to. */
template <typename T, int N, int PACKS, bool PLAIN>
static __global__ void __launch_bounds__(THREADS)
    norm_rows_kernel(T *out, const T *x, int64_t n_rows, int width,
                     struct norm_view norm)
{
    typedef typename real<T>::sum S;
    const int64_t step = (int64_t)gridDim.x * NORM_WARPS;
    int64_t row = (int64_t)blockIdx.x * NORM_WARPS + threadIdx.x / 32;
    struct norm_row<T, N, PACKS> next, some, before = {
    };
    S weights[PACKS][N], biases[PACKS][N];

    await_before();
    norm_weights<N, PACKS>(weights, norm.weight, width, (S)norm.plus);
    if (!PLAIN)
        norm_weights<N, PACKS>(biases, norm.bias, width, (S)0);
    next.load(x, row, n_rows, width);
    for (; row < n_rows; row += step) {
        S mean = 0, square = 0, factor;

        some = next;
        next.load(x, row + step, n_rows, width);
        if (!PLAIN && norm.accumulate)
            before.load(out, row, n_rows, width);
        if (!PLAIN && norm.centred)
            mean = some.mean(width);
#pragma unroll
        for (int i = 0; i < PACKS * N; i++) {
            const S d = some.is_in(i, width) ? some.at(i) - mean : 0;

            square += d * d;
        }
        factor = (S)1 / sqrt(warp_sum(square) / (S)width + (S)norm.eps);
#pragma unroll
        for (int i = 0; i < PACKS * N; i++) {
            S y = (some.at(i) - mean) * factor * weights[i / N][i % N];

            if (!PLAIN) {
                y += biases[i / N][i % N];
                if (norm.accumulate)
                    y += before.at(i);
            }
            some.set(i, y);
        }
        some.store(out, row, width);
    }
}

/* A block has a row. */
template <typename T, int N>
static __global__ void __launch_bounds__(THREADS)
    norm_wide_kernel(T *out, const T *x, int64_t n_rows, int64_t width,
                     struct norm_view norm)
{
    typedef typename real<T>::sum S;
    const int first = (int)threadIdx.x * N;

    for (int64_t row = blockIdx.x; row < n_rows; row += gridDim.x) {
        const T *from = x + row * width;
        T *to = out + row * width;
        S mean = 0, square = 0, factor;

        if (norm.centred) {
            for (int64_t c = first; c < width; c += THREADS * N) {
                const pack<T, N> some = pack_at<N>(from + c);

#pragma unroll
                for (int j = 0; j < N; j++)
                    mean += real<T>::load(some.v[j]);
            }
            mean = block_sum<THREADS>(mean) / (S)width;
        }
        for (int64_t c = first; c < width; c += THREADS * N) {
            const pack<T, N> some = pack_at<N>(from + c);

#pragma unroll
            for (int j = 0; j < N; j++) {
                const S d = real<T>::load(some.v[j]) - mean;

                square += d * d;
            }
        }
        square = block_sum<THREADS>(square);
        factor = (S)1 / sqrt(square / (S)width + (S)norm.eps);
        for (int64_t c = first; c < width; c += THREADS * N) {
            pack<T, N> some = pack_at<N>(from + c), before = {};
            S weights[N], biases[N];

            weights_at(weights, norm.weight, c);
            weights_at(biases, norm.bias, c);
            if (norm.accumulate)
                before = pack_at<N>(to + c);
#pragma unroll
            for (int j = 0; j < N; j++) {
                S y = (real<T>::load(some.v[j]) - mean) * factor;

                y = y * (weights[j] + (S)norm.plus) + biases[j];
                if (norm.accumulate)
                    y += real<T>::load(before.v[j]);
                some.v[j] = real<T>::round(y);
            }
            pack_to(to + c, some);
        }
    }
}

/* A warp takes a head; each thread writes what it alone has read. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    norm_heads_kernel(T *x, int64_t width, int64_t n_rows,
                      struct place_view place, int head_dim,
                      struct norm_view norm)
{
    typedef typename real<T>::sum S;
    const int lane = (int)threadIdx.x % 32;
    const int64_t n = n_rows * place.n_heads;
    const int64_t step = (int64_t)gridDim.x * (THREADS / 32);

    for (int64_t i = (int64_t)blockIdx.x * (THREADS / 32) + threadIdx.x / 32;
         i < n; i += step) {
        T *head = x + i / place.n_heads * width +
                  head_at(place, (int)(i % place.n_heads), head_dim);
        S mean = 0, square = 0, factor;

        if (norm.centred) {
            for (int c = lane; c < head_dim; c += 32)
                mean += real<T>::load(head[c]);
            mean = warp_sum(mean) / (S)head_dim;
        }
        for (int c = lane; c < head_dim; c += 32) {
            S d = real<T>::load(head[c]) - mean;

            square += d * d;
        }
        factor = (S)1 / sqrt(warp_sum(square) / (S)head_dim + (S)norm.eps);
        for (int c = lane; c < head_dim; c += 32) {
            S y = (real<T>::load(head[c]) - mean) * factor;

            head[c] = real<T>::round(
                y * (weight_at<S>(norm.weight, c) + (S)norm.plus) +
                weight_at<S>(norm.bias, c));
        }
    }
}

template <typename T, int N>
static void launch(const struct gqa_device *device, T *out, const T *x,
                   int64_t n_rows, int width, const struct norm_view &norm)
{
    const bool plain = !norm.centred && !norm.bias.data && !norm.accumulate;

    with_norm_packs<N>(width, [&](auto packs) {
        constexpr int PACKS = decltype(packs)::value;

        /* An error comes with gqa_cuda_launched(). */
        (void)launch_early(device->overlaps,
                           plain ? norm_rows_kernel<T, N, PACKS, true>
                                 : norm_rows_kernel<T, N, PACKS, false>,
                           norm_blocks(device, n_rows, BLOCKS), THREADS, 0,
                           device->stream, out, x, n_rows, width, norm);
    });
}

enum gqa_status gqa_cuda_norm(struct gqa_device *device, void *out,
                              const void *x, uint64_t n_rows, uint64_t width,
                              const struct gqa_norm_op *op, bool accumulate)
{
    const struct norm_view norm = norm_of(op, accumulate);
    const bool whole = is_whole(device->real, width) && is_aligned(out) &&
                       is_aligned(x) && is_whole_weight(op->weight) &&
                       is_whole_weight(op->bias);
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n_rows == 0)
        return st;
    with_packs(device->real, whole, [&](auto t, auto n) {
        typedef decltype(t) T;
        constexpr int N = decltype(n)::value;

        if (width <= norm_most_width<N>())
            launch<T, N>(device, (T *)out, (const T *)x, (int64_t)n_rows,
                         (int)width, norm);
        else
            norm_wide_kernel<T, N>
                <<<blocks_for(n_rows), THREADS, 0, device->stream>>>(
                    (T *)out, (const T *)x, (int64_t)n_rows, (int64_t)width,
                    norm);
    });
    return gqa_cuda_launched(device);
}

enum gqa_status gqa_cuda_norm_heads(struct gqa_device *device, void *x,
                                    uint64_t width,
                                    const struct gqa_head_place *place,
                                    uint64_t head_dim,
                                    const struct gqa_norm_op *op)
{
    const uint64_t n_rows = device->n_sequences * device->n_new;
    const uint64_t each = THREADS / 32;
    const struct norm_view norm = norm_of(op, false);
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK)
        return st;
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        norm_heads_kernel<T>
            <<<blocks_for((n_rows * place->n_heads + each - 1) / each), THREADS,
               0, device->stream>>>((T *)x, (int64_t)width, (int64_t)n_rows,
                                    place_of(place), (int)head_dim, norm);
    });
    return gqa_cuda_launched(device);
}
