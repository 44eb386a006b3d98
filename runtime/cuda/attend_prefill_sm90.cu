/*
 * Grouped-query attention for many new tokens on compute capability 9.0:
 * the products are the warpgroup's, asynchronous, from shared memory.
 *
 *   q    rows of sequence s: s * n_new + i; heads placed as in the args
 *   k, v [n_sequences, n_kv_heads, capacity, D]   bf16 or f16
 *   out  [rows, n_heads, D]                       likewise
 *
 * Two warpgroups hold 64 queries each of one head; a third copies tiles of
 * TILE keys and values for both. While a warpgroup turns the scores of a tile
 * into weights, the tensor cores multiply the weights of the tile before with
 * its values, or work for the other warpgroup. The scores are never stored.
 */
#include "runtime/cuda/attend_fast.cuh"
#include "runtime/cuda/attend_tile.cuh"
#include "runtime/cuda/warpgroup.cuh"

enum {
    GROUP = 128,   /* threads of a warpgroup */
    CONSUMERS = 2, /* warpgroups that compute */
    ROWS = 64,     /* queries of each */
};

/* Of heads of D. Where they are narrow, weights take longer than products: two
 * blocks on a processor, of fewer registers each, make them beside each other.
 */
template <int D> struct plan {
    enum {
        TILE = D == 32 ? 64 : 128, /* keys, or values */
        STAGES = D == 32 ? 4 : 2,  /* tiles of K, and of V, in flight */
        BLOCKS = D == 32 ? 2 : 1,  /* on a processor */
        /* Registers of a thread: copying needs few, sums many. */
        PRODUCER_REGISTERS = D == 32 ? 24 : 40,
        CONSUMER_REGISTERS = D == 32 ? 104 : 232,
    };
    static_assert(BLOCKS * GROUP *
                          (PRODUCER_REGISTERS +
                           CONSUMERS * CONSUMER_REGISTERS) <=
                      65536,
                  "more registers than a processor has");
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
/* What some row of a set of consecutive ones sees. */
struct span {
    int first, last; /* positions */
    int t0, t1;      /* tiles of keys */
};

template <int TILE>
static __device__ __forceinline__ struct span span_of(
    const struct gqa_attend_fast &args, int start, int first_row, int n_rows,
    int window, int n_keys)
{
    struct span s;
    int left = (int)args.n_new - first_row;

    s.first = start + first_row;
    s.last = s.first + (left < n_rows ? left : n_rows) - 1;

    int begin = window && s.first >= window ? s.first - window + 1 : 0;
    int end = args.causal && s.last + 1 < n_keys ? s.last + 1 : n_keys;

    s.t0 = begin / TILE;
    s.t1 = (end + TILE - 1) / TILE;
    if (s.last < s.first || end <= begin)
        s.t0 = s.t1 = 0;
    return s;
}

/* Barriers of the tiles' places: [K, V][stage]. */
template <int STAGES> struct barriers {
    uint64_t full[2][STAGES], empty[2][STAGES];
};

/* Where tile n of those copied lies; kv: 0 K, 1 V. */
template <int D>
static __device__ __forceinline__ uint32_t tile_of(uint32_t tiles, int n,
                                                   int kv)
{
    return tiles +
           (uint32_t)(n % plan<D>::STAGES * 2 + kv) * (plan<D>::TILE * D * 2);
}

/* Until tile n has been copied. */
template <int STAGES>
static __device__ __forceinline__ void await(uint64_t (&full)[STAGES], int n)
{
    barrier_wait(&full[n % STAGES], n / STAGES & 1);
}

/* Tell that the warp has read tile n. */
template <int STAGES>
static __device__ __forceinline__ void release(uint64_t (&empty)[STAGES], int n,
                                               int lane)
{
    __syncwarp();
    if (lane == 0)
        barrier_arrive(&empty[n % STAGES]);
}

/* Leave a tile that the warpgroup does not see to the other. */
template <int STAGES>
static __device__ __forceinline__ void pass_over(
    struct barriers<STAGES> *barriers, int n, int lane)
{
    for (int kv = 0; kv < 2; kv++) {
        await(barriers->full[kv], n);
        release(barriers->empty[kv], n, lane);
    }
}

/* Copy tiles t0 .. t1 - 1 of K and V in turn. A tile is told to be full when
 * the copy of the next one has begun: what a thread copies, only it can wait
 * for. */
template <typename T, int D>
static __device__ __forceinline__ void produce(
    uint32_t tiles, struct barriers<plan<D>::STAGES> *barriers, const T *k,
    const T *v, struct span span, int n_keys, int thread)
{
    constexpr int TILE = plan<D>::TILE, STAGES = plan<D>::STAGES;
    uint64_t *before = NULL;

    for (int t = span.t0; t < span.t1; t++) {
        const int n = t - span.t0, stage = n % STAGES;

#pragma unroll
        for (int kv = 0; kv < 2; kv++) {
            barrier_wait(&barriers->empty[kv][stage], n / STAGES & 1 ^ 1);
            operand_load<D, TILE, GROUP>(tile_of<D>(tiles, n, kv), kv ? v : k,
                                         D, t * TILE, n_keys, thread);
            copy_commit();
            if (before) {
                copy_wait<1>();
                proxy_fence();
                barrier_arrive(before);
            }
            before = &barriers->full[kv][stage];
        }
    }
    copy_wait<0>();
    proxy_fence();
    if (before)
        barrier_arrive(before);
}

/* Begin s = Q K^T for a tile. */
template <typename T, int D>
static __device__ __forceinline__ void begin_scores(float (*s)[4], uint32_t q,
                                                    uint32_t k)
{
    constexpr int TILE = plan<D>::TILE, ROW = part<D>::ROW;

    product_fence();
#pragma unroll
    for (int c = 0; c < D / 16; c++)
        product<T>::template scores<TILE>(
            s, operand<D>(q + c / 4 * ROWS * ROW + c % 4 * 32, 0),
            operand<D>(k + c / 4 * TILE * ROW + c % 4 * 32, 0), c > 0);
    product_commit();
}

/* Begin o += P V. */
template <typename T, int D>
static __device__ __forceinline__ void begin_values(float (*o)[4],
                                                    const uint32_t (*p)[4],
                                                    uint32_t v)
{
    constexpr int TILE = plan<D>::TILE, ROW = part<D>::ROW;

    product_fence();
#pragma unroll
    for (int j = 0; j < TILE / 16; j++)
        product<T>::template values<D>(
            o, p[j], operand<D>(v + j * 16 * ROW, TILE * ROW));
    product_commit();
}

#endif

template <typename T, int D>
static __global__ void __launch_bounds__(GROUP *(CONSUMERS + 1),
                                         plan<D>::BLOCKS)
    prefill_kernel(struct gqa_attend_fast args)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    constexpr int TILE = plan<D>::TILE, STAGES = plan<D>::STAGES;
    constexpr uint32_t tile_bytes = TILE * D * 2, q_bytes = ROWS * D * 2;
    extern __shared__ __align__(1024) unsigned char shared[];
    __shared__ struct barriers<STAGES> barriers;

    const int lane = threadIdx.x % 32;
    /* Shuffled, that the compiler sees it to be one in a warp. */
    const int group = __shfl_sync(0xffffffffu, threadIdx.x / GROUP, 0);
    const int thread = threadIdx.x % GROUP;
    const int n_heads = (int)args.n_heads;
    const int head = (int)blockIdx.x % n_heads;
    const int64_t sequence = (int)blockIdx.x / n_heads;
    const int64_t kv_head = head / (int)(args.n_heads / args.n_kv_heads);
    /* The longest rows first. */
    const int first_row =
        (int)(gridDim.y - 1 - blockIdx.y) * (CONSUMERS * ROWS);
    const int start = (int)args.starts[sequence];
    const int n_keys = (int)args.n_keys[sequence];
    const int window = args.window < INT32_MAX ? (int)args.window : 0;
    const struct span all =
        span_of<TILE>(args, start, first_row, CONSUMERS * ROWS, window, n_keys);
    const uint32_t tiles = shared_address(shared);
    const uint32_t q_tiles = tiles + 2 * STAGES * tile_bytes;

    if (threadIdx.x == 0) {
        for (int kv = 0; kv < 2; kv++) {
            for (int i = 0; i < STAGES; i++) {
                barrier_init(&barriers.full[kv][i], GROUP);
                barrier_init(&barriers.empty[kv][i], CONSUMERS * GROUP / 32);
            }
        }
        proxy_fence();
    }
    __syncthreads();

    if (group == CONSUMERS) {
        const int64_t from =
            (sequence * args.n_kv_heads + kv_head) * args.capacity * D;

        registers_less<plan<D>::PRODUCER_REGISTERS>();
        produce<T, D>(tiles, &barriers, (const T *)args.k + from,
                      (const T *)args.v + from, all, n_keys, thread);
    } else {
        const int row0 = first_row + group * ROWS;
        const struct span own =
            span_of<TILE>(args, start, row0, ROWS, window, n_keys);
        const uint32_t q_tile = q_tiles + group * q_bytes;
        const float scale_log2 = args.scale * GQA_LOG2E;
        /* The keys that every row of the warpgroup sees. */
        const int all_begin =
            window && own.last >= window ? own.last - window + 1 : 0;
        const int all_end =
            args.causal && own.first + 1 < n_keys ? own.first + 1 : n_keys;
        struct tile_row rows[2];
        float s[TILE / 8][4], o[D / 8][4], grow[2];
        uint32_t p[TILE / 16][4];

        registers_more<plan<D>::CONSUMER_REGISTERS>();
        operand_load<D, ROWS, GROUP>(
            q_tile,
            (const T *)args.q + sequence * args.n_new * args.q_width +
                args.q_base +
                head / (int)args.q_per_block * args.q_block_stride +
                head % (int)args.q_per_block * D,
            args.q_width, row0, (int)args.n_new, thread);
        copy_commit();
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int at = own.first + thread / 32 * 16 + half * 8 + lane / 4;

            rows[half].max = -INFINITY;
            rows[half].sum = 0;
            rows[half].begin = window && at >= window ? at - window + 1 : 0;
            rows[half].end = args.causal && at + 1 < n_keys ? at + 1 : n_keys;
            if (at > own.last)
                rows[half].end = rows[half].begin;
        }
#pragma unroll
        for (int d = 0; d < D / 8; d++)
            o[d][0] = o[d][1] = o[d][2] = o[d][3] = 0;
        copy_wait<0>();
        proxy_fence();
        asm volatile("bar.sync %0, %1;\n" ::"r"(1 + group), "n"(128)
                     : "memory");

        for (int t = all.t0; t < own.t0; t++)
            pass_over(&barriers, t - all.t0, lane);
        if (own.t0 < own.t1) {
            const int t = own.t0, n = t - all.t0;

            await(barriers.full[0], n);
            begin_scores<T, D>(s, q_tile, tile_of<D>(tiles, n, 0));
            product_wait<0>();
            product_pin<TILE / 8>(s);
            release(barriers.empty[0], n, lane);
            tile_weights<TILE, false>(
                s, grow, rows, scale_log2, t * TILE,
                t * TILE < all_begin || (t + 1) * TILE > all_end, lane);
#pragma unroll
            for (int j = 0; j < TILE / 16; j++)
                tile_pack<T>(p[j], s + 2 * j);
        }
        for (int t = own.t0 + 1; t < own.t1; t++) {
            const int n = t - all.t0, before = n - 1;

            await(barriers.full[0], n);
            begin_scores<T, D>(s, q_tile, tile_of<D>(tiles, n, 0));
            await(barriers.full[1], before);
            begin_values<T, D>(o, p, tile_of<D>(tiles, before, 1));
            product_wait<1>();
            product_pin<TILE / 8>(s);
            release(barriers.empty[0], n, lane);
            tile_weights<TILE, false>(
                s, grow, rows, scale_log2, t * TILE,
                t * TILE < all_begin || (t + 1) * TILE > all_end, lane);
            product_wait<0>();
            product_pin<D / 8>(o);
            release(barriers.empty[1], before, lane);
            tile_scale<D>(o, grow);
#pragma unroll
            for (int j = 0; j < TILE / 16; j++)
                tile_pack<T>(p[j], s + 2 * j);
        }
        if (own.t0 < own.t1) {
            const int n = own.t1 - 1 - all.t0;

            await(barriers.full[1], n);
            begin_values<T, D>(o, p, tile_of<D>(tiles, n, 1));
            product_wait<0>();
            product_pin<D / 8>(o);
            release(barriers.empty[1], n, lane);
        }
        for (int t = max(own.t1, all.t0); t < all.t1; t++)
            pass_over(&barriers, t - all.t0, lane);

#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int i = row0 + thread / 32 * 16 + half * 8 + lane / 4;
            T *out = (T *)args.out +
                     ((sequence * args.n_new + i) * n_heads + head) * D;

            tile_lse(args, &rows[half], sequence, i, head, scale_log2, lane);
            tile_store<T, D>(out, i < args.n_new, o, rows[half].sum, half,
                             lane);
        }
    }
#endif
}

template <typename T, int D>
static cudaError_t launch(const struct gqa_attend_fast *args,
                          cudaStream_t stream)
{
    constexpr size_t shared =
        ((size_t)2 * plan<D>::STAGES * plan<D>::TILE + CONSUMERS * ROWS) * D *
        sizeof(T);
    constexpr int64_t rows = CONSUMERS * ROWS;
    dim3 grid((unsigned)(args->n_heads * args->n_sequences),
              (unsigned)((args->n_new + rows - 1) / rows));

    /* Each time: it holds for the current device alone, and costs little. */
    cudaError_t error = cudaFuncSetAttribute(
        prefill_kernel<T, D>, cudaFuncAttributeMaxDynamicSharedMemorySize,
        (int)shared);
    if (error != cudaSuccess)
        return error;
    prefill_kernel<T, D>
        <<<grid, GROUP *(CONSUMERS + 1), shared, stream>>>(*args);
    return cudaGetLastError();
}

cudaError_t gqa_attend_prefill_sm90(const struct gqa_attend_fast *args,
                                    cudaStream_t stream)
{
    if (args->head_dim == 32)
        return args->bf16 ? launch<__nv_bfloat16, 32>(args, stream)
                          : launch<__half, 32>(args, stream);
    if (args->head_dim == 64)
        return args->bf16 ? launch<__nv_bfloat16, 64>(args, stream)
                          : launch<__half, 64>(args, stream);
    return args->bf16 ? launch<__nv_bfloat16, 128>(args, stream)
                      : launch<__half, 128>(args, stream);
}
