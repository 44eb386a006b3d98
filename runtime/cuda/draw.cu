/*
 * Tokens drawn from logits, and the batch that they make.
 *
 *   logits  [n_rows, vocab]   float32
 *   out     [n_sequences]     int32
 *
 * A block takes a row. Each warp has a run of its tokens: their largest logit,
 * then the sum of their weights; the warp whose run holds the number that was
 * drawn looks for the token in it. Weights are float64, as on the host, which
 * draws the same tokens from the same logits but where the number lies within
 * a few roundings of a border.
 */
#include "common/signs.h"
#include "runtime/cuda/device.cuh"
#include "runtime/cuda/rows.cuh"
#include "runtime/cuda/sums.cuh"

enum { THREADS = 512, WARPS = THREADS / 32, BINS = 256 };

struct draw_args {
    int32_t *out;
    const float *logits;
    const uint64_t *keys;
    const int64_t *n_tokens, *starts;
    int64_t first, n_rows;
    struct gqa_draw_op op;
};

static __device__ __forceinline__ bool may_be_drawn(
    const struct gqa_draw_op &op, int64_t token)
{
#pragma unroll
    for (int i = 0; i < GQA_N_NEVER; i++)
        if (token == op.never[i])
            return false;
    return true;
}

/* In the order of the numbers that they stand for, none being NaN; 0 is of
 * either sign. */
static __device__ __forceinline__ uint32_t order_of(float x)
{
    const uint32_t bits = __float_as_uint(x + 0.0f);

    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* The order of the k-th largest of those that may be drawn, which are more:
 * its bytes one after another, from the counts of what begins alike. */
static __device__ uint32_t least_of(const float *row,
                                    const struct gqa_draw_op &op)
{
    __shared__ unsigned counts[BINS];
    __shared__ uint32_t found;
    __shared__ unsigned left;
    const int64_t n = (int64_t)op.vocab_size;

    if (threadIdx.x == 0) {
        found = 0;
        left = (unsigned)op.top_k;
    }
    for (int shift = 24; shift >= 0; shift -= 8) {
        for (int i = (int)threadIdx.x; i < BINS; i += THREADS)
            counts[i] = 0;
        __syncthreads();
        for (int64_t i = threadIdx.x; i < n; i += THREADS) {
            const uint32_t order = order_of(row[i]);

            /* Shifts by 32 are none. */
            if ((uint64_t)order >> (shift + 8) ==
                    (uint64_t)found >> (shift + 8) &&
                may_be_drawn(op, i))
                atomicAdd(&counts[order >> shift & (BINS - 1)], 1u);
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            int bin = BINS - 1;

            for (; bin > 0 && counts[bin] < left; bin--)
                left -= counts[bin];
            found |= (uint32_t)bin << shift;
        }
        __syncthreads();
    }
    return found;
}

/* What all warps know of a row. */
struct draw_row {
    const float *logits;
    float most;
    uint32_t least; /* in order_of(); 0: all */
    double temperature;
};

static __device__ __forceinline__ double share_of(const struct draw_row &row,
                                                  const struct gqa_draw_op &op,
                                                  int64_t i)
{
    const float x = row.logits[i];

    return may_be_drawn(op, i) && order_of(x) >= row.least
               ? exp(((double)x - (double)row.most) / row.temperature)
               : 0;
}

/* By a warp: the token of its run [begin, end), some of which have shares, at
 * which their sum exceeds `left`; the last that has one where rounding leaves
 * something. For all lanes. */
static __device__ int64_t find_token(const struct draw_row &row,
                                     const struct gqa_draw_op &op,
                                     int64_t begin, int64_t end, double left)
{
    const int lane = (int)threadIdx.x % 32;
    int64_t last = 0;
    double before = 0;

    for (int64_t i = begin; i < end; i += 32) {
        const double share = i + lane < end ? share_of(row, op, i + lane) : 0;
        const unsigned some = __ballot_sync(0xffffffffu, share > 0);
        double sum = share;
        unsigned past;

        for (int offset = 1; offset < 32; offset *= 2) {
            const double other = __shfl_up_sync(0xffffffffu, sum, offset);

            if (lane >= offset)
                sum += other;
        }
        past = some & __ballot_sync(0xffffffffu, before + sum > left);
        if (past)
            return i + __ffs((int)past) - 1;
        if (some)
            last = i + 31 - __clz((int)some);
        before += __shfl_sync(0xffffffffu, sum, 31);
    }
    return last;
}

/* Largest of the logits that may be drawn, for all threads; finite: whether
 * all logits are. allowed: how many may be. */
static __device__ float largest_of(const float *row,
                                   const struct gqa_draw_op &op, bool *finite,
                                   int64_t *allowed)
{
    __shared__ float largest[WARPS];
    float most = -INFINITY;
    int n = 0;
    bool bad = false;

    for (int64_t i = threadIdx.x; i < (int64_t)op.vocab_size; i += THREADS) {
        const float x = row[i];

        bad = bad || !isfinite(x);
        if (may_be_drawn(op, i)) {
            most = fmaxf(most, x);
            n++;
        }
    }
    for (int offset = 16; offset > 0; offset /= 2)
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, offset));
    if (threadIdx.x % 32 == 0)
        largest[threadIdx.x / 32] = most;
    *finite = !__syncthreads_or(bad);
    most = largest[0];
    for (int i = 1; i < WARPS; i++)
        most = fmaxf(most, largest[i]);
    *allowed = block_sum<THREADS>(n);
    return most;
}

/* The token of a row, for the first thread of a warp or for none. */
static __device__ void draw_token(int32_t *out, const float *logits,
                                  const struct gqa_draw_op &op, double number)
{
    __shared__ double sums[WARPS];
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    const int64_t n = (int64_t)op.vocab_size;
    const int64_t run = (n + WARPS - 1) / WARPS;
    const int64_t begin = warp * run < n ? warp * run : n;
    const int64_t end = begin + run < n ? begin + run : n;
    struct draw_row row = {logits, 0, 0, op.temperature};
    double sum = 0, before = 0, start = 0, left;
    int64_t allowed;
    int chosen = -1;
    bool finite;

    row.most = largest_of(logits, op, &finite, &allowed);
    if (!finite) {
        if (threadIdx.x == 0)
            *out = -1;
        return;
    }
    if (op.top_k > 0 && op.top_k < (uint64_t)allowed)
        row.least = least_of(logits, op);
    for (int64_t i = begin + lane; i < end; i += 32)
        sum += share_of(row, op, i);
    sum = warp_sum(sum);
    if (lane == 0)
        sums[warp] = sum;
    __syncthreads();
    left = 0;
    for (int i = 0; i < WARPS; i++)
        left += sums[i];
    left *= number;
    /* The first run that goes past it; where rounding leaves something, the
     * last that has any. */
    for (int i = 0; i < WARPS; i++) {
        if (sums[i] > 0) {
            chosen = i;
            start = before;
            if (before + sums[i] > left)
                break;
        }
        before += sums[i];
    }
    if (warp == chosen) {
        const int64_t token = find_token(row, op, begin, end, left - start);

        if (lane == 0)
            *out = (int32_t)token;
    } else if (chosen < 0 && threadIdx.x == 0) {
        *out = 0;
    }
}

static __global__ void __launch_bounds__(THREADS)
    draw_kernel(struct draw_args args)
{
    for (int64_t r = blockIdx.x; r < args.n_rows; r += gridDim.x) {
        const int64_t s = args.first + r;

        if (args.n_tokens[s] > 0)
            draw_token(args.out + s,
                       args.logits + r * (int64_t)args.op.vocab_size, args.op,
                       gqa_uniform(args.keys[s], (uint64_t)args.starts[s] + 1));
        else if (threadIdx.x == 0)
            args.out[s] = 0;
        __syncthreads(); /* of shared memory all has been read */
    }
}

struct follow_args {
    int64_t n;
    int64_t *n_tokens, *starts, *n_keys;
    int32_t *fed;
    const int32_t *tokens;
    int32_t end;
};

static __global__ void __launch_bounds__(THREADS)
    follow_kernel(struct follow_args args)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;

    for (int64_t s = (int64_t)blockIdx.x * THREADS + threadIdx.x; s < args.n;
         s += step) {
        const int32_t token = args.tokens[s];
        const int64_t start = args.starts[s] + args.n_tokens[s];
        const bool more =
            args.n_tokens[s] > 0 && token >= 0 && token != args.end;

        args.starts[s] = start;
        args.n_tokens[s] = more;
        args.n_keys[s] = start + more;
        args.fed[s] = token < 0 ? 0 : token;
    }
}

enum gqa_status gqa_cuda_draw(struct gqa_device *device, int32_t *out,
                              const void *logits, const uint64_t *keys,
                              uint64_t first, uint64_t n_rows,
                              const struct gqa_draw_op *op)
{
    const struct draw_args args = {out,
                                   (const float *)logits,
                                   keys,
                                   device->n_tokens,
                                   device->starts,
                                   (int64_t)first,
                                   (int64_t)n_rows,
                                   *op};
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n_rows == 0)
        return st;
    draw_kernel<<<blocks_for(n_rows), THREADS, 0, device->stream>>>(args);
    return gqa_cuda_launched(device);
}

enum gqa_status gqa_cuda_follow(struct gqa_device *device,
                                const int32_t *tokens, int32_t end)
{
    const int64_t n = (int64_t)device->n_sequences;
    int64_t *numbers =
        (int64_t *)device->batch.data; /* as set_batch() has it */
    const struct follow_args args = {n,
                                     numbers,
                                     numbers + n,
                                     numbers + 2 * n,
                                     (int32_t *)(numbers + 3 * n),
                                     tokens,
                                     end};
    const enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK)
        return st;
    device->max_keys++;
    follow_kernel<<<blocks_for(((uint64_t)n + THREADS - 1) / THREADS), THREADS,
                    0, device->stream>>>(args);
    return gqa_cuda_launched(device);
}
