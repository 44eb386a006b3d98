/*
 * Attention with heads of 32 back to queries on compute capability 9.0, bf16
 * without a bias: as forth (attend_narrow_sm90.cu), with the layouts of
 * back_attend_sm90.cu, but half a tile of keys at a time, that registers hold
 * queries and gradients, too.
 */
#include <limits.h>

#include "runtime/cuda/attend_narrow_sm90.cuh"
#include "runtime/cuda/back_attend_sm90.cuh"
#include "runtime/cuda/launch.cuh"

enum { HALF = TILE / 2 /* of a tile, at a time */ };

typedef places<8> P;

struct narrow_queries {
    struct gqa_attend_back b;
    int group;        /* heads of a KV head */
    CUtensorMap k, v; /* boxes of TILE rows of all caches */
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
/* Two numbers of a word. */
static __device__ __forceinline__ float2 two_of(uint32_t word)
{
    return __bfloat1622float2(*(const __nv_bfloat162 *)&word);
}

/* Where a head's queries begin in a row. */
static __device__ __forceinline__ int column_of(const struct gqa_attend_fast &a,
                                                int head)
{
    return (int)a.q_base + head / (int)a.q_per_block * (int)a.q_block_stride +
           head % (int)a.q_per_block * D;
}

/* The warp that copies. */
static __device__ __forceinline__ void copy(const struct narrow_queries &args,
                                            const struct work &w,
                                            uint32_t shared, int lane)
{
    const struct gqa_attend_fast &a = args.b.a;
    uint32_t n = 0;

#pragma unroll 1
    for (int block = w.last; block >= 0; block -= w.step)
        n = copy_tiles<P, T>(a, &args.k, &args.v, w,
                             seen_of(a, w, block * BLOCK_ROWS, BLOCK_ROWS),
                             shared, n, lane);
}

/* A warp's rows, of which a thread has two. */
struct rows {
    uint32_t q[D / 16][4], d_out[D / 16][4], out[D / 16][4];
    float lse[2], dot[2];
};

/* Begin to load 16 from `row` on; if `there`, that is. */
static __device__ __forceinline__ void load_rows_of(
    struct rows *r, const struct narrow_queries &args, const struct work &w,
    int row, bool there, int lane)
{
    const struct gqa_attend_fast &a = args.b.a;
    const int64_t first = (int64_t)w.sequence * a.n_new;
    const int64_t width = a.n_heads * D;
    const int64_t at = first * width + w.head * D;
    const int end = there ? w.n_rows : INT_MIN;

    load_rows<T>(r->q,
                 (const T *)a.q + first * a.q_width + column_of(a, w.head),
                 a.q_width, row, end, lane);
    load_rows<T>(r->d_out, (const T *)args.b.d_out + at, width, row, end, lane);
    load_rows<T>(r->out, (const T *)a.out + at, width, row, end, lane);
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int i = row + half * 8 + lane / 4;

        r->lse[half] = i < end ? a.lse[(first + i) * a.n_heads + w.head] : 0;
    }
}

/* What these and the kernel of keys behind this one are told of them. */
static __device__ __forceinline__ void tell_numbers(
    struct rows *r, const struct narrow_queries &args, const struct work &w,
    int row, int lane)
{
    float sum[2] = {0, 0};

#pragma unroll
    for (int i = 0; i < D / 16 * 4; i++) {
        const float2 o = two_of(r->out[i / 4][i % 4]);
        const float2 d = two_of(r->d_out[i / 4][i % 4]);

        sum[i % 2] += o.x * d.x + o.y * d.y;
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int i = row + half * 8 + lane / 4;
        const int64_t at =
            ((int64_t)w.sequence * args.b.a.n_new + i) * args.b.a.n_heads +
            w.head;

        sum[half] += __shfl_xor_sync(0xffffffffu, sum[half], 1);
        sum[half] += __shfl_xor_sync(0xffffffffu, sum[half], 2);
        r->dot[half] = sum[half];
        r->lse[half] *= GQA_LOG2E;
        if (lane % 4 == 0 && i < w.n_rows) {
            args.b.lse_log2[at] = r->lse[half];
            args.b.dots[at] = r->dot[half];
        }
    }
}

/* A warp of those that compute. */
static __device__ __forceinline__ void compute(
    const struct narrow_queries &args, const struct work &w, uint32_t shared,
    int warp, int lane)
{
    const struct gqa_attend_fast &a = args.b.a;
    const struct sight s = {w.start,  w.n_rows, w.n_keys,
                            w.window, a.causal, a.scale * GQA_LOG2E,
                            NULL};
    uint32_t n = 0; /* tiles of blocks of rows before */
    /* Each warpgroup takes the first half of the rows, which see less, every
     * second time. */
    int group = warp / 4;
    struct rows r;

    load_rows_of(&r, args, w,
                 w.last * BLOCK_ROWS + group * ROWS + warp % 4 * 16, true,
                 lane);
#pragma unroll 1
    for (int block = w.last; block >= 0; block -= w.step) {
        const int row0 = block * BLOCK_ROWS + group * ROWS;
        const int row = row0 + warp % 4 * 16; /* of the warp */
        const struct span all = seen_of(a, w, block * BLOCK_ROWS, BLOCK_ROWS);
        const struct span own = seen_of(a, w, row0, ROWS);
        float d_q[D / 8][4], p[HALF / 8][4], ds[HALF / 8][4];
        uint32_t gradients[HALF / 16][4];

        tell_numbers(&r, args, w, row, lane);
        clear<D / 8>(d_q);
#pragma unroll 1
        for (int t = all.t0; t < own.t0; t++, n++)
            pass_tile<P>(shared, n, lane);
#pragma unroll 1
        for (int t = own.t0; t < own.t1; t++, n++) {
            await_tile<P>(shared, n);
#pragma unroll
            for (int part = 0; part < 2; part++) {
                const uint32_t k =
                    place_of<P>(shared, n) + part * (TILE_BYTES / 2);
                const int key = t * TILE + part * HALF;

                begin_scores_of<T, HALF>(p, r.q, k);
                begin_scores_of<T, HALF>(ds, r.d_out, k + TILE_BYTES);
                product_wait<1>();
                product_pin<HALF / 8>(p);
                product_pin<D / 8>(d_q);
                if (part == 0 && t > own.t0)
                    release_tile<P>(shared, n - 1, lane);
#pragma unroll
                for (int i = 0; i < HALF / 2; i++)
                    p[i / 4][i % 4] = power_of_two(
                        p[i / 4][i % 4] * s.scale_log2 - r.lse[i % 4 / 2]);
                if (key < own.begin || key + HALF > own.end) {
                    const int i = row + lane / 4;
                    const struct range seen[2] = {seen_by(s, i),
                                                  seen_by(s, i + 8)};

                    silence<HALF>(p, seen, key, lane);
                }
                product_wait<0>();
                product_pin<HALF / 8>(ds);
#pragma unroll
                for (int i = 0; i < HALF / 2; i++) {
                    float *d = &ds[i / 4][i % 4];

                    *d = p[i / 4][i % 4] * (*d - r.dot[i % 4 / 2]);
                }
#pragma unroll
                for (int j = 0; j < HALF / 16; j++)
                    tile_pack<T>(gradients[j], ds + 2 * j);
                begin_values<T, D, HALF>(d_q, gradients, k);
            }
        }
        group ^= 1;
        /* Of the next block, while the last product runs. */
        load_rows_of(&r, args, w,
                     (block - w.step) * BLOCK_ROWS + group * ROWS +
                         warp % 4 * 16,
                     block >= w.step, lane);
        product_wait<0>();
        product_pin<D / 8>(d_q);
        if (own.t0 < own.t1)
            release_tile<P>(shared, n - 1, lane);
#pragma unroll 1
        for (int t = max(own.t1, all.t0); t < all.t1; t++, n++)
            pass_tile<P>(shared, n, lane);

#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int i = row + half * 8 + lane / 4;

            if (i >= a.n_new)
                continue;
            if (args.b.cos_sin)
                row_turn_back<D>(d_q, args.b.cos_sin + (int64_t)i * D, half,
                                 lane);
            row_store<D>((T *)args.b.d_q +
                             ((int64_t)w.sequence * a.n_new + i) * a.q_width +
                             column_of(a, w.head),
                         d_q, a.scale, half, lane);
        }
    }
}
#endif

static __global__ void __launch_bounds__(THREADS, BLOCKS)
    narrow_queries_kernel(const __grid_constant__ struct narrow_queries args)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ __align__(1024) unsigned char room[];
    const int lane = threadIdx.x % 32;
    /* Shuffled, that the compiler sees it to be one in a warp. */
    const int warp = __shfl_sync(0xffffffffu, threadIdx.x / 32, 0);
    const uint32_t shared = __shfl_sync(0xffffffffu, shared_address(room), 0);

    await_before();
    struct work w = work_of(args.b.a, (int)args.b.first_sequence, args.group);

    w.n_rows = (int)args.b.a.n_tokens[w.sequence];
    if (threadIdx.x == 0)
        begin_places<P>(shared);
    __syncthreads();

    if (warp >= CONSUMERS * GROUP / 32) {
        registers_less<PRODUCER_REGISTERS>();
        if (warp == CONSUMERS * GROUP / 32)
            copy(args, w, shared, lane);
    } else {
        registers_more<CONSUMER_REGISTERS>();
        compute(args, w, shared, warp, lane);
    }
#endif
}

cudaError_t gqa_attend_back_narrow_queries(const struct gqa_attend_back *b,
                                           cudaStream_t stream)
{
    const struct gqa_attend_fast *a = &b->a;
    const int64_t n = a->n_heads * b->n_sequences;
    const dim3 grid((unsigned)n, narrow_shares(a, n));
    struct narrow_queries args;
    cudaError_t error;

    args.b = *b;
    args.group = (int)(a->n_heads / a->n_kv_heads);
    error = describe_caches(&args.k, &args.v, a);
    /* Each time: it holds for the current device alone, and costs little. */
    if (error == cudaSuccess)
        error = cudaFuncSetAttribute(
            narrow_queries_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
            P::END);
    if (error != cudaSuccess)
        return error;
    return launch_early(a->overlaps, narrow_queries_kernel, grid, THREADS,
                        P::END, stream, args);
}
