/*
 * Norms, backwards. With d = x - mean (0 where the norm is RMS's), f = 1 /
 * sqrt(mean(d^2) + eps), g = dy * weight:
 *
 *   dx = f (g - mean(g) - d f^2 mean(g d)), the first mean of layer norms only
 *   d_weight += dy d f,   d_bias += dy
 */
#include "runtime/cuda/back.cuh"
#include "runtime/cuda/launch.cuh"
#include "runtime/cuda/norm_rows.cuh"
#include "runtime/cuda/pack.cuh"
#include "runtime/cuda/rows.cuh"
#include "runtime/cuda/sums.cuh"

enum { THREADS = NORM_THREADS, BLOCKS = 3, MOST_PARTS = 1024 };

/* stats [n_rows, 2]: mean and factor of a row. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    stats_kernel(double *stats, const T *x, int64_t n_rows, int64_t width,
                 struct norm_view norm)
{
    typedef typename real<T>::sum S;

    for (int64_t row = blockIdx.x; row < n_rows; row += gridDim.x) {
        const T *from = x + row * width;
        S mean = 0, square = 0;

        if (norm.centred) {
            for (int64_t c = threadIdx.x; c < width; c += THREADS)
                mean += real<T>::load(from[c]);
            mean = block_sum<THREADS>(mean) / (S)width;
        }
        for (int64_t c = threadIdx.x; c < width; c += THREADS) {
            const S d = real<T>::load(from[c]) - mean;

            square += d * d;
        }
        square = block_sum<THREADS>(square);
        if (threadIdx.x == 0) {
            stats[2 * row] = (double)mean;
            stats[2 * row + 1] =
                (double)((S)1 / sqrt(square / (S)width + (S)norm.eps));
        }
    }
}

/* A warp has rows, in registers (norm_rows.cuh): there are three matrices to
 * read, so that none has to be read ahead. dx may be dy: a thread writes where
 * it alone has read. */
template <typename T, int N, int PACKS, bool CENTRED>
static __global__ void __launch_bounds__(
    THREADS, sizeof(T) == 2 && PACKS < NORM_MOST_PACKS ? BLOCKS : 1)
    norm_back_rows_kernel(T *dx, const T *x, const T *dy, int64_t n_rows,
                          int width, struct norm_view norm)
{
    typedef typename real<T>::sum S;
    typedef struct norm_row<T, N, PACKS> row_of;
    const int64_t step = (int64_t)gridDim.x * NORM_WARPS;
    int64_t row = (int64_t)blockIdx.x * NORM_WARPS + threadIdx.x / 32;
    row_of some, slopes, out = {};
    S weights[PACKS][N];

    await_before();
    norm_weights<N, PACKS>(weights, norm.weight, width, (S)norm.plus);
    for (; row < n_rows; row += step) {
        S mean = 0, square = 0, both = 0, middle = 0, factor;

        some.load(x, row, n_rows, width);
        slopes.load(dy, row, n_rows, width);
        if (norm.accumulate)
            out.load(dx, row, n_rows, width);
        if (CENTRED)
            mean = some.mean(width);
#pragma unroll
        for (int i = 0; i < PACKS * N; i++) {
            const S d = row_of::is_in(i, width) ? some.at(i) - mean : 0;
            const S g = slopes.at(i) * weights[i / N][i % N];

            square += d * d;
            both += g * d;
            if (CENTRED)
                middle += g;
        }
        square = warp_sum(square);
        factor = (S)1 / sqrt(square / (S)width + (S)norm.eps);
        both = warp_sum(both) / (S)width * factor * factor;
        if (CENTRED)
            middle = warp_sum(middle) / (S)width;
#pragma unroll
        for (int i = 0; i < PACKS * N; i++) {
            const S g = slopes.at(i) * weights[i / N][i % N];
            S y = factor * (g - middle - (some.at(i) - mean) * both);

            if (norm.accumulate)
                y += out.at(i);
            some.set(i, y);
        }
        some.store(dx, row, width);
    }
}

/* A block has a row. dx may be dy, as above. */
template <typename T, int N>
static __global__ void __launch_bounds__(THREADS)
    norm_back_wide_kernel(T *dx, const T *x, const T *dy, int64_t n_rows,
                          int64_t width, struct norm_view norm)
{
    typedef typename real<T>::sum S;
    const int first = (int)threadIdx.x * N;

    for (int64_t row = blockIdx.x; row < n_rows; row += gridDim.x) {
        const T *from = x + row * width, *slopes = dy + row * width;
        T *to = dx + row * width;
        S mean = 0, square = 0, both = 0, middle = 0, factor;

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
            const pack<T, N> slope = pack_at<N>(slopes + c);
            S weights[N];

            weights_at(weights, norm.weight, c);
#pragma unroll
            for (int j = 0; j < N; j++) {
                const S d = real<T>::load(some.v[j]) - mean;
                const S g =
                    real<T>::load(slope.v[j]) * (weights[j] + (S)norm.plus);

                square += d * d;
                both += g * d;
                middle += g;
            }
        }
        square = block_sum<THREADS>(square);
        factor = (S)1 / sqrt(square / (S)width + (S)norm.eps);
        both = block_sum<THREADS>(both) / (S)width * factor * factor;
        middle = norm.centred ? block_sum<THREADS>(middle) / (S)width : 0;
        for (int64_t c = first; c < width; c += THREADS * N) {
            const pack<T, N> some = pack_at<N>(from + c);
            const pack<T, N> slope = pack_at<N>(slopes + c);
            pack<T, N> out = {};
            S weights[N];

            weights_at(weights, norm.weight, c);
            if (norm.accumulate)
                out = pack_at<N>(to + c);
#pragma unroll
            for (int j = 0; j < N; j++) {
                const S d = real<T>::load(some.v[j]) - mean;
                const S g =
                    real<T>::load(slope.v[j]) * (weights[j] + (S)norm.plus);
                S y = factor * (g - middle - d * both);

                if (norm.accumulate)
                    y += real<T>::load(out.v[j]);
                out.v[j] = real<T>::round(y);
            }
            pack_to(to + c, out);
        }
    }
}

enum gqa_status gqa_cuda_norm_back(struct gqa_device *device, void *dx,
                                   void *d_weight, void *d_bias, const void *x,
                                   const void *dy, uint64_t n_rows,
                                   uint64_t width, const struct gqa_norm_op *op,
                                   bool accumulate)
{
    const struct norm_view norm = norm_of(op, accumulate);
    const uint64_t stats_bytes = 2 * n_rows * sizeof(double);
    struct gqa_columns columns = {};
    bool whole;
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n_rows == 0)
        return st;
    if (d_weight || d_bias) {
        st = gqa_cuda_reserve(device, &device->back,
                              stats_bytes +
                                  gqa_cuda_columns_bytes(n_rows, width));
        if (st != GQA_OK)
            return st;
        columns.d_weight = (float *)d_weight;
        columns.d_bias = (float *)d_bias;
        columns.x = x;
        columns.dy = dy;
        columns.stats = (const double *)device->back.data;
        columns.n_rows = n_rows;
        columns.width = width;
        columns.room = (char *)device->back.data + stats_bytes;
        if (d_weight)
            with_real(device->real, [&](auto t) {
                typedef decltype(t) T;

                stats_kernel<T>
                    <<<blocks_for(n_rows), THREADS, 0, device->stream>>>(
                        (double *)device->back.data, (const T *)x,
                        (int64_t)n_rows, (int64_t)width, norm);
            });
        if ((st = gqa_cuda_launched(device)) != GQA_OK)
            return st;
        if ((st = gqa_cuda_add_columns(device, &columns)) != GQA_OK)
            return st;
    }
    /* The last, as dx may be dy. */
    if (!dx)
        return GQA_OK;
    whole = is_whole(device->real, width) && is_aligned(dx) && is_aligned(x) &&
            is_aligned(dy) && (!op->weight || is_aligned(op->weight->data));
    with_packs(device->real, whole, [&](auto t, auto n) {
        typedef decltype(t) T;
        constexpr int N = decltype(n)::value;

        if (width > norm_most_width<N>()) {
            norm_back_wide_kernel<T, N>
                <<<blocks_for(n_rows), THREADS, 0, device->stream>>>(
                    (T *)dx, (const T *)x, (const T *)dy, (int64_t)n_rows,
                    (int64_t)width, norm);
            return;
        }
        with_norm_packs<N>((int)width, [&](auto packs) {
            constexpr int PACKS = decltype(packs)::value;

            /* An error comes with gqa_cuda_launched(). */
            (void)launch_early(
                device->overlaps,
                norm.centred ? norm_back_rows_kernel<T, N, PACKS, true>
                             : norm_back_rows_kernel<T, N, PACKS, false>,
                norm_blocks(device, (int64_t)n_rows, BLOCKS), THREADS, 0,
                device->stream, (T *)dx, (const T *)x, (const T *)dy,
                (int64_t)n_rows, (int)width, norm);
        });
    });
    return gqa_cuda_launched(device);
}

/* A warp takes heads i, i + step, ...; each thread writes what it alone has
 * read. parts [warps, 2, head_dim], or NULL: a warp's sums for weights and
 * biases; a thread adds to its own columns. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    norm_heads_back_kernel(T *dy, const T *x, int64_t width, int64_t n_rows,
                           struct place_view place, int head_dim,
                           struct norm_view norm, float *parts)
{
    typedef typename real<T>::sum S;
    const int lane = (int)threadIdx.x % 32;
    const int64_t n = n_rows * place.n_heads;
    const int64_t step = (int64_t)gridDim.x * (THREADS / 32);
    const int64_t warp =
        (int64_t)blockIdx.x * (THREADS / 32) + threadIdx.x / 32;
    float *part = parts ? parts + warp * 2 * head_dim : NULL;

    for (int c = lane; part && c < 2 * head_dim; c += 32)
        part[c] = 0;
    __syncwarp();
    for (int64_t i = warp; i < n; i += step) {
        const int64_t at = i / place.n_heads * width +
                           head_at(place, (int)(i % place.n_heads), head_dim);
        const T *head = x + at;
        T *slopes = dy + at;
        S mean = 0, square = 0, both = 0, middle = 0, factor;

        if (norm.centred) {
            for (int c = lane; c < head_dim; c += 32)
                mean += real<T>::load(head[c]);
            mean = warp_sum(mean) / (S)head_dim;
        }
        for (int c = lane; c < head_dim; c += 32) {
            const S d = real<T>::load(head[c]) - mean;
            const S g = real<T>::load(slopes[c]) *
                        (weight_at<S>(norm.weight, c) + (S)norm.plus);

            square += d * d;
            both += g * d;
            middle += g;
        }
        factor = (S)1 / sqrt(warp_sum(square) / (S)head_dim + (S)norm.eps);
        both = warp_sum(both) / (S)head_dim * factor * factor;
        middle = norm.centred ? warp_sum(middle) / (S)head_dim : 0;
        for (int c = lane; c < head_dim; c += 32) {
            const S d = real<T>::load(head[c]) - mean;
            const S slope = real<T>::load(slopes[c]);
            const S g = slope * (weight_at<S>(norm.weight, c) + (S)norm.plus);

            if (part) {
                part[c] += (float)(slope * d * factor);
                part[head_dim + c] += (float)slope;
            }
            slopes[c] = real<T>::round(factor * (g - middle - d * both));
        }
    }
}

enum gqa_status gqa_cuda_norm_heads_back(struct gqa_device *device, void *dy,
                                         void *d_weight, void *d_bias,
                                         const void *x, uint64_t width,
                                         const struct gqa_head_place *place,
                                         uint64_t head_dim,
                                         const struct gqa_norm_op *op)
{
    const uint64_t n_rows = device->n_sequences * device->n_new;
    const uint64_t each = THREADS / 32;
    const struct norm_view norm = norm_of(op, false);
    const bool summed = d_weight || d_bias;
    unsigned n_blocks = blocks_for((n_rows * place->n_heads + each - 1) / each);
    uint64_t n_parts;
    float *parts = NULL;
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK)
        return st;
    if (summed && n_blocks > MOST_PARTS / each)
        n_blocks = MOST_PARTS / each;
    n_parts = n_blocks * each;
    if (summed) {
        st = gqa_cuda_reserve(device, &device->back,
                              n_parts * 2 * head_dim * sizeof *parts);
        if (st != GQA_OK)
            return st;
        parts = (float *)device->back.data;
    }
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        norm_heads_back_kernel<T><<<n_blocks, THREADS, 0, device->stream>>>(
            (T *)dy, (const T *)x, (int64_t)width, (int64_t)n_rows,
            place_of(place), (int)head_dim, norm, parts);
    });
    st = gqa_cuda_launched(device);
    if (st == GQA_OK && d_weight)
        st = gqa_cuda_add_parts(device, (float *)d_weight, parts, n_parts,
                                2 * head_dim, head_dim);
    if (st == GQA_OK && d_bias)
        st = gqa_cuda_add_parts(device, (float *)d_bias, parts + head_dim,
                                n_parts, 2 * head_dim, head_dim);
    return st;
}
