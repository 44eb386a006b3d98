/*
 * What surrounds products and attention: embedding, rotation, the KV cache,
 * activations, gathering. Each reads and writes its elements once; a
 * block works on a row, or on a run of elements, and goes on to others where
 * there are more than a grid may have.
 */
#include "runtime/cuda/activation.cuh"
#include "runtime/cuda/device.cuh"
#include "runtime/cuda/pack.cuh"
#include "runtime/cuda/real.cuh"
#include "runtime/cuda/rows.cuh"
#include "runtime/cuda/sums.cuh"
#include "runtime/cuda/turn.cuh"

enum { THREADS = 256 };

/* A thread has N columns of a row. */
template <typename T, int N>
static __global__ void __launch_bounds__(THREADS)
    embed_kernel(T *out, struct batch_view batch, struct weight_view table,
                 double scale, struct weight_view positions, bool one_place,
                 int64_t width)
{
    typedef typename real<T>::sum S;
    const S factor = real<T>::load(real<T>::round((S)scale));
    const int64_t each = width / N, n = batch.n_rows * each;
    const int64_t step = (int64_t)gridDim.x * THREADS;

    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n;
         i += step) {
        const int64_t row = i / each, c = i % each * N;
        const int64_t position = one_place ? 0 : position_of(batch, row);
        pack<T, N> some;
        S x[N], more[N];

        weights_at(x, table, batch.tokens[row] * width + c);
        weights_at(more, positions, (position < 0 ? 0 : position) * width + c);
#pragma unroll
        for (int j = 0; j < N; j++)
            some.v[j] = real<T>::round(x[j] * factor + more[j]);
        pack_to(out + i * N, some);
    }
}

/* A thread has N pairs of a head: those that begin the one half and the other,
 * or follow each other. */
template <typename T, int N, bool INTERLEAVED>
static __global__ void __launch_bounds__(THREADS)
    rotate_kernel(T *x, int64_t width, struct batch_view batch,
                  struct place_view place, int head_dim, int n_pairs,
                  const float *cos_sin)
{
    const int each = n_pairs / N, n_of_row = place.n_heads * each;
    const int64_t n = batch.n_rows * n_of_row;
    const int64_t step = (int64_t)gridDim.x * THREADS;

    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n;
         i += step) {
        const int64_t row = i / n_of_row;
        const int at = (int)(i % n_of_row), pair = at % each * N;
        const int64_t position = position_of(batch, row);
        const pack<float, 2 *N> angles = pack_at<2 * N>(
            cos_sin + ((position < 0 ? 0 : position) * n_pairs + pair) * 2);
        T *head = x + row * width + head_at(place, at / each, head_dim);
        T *first = head + (INTERLEAVED ? 2 * pair : pair);
        T *second = first + (INTERLEAVED ? N : n_pairs);
        pack<T, N> both[2] = {pack_at<N>(first), pack_at<N>(second)};

        turn_pairs<T, N, INTERLEAVED>(both, angles, 1);
        pack_to(first, both[0]);
        pack_to(second, both[1]);
    }
}

template <typename T, int N>
static __global__ void __launch_bounds__(THREADS)
    store_kernel(T *cache, int64_t capacity, const T *x, int64_t width,
                 struct batch_view batch, struct place_view place, int head_dim)
{
    const int each = head_dim / N, n_of_row = place.n_heads * each;
    const int64_t n = batch.n_rows * n_of_row;
    const int64_t step = (int64_t)gridDim.x * THREADS;

    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n;
         i += step) {
        const int64_t row = i / n_of_row, sequence = row / batch.n_new;
        const int64_t position = position_of(batch, row);
        const int at = (int)(i % n_of_row), head = at / each;
        const int d = at % each * N;

        if (position < 0 || position >= capacity)
            continue;
        pack_to(
            cache +
                ((sequence * place.n_heads + head) * capacity + position) *
                    head_dim +
                d,
            pack_at<N>(x + row * width + head_at(place, head, head_dim) + d));
    }
}

/* As weigh_rows() of the backend. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    weigh_rows_kernel(T *out, const T *x, const T *less,
                      struct weight_view bias, int64_t width, const T *by,
                      int64_t by_width, int64_t n_rows)
{
    typedef typename real<T>::sum S;

    for (int64_t row = blockIdx.x; row < n_rows; row += gridDim.x) {
        const int64_t at = row * width;
        S square = 0, factor;

        for (int64_t c = threadIdx.x; c < by_width; c += THREADS) {
            const S y = real<T>::load(by[row * by_width + c]);

            square += y * y;
        }
        square = block_sum<THREADS>(square);
        factor = square > 0 ? sqrt((S)by_width / square) : 0;
        for (int64_t c = threadIdx.x; c < width; c += THREADS) {
            S y = real<T>::load(x[at + c]);

            if (less)
                y -= real<T>::load(less[at + c]) + weight_at<S>(bias, c);
            out[at + c] = real<T>::round(factor * y);
        }
    }
}

static __global__ void __launch_bounds__(THREADS)
    cap_kernel(float *x, int64_t n, float cap)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;

    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n;
         i += step)
        x[i] = cap * tanhf(x[i] / cap);
}

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    clip_kernel(T *x, int64_t n, float limit)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;

    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n;
         i += step) {
        const float y = (float)real<T>::load(x[i]);

        if (y > limit || y < -limit) /* a NaN is neither */
            x[i] = real<T>::round(y > 0 ? limit : -limit);
    }
}

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    xielu_kernel(T *x, int64_t n, struct gqa_xielu c)
{
    const float positive = (float)c.positive, negative = (float)c.negative;
    const float beta = (float)c.beta, eps = (float)c.eps;
    const int64_t step = (int64_t)gridDim.x * THREADS;

    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n;
         i += step) {
        const float y = (float)real<T>::load(x[i]);

        x[i] = real<T>::round(
            y > 0 ? (positive * y + beta) * y
                  : negative * (expm1f(y > eps ? eps : y) - y) + beta * y);
    }
}

/* A NaN is within any limit. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    swiglu_pairs_kernel(T *out, const T *x, int64_t n, float alpha, float limit)
{
    typedef typename real<T>::sum S;
    const int64_t step = (int64_t)gridDim.x * THREADS;

    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n;
         i += step) {
        S gate = real<T>::load(x[2 * i]), up = real<T>::load(x[2 * i + 1]);

        gate = gate > (S)limit ? (S)limit : gate;
        up = up > (S)limit ? (S)limit : up < -(S)limit ? -(S)limit : up;
        out[i] = real<T>::round((up + 1) * gate / (1 + exp(-(S)alpha * gate)));
    }
}

/* 16 bytes at a time, where all begin at such a border: whole. A thread has
 * read what it writes to, as out may be x. */
template <typename T, enum gqa_activation WHICH>
static __global__ void __launch_bounds__(THREADS)
    activate_kernel(T *out, const T *x, const T *up, int64_t n, bool whole)
{
    constexpr int N = 16 / sizeof(T);
    const int64_t step = (int64_t)gridDim.x * THREADS * N;

    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * N; i < n;
         i += step) {
        const int count = n - i < N ? (int)(n - i) : N;
        pack<T, N> some = {}, factors = {};

        if (whole && count == N) {
            some = pack_at<N>(x + i);
            if (up)
                factors = pack_at<N>(up + i);
        } else {
#pragma unroll
            for (int j = 0; j < N; j++)
                if (j < count) {
                    some.v[j] = x[i + j];
                    if (up)
                        factors.v[j] = up[i + j];
                }
        }
#pragma unroll
        for (int j = 0; j < N; j++) {
            float y = activation<T, WHICH>((float)real<T>::load(some.v[j]));

            if (up)
                y *= (float)real<T>::load(factors.v[j]);
            some.v[j] = real<T>::round(y);
        }
        if (whole && count == N) {
            pack_to(out + i, some);
        } else {
#pragma unroll
            for (int j = 0; j < N; j++)
                if (j < count)
                    out[i + j] = some.v[j];
        }
    }
}

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    gather_kernel(T *out, const T *x, int64_t width, const uint64_t *rows,
                  int64_t n_rows)
{
    for (int64_t row = blockIdx.x; row < n_rows; row += gridDim.x) {
        const T *from = x + (int64_t)rows[row] * width;

        for (int64_t c = threadIdx.x; c < width; c += THREADS)
            out[row * width + c] = from[c];
    }
}

/* rows and weights may be NULL, as add_rows() of the backend has them. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    add_rows_kernel(T *out, const T *x, int64_t width, const uint64_t *rows,
                    const double *weights, double scale, int64_t n_rows)
{
    typedef typename real<T>::sum S;

    for (int64_t row = blockIdx.x; row < n_rows; row += gridDim.x) {
        T *to = out + (rows ? (int64_t)rows[row] : row) * width;
        const S factor = (S)(scale * (weights ? weights[row] : 1));

        for (int64_t c = threadIdx.x; c < width; c += THREADS)
            to[c] = real<T>::round(real<T>::load(to[c]) +
                                   factor * real<T>::load(x[row * width + c]));
    }
}

/* Blocks for n rows of `each` pieces of work, one a thread. */
static unsigned blocks_of(int64_t n_rows, uint64_t each)
{
    return blocks_for(((uint64_t)n_rows * each + THREADS - 1) / THREADS);
}

enum gqa_status gqa_cuda_embed(struct gqa_device *device, void *out,
                               const struct gqa_weight *table, double scale,
                               const struct gqa_weight *positions)
{
    const struct batch_view batch = batch_of(device);
    const uint64_t width = (table ? table : positions)->cols;
    const bool one_place = positions && positions->rows == 1;
    const bool whole = is_whole(device->real, width) && is_aligned(out) &&
                       is_whole_weight(table) && is_whole_weight(positions);
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK)
        return st;
    with_packs(device->real, whole, [&](auto t, auto n) {
        typedef decltype(t) T;
        constexpr int N = decltype(n)::value;

        embed_kernel<T, N><<<blocks_of(batch.n_rows, width / N), THREADS, 0,
                             device->stream>>>((T *)out, batch, view_of(table),
                                               scale, view_of(positions),
                                               one_place, (int64_t)width);
    });
    return gqa_cuda_launched(device);
}

enum gqa_status gqa_cuda_rotate(struct gqa_device *device, void *x,
                                uint64_t width,
                                const struct gqa_head_place *place,
                                uint64_t head_dim, uint64_t n_pairs,
                                bool interleaved, const void *cos_sin)
{
    const struct batch_view batch = batch_of(device);
    const bool whole = are_whole(device->real, width, place, head_dim) &&
                       is_whole(device->real, n_pairs) && is_aligned(x) &&
                       is_aligned(cos_sin);
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n_pairs == 0)
        return st;
    with_packs(device->real, whole, [&](auto t, auto n) {
        typedef decltype(t) T;
        constexpr int N = decltype(n)::value;

        (interleaved ? rotate_kernel<T, N, true>
                     : rotate_kernel<T, N, false>)<<<
            blocks_of(batch.n_rows, place->n_heads * (n_pairs / N)), THREADS, 0,
            device->stream>>>((T *)x, (int64_t)width, batch, place_of(place),
                              (int)head_dim, (int)n_pairs,
                              (const float *)cos_sin);
    });
    return gqa_cuda_launched(device);
}

enum gqa_status gqa_cuda_store(struct gqa_device *device, void *cache,
                               uint64_t capacity, const void *x, uint64_t width,
                               const struct gqa_head_place *place,
                               uint64_t head_dim)
{
    const struct batch_view batch = batch_of(device);
    const bool whole = are_whole(device->real, width, place, head_dim) &&
                       is_aligned(x) && is_aligned(cache);
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK)
        return st;
    with_packs(device->real, whole, [&](auto t, auto n) {
        typedef decltype(t) T;
        constexpr int N = decltype(n)::value;

        store_kernel<T, N>
            <<<blocks_of(batch.n_rows, place->n_heads * (head_dim / N)),
               THREADS, 0, device->stream>>>(
                (T *)cache, (int64_t)capacity, (const T *)x, (int64_t)width,
                batch, place_of(place), (int)head_dim);
    });
    return gqa_cuda_launched(device);
}

enum gqa_status gqa_cuda_weigh_rows(struct gqa_device *device, void *out,
                                    const void *x, const void *less,
                                    const struct gqa_weight *bias,
                                    uint64_t width, const void *by,
                                    uint64_t by_width, uint64_t n_rows)
{
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n_rows == 0)
        return st;
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        weigh_rows_kernel<T>
            <<<blocks_for(n_rows), THREADS, 0, device->stream>>>(
                (T *)out, (const T *)x, (const T *)less, view_of(bias),
                (int64_t)width, (const T *)by, (int64_t)by_width,
                (int64_t)n_rows);
    });
    return gqa_cuda_launched(device);
}

enum gqa_status gqa_cuda_soft_cap(struct gqa_device *device, void *x,
                                  uint64_t n, double cap)
{
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n == 0)
        return st;
    cap_kernel<<<blocks_for((n + THREADS - 1) / THREADS), THREADS, 0,
                 device->stream>>>((float *)x, (int64_t)n, (float)cap);
    return gqa_cuda_launched(device);
}

enum gqa_status gqa_cuda_clip(struct gqa_device *device, void *x, uint64_t n,
                              double limit)
{
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n == 0)
        return st;
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        clip_kernel<T><<<blocks_for((n + THREADS - 1) / THREADS), THREADS, 0,
                         device->stream>>>((T *)x, (int64_t)n, (float)limit);
    });
    return gqa_cuda_launched(device);
}

enum gqa_status gqa_cuda_xielu(struct gqa_device *device, void *x, uint64_t n,
                               const struct gqa_xielu *constants)
{
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n == 0)
        return st;
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        xielu_kernel<T><<<blocks_for((n + THREADS - 1) / THREADS), THREADS, 0,
                          device->stream>>>((T *)x, (int64_t)n, *constants);
    });
    return gqa_cuda_launched(device);
}

enum gqa_status gqa_cuda_swiglu_pairs(
    struct gqa_device *device, void *out, const void *x, uint64_t n,
    const struct gqa_clamped_swiglu *constants)
{
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n == 0)
        return st;
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        swiglu_pairs_kernel<T><<<blocks_for((n + THREADS - 1) / THREADS),
                                 THREADS, 0, device->stream>>>(
            (T *)out, (const T *)x, (int64_t)n, (float)constants->alpha,
            (float)constants->limit);
    });
    return gqa_cuda_launched(device);
}

enum gqa_status gqa_cuda_activate(struct gqa_device *device, void *out,
                                  const void *x, const void *up, uint64_t n,
                                  enum gqa_activation activation)
{
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n == 0)
        return st;
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        const uint64_t each = THREADS * (16 / sizeof(T));

        with_activation(activation, [&](auto which) {
            activate_kernel<T, decltype(which)::value>
                <<<blocks_for((n + each - 1) / each), THREADS, 0,
                   device->stream>>>(
                    (T *)out, (const T *)x, (const T *)up, (int64_t)n,
                    is_aligned(out) && is_aligned(x) && is_aligned(up));
        });
    });
    return gqa_cuda_launched(device);
}

enum gqa_status gqa_cuda_gather(struct gqa_device *device, void *out,
                                const void *x, uint64_t width,
                                const uint64_t *rows, uint64_t n_rows)
{
    const uint64_t n_bytes = n_rows * sizeof *rows;
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n_rows == 0)
        return st;
    if ((st = gqa_cuda_reserve(device, &device->row_numbers, n_bytes)) !=
        GQA_OK)
        return st;
    st = gqa_cuda_send(device, device->row_numbers.data, rows, n_bytes);
    if (st != GQA_OK)
        return st;
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        gather_kernel<T><<<blocks_for(n_rows), THREADS, 0, device->stream>>>(
            (T *)out, (const T *)x, (int64_t)width,
            (const uint64_t *)device->row_numbers.data, (int64_t)n_rows);
    });
    return gqa_cuda_launched(device);
}

enum gqa_status gqa_cuda_add_rows(struct gqa_device *device, void *out,
                                  const void *x, uint64_t width,
                                  const uint64_t *rows, const double *weights,
                                  double scale, uint64_t n_rows)
{
    /* Numbers first, then weights: both of eight bytes. */
    const uint64_t n_bytes = n_rows * sizeof *rows;
    enum gqa_status st = gqa_cuda_enter(device);
    uint64_t *numbers;
    double *shares;

    if (st != GQA_OK || n_rows == 0)
        return st;
    if ((st = gqa_cuda_reserve(device, &device->row_numbers, 2 * n_bytes)) !=
        GQA_OK)
        return st;
    numbers = (uint64_t *)device->row_numbers.data;
    shares = (double *)(void *)(numbers + n_rows);
    if (rows && (st = gqa_cuda_send(device, numbers, rows, n_bytes)) != GQA_OK)
        return st;
    if (weights &&
        (st = gqa_cuda_send(device, shares, weights, n_bytes)) != GQA_OK)
        return st;
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        add_rows_kernel<T><<<blocks_for(n_rows), THREADS, 0, device->stream>>>(
            (T *)out, (const T *)x, (int64_t)width, rows ? numbers : nullptr,
            weights ? shares : nullptr, scale, (int64_t)n_rows);
    });
    return gqa_cuda_launched(device);
}
