/* What two models' logits have between them, in float64. */
#include <math.h>

#include "runtime/cuda/back.cuh"
#include "runtime/cuda/rows.cuh"
#include "runtime/cuda/sums.cuh"

enum { THREADS = 128 };

struct top {
    float value;
    int64_t at;
    int finite;
};

/* The larger, the first of equals. */
static __device__ __forceinline__ struct top larger(struct top a, struct top b)
{
    const bool second =
        b.value > a.value || (b.value == a.value && b.at < a.at);
    struct top most = second ? b : a;

    most.finite = a.finite && b.finite;
    return most;
}

/* Of a row, for all threads of the block. */
static __device__ struct top find_top(const float *row, int64_t n)
{
    __shared__ struct top tops[THREADS / 32];
    struct top most = {-INFINITY, n, 1};

    for (int64_t i = threadIdx.x; i < n; i += THREADS)
        most = larger(most, {row[i], i, isfinite(row[i]) ? 1 : 0});
    for (int offset = 16; offset > 0; offset /= 2) {
        struct top other;

        other.value = __shfl_xor_sync(0xffffffffu, most.value, offset);
        other.at = __shfl_xor_sync(0xffffffffu, most.at, offset);
        other.finite = __shfl_xor_sync(0xffffffffu, most.finite, offset);
        most = larger(most, other);
    }
    __syncthreads(); /* the last have been read */
    if (threadIdx.x % 32 == 0)
        tops[threadIdx.x / 32] = most;
    __syncthreads();
    for (int i = 0; i < THREADS / 32; i++)
        most = larger(most, tops[i]);
    return most;
}

static __device__ double log_sum(const float *row, int64_t n, float most)
{
    double sum = 0;

    for (int64_t i = threadIdx.x; i < n; i += THREADS)
        sum += exp((double)row[i] - (double)most);
    return (double)most + log(block_sum<THREADS>(sum));
}

static __global__ void __launch_bounds__(THREADS)
    compare_kernel(struct gqa_logit_comparison *out, const float *original,
                   const float *converted, int64_t n_rows, int64_t n,
                   const int32_t *labels)
{
    for (int64_t r = blockIdx.x; r < n_rows; r += gridDim.x) {
        const float *p = original + r * n, *q = converted + r * n;
        const struct top top_p = find_top(p, n), top_q = find_top(q, n);
        const int32_t label = labels[r];
        struct gqa_logit_comparison c = {
            0, {0, 0}, 0, {top_p.finite, top_q.finite}};

        if (top_p.finite && top_q.finite) {
            const double sum_p = log_sum(p, n, top_p.value);
            const double sum_q = log_sum(q, n, top_q.value);
            double kl = 0;

            for (int64_t i = threadIdx.x; i < n; i += THREADS) {
                const double log_p = (double)p[i] - sum_p;
                const double share = exp(log_p);

                if (share > 0)
                    kl += share * (log_p - ((double)q[i] - sum_q));
            }
            kl = block_sum<THREADS>(kl);
            c.kl = kl < 0 ? 0 : kl;
            c.same = top_p.at == top_q.at;
            if (label >= 0) {
                c.log_likelihood[0] = (double)p[label] - sum_p;
                c.log_likelihood[1] = (double)q[label] - sum_q;
            }
        }
        if (threadIdx.x == 0)
            out[r] = c;
    }
}

enum gqa_status gqa_cuda_compare(struct gqa_device *device,
                                 struct gqa_logit_comparison *out,
                                 const void *original, const void *converted,
                                 uint64_t n_rows, uint64_t vocab_size,
                                 const int32_t *labels)
{
    const uint64_t n_bytes = n_rows * sizeof *out;
    enum gqa_status st = gqa_cuda_enter(device);
    struct gqa_logit_comparison *room;
    int32_t *numbers;

    if (st != GQA_OK || n_rows == 0)
        return st;
    st = gqa_cuda_reserve(device, &device->back,
                          n_bytes + n_rows * sizeof *labels);
    if (st != GQA_OK)
        return st;
    room = (struct gqa_logit_comparison *)device->back.data;
    numbers = (int32_t *)(void *)(room + n_rows);
    st = gqa_cuda_send(device, numbers, labels, n_rows * sizeof *labels);
    if (st != GQA_OK)
        return st;
    compare_kernel<<<blocks_for(n_rows), THREADS, 0, device->stream>>>(
        room, (const float *)original, (const float *)converted,
        (int64_t)n_rows, (int64_t)vocab_size, numbers);
    st = gqa_cuda_launched(device);
    if (st == GQA_OK)
        st = gqa_cuda_check(device, cudaMemcpyAsync(out, room, n_bytes,
                                                    cudaMemcpyDeviceToHost,
                                                    device->stream));
    return st == GQA_OK
               ? gqa_cuda_check(device, cudaStreamSynchronize(device->stream))
               : st;
}
