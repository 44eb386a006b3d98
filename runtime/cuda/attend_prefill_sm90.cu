/*
 * Grouped-query attention for many new tokens on compute capability 9.0, heads
 * of 64 or 128 (attend_narrow_sm90.cu has those of 32): the products are the
 * warpgroup's, asynchronous, from shared memory.
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
#include "runtime/cuda/attend_sm90.cuh"

enum {
    CONSUMERS = 2, /* warpgroups that compute */
    TILE = 128,    /* keys, or values */
    STAGES = 2,    /* tiles of K, and of V, in flight */
    /* Registers of a thread: copying needs few, sums many. */
    PRODUCER_REGISTERS = 40,
    CONSUMER_REGISTERS = 232,
};
static_assert(GROUP * (PRODUCER_REGISTERS + CONSUMERS * CONSUMER_REGISTERS) <=
                  65536,
              "more registers than a processor has");

template <typename T, int D>
static __global__ void __launch_bounds__(GROUP *(CONSUMERS + 1), 1)
    prefill_kernel(struct gqa_attend_fast args)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    constexpr uint32_t tile_bytes = TILE * D * 2, q_bytes = ROWS * D * 2;
    extern __shared__ __align__(1024) unsigned char shared[];
    __shared__ struct barriers<2, STAGES> barriers;

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
        span_of<TILE>(args, start, first_row, CONSUMERS * ROWS, (int)args.n_new,
                      window, n_keys);
    const uint32_t tiles = shared_address(shared);
    const uint32_t q_tiles = tiles + 2 * STAGES * tile_bytes;

    if (threadIdx.x == 0)
        begin_barriers(&barriers, CONSUMERS);
    __syncthreads();

    if (group == CONSUMERS) {
        const int64_t from =
            (sequence * args.n_kv_heads + kv_head) * args.capacity * D;

        registers_less<PRODUCER_REGISTERS>();
        copy_keys<T, D, TILE, STAGES>(
            tiles, &barriers, (const T *)args.k + from,
            (const T *)args.v + from, all, n_keys, thread);
    } else {
        const int row0 = first_row + group * ROWS;
        const struct span own = span_of<TILE>(args, start, row0, ROWS,
                                              (int)args.n_new, window, n_keys);
        const uint32_t q_tile = q_tiles + group * q_bytes;
        const float scale_log2 = args.scale * GQA_LOG2E;
        struct tile_row rows[2];
        float s[TILE / 8][4], o[D / 8][4], grow[2];
        uint32_t p[TILE / 16][4];

        registers_more<CONSUMER_REGISTERS>();
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
        meet(group);

        for (int t = all.t0; t < own.t0; t++)
            pass_over(&barriers, t - all.t0, lane);
        if (own.t0 < own.t1) {
            const int t = own.t0, n = t - all.t0;

            await(barriers.full[0], n);
            begin_scores<T, D, TILE>(s, q_tile,
                                     tile_of<D, TILE, STAGES>(tiles, n, 0));
            product_wait<0>();
            product_pin<TILE / 8>(s);
            release(barriers.empty[0], n, lane);
            tile_weights<TILE, false>(
                s, grow, rows, scale_log2, t * TILE,
                t * TILE < own.begin || (t + 1) * TILE > own.end, lane);
#pragma unroll
            for (int j = 0; j < TILE / 16; j++)
                tile_pack<T>(p[j], s + 2 * j);
        }
        for (int t = own.t0 + 1; t < own.t1; t++) {
            const int n = t - all.t0, before = n - 1;

            await(barriers.full[0], n);
            begin_scores<T, D, TILE>(s, q_tile,
                                     tile_of<D, TILE, STAGES>(tiles, n, 0));
            await(barriers.full[1], before);
            begin_values<T, D, TILE>(
                o, p, tile_of<D, TILE, STAGES>(tiles, before, 1));
            product_wait<1>();
            product_pin<TILE / 8>(s);
            release(barriers.empty[0], n, lane);
            tile_weights<TILE, false>(
                s, grow, rows, scale_log2, t * TILE,
                t * TILE < own.begin || (t + 1) * TILE > own.end, lane);
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
            begin_values<T, D, TILE>(o, p,
                                     tile_of<D, TILE, STAGES>(tiles, n, 1));
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
        ((size_t)2 * STAGES * TILE + CONSUMERS * ROWS) * D * sizeof(T);
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
    if (args->head_dim == 64)
        return args->bf16 ? launch<__nv_bfloat16, 64>(args, stream)
                          : launch<__half, 64>(args, stream);
    return args->bf16 ? launch<__nv_bfloat16, 128>(args, stream)
                      : launch<__half, 128>(args, stream);
}
