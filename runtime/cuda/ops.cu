/*
 * What surrounds products and attention: embedding, norms, rotation, the KV
 * cache, activations, gathering. Each reads and writes its elements once; a
 * block works on a row, or on a run of elements, and goes on to others where
 * there are more than a grid may have.
 */
#include "runtime/cuda/activation.cuh"
#include "runtime/cuda/device.cuh"
#include "runtime/cuda/pack.cuh"
#include "runtime/cuda/real.cuh"
#include "runtime/cuda/rows.cuh"
#include "runtime/cuda/sums.cuh"

enum { THREADS = 256 };

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    embed_kernel(T *out, struct batch_view batch, struct weight_view table,
                 double scale, struct weight_view positions, int64_t width)
{
    typedef typename real<T>::sum S;
    const S factor = real<T>::load(real<T>::round((S)scale));

    for (int64_t row = blockIdx.x; row < batch.n_rows; row += gridDim.x) {
        int64_t position = position_of(batch, row), token = batch.tokens[row];

        if (position < 0)
            position = 0;
        for (int64_t c = threadIdx.x; c < width; c += THREADS) {
            S x = weight_at<S>(table, token * width + c) * factor +
                  weight_at<S>(positions, position * width + c);

            out[row * width + c] = real<T>::round(x);
        }
    }
}

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    rotate_kernel(T *x, int64_t width, struct batch_view batch,
                  struct place_view place, int head_dim, int n_pairs,
                  bool interleaved, const float *cos_sin)
{
    typedef typename real<T>::sum S;
    const int n = place.n_heads * n_pairs;

    for (int64_t row = blockIdx.x; row < batch.n_rows; row += gridDim.x) {
        int64_t position = position_of(batch, row);
        const float *angles =
            cos_sin + (position < 0 ? 0 : position) * n_pairs * 2;

        for (int i = (int)threadIdx.x; i < n; i += THREADS) {
            int pair = i % n_pairs;
            T *head = x + row * width + head_at(place, i / n_pairs, head_dim);
            T *a = head + (interleaved ? 2 * pair : pair);
            T *b = interleaved ? a + 1 : a + n_pairs;
            S cosine = angles[2 * pair], sine = angles[2 * pair + 1];
            S from_a = real<T>::load(*a), from_b = real<T>::load(*b);

            *a = real<T>::round(from_a * cosine - from_b * sine);
            *b = real<T>::round(from_b * cosine + from_a * sine);
        }
    }
}

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    store_kernel(T *cache, int64_t capacity, const T *x, int64_t width,
                 struct batch_view batch, struct place_view place, int head_dim)
{
    const int n = place.n_heads * head_dim;

    for (int64_t row = blockIdx.x; row < batch.n_rows; row += gridDim.x) {
        int64_t position = position_of(batch, row);
        int64_t sequence = row / batch.n_new;

        if (position < 0 || position >= capacity)
            continue;
        for (int i = (int)threadIdx.x; i < n; i += THREADS) {
            int head = i / head_dim, d = i % head_dim;

            cache[((sequence * place.n_heads + head) * capacity + position) *
                      head_dim +
                  d] = x[row * width + head_at(place, head, head_dim) + d];
        }
    }
}

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    norm_kernel(T *out, const T *x, int64_t n_rows, int64_t width,
                struct norm_view norm)
{
    typedef typename real<T>::sum S;

    for (int64_t row = blockIdx.x; row < n_rows; row += gridDim.x) {
        const T *from = x + row * width;
        T *to = out + row * width;
        S mean = 0, square = 0, factor;

        if (norm.centred) {
            for (int64_t c = threadIdx.x; c < width; c += THREADS)
                mean += real<T>::load(from[c]);
            mean = block_sum<THREADS>(mean) / (S)width;
        }
        for (int64_t c = threadIdx.x; c < width; c += THREADS) {
            S d = real<T>::load(from[c]) - mean;

            square += d * d;
        }
        factor =
            (S)1 / sqrt(block_sum<THREADS>(square) / (S)width + (S)norm.eps);
        for (int64_t c = threadIdx.x; c < width; c += THREADS) {
            S y = (real<T>::load(from[c]) - mean) * factor;

            y = y * (weight_at<S>(norm.weight, c) + (S)norm.plus) +
                weight_at<S>(norm.bias, c);
            if (norm.accumulate)
                y += real<T>::load(to[c]);
            to[c] = real<T>::round(y);
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

/* 16 bytes at a time, where all begin at such a border: whole. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    activate_kernel(T *x, const T *up, int64_t n, bool whole,
                    enum gqa_activation which)
{
    constexpr int N = 16 / sizeof(T);
    const int64_t step = (int64_t)gridDim.x * THREADS * N;

    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * N; i < n;
         i += step) {
        const int count = n - i < N ? (int)(n - i) : N;
        pack<T, N> some = {}, factors = {};

        if (whole && count == N) {
            some = *(const pack<T, N> *)(x + i);
            if (up)
                factors = *(const pack<T, N> *)(up + i);
        } else {
            for (int j = 0; j < count; j++) {
                some.v[j] = x[i + j];
                if (up)
                    factors.v[j] = up[i + j];
            }
        }
#pragma unroll
        for (int j = 0; j < N; j++) {
            float y = activation((float)real<T>::load(some.v[j]), which);

            if (up)
                y *= (float)real<T>::load(factors.v[j]);
            some.v[j] = real<T>::round(y);
        }
        if (whole && count == N)
            *(pack<T, N> *)(x + i) = some;
        else
            for (int j = 0; j < count; j++)
                x[i + j] = some.v[j];
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

enum gqa_status gqa_cuda_embed(struct gqa_device *device, void *out,
                               const struct gqa_weight *table, double scale,
                               const struct gqa_weight *positions)
{
    const struct batch_view batch = batch_of(device);
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK)
        return st;
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        embed_kernel<T><<<blocks_for((uint64_t)batch.n_rows), THREADS, 0,
                          device->stream>>>((T *)out, batch, view_of(table),
                                            scale, view_of(positions),
                                            (int64_t)table->cols);
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
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK)
        return st;
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        rotate_kernel<T><<<blocks_for((uint64_t)batch.n_rows), THREADS, 0,
                           device->stream>>>(
            (T *)x, (int64_t)width, batch, place_of(place), (int)head_dim,
            (int)n_pairs, interleaved, (const float *)cos_sin);
    });
    return gqa_cuda_launched(device);
}

enum gqa_status gqa_cuda_store(struct gqa_device *device, void *cache,
                               uint64_t capacity, const void *x, uint64_t width,
                               const struct gqa_head_place *place,
                               uint64_t head_dim)
{
    const struct batch_view batch = batch_of(device);
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK)
        return st;
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        store_kernel<T><<<blocks_for((uint64_t)batch.n_rows), THREADS, 0,
                          device->stream>>>((T *)cache, (int64_t)capacity,
                                            (const T *)x, (int64_t)width, batch,
                                            place_of(place), (int)head_dim);
    });
    return gqa_cuda_launched(device);
}

enum gqa_status gqa_cuda_norm(struct gqa_device *device, void *out,
                              const void *x, uint64_t n_rows, uint64_t width,
                              const struct gqa_norm_op *op, bool accumulate)
{
    const struct norm_view norm = norm_of(op, accumulate);
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n_rows == 0)
        return st;
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        norm_kernel<T><<<blocks_for(n_rows), THREADS, 0, device->stream>>>(
            (T *)out, (const T *)x, (int64_t)n_rows, (int64_t)width, norm);
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

enum gqa_status gqa_cuda_activate(struct gqa_device *device, void *x,
                                  const void *up, uint64_t n,
                                  enum gqa_activation activation)
{
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n == 0)
        return st;
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        const uint64_t each = THREADS * (16 / sizeof(T));

        activate_kernel<T>
            <<<blocks_for((n + each - 1) / each), THREADS, 0, device->stream>>>(
                (T *)x, (const T *)up, (int64_t)n,
                is_aligned(x) && is_aligned(up), activation);
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
