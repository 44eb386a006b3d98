/*
 * Attention backwards on compute capability 9.0: the products are the
 * warpgroup's, asynchronous, from shared memory; bf16, without a bias.
 *
 *   q    rows of sequence s: s * n_new + i; heads placed as in the args
 *   k, v [n_sequences, n_kv_heads, capacity, D]
 *   out  [rows, n_heads, D]
 *
 * A warpgroup holds ROWS keys and values, or queries and their gradients, in
 * shared memory, and what is summed for them in registers; another copies tiles
 * of the others. What is a result of one product, in registers, is an operand
 * of the next. While the scores of a tile become weights, the tensor cores make
 * do . v, or work for another warpgroup.
 */
#include "runtime/cuda/back_attend_sm90.cuh"
#include "runtime/cuda/launch.cuh"

/* Of heads of D. Warpgroups that compute; a tile, and tiles in flight;
 * registers of a thread that copies, and of one that computes. */
template <int D> struct keys_plan {
    enum {
        CONSUMERS = D == 32 ? 3 : 2,
        TILE = D == 64 ? 128 : 64,
        STAGES = D == 64 ? 3 : 4,
        PRODUCER_REGISTERS = D == 32 ? 32 : 40,
        CONSUMER_REGISTERS = D == 32 ? 152 : 232,
    };
};

/* Of 64 or 128. */
struct queries_plan {
    enum {
        CONSUMERS = 2,
        TILE = 128,
        STAGES = 2,
        PRODUCER_REGISTERS = 40,
        CONSUMER_REGISTERS = 232,
    };
};

/* Threads of a block. */
template <typename PLAN> struct block {
    enum { THREADS = (PLAN::CONSUMERS + 1) * GROUP };
};

/* Bytes of shared memory: the rows of each warpgroup, twice; stages of two
 * tiles; their numbers, where each row has some. */
template <int D> struct keys_room {
    typedef keys_plan<D> plan;
    enum {
        TILE_BYTES = plan::TILE * D * 2,
        STAGE = 2 * TILE_BYTES,
        HELD = plan::STAGES * STAGE,
        HELD_BYTES = ROWS * D * 2,
        NUMBERS = HELD + plan::CONSUMERS * 2 * HELD_BYTES,
        NUMBERS_STAGE = 2 * plan::TILE * 4, /* lse_log2 and D */
        ALL = NUMBERS + plan::STAGES * NUMBERS_STAGE,
    };
};

template <int D> struct queries_room {
    typedef queries_plan plan;
    enum {
        HELD = plan::STAGES * 2 * plan::TILE * D * 2,
        HELD_BYTES = ROWS * D * 2,
        ALL = HELD + plan::CONSUMERS * 2 * HELD_BYTES,
    };
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
/* The queries that see a key, if any does. */
static __device__ __forceinline__ struct range seeing(const struct sight &s,
                                                      int key)
{
    struct range r = {s.causal && key > s.start ? key - s.start : 0,
                      s.n_tokens};

    if (s.window && key - s.start < r.end - s.window)
        r.end = key - s.start + s.window;
    if (key >= s.n_keys)
        r.end = 0;
    return r;
}

/* What all see where the first and the last see that. */
static __device__ __forceinline__ struct range common(struct range first,
                                                      struct range last)
{
    return {max(first.begin, last.begin), min(first.end, last.end)};
}

/* Where q of a head of a sequence begins, and do. */
static __device__ __forceinline__ const T *queries_of(
    const struct gqa_attend_fast &a, int64_t first_row, int head, int D)
{
    return (const T *)a.q + first_row * a.q_width + a.q_base +
           head / (int)a.q_per_block * a.q_block_stride +
           head % (int)a.q_per_block * D;
}

static __device__ __forceinline__ const T *gradients_of(
    const struct gqa_attend_back &args, int64_t first_row, int head, int D)
{
    return (const T *)args.d_out + (first_row * args.a.n_heads + head) * D;
}

/* Tiles t0 .. t1 - 1 of queries, of each head of a group in turn. */
struct walk {
    int t0, t1;
    int first_head, group;
};

/* Of the queries that see some of n keys. */
template <int TILE>
static __device__ __forceinline__ struct walk walk_of(
    const struct gqa_attend_fast &a, const struct sight &s, int kv_head,
    int key, int n)
{
    const int last = min(key + n, s.n_keys) - 1;
    const int begin = seeing(s, key).begin;
    const int end = last < key ? 0 : seeing(s, last).end;
    struct walk w;

    w.t0 = begin / TILE;
    w.t1 = end > begin ? (end + TILE - 1) / TILE : w.t0;
    w.group = (int)(a.n_heads / a.n_kv_heads);
    w.first_head = kv_head * w.group;
    return w;
}

/* Copy what a walk passes, into the stages. */
template <int D>
static __device__ __forceinline__ void copy_queries(
    uint32_t shared, struct barriers<1, keys_plan<D>::STAGES> *barriers,
    const struct gqa_attend_back &args, int64_t first_row, const struct walk &w,
    int n_tokens, int thread)
{
    typedef keys_room<D> room;
    constexpr int TILE = keys_plan<D>::TILE, STAGES = keys_plan<D>::STAGES;
    const int n_heads = (int)args.a.n_heads;
    int n = 0;

    for (int g = 0; g < w.group; g++) {
        const int head = w.first_head + g;
        const T *q = queries_of(args.a, first_row, head, D);
        const T *d_out = gradients_of(args, first_row, head, D);
        const float *lse = args.lse_log2 + first_row * n_heads + head;
        const float *dots = args.dots + first_row * n_heads + head;

        for (int t = w.t0; t < w.t1; t++, n++) {
            const int stage = n % STAGES;
            const uint32_t to = shared + stage * room::STAGE;
            const uint32_t numbers =
                shared + room::NUMBERS + stage * room::NUMBERS_STAGE;

            barrier_wait(&barriers->empty[0][stage], n / STAGES & 1 ^ 1);
            operand_load<D, TILE, GROUP>(to, q, args.a.q_width, t * TILE,
                                         n_tokens, thread);
            operand_load<D, TILE, GROUP>(to + room::TILE_BYTES, d_out,
                                         (int64_t)n_heads * D, t * TILE,
                                         n_tokens, thread);
#pragma unroll
            for (int i = thread; i < 2 * TILE; i += GROUP) {
                const int row = t * TILE + i % TILE;
                const bool valid = row < n_tokens;

                copy_number(numbers + i * 4,
                            (i < TILE ? lse : dots) +
                                (int64_t)(valid ? row : 0) * n_heads,
                            valid);
            }
            barrier_arrive_copied(&barriers->full[0][stage]);
        }
    }
    copy_wait_all();
}
#endif

/* --- Keys -------------------------------------------------------------------
 */

template <int D>
static __global__ void __launch_bounds__(block<keys_plan<D>>::THREADS, 1)
    keys_kernel(struct gqa_attend_back args)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    typedef keys_plan<D> plan;
    typedef keys_room<D> room;
    constexpr int TILE = plan::TILE, STAGES = plan::STAGES;
    constexpr int KEYS = plan::CONSUMERS * ROWS;
    extern __shared__ __align__(1024) unsigned char shared[];
    __shared__ struct barriers<1, STAGES> barriers;

    const struct gqa_attend_fast &a = args.a;
    const int lane = threadIdx.x % 32;
    /* Shuffled, that the compiler sees it to be one in a warp. */
    const int group = __shfl_sync(0xffffffffu, threadIdx.x / GROUP, 0);
    const int thread = threadIdx.x % GROUP;
    const int64_t which = blockIdx.x; /* sequence and KV head */
    const int64_t sequence = which / a.n_kv_heads;
    const int key0 = (int)blockIdx.y * KEYS;
    const uint32_t room_at = shared_address(shared);

    await_before();
    const struct sight s = sight_of(a, sequence);
    const int kv_head = (int)(which % a.n_kv_heads);
    const struct walk w = walk_of<TILE>(a, s, kv_head, key0, KEYS);

    if (threadIdx.x == 0)
        begin_barriers(&barriers, plan::CONSUMERS);
    __syncthreads();

    if (group == plan::CONSUMERS) {
        registers_less<plan::PRODUCER_REGISTERS>();
        copy_queries<D>(room_at, &barriers, args, sequence * a.n_new, w,
                        s.n_tokens, thread);
    } else {
        const int first = key0 + group * ROWS;
        const int row = first + thread / 32 * 16 + lane / 4;
        const struct range rows[2] = {seeing(s, row), seeing(s, row + 8)};
        const struct range all =
            common(seeing(s, first), seeing(s, first + ROWS - 1));
        struct walk own = walk_of<TILE>(a, s, kv_head, first, ROWS);
        const int64_t cache = which * a.capacity * D;
        const uint32_t k_tile =
            room_at + room::HELD + group * 2 * room::HELD_BYTES;
        const uint32_t v_tile = k_tile + room::HELD_BYTES;
        const float scale_log2 = s.scale_log2;
        float d_k[D / 8][4], d_v[D / 8][4], p[TILE / 8][4], ds[TILE / 8][4];
        uint32_t weights[TILE / 16][4], gradients[TILE / 16][4];

        if (own.t1 == own.t0)
            own.t0 = own.t1 = w.t1;
        registers_more<plan::CONSUMER_REGISTERS>();
        operand_load<D, ROWS, GROUP>(k_tile, (const T *)a.k + cache, D, first,
                                     s.n_keys, thread);
        operand_load<D, ROWS, GROUP>(v_tile, (const T *)a.v + cache, D, first,
                                     s.n_keys, thread);
        copy_commit();
        clear<D / 8>(d_k);
        clear<D / 8>(d_v);
        copy_wait<0>();
        proxy_fence();
        meet(group);

        for (int g = 0, n = 0; g < w.group; g++) {
            for (int t = w.t0; t < own.t0; t++)
                pass_over(&barriers, n++, lane);
            for (int t = own.t0; t < own.t1; t++, n++) {
                /* Shuffled, as above. */
                const int stage = __shfl_sync(0xffffffffu, n % STAGES, 0);
                const uint32_t q_tile = room_at + stage * room::STAGE;
                const uint32_t d_out_tile = q_tile + room::TILE_BYTES;
                const float *lse =
                    (const float *)(shared + room::NUMBERS +
                                    stage * room::NUMBERS_STAGE) +
                    (lane & 3) * 2;

                await(barriers.full[0], n);
                begin_scores<T, D, TILE>(p, k_tile, q_tile);
                begin_scores<T, D, TILE>(ds, v_tile, d_out_tile);
                product_wait<1>();
                product_pin<TILE / 8>(p);
#pragma unroll
                for (int j = 0; j < TILE / 8; j++) {
                    const float2 l = *(const float2 *)(lse + j * 8);

#pragma unroll
                    for (int x = 0; x < 4; x++)
                        p[j][x] = power_of_two(p[j][x] * scale_log2 -
                                               (x % 2 ? l.y : l.x));
                }
                if (t * TILE < all.begin || (t + 1) * TILE > all.end)
                    silence<TILE>(p, rows, t * TILE, lane);
                product_wait<0>();
                product_pin<TILE / 8>(ds);
#pragma unroll
                for (int j = 0; j < TILE / 8; j++) {
                    const float2 dot = *(const float2 *)(lse + TILE + j * 8);

#pragma unroll
                    for (int x = 0; x < 4; x++)
                        ds[j][x] =
                            p[j][x] * (ds[j][x] - (x % 2 ? dot.y : dot.x));
                }
#pragma unroll
                for (int j = 0; j < TILE / 16; j++) {
                    tile_pack<T>(weights[j], p + 2 * j);
                    tile_pack<T>(gradients[j], ds + 2 * j);
                }
                begin_values<T, D, TILE>(d_v, weights, d_out_tile);
                begin_values<T, D, TILE>(d_k, gradients, q_tile);
                product_wait<0>();
                product_pin<D / 8>(d_k);
                product_pin<D / 8>(d_v);
                release(barriers.empty[0], n, lane);
            }
            for (int t = own.t1; t < w.t1; t++)
                pass_over(&barriers, n++, lane);
        }

#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int key = row + half * 8;
            const int64_t at = sequence * args.kv_sequence +
                               kv_head * args.kv_head + key * args.kv_key;

            if (key < args.kv_keys) {
                if (args.cos_sin)
                    row_turn_back<D>(d_k, args.cos_sin + (int64_t)key * D, half,
                                     lane);
                row_store<D>((T *)args.d_k + at, d_k, a.scale, half, lane);
                row_store<D>((T *)args.d_v + at, d_v, 1, half, lane);
            }
        }
    }
#endif
}

/* --- Queries ----------------------------------------------------------------
 */

template <int D>
static __global__ void __launch_bounds__(block<queries_plan>::THREADS, 1)
    queries_kernel(struct gqa_attend_back args)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    typedef queries_plan plan;
    typedef queries_room<D> room;
    constexpr int TILE = plan::TILE, STAGES = plan::STAGES;
    constexpr int QUERIES = plan::CONSUMERS * ROWS;
    extern __shared__ __align__(1024) unsigned char shared[];
    __shared__ struct barriers<2, STAGES> barriers;
    __shared__ struct numbers<ROWS> numbers[plan::CONSUMERS];

    const struct gqa_attend_fast &a = args.a;
    const int lane = threadIdx.x % 32;
    const int group = __shfl_sync(0xffffffffu, threadIdx.x / GROUP, 0);
    const int thread = threadIdx.x % GROUP;
    const int n_heads = (int)a.n_heads;
    const int head = (int)blockIdx.x % n_heads;
    const int64_t sequence = args.first_sequence + blockIdx.x / n_heads;
    const int64_t kv_head = head / (n_heads / (int)a.n_kv_heads);
    /* The longest rows first. */
    const int first = (int)(gridDim.y - 1 - blockIdx.y) * QUERIES;
    const int64_t first_row = sequence * a.n_new;

    await_before();
    const struct sight s = sight_of(a, sequence);
    const struct span all = span_of<TILE>(a, s.start, first, QUERIES,
                                          s.n_tokens, s.window, s.n_keys);
    const uint32_t tiles = shared_address(shared);

    if (threadIdx.x == 0)
        begin_barriers(&barriers, plan::CONSUMERS);
    __syncthreads();

    if (group == plan::CONSUMERS) {
        const int64_t from =
            (sequence * a.n_kv_heads + kv_head) * a.capacity * D;

        registers_less<plan::PRODUCER_REGISTERS>();
        copy_keys<T, D, TILE, STAGES>(tiles, &barriers, (const T *)a.k + from,
                                      (const T *)a.v + from, all, s.n_keys,
                                      thread);
    } else {
        const int row0 = first + group * ROWS;
        const int row = row0 + thread / 32 * 16 + lane / 4;
        const struct range rows[2] = {seen_by(s, row), seen_by(s, row + 8)};
        /* By all that are not padding. */
        const struct range seen = common(
            seen_by(s, row0), seen_by(s, min(row0 + ROWS, s.n_tokens) - 1));
        const float scale_log2 = s.scale_log2;
        const struct span own = span_of<TILE>(a, s.start, row0, ROWS,
                                              s.n_tokens, s.window, s.n_keys);
        const uint32_t q_tile =
            tiles + room::HELD + group * 2 * room::HELD_BYTES;
        const uint32_t d_out_tile = q_tile + room::HELD_BYTES;
        float d_q[D / 8][4], p[TILE / 8][4], ds[TILE / 8][4], lse[2], dot[2];
        uint32_t gradients[TILE / 16][4];

        registers_more<plan::CONSUMER_REGISTERS>();
        operand_load<D, ROWS, GROUP>(q_tile, queries_of(a, first_row, head, D),
                                     a.q_width, row0, s.n_tokens, thread);
        operand_load<D, ROWS, GROUP>(
            d_out_tile, gradients_of(args, first_row, head, D),
            (int64_t)n_heads * D, row0, s.n_tokens, thread);
        copy_commit();
        {
            dots_of<T, D, ROWS, GROUP> dots;

            dots.begin(args, first_row, head, row0, s.n_tokens, thread);
            dots.tell(&numbers[group], args, first_row, head, row0, s.n_tokens,
                      thread);
        }
        clear<D / 8>(d_q);
        copy_wait<0>();
        proxy_fence();
        meet(group);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            lse[half] = numbers[group].lse_log2[row - row0 + half * 8];
            dot[half] = numbers[group].dots[row - row0 + half * 8];
        }

        for (int t = all.t0; t < own.t0; t++)
            pass_over(&barriers, t - all.t0, lane);
        for (int t = own.t0; t < own.t1; t++) {
            const int n = t - all.t0;
            const uint32_t k_tile = tile_of<D, TILE, STAGES>(tiles, n, 0);

            await(barriers.full[0], n);
            begin_scores<T, D, TILE>(p, q_tile, k_tile);
            await(barriers.full[1], n);
            begin_scores<T, D, TILE>(ds, d_out_tile,
                                     tile_of<D, TILE, STAGES>(tiles, n, 1));
            product_wait<1>();
            product_pin<TILE / 8>(p);
#pragma unroll
            for (int i = 0; i < TILE / 2; i++)
                p[i / 4][i % 4] =
                    power_of_two(p[i / 4][i % 4] * scale_log2 - lse[i % 4 / 2]);
            if (t * TILE < seen.begin || (t + 1) * TILE > seen.end)
                silence<TILE>(p, rows, t * TILE, lane);
            product_wait<0>();
            product_pin<TILE / 8>(ds);
            release(barriers.empty[1], n, lane);
#pragma unroll
            for (int i = 0; i < TILE / 2; i++) {
                float *d = &ds[i / 4][i % 4];

                *d = p[i / 4][i % 4] * (*d - dot[i % 4 / 2]);
            }
#pragma unroll
            for (int j = 0; j < TILE / 16; j++)
                tile_pack<T>(gradients[j], ds + 2 * j);
            begin_values<T, D, TILE>(d_q, gradients, k_tile);
            product_wait<0>();
            product_pin<D / 8>(d_q);
            release(barriers.empty[0], n, lane);
        }
        for (int t = max(own.t1, all.t0); t < all.t1; t++)
            pass_over(&barriers, t - all.t0, lane);

#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int i = row + half * 8;

            if (i < a.n_new) {
                if (args.cos_sin)
                    row_turn_back<D>(d_q, args.cos_sin + (int64_t)i * D, half,
                                     lane);
                row_store<D>(
                    (T *)args.d_q +
                        (queries_of(a, first_row, head, D) - (const T *)a.q) +
                        i * a.q_width,
                    d_q, a.scale, half, lane);
            }
        }
    }
#endif
}

/* --- Launches ---------------------------------------------------------------
 */

template <typename PLAN>
static cudaError_t launch(void (*kernel)(struct gqa_attend_back), int64_t n,
                          int64_t n_rows, size_t shared,
                          const struct gqa_attend_back *args,
                          cudaStream_t stream)
{
    constexpr int64_t rows = PLAN::CONSUMERS * ROWS;
    const dim3 grid((unsigned)n, (unsigned)((n_rows + rows - 1) / rows));
    /* Each time: it holds for the current device alone, and costs little. */
    cudaError_t error = cudaFuncSetAttribute(
        kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);

    if (error != cudaSuccess)
        return error;
    return launch_early(args->a.overlaps, kernel, grid, block<PLAN>::THREADS,
                        shared, stream, *args);
}

template <int D>
static cudaError_t launch_keys(const struct gqa_attend_back *args,
                               cudaStream_t stream)
{
    return launch<keys_plan<D>>(
        keys_kernel<D>, args->a.n_kv_heads * args->a.n_sequences,
        args->a.capacity, keys_room<D>::ALL, args, stream);
}

template <int D>
static cudaError_t launch_queries(const struct gqa_attend_back *args,
                                  cudaStream_t stream)
{
    return launch<queries_plan>(
        queries_kernel<D>, args->a.n_heads * args->n_sequences, args->a.n_new,
        queries_room<D>::ALL, args, stream);
}

cudaError_t gqa_attend_back_sm90_keys(const struct gqa_attend_back *args,
                                      cudaStream_t stream)
{
    switch (args->a.head_dim) {
    case 32:
        return launch_keys<32>(args, stream);
    case 64:
        return launch_keys<64>(args, stream);
    default:
        return launch_keys<128>(args, stream);
    }
}

cudaError_t gqa_attend_back_sm90_queries(const struct gqa_attend_back *args,
                                         cudaStream_t stream)
{
    return args->a.head_dim == 64 ? launch_queries<64>(args, stream)
                                  : launch_queries<128>(args, stream);
}
