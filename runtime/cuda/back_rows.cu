/*
 * Backwards through activations and limits; rows times rows; and squares as a
 * loss.
 */
#include "runtime/cuda/activation.cuh"
#include "runtime/cuda/back.cuh"
#include "runtime/cuda/launch.cuh"
#include "runtime/cuda/pack.cuh"
#include "runtime/cuda/rows.cuh"
#include "runtime/cuda/sums.cuh"

enum { THREADS = 256 };

/* N elements at a time. A thread has read what it writes to, as d_gate may be
 * dy. I: an integer that counts all. */
template <typename T, int N, enum gqa_activation WHICH, typename I>
static __global__ void __launch_bounds__(THREADS)
    activate_back_kernel(T *d_gate, T *d_up, I d_width, const T *gate,
                         const T *up, const T *dy, I n_rows, I width)
{
    const I n = n_rows * (width / N), step = (I)gridDim.x * THREADS;

    await_before();
    for (I i = (I)blockIdx.x * THREADS + threadIdx.x; i < n; i += step) {
        const I row = i / (width / N), column = i % (width / N) * N;
        const I to = row * d_width + column;
        const pack<T, N> gates = pack_at<N>(gate + i * N);
        pack<T, N> slopes = pack_at<N>(dy + i * N), ups = {}, d_ups;

        if (up)
            ups = pack_at<N>(up + i * N);
#pragma unroll
        for (int j = 0; j < N; j++) {
            const float d = (float)real<T>::load(slopes.v[j]);
            float y, slope;

            activation_slope<T, WHICH>(&y, &slope,
                                       (float)real<T>::load(gates.v[j]));
            d_ups.v[j] = real<T>::round(d * y);
            if (up)
                slope *= (float)real<T>::load(ups.v[j]);
            slopes.v[j] = real<T>::round(d * slope);
        }
        pack_to(d_gate + to, slopes);
        if (up)
            pack_to(d_up + to, d_ups);
    }
}

enum gqa_status gqa_cuda_activate_back(struct gqa_device *device, void *d_gate,
                                       void *d_up, uint64_t d_width,
                                       const void *gate, const void *up,
                                       const void *dy, uint64_t n_rows,
                                       uint64_t width,
                                       enum gqa_activation activation)
{
    const bool whole = is_whole(device->real, width) &&
                       is_whole(device->real, d_width) && is_aligned(d_gate) &&
                       is_aligned(d_up) && is_aligned(gate) && is_aligned(up) &&
                       is_aligned(dy);
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n_rows * width == 0)
        return st;
    with_packs(device->real, whole, [&](auto t, auto n) {
        typedef decltype(t) T;
        constexpr int N = decltype(n)::value;
        const uint64_t each = (uint64_t)THREADS * N;
        const unsigned n_blocks =
            blocks_for((n_rows * width + each - 1) / each);

        with_activation(activation, [&](auto which) {
            constexpr enum gqa_activation WHICH = decltype(which)::value;
            auto launch = [&](auto i) {
                typedef decltype(i) I;

                /* An error comes with gqa_cuda_launched(). */
                (void)launch_early(
                    device->overlaps, activate_back_kernel<T, N, WHICH, I>,
                    n_blocks, THREADS, 0, device->stream, (T *)d_gate,
                    (T *)d_up, (I)d_width, (const T *)gate, (const T *)up,
                    (const T *)dy, (I)n_rows, (I)width);
            };

            /* Numbers of 32 bits are divided in a fraction of the time. */
            if (n_rows * d_width <= INT32_MAX)
                launch(uint32_t());
            else
                launch(uint64_t());
        });
    });
    return gqa_cuda_launched(device);
}

/* A part of the elements for each block, whatever the device: parts [n_parts,
 * 2] are what of the sums each has. */
enum { PART_ELEMENTS = 16 * THREADS };

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    xielu_back_kernel(T *dx, double *parts, const T *x, const T *dy, int64_t n,
                      int64_t n_parts, struct gqa_xielu c)
{
    const float positive = (float)c.positive, negative = (float)c.negative;
    const float beta = (float)c.beta, eps = (float)c.eps;

    for (int64_t part = blockIdx.x; part < n_parts; part += gridDim.x) {
        const int64_t first = part * PART_ELEMENTS;
        const int64_t end =
            first + PART_ELEMENTS < n ? first + PART_ELEMENTS : n;
        double above = 0, below = 0;

        for (int64_t i = first + threadIdx.x; i < end; i += THREADS) {
            const float y = (float)real<T>::load(x[i]);
            const float d = (float)real<T>::load(dy[i]);
            const float grown = expm1f(y > eps ? eps : y);
            float slope;

            if (y > 0) {
                above += (double)d * (double)y * (double)y;
                slope = 2 * positive * y + beta;
            } else {
                below += (double)d * (double)(grown - y);
                slope = negative * (y > eps ? -1 : grown) + beta;
            }
            dx[i] = real<T>::round(d * slope);
        }
        above = block_sum<THREADS>(above);
        below = block_sum<THREADS>(below);
        if (threadIdx.x == 0) {
            parts[2 * part] = above;
            parts[2 * part + 1] = below;
        }
    }
}

enum gqa_status gqa_cuda_xielu_back(struct gqa_device *device, void *dx,
                                    void *sums, const void *x, const void *dy,
                                    uint64_t n,
                                    const struct gqa_xielu *constants)
{
    const uint64_t n_parts = (n + PART_ELEMENTS - 1) / PART_ELEMENTS;
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n == 0)
        return st;
    st = gqa_cuda_reserve(device, &device->back, 2 * n_parts * sizeof(double));
    if (st != GQA_OK)
        return st;
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        xielu_back_kernel<T>
            <<<blocks_for(n_parts), THREADS, 0, device->stream>>>(
                (T *)dx, (double *)device->back.data, (const T *)x,
                (const T *)dy, (int64_t)n, (int64_t)n_parts, *constants);
    });
    st = gqa_cuda_launched(device);
    if (st != GQA_OK || !sums)
        return st;
    return gqa_cuda_add_sums(device, (double *)sums,
                             (const double *)device->back.data, n_parts, 2);
}

/* What is kept within a limit has no slope beyond it. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    swiglu_pairs_back_kernel(T *dx, const T *x, const T *dy, int64_t n,
                             float alpha, float limit)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;

    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n;
         i += step) {
        const float gate = (float)real<T>::load(x[2 * i]);
        const float up = (float)real<T>::load(x[2 * i + 1]);
        const float d = (float)real<T>::load(dy[i]);
        const float g = gate > limit ? limit : gate;
        const float u = up > limit ? limit : up < -limit ? -limit : up;
        const float share = 1 / (1 + expf(-alpha * g));
        const float slope = share + g * share * (1 - share) * alpha;

        dx[2 * i] = real<T>::round(gate <= limit ? d * (u + 1) * slope : 0.0f);
        dx[2 * i + 1] =
            real<T>::round(up >= -limit && up <= limit ? d * g * share : 0.0f);
    }
}

enum gqa_status gqa_cuda_swiglu_pairs_back(
    struct gqa_device *device, void *dx, const void *x, const void *dy,
    uint64_t n, const struct gqa_clamped_swiglu *constants)
{
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n == 0)
        return st;
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        swiglu_pairs_back_kernel<T><<<blocks_for((n + THREADS - 1) / THREADS),
                                      THREADS, 0, device->stream>>>(
            (T *)dx, (const T *)x, (const T *)dy, (int64_t)n,
            (float)constants->alpha, (float)constants->limit);
    });
    return gqa_cuda_launched(device);
}

/* A NaN is beyond any limit. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    clip_back_kernel(T *dy, const T *x, int64_t n, float limit)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;

    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n;
         i += step) {
        const float at = (float)real<T>::load(x[i]);

        if (!(at >= -limit && at <= limit))
            dy[i] = real<T>::round(0.0f);
    }
}

enum gqa_status gqa_cuda_clip_back(struct gqa_device *device, void *dy,
                                   const void *x, uint64_t n, double limit)
{
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n == 0)
        return st;
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        clip_back_kernel<T><<<blocks_for((n + THREADS - 1) / THREADS), THREADS,
                              0, device->stream>>>((T *)dy, (const T *)x,
                                                   (int64_t)n, (float)limit);
    });
    return gqa_cuda_launched(device);
}

/* sums[row] = x[row] . y[row]. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    dot_rows_kernel(double *sums, const T *x, const T *y, int64_t n_rows,
                    int64_t width)
{
    for (int64_t row = blockIdx.x; row < n_rows; row += gridDim.x) {
        double sum = 0;

        for (int64_t c = row * width + threadIdx.x; c < (row + 1) * width;
             c += THREADS)
            sum += (double)real<T>::load(x[c]) * (double)real<T>::load(y[c]);
        sum = block_sum<THREADS>(sum);
        if (threadIdx.x == 0)
            sums[row] = sum;
    }
}

enum gqa_status gqa_cuda_dot_rows(struct gqa_device *device, double *out,
                                  const void *x, const void *y, uint64_t width,
                                  uint64_t n_rows)
{
    const uint64_t n_bytes = n_rows * sizeof *out;
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n_rows == 0)
        return st;
    st = gqa_cuda_reserve(device, &device->back, n_bytes);
    if (st != GQA_OK)
        return st;
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        dot_rows_kernel<T><<<blocks_for(n_rows), THREADS, 0, device->stream>>>(
            (double *)device->back.data, (const T *)x, (const T *)y,
            (int64_t)n_rows, (int64_t)width);
    });
    st = gqa_cuda_launched(device);
    if (st == GQA_OK)
        st = gqa_cuda_check(
            device, cudaMemcpyAsync(out, device->back.data, n_bytes,
                                    cudaMemcpyDeviceToHost, device->stream));
    return st == GQA_OK
               ? gqa_cuda_check(device, cudaStreamSynchronize(device->stream))
               : st;
}

/* sums[row] = factor / 2 * |x - target|^2. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    squares_kernel(T *dx, const T *x, const T *target, struct batch_view batch,
                   int64_t n_rows, int64_t width, double factor, double *sums)
{
    typedef typename real<T>::sum S;

    for (int64_t row = blockIdx.x; row < n_rows; row += gridDim.x) {
        const bool padding = position_of(batch, row) < 0;
        double sum = 0;

        for (int64_t c = row * width + threadIdx.x; c < (row + 1) * width;
             c += THREADS) {
            const S d =
                padding ? (S)0
                        : (S)(real<T>::load(x[c]) - real<T>::load(target[c]));

            sum += (double)d * (double)d;
            if (dx)
                dx[c] = real<T>::round((S)factor * d);
        }
        sum = block_sum<THREADS>(sum);
        if (threadIdx.x == 0)
            sums[row] = factor / 2 * sum;
    }
}

enum gqa_status gqa_cuda_squares(struct gqa_device *device, void *dx,
                                 const void *x, const void *target,
                                 uint64_t n_rows, uint64_t width, double factor,
                                 void *sum)
{
    const struct batch_view batch = batch_of(device);
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n_rows == 0)
        return st;
    st = gqa_cuda_reserve(device, &device->back, n_rows * sizeof(double));
    if (st != GQA_OK)
        return st;
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        squares_kernel<T><<<blocks_for(n_rows), THREADS, 0, device->stream>>>(
            (T *)dx, (const T *)x, (const T *)target, batch, (int64_t)n_rows,
            (int64_t)width, factor, (double *)device->back.data);
    });
    st = gqa_cuda_launched(device);
    if (st != GQA_OK || !sum)
        return st;
    return gqa_cuda_add_sums(device, (double *)sum,
                             (const double *)device->back.data, n_rows, 1);
}
