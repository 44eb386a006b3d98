/*
 * Attention with heads of 32 for many new tokens on compute capability 9.0
 * (attend_prefill_sm90.cu has the wider ones, and the layouts).
 *
 * So narrow, weights take twice as long as products: a processor makes 16
 * powers of two a clock, and all else is to be done beside these. No largest
 * score is looked for where the one of tiles before serves, which weights tell
 * when they are made; they are added up by the product, which has a column of
 * ones for it. Queries are operands in registers.
 */
#include <limits.h>

#include "runtime/cuda/attend_narrow_sm90.cuh"

typedef places<8> P;

enum {
    /* Of shared memory, behind the places: 16 rows of ones, as in a tile of V,
     * but of 8 columns. */
    ONES = P::FULL + 1024,
    ROOM = ONES + 16 * D * 2,
    SUMS = D / 8 + 1, /* of a thread: of columns, 8 each, and of weights */
};
static_assert((int)P::END <= (int)ONES, "room for barriers");

struct narrow_args {
    struct gqa_attend_fast a;
    int group;        /* heads of a KV head */
    CUtensorMap k, v; /* boxes of TILE rows of all caches */
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
/* What the weights of a thread's two rows are relative to, in base 2. */
struct level {
    float of[2];
};

/* How far above a row's largest score a new level is: bfloat16 has as many bits
 * below, float16 has not. */
template <typename T> static constexpr float headroom = 0;
template <> constexpr float headroom<__nv_bfloat16> = 8;

/* Turn scores into weights of 16 keys each, as operands, if none is 2 or more.
 * Else, or where a row has seen nothing before, false: then only p has
 * changed. */
template <typename T>
static __device__ __forceinline__ bool near_weights(uint32_t (*p)[4],
                                                    const float (*s)[4],
                                                    const struct level &level,
                                                    float scale_log2)
{
    uint32_t bits = 0;

#pragma unroll
    for (int j = 0; j < TILE / 16; j++) {
        float w[2][4];

        /* One instruction by name: of the product alone, which
         * far_weights() has too, the compiler would keep all. */
#pragma unroll
        for (int i = 0; i < 8; i++)
            w[i / 4][i % 4] = power_of_two(__fmaf_rn(
                s[2 * j + i / 4][i % 4], scale_log2, -level.of[i % 4 / 2]));
        tile_pack<T>(p[j], w);
#pragma unroll
        for (int i = 0; i < 4; i++)
            bits |= p[j][i];
    }
    /* The first bit of an exponent: infinity and what is no number have it,
     * too. */
    return __all_sync(0xffffffffu, (bits & 0x40004000) == 0);
}

/* Likewise in any case, of scores that are lost, relative to new levels, and so
 * are sums then. */
template <typename T>
static __device__ __forceinline__ void far_weights(uint32_t (*p)[4],
                                                   float (*s)[4], float (*o)[4],
                                                   struct level *level,
                                                   float scale_log2)
{
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float max = -INFINITY, from, grow;

#pragma unroll
        for (int i = 0; i < TILE / 4; i++)
            max = fmaxf(max, s[i / 2][half * 2 + i % 2]);
        max = fmaxf(max, __shfl_xor_sync(0xffffffffu, max, 1));
        max = fmaxf(max, __shfl_xor_sync(0xffffffffu, max, 2));
        max = fmaxf(level->of[half], max * scale_log2 + headroom<T>);
        from = max == -INFINITY ? 0 : max;
        grow = power_of_two(level->of[half] - from);
        level->of[half] = max;
#pragma unroll
        for (int i = 0; i < TILE / 4; i++) {
            float *x = &s[i / 2][half * 2 + i % 2];

            *x = power_of_two(*x * scale_log2 - from);
        }
#pragma unroll
        for (int d = 0; d < SUMS; d++) {
            o[d][half * 2] *= grow;
            o[d][half * 2 + 1] *= grow;
        }
    }
#pragma unroll
    for (int j = 0; j < TILE / 16; j++)
        tile_pack<T>(p[j], s + 2 * j);
}

/* Begin o += P V of tile n, and behind it the sums of weights. */
template <typename T>
static __device__ __forceinline__ void begin_sums(float (*o)[4],
                                                  const uint32_t (*p)[4],
                                                  uint32_t shared, uint32_t n)
{
    const uint32_t v = place_of<P>(shared, n) + TILE_BYTES;
    const uint64_t v_at = operand<D>(v, shared + ONES - v);
    /* 16 rows on, which are as much nearer to the ones (without a carry). */
    constexpr uint32_t rows = 16 * D * 2 >> 4, on = rows - (rows << 16);

    product_fence();
#pragma unroll
    for (int j = 0; j < TILE / 16; j++)
        product<T>::values_and_sum(
            o, p[j], (v_at & 0xffffffff00000000) | ((uint32_t)v_at + j * on));
    product_commit();
}

/* The warp that copies. */
template <typename T>
static __device__ __forceinline__ void copy(const struct narrow_args &args,
                                            const struct work &w,
                                            uint32_t shared, int lane)
{
    uint32_t n = 0;

#pragma unroll 1
    for (int block = w.last; block >= 0; block -= w.step)
        n = copy_tiles<P, T>(args.a, &args.k, &args.v, w,
                             seen_of(args.a, w, block * BLOCK_ROWS, BLOCK_ROWS),
                             shared, n, lane);
}

/* A warp of those that compute. */
template <typename T>
static __device__ __forceinline__ void compute(const struct narrow_args &args,
                                               const struct work &w,
                                               uint32_t shared, int warp,
                                               int lane)
{
    const struct gqa_attend_fast &a = args.a;
    const int n_new = (int)a.n_new;
    const float scale_log2 = a.scale * GQA_LOG2E;
    const T *queries = (const T *)a.q +
                       (int64_t)w.sequence * n_new * a.q_width + a.q_base +
                       w.head / (int)a.q_per_block * a.q_block_stride +
                       w.head % (int)a.q_per_block * D;
    uint32_t n = 0; /* tiles of blocks of rows before */
    uint32_t q[D / 16][4];
    /* Each warpgroup takes the first half of the rows, which see less, every
     * second time. */
    int group = warp / 4;

    load_rows<T>(q, queries, a.q_width,
                 w.last * BLOCK_ROWS + group * ROWS + warp % 4 * 16, n_new,
                 lane);
#pragma unroll 1
    for (int block = w.last; block >= 0; block -= w.step) {
        const int row0 = block * BLOCK_ROWS + group * ROWS;
        const int row = row0 + warp % 4 * 16; /* of the warp */
        const struct span all = seen_of(a, w, block * BLOCK_ROWS, BLOCK_ROWS);
        const struct span own = seen_of(a, w, row0, ROWS);
        struct level level = {{-INFINITY, -INFINITY}};
        float s[TILE / 8][4], o[SUMS][4];
        uint32_t p[TILE / 16][4];

        /* Of a tile that not all rows see. */
        auto mask = [&](int t) {
            if (t * TILE >= own.begin && (t + 1) * TILE <= own.end)
                return;
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int at = w.start + row + half * 8 + lane / 4;
                struct tile_row r;

                r.begin = w.window && at >= w.window ? at - w.window + 1 : 0;
                r.end = a.causal && at + 1 < w.n_keys ? at + 1 : w.n_keys;
                if (at > own.last)
                    r.end = r.begin;
                tile_mask<TILE>(s, &r, t * TILE, half, lane);
            }
        };

        clear<SUMS>(o);
#pragma unroll 1
        for (int t = all.t0; t < own.t0; t++, n++)
            pass_tile<P>(shared, n, lane);
        if (own.t0 < own.t1) {
            await_tile<P>(shared, n);
            begin_scores_of<T, TILE>(s, q, place_of<P>(shared, n));
            product_wait<0>();
            product_pin<TILE / 8>(s);
            mask(own.t0);
            far_weights<T>(p, s, o, &level, scale_log2);
            n++;
        }
#pragma unroll 1
        for (int t = own.t0 + 1; t < own.t1; t++, n++) {
            await_tile<P>(shared, n);
            begin_scores_of<T, TILE>(s, q, place_of<P>(shared, n));
            begin_sums<T>(o, p, shared, n - 1);
            product_wait<0>();
            product_pin<TILE / 8>(s);
            product_pin<SUMS>(o);
            release_tile<P>(shared, n - 1, lane);
            mask(t);
            if (!near_weights<T>(p, s, level, scale_log2))
                far_weights<T>(p, s, o, &level, scale_log2);
        }
        group ^= 1;
        /* Of the next block, while there is other work. */
        load_rows<T>(q, queries, a.q_width,
                     (block - w.step) * BLOCK_ROWS + group * ROWS +
                         warp % 4 * 16,
                     block < w.step ? INT_MIN : n_new, lane);
        if (own.t0 < own.t1) {
            begin_sums<T>(o, p, shared, n - 1);
            product_wait<0>();
            product_pin<SUMS>(o);
            release_tile<P>(shared, n - 1, lane);
        }
#pragma unroll 1
        for (int t = max(own.t1, all.t0); t < all.t1; t++, n++)
            pass_tile<P>(shared, n, lane);

#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int i = row + half * 8 + lane / 4;
            T *out =
                (T *)a.out +
                (((int64_t)w.sequence * n_new + i) * a.n_heads + w.head) * D;
            /* Four threads have the same: what follows adds theirs up. */
            const float sum = lane % 4 == 0 ? o[D / 8][half * 2] : 0;
            const struct tile_row r = {level.of[half], sum, 0, 0, NULL};

            tile_lse(a, &r, w.sequence, i, w.head, 1, lane);
            tile_store<T, D>(out, i < n_new, o, sum, half, lane);
        }
    }
}
#endif

template <typename T>
static __global__ void __launch_bounds__(THREADS, BLOCKS)
    attend_narrow_kernel(const __grid_constant__ struct narrow_args args)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ __align__(1024) unsigned char room[];
    const int lane = threadIdx.x % 32;
    /* Shuffled, that the compiler sees it to be one in a warp. */
    const int warp = __shfl_sync(0xffffffffu, threadIdx.x / 32, 0);
    const uint32_t shared = __shfl_sync(0xffffffffu, shared_address(room), 0);
    const struct work w = work_of(args.a, 0, args.group);

    if (threadIdx.x < 16 * D / 2)
        asm volatile(
            "st.shared.u32 [%0], %1;\n" ::"r"(shared + ONES + threadIdx.x * 4),
            "r"(tile_type<T>::pack(1, 1))
            : "memory");
    if (threadIdx.x == 0)
        begin_places<P>(shared);
    proxy_fence();
    __syncthreads();

    if (warp >= CONSUMERS * GROUP / 32) {
        registers_less<PRODUCER_REGISTERS>();
        if (warp == CONSUMERS * GROUP / 32)
            copy<T>(args, w, shared, lane);
    } else {
        registers_more<CONSUMER_REGISTERS>();
        compute<T>(args, w, shared, warp, lane);
    }
#endif
}

template <typename T>
static cudaError_t launch(const struct narrow_args *args, cudaStream_t stream)
{
    const int64_t n = args->a.n_heads * args->a.n_sequences;
    const dim3 grid((unsigned)n, narrow_shares(&args->a, n));
    /* Each time: it holds for the current device alone, and costs little. */
    const cudaError_t error =
        cudaFuncSetAttribute(attend_narrow_kernel<T>,
                             cudaFuncAttributeMaxDynamicSharedMemorySize, ROOM);

    if (error != cudaSuccess)
        return error;
    attend_narrow_kernel<T><<<grid, THREADS, ROOM, stream>>>(*args);
    return cudaGetLastError();
}

cudaError_t gqa_attend_narrow_sm90(const struct gqa_attend_fast *a,
                                   cudaStream_t stream)
{
    struct narrow_args args;
    cudaError_t error;

    args.a = *a;
    args.group = (int)(a->n_heads / a->n_kv_heads);
    error = describe_caches(&args.k, &args.v, a);
    if (error != cudaSuccess)
        return error;
    return a->bf16 ? launch<__nv_bfloat16>(&args, stream)
                   : launch<__half>(&args, stream);
}
