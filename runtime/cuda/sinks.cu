/*
 * Scores of a softmax that belong to no key: one for each query head, without a
 * value. What attention made of the keys is divided by more, so that any of its
 * kernels will do; and its way back from there needs no more than what it is
 * given. A warp has a head of a row.
 */
#include "runtime/cuda/back.cuh"
#include "runtime/cuda/rows.cuh"
#include "runtime/cuda/sums.cuh"

enum { THREADS = 256, WARPS = THREADS / 32, PART_ROWS = 64 };

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    sink_kernel(T *out, float *lse, struct weight_view sinks, int64_t n,
                int64_t n_heads, int64_t head_dim)
{
    const int lane = threadIdx.x % 32;
    const int64_t step = (int64_t)gridDim.x * WARPS;

    for (int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32; i < n;
         i += step) {
        const float a = lse[i], b = weight_at<float>(sinks, i % n_heads);
        const float most = fmaxf(a, b), share = expf(a - most);
        const float all = share + expf(b - most);

        for (int64_t c = i * head_dim + lane; c < (i + 1) * head_dim; c += 32)
            out[c] =
                real<T>::round((float)real<T>::load(out[c]) * (share / all));
        __syncwarp();
        if (lane == 0)
            lse[i] = most + logf(all);
    }
}

enum gqa_status gqa_cuda_sink(struct gqa_device *device, void *out, void *lse,
                              const struct gqa_weight *sinks, uint64_t n_heads,
                              uint64_t head_dim)
{
    const uint64_t n = device->n_sequences * device->n_new * n_heads;
    const enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK)
        return st;
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        sink_kernel<T><<<blocks_for((n + WARPS - 1) / WARPS), THREADS, 0,
                         device->stream>>>((T *)out, (float *)lse,
                                           view_of(sinks), (int64_t)n,
                                           (int64_t)n_heads, (int64_t)head_dim);
    });
    return gqa_cuda_launched(device);
}

/* parts [n_parts, n_heads]: what a head's sink is to blame for in PART_ROWS
 * rows, which a block has. Rows of padding have no d_out. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    sink_back_kernel(float *parts, const T *out, const float *lse,
                     const T *d_out, struct weight_view sinks, int64_t n_rows,
                     int64_t n_heads, int64_t head_dim, int64_t n_blocks)
{
    const int lane = threadIdx.x % 32;

    for (int64_t block = blockIdx.x; block < n_blocks; block += gridDim.x) {
        const int64_t head = block % n_heads;
        const int64_t first = block / n_heads * PART_ROWS;
        const int64_t end =
            first + PART_ROWS < n_rows ? first + PART_ROWS : n_rows;
        const float sink = weight_at<float>(sinks, head);
        double sum = 0;

        for (int64_t row = first + threadIdx.x / 32; row < end; row += WARPS) {
            const int64_t i = row * n_heads + head;
            const double share = (double)expf(sink - lse[i]);

            for (int64_t c = i * head_dim + lane; c < (i + 1) * head_dim;
                 c += 32)
                sum -= share * (double)real<T>::load(out[c]) *
                       (double)real<T>::load(d_out[c]);
        }
        sum = block_sum<THREADS>(sum);
        if (threadIdx.x == 0)
            parts[block] = (float)sum;
    }
}

enum gqa_status gqa_cuda_sink_back(struct gqa_device *device, void *d_sinks,
                                   const void *out, const void *lse,
                                   const void *d_out,
                                   const struct gqa_weight *sinks,
                                   uint64_t n_heads, uint64_t head_dim)
{
    const uint64_t n_rows = device->n_sequences * device->n_new;
    const uint64_t n_parts = (n_rows + PART_ROWS - 1) / PART_ROWS;
    enum gqa_status st = gqa_cuda_enter(device);

    if (st == GQA_OK)
        st = gqa_cuda_reserve(device, &device->back,
                              n_parts * n_heads * sizeof(float));
    if (st != GQA_OK)
        return st;
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        sink_back_kernel<T>
            <<<blocks_for(n_parts * n_heads), THREADS, 0, device->stream>>>(
                (float *)device->back.data, (const T *)out, (const float *)lse,
                (const T *)d_out, view_of(sinks), (int64_t)n_rows,
                (int64_t)n_heads, (int64_t)head_dim,
                (int64_t)(n_parts * n_heads));
    });
    st = gqa_cuda_launched(device);
    return st == GQA_OK ? gqa_cuda_add_parts(device, (float *)d_sinks,
                                             (const float *)device->back.data,
                                             n_parts, n_heads, n_heads)
                        : st;
}
