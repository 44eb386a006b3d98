/*
 * Attention backwards on tensor cores, by products m16n8k16.
 *
 *   q    rows of sequence s: s * n_new + i; heads placed as in the args
 *   k, v [n_sequences, n_kv_heads, capacity, D]
 *   out  [rows, n_heads, D]
 *
 * A warp holds 16 * MT keys and values, or queries and their gradients, as
 * operands in registers, and walks tiles of TILE of the others, the next being
 * copied meanwhile, 16 at a time: what is a result of one product is an operand
 * of the next, and neither scores nor weights leave the registers.
 *
 * Rows of padding are copied as zeros, of q, do, lse and D: they weigh 1 and
 * add nothing.
 */
#include "runtime/cuda/back_attend.cuh"
#include "runtime/cuda/back_attend_tile.cuh"
#include "runtime/cuda/launch.cuh"

enum { TILE = 64, PAD = 1 };

/* Of heads of 32: blocks on a processor, and pieces of a tile whose
 * instructions are mixed. */
enum {
    KEYS_BLOCKS = 2,
    KEYS_AT_ONCE = 4,
    QUERIES_BLOCKS = 4,
    QUERIES_AT_ONCE = 2,
};

/* Rows first .. first + ROWS - 1 of a matrix into a tile; rows from `end` on
 * as zeros. */
template <int D, int ROWS, int THREADS, typename T>
static __device__ __forceinline__ void rows_load(uint32_t tile, const T *matrix,
                                                 int64_t stride, int first,
                                                 int end)
{
    constexpr int pieces = D / 8;

    static_assert(ROWS * pieces % THREADS == 0, "whole steps");
#pragma unroll
    for (int n = 0; n < ROWS * pieces / THREADS; n++) {
        const int i = n * THREADS + (int)threadIdx.x;
        const int row = i / pieces, piece = i % pieces;
        const bool valid = first + row < end;

        copy_async(tile_at<D>(tile, row, piece),
                   matrix + (valid ? first + row : 0) * stride + piece * 8,
                   valid);
    }
}

/* 16 rows of a tile as operands of products; at: the lane's place in it. */
template <int D>
static __device__ __forceinline__ void rows_take(uint32_t (*a)[4], uint32_t at)
{
#pragma unroll
    for (int c = 0; c < D / 16; c++)
        load_matrices(a[c], at ^ (c << 5));
}

/* s[m] (16 rows each, 16 columns) = A B^T, of 16 rows of B from `at` on. */
template <int D, int MT, typename T>
static __device__ __forceinline__ void products_across(
    float (*s)[2][4], const uint32_t (*a)[D / 16][4], uint32_t at)
{
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int i = 0; i < 8; i++)
            s[m][i / 4][i % 4] = 0;
#pragma unroll
    for (int c = 0; c < D / 16; c++) {
        uint32_t b[4];

        load_matrices(b, at ^ (c << 5));
#pragma unroll
        for (int m = 0; m < MT; m++) {
            tile_type<T>::mma(s[m][0], a[m][c], b[0], b[1]);
            tile_type<T>::mma(s[m][1], a[m][c], b[2], b[3]);
        }
    }
}

/* sum[m] (16 rows each, D columns) += P B, of 16 rows of B. */
template <int D, int MT, typename T>
static __device__ __forceinline__ void products_along(float (*sum)[D / 8][4],
                                                      const float (*p)[2][4],
                                                      uint32_t at)
{
    uint32_t a[MT][4];

#pragma unroll
    for (int m = 0; m < MT; m++)
        tile_pack<T>(a[m], p[m]);
#pragma unroll
    for (int d = 0; d < D / 16; d++) {
        uint32_t b[4];

        load_matrices_transposed(b, at ^ (d << 5));
#pragma unroll
        for (int m = 0; m < MT; m++) {
            tile_type<T>::mma(sum[m][2 * d], a[m], b[0], b[1]);
            tile_type<T>::mma(sum[m][2 * d + 1], a[m], b[2], b[3]);
        }
    }
}

static __device__ __forceinline__ const float *bias_of(
    const struct gqa_attend_fast &a, int head)
{
    return a.bias + head * (2 * a.reach - 1) + a.reach - 1;
}

/* Whether some query of first .. last does not see all of n keys. */
static __device__ __forceinline__ bool is_masked(const struct sight &s,
                                                 int first, int last, int key,
                                                 int n)
{
    const int p0 = s.start + first, p1 = s.start + last;
    const int begin = s.window && p1 >= s.window ? p1 - s.window + 1 : 0;
    const int end = s.causal && p0 + 1 < s.n_keys ? p0 + 1 : s.n_keys;

    return key < begin || key + n > end;
}

/* p of a score and, in place of dp, ds. lse: as a logarithm to 2. */
template <bool BIAS, bool MASKED>
static __device__ __forceinline__ void weigh(float *score, float *dp,
                                             const struct sight &s, int query,
                                             int key, float lse, float dot)
{
    const int behind = s.start + query - key; /* the query's position */
    float x = *score * s.scale_log2 - lse;
    bool seen = true;

    if (BIAS || MASKED)
        seen = key < s.n_keys && (!s.causal || behind >= 0) &&
               (!s.window || behind < s.window) && query < s.n_tokens;
    if (BIAS && seen)
        x += s.bias[-behind] * GQA_LOG2E;
    *score = seen ? power_of_two(x) : 0;
    *dp = *score * (*dp - dot);
}

template <bool MASKED> struct mask {
    static constexpr bool value = MASKED;
};

/* Call f with mask<masked>: what is not masked is not asked, score by score. */
template <typename F>
static __device__ __forceinline__ void with_mask(bool masked, F f)
{
    if (masked)
        f(mask<true>());
    else
        f(mask<false>());
}

/* --- Keys -------------------------------------------------------------------
 */

/* A stage: queries, their gradients, lse and D. */
template <int D> struct stage {
    enum { BYTES = 2 * TILE * D * 2 + 2 * TILE * 4 };
};

/* Tile t of queries of a head. */
template <typename T, int D, int THREADS>
static __device__ __forceinline__ void queries_load(
    uint32_t to, const struct gqa_attend_back &args, int64_t sequence, int head,
    int t, int n_tokens)
{
    const struct gqa_attend_fast &a = args.a;
    const int64_t first_row = sequence * a.n_new;
    const T *q = (const T *)a.q + first_row * a.q_width + a.q_base +
                 head / (int)a.q_per_block * a.q_block_stride +
                 head % (int)a.q_per_block * D;
    const T *d_out = (const T *)args.d_out + (first_row * a.n_heads + head) * D;
    const int i = (int)threadIdx.x % TILE, row = t * TILE + i;
    const bool valid = row < n_tokens;
    const int64_t at = (first_row + (valid ? row : 0)) * a.n_heads + head;

    rows_load<D, TILE, THREADS>(to, q, a.q_width, t * TILE, n_tokens);
    rows_load<D, TILE, THREADS>(to + TILE * D * 2, d_out, a.n_heads * D,
                                t * TILE, n_tokens);
    if (threadIdx.x < 2 * TILE)
        copy_number(to + 2 * TILE * D * 2 + threadIdx.x * 4,
                    (threadIdx.x < TILE ? args.lse_log2 : args.dots) + at,
                    valid);
}

template <typename T, int D, int MT, int WARPS, bool BIAS>
static __global__ void __launch_bounds__(WARPS * 32, D == 32 ? KEYS_BLOCKS : 1)
    keys_kernel(struct gqa_attend_back args)
{
    constexpr int THREADS = WARPS * 32, KEYS = WARPS * MT * 16;
    static_assert(2 * KEYS * D * 2 <= 2 * stage<D>::BYTES, "room at first");
    extern __shared__ __align__(256) unsigned char shared[];

    const struct gqa_attend_fast &a = args.a;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int64_t which = blockIdx.x; /* sequence and KV head */
    const int64_t sequence = which / a.n_kv_heads;
    const int group = (int)(a.n_heads / a.n_kv_heads);
    const int first_head = (int)(which % a.n_kv_heads) * group;
    const int key0 = (int)blockIdx.y * KEYS;
    const int warp_key = key0 + warp * MT * 16;
    const int64_t cache = which * a.capacity * D;
    const uint32_t stages = shared_address(shared);
    const uint32_t rows_at = tile_at<D>(0, lane & 15, lane >> 4);
    const uint32_t columns_at =
        tile_at<D>(0, ((lane >> 4) << 3) + (lane & 7), (lane >> 3) & 1);

    await_before();
    struct sight s = sight_of(a, sequence);

    /* The queries that see some key of the block, in tiles. */
    int begin = s.causal && key0 > s.start ? key0 - s.start : 0;
    int end = s.n_tokens;
    if (s.window && key0 + KEYS - 1 - s.start < end - s.window)
        end = key0 + KEYS - 1 - s.start + s.window;
    if (key0 >= s.n_keys)
        end = 0;
    const int t0 = begin / TILE;
    const int n_tiles = end > begin ? (end + TILE - 1) / TILE - t0 : 0;
    const int n = n_tiles * group;

    uint32_t k[MT][D / 16][4], v[MT][D / 16][4];
    float d_k[MT][D / 8][4], d_v[MT][D / 8][4];

    rows_load<D, KEYS, THREADS>(stages, (const T *)a.k + cache, D, key0,
                                s.n_keys);
    rows_load<D, KEYS, THREADS>(stages + KEYS * D * 2, (const T *)a.v + cache,
                                D, key0, s.n_keys);
    copy_commit();
    copy_wait<0>();
    __syncthreads();
#pragma unroll
    for (int m = 0; m < MT; m++) {
        const uint32_t at = stages + rows_at + (warp * MT + m) * 32 * D;

        rows_take<D>(k[m], at);
        rows_take<D>(v[m], at + KEYS * D * 2);
#pragma unroll
        for (int d = 0; d < D / 8; d++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                d_k[m][d][i] = d_v[m][d][i] = 0;
    }
    __syncthreads();
    if (n > 0)
        queries_load<T, D, THREADS>(stages, args, sequence, first_head, t0,
                                    s.n_tokens);
    copy_commit();

    for (int i = 0; i < n; i++) {
        const int next = i + 1, head = first_head + i / n_tiles;
        const int row0 = (t0 + i % n_tiles) * TILE;
        const int last = min(row0 + TILE, s.n_tokens) - 1;
        const bool masked = is_masked(s, row0, last, key0, KEYS);
        const uint32_t q_tile = stages + (i & 1) * stage<D>::BYTES;
        const uint32_t d_out_tile = q_tile + TILE * D * 2;
        const float *lse = (const float *)(shared + (i & 1) * stage<D>::BYTES +
                                           2 * TILE * D * 2);

        copy_wait<0>();
        __syncthreads();
        if (next < n)
            queries_load<T, D, THREADS>(
                stages + (next & 1) * stage<D>::BYTES, args, sequence,
                first_head + next / n_tiles, t0 + next % n_tiles, s.n_tokens);
        copy_commit();
        if (BIAS)
            s.bias = bias_of(a, head);

        with_mask(masked, [&](auto is) {
            constexpr bool MASKED = decltype(is)::value;
            /* Without a branch in it, several at once. */
            constexpr int AT_ONCE = MASKED || D > 32 ? 1 : KEYS_AT_ONCE;

#pragma unroll(AT_ONCE)
            for (int j = 0; j < TILE / 16; j++) {
                const int row = row0 + j * 16;
                float p[MT][2][4], ds[MT][2][4];

                /* No query of these sees a key of the warp. */
                if (MASKED &&
                    (row > last || (s.causal && s.start + row + 15 < warp_key)))
                    continue;
                products_across<D, MT, T>(p, k,
                                          q_tile + columns_at + j * 32 * D);
                products_across<D, MT, T>(ds, v,
                                          d_out_tile + columns_at + j * 32 * D);
#pragma unroll
                for (int u = 0; u < 2; u++) {
                    const int column = j * 16 + u * 8 + (lane & 3) * 2;
                    const float2 l = *(const float2 *)(lse + column);
                    const float2 dot = *(const float2 *)(lse + TILE + column);

#pragma unroll
                    for (int m = 0; m < MT; m++)
#pragma unroll
                        for (int x = 0; x < 4; x++)
                            weigh<BIAS, MASKED>(
                                &p[m][u][x], &ds[m][u][x], s,
                                row0 + column + x % 2,
                                warp_key + m * 16 + x / 2 * 8 + lane / 4,
                                x % 2 ? l.y : l.x, x % 2 ? dot.y : dot.x);
                }
                products_along<D, MT, T>(d_v, p,
                                         d_out_tile + rows_at + j * 32 * D);
                products_along<D, MT, T>(d_k, ds,
                                         q_tile + rows_at + j * 32 * D);
            }
        });
    }
    copy_wait<0>();

#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int key = warp_key + m * 16 + half * 8 + lane / 4;
            const int64_t at = cache + (int64_t)key * D;

            if (key < a.capacity) {
                row_store<D>((T *)args.d_k + at, d_k[m], a.scale, half, lane);
                row_store<D>((T *)args.d_v + at, d_v[m], 1, half, lane);
            }
        }
}

/* --- Queries ----------------------------------------------------------------
 */

/* part[n] += the sum along each diagonal of ds [ROWS, TILE + PAD]: key - query
 * + ROWS - 1 is n. */
template <int ROWS>
static __device__ __forceinline__ void add_diagonals(float *part, int n_parts,
                                                     const float *ds)
{
    for (int n = (int)threadIdx.x; n < ROWS + TILE - 1 && n < n_parts;
         n += (int)blockDim.x) {
        const int first = n < ROWS ? ROWS - 1 - n : 0;
        const int end = min(ROWS, ROWS + TILE - 1 - n);
        float sum = 0;

        for (int i = first; i < end; i++)
            sum += ds[i * (TILE + PAD) + i + n - ROWS + 1];
        part[n] += sum;
    }
}

template <typename T, int D, int MT, bool BIAS>
static __global__ void __launch_bounds__(128, D == 32 ? QUERIES_BLOCKS : 2)
    queries_kernel(struct gqa_attend_back args)
{
    constexpr int THREADS = 128, ROWS = 64 * MT;
    constexpr uint32_t tile_bytes = TILE * D * 2;
    static_assert(2 * ROWS * D * 2 <= 4 * tile_bytes, "room at first");
    extern __shared__ __align__(256) unsigned char shared[];
    __shared__ struct numbers<ROWS> numbers;

    const struct gqa_attend_fast &a = args.a;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int n_heads = (int)a.n_heads, n_tiles = (int)gridDim.y;
    const int head = (int)blockIdx.x % n_heads;
    const int64_t sequence = args.first_sequence + blockIdx.x / n_heads;
    const int64_t kv_head = head / (n_heads / (int)a.n_kv_heads);
    /* The longest rows first. */
    const int tile = n_tiles - 1 - (int)blockIdx.y;
    const int row0 = tile * ROWS, warp_row = row0 + warp * MT * 16;
    const int64_t first_row = sequence * a.n_new;
    const int64_t q_at = first_row * a.q_width + a.q_base +
                         head / (int)a.q_per_block * a.q_block_stride +
                         head % (int)a.q_per_block * D;
    const int64_t cache = (sequence * a.n_kv_heads + kv_head) * a.capacity * D;
    const T *keys = (const T *)a.k + cache, *values = (const T *)a.v + cache;
    const uint32_t tiles = shared_address(shared);
    float *diagonals = (float *)(shared + 4 * tile_bytes);
    const uint32_t rows_at = tile_at<D>(0, lane & 15, lane >> 4);
    const uint32_t columns_at =
        tile_at<D>(0, ((lane >> 4) << 3) + (lane & 7), (lane >> 3) & 1);

    await_before();
    struct sight s = sight_of(a, sequence);
    float *part =
        BIAS && args.bias_parts
            ? args.bias_parts +
                  ((int64_t)blockIdx.x * n_tiles + tile) * args.part_length
            : NULL;

    /* What any row of the block sees, in tiles. */
    const int last = min(row0 + ROWS, s.n_tokens) - 1;
    const int p0 = s.start + row0, p1 = s.start + last;
    const int begin = s.window && p0 >= s.window ? p0 - s.window + 1 : 0;
    const int end = last < row0                     ? 0
                    : s.causal && p1 + 1 < s.n_keys ? p1 + 1
                                                    : s.n_keys;
    const int t0 = begin / TILE;
    const int t1 = end > begin ? (end + TILE - 1) / TILE : t0;
    /* The keys that some row of the warp sees end here. */
    const int warp_end =
        s.causal && !BIAS ? s.start + warp_row + MT * 16 : INT32_MAX;

    uint32_t q[MT][D / 16][4], d_out[MT][D / 16][4];
    float d_q[MT][D / 8][4], lse[MT][2], dot[MT][2];

    rows_load<D, ROWS, THREADS>(tiles, (const T *)a.q + q_at, a.q_width, row0,
                                s.n_tokens);
    rows_load<D, ROWS, THREADS>(tiles + ROWS * D * 2,
                                (const T *)args.d_out +
                                    (first_row * n_heads + head) * D,
                                a.n_heads * D, row0, s.n_tokens);
    copy_commit();
    dots_of<T, D, ROWS, THREADS> dots;
    dots.begin(args, first_row, head, row0, s.n_tokens, (int)threadIdx.x);
    if (BIAS)
        s.bias = bias_of(a, head);
    if (part)
        for (int64_t i = threadIdx.x; i < args.part_length; i += THREADS)
            part[i] = 0;
    dots.tell(&numbers, args, first_row, head, row0, s.n_tokens,
              (int)threadIdx.x);
    copy_wait<0>();
    __syncthreads();
#pragma unroll
    for (int m = 0; m < MT; m++) {
        const uint32_t at = tiles + rows_at + (warp * MT + m) * 32 * D;

        rows_take<D>(q[m], at);
        rows_take<D>(d_out[m], at + ROWS * D * 2);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int i = (warp * MT + m) * 16 + half * 8 + lane / 4;

            lse[m][half] = numbers.lse_log2[i];
            dot[m][half] = numbers.dots[i];
        }
#pragma unroll
        for (int d = 0; d < D / 8; d++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                d_q[m][d][i] = 0;
    }
    __syncthreads();
    if (t0 < t1) {
        tile_load<D, TILE, THREADS>(tiles, keys, t0 * TILE, end,
                                    (int)threadIdx.x);
        tile_load<D, TILE, THREADS>(tiles + tile_bytes, values, t0 * TILE, end,
                                    (int)threadIdx.x);
    }
    copy_commit();

    int stage = 0;
    for (int t = t0; t < t1; t++) {
        const uint32_t k_tile = tiles + 2 * stage * tile_bytes;
        const uint32_t v_tile = k_tile + tile_bytes;
        const bool masked = is_masked(s, row0, last, t * TILE, TILE);

        copy_wait<0>();
        __syncthreads();
        stage ^= 1;
        if (t + 1 < t1) {
            tile_load<D, TILE, THREADS>(tiles + 2 * stage * tile_bytes, keys,
                                        (t + 1) * TILE, end, (int)threadIdx.x);
            tile_load<D, TILE, THREADS>(tiles + (2 * stage + 1) * tile_bytes,
                                        values, (t + 1) * TILE, end,
                                        (int)threadIdx.x);
        }
        copy_commit();
        with_mask(masked, [&](auto is) {
            constexpr bool MASKED = decltype(is)::value;
            /* Without a branch in it, several at once. */
            constexpr int AT_ONCE = MASKED || D > 32 ? 1 : QUERIES_AT_ONCE;

#pragma unroll(AT_ONCE)
            for (int j = 0; j < TILE / 16; j++) {
                const int key = t * TILE + j * 16;
                float p[MT][2][4], ds[MT][2][4];

                if (MASKED && key >= warp_end)
                    break;
                products_across<D, MT, T>(p, q,
                                          k_tile + columns_at + j * 32 * D);
                products_across<D, MT, T>(ds, d_out,
                                          v_tile + columns_at + j * 32 * D);
#pragma unroll
                for (int m = 0; m < MT; m++)
#pragma unroll
                    for (int x = 0; x < 8; x++) {
                        const int half = x % 4 / 2;
                        const int row = m * 16 + half * 8 + lane / 4;
                        const int column = x / 4 * 8 + (lane & 3) * 2 + x % 2;
                        float *d = &ds[m][x / 4][x % 4];

                        weigh<BIAS, MASKED>(&p[m][x / 4][x % 4], d, s,
                                            warp_row + row, key + column,
                                            lse[m][half], dot[m][half]);
                        if (BIAS && part)
                            diagonals[(warp * MT * 16 + row) * (TILE + PAD) +
                                      j * 16 + column] = *d;
                    }
                products_along<D, MT, T>(d_q, ds,
                                         k_tile + rows_at + j * 32 * D);
            }
        });
        if (BIAS && part) {
            __syncthreads();
            add_diagonals<ROWS>(part + t * TILE,
                                (int)args.part_length - t * TILE, diagonals);
        }
    }
    copy_wait<0>();

#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = warp_row + m * 16 + half * 8 + lane / 4;

            if (row < a.n_new)
                row_store<D>((T *)args.d_q + q_at + row * a.q_width, d_q[m],
                             a.scale, half, lane);
        }
}

/* --- Launches ---------------------------------------------------------------
 */

typedef void kernel_of(struct gqa_attend_back);

static cudaError_t launch(kernel_of *kernel, dim3 grid, int n_threads,
                          size_t shared, const struct gqa_attend_back *args,
                          cudaStream_t stream)
{
    /* Each time: it holds for the current device alone, and costs little. */
    cudaError_t error = cudaFuncSetAttribute(
        kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);

    if (error != cudaSuccess)
        return error;
    return launch_early(args->a.overlaps, kernel, grid, (unsigned)n_threads,
                        shared, stream, *args);
}

template <typename T, int D, int MT, int WARPS>
static cudaError_t launch_keys(const struct gqa_attend_back *args,
                               cudaStream_t stream)
{
    const int64_t keys = WARPS * MT * 16;
    const dim3 grid((unsigned)(args->a.n_kv_heads * args->a.n_sequences),
                    (unsigned)((args->a.capacity + keys - 1) / keys));

    return launch(args->a.bias ? keys_kernel<T, D, MT, WARPS, true>
                               : keys_kernel<T, D, MT, WARPS, false>,
                  grid, WARPS * 32, 2 * stage<D>::BYTES, args, stream);
}

template <typename T, int D, int MT>
static cudaError_t launch_queries(const struct gqa_attend_back *args,
                                  cudaStream_t stream)
{
    const int64_t rows = 64 * MT;
    const size_t diagonals =
        args->bias_parts ? (size_t)rows * (TILE + PAD) * sizeof(float) : 0;
    const dim3 grid((unsigned)(args->a.n_heads * args->n_sequences),
                    (unsigned)((args->a.n_new + rows - 1) / rows));

    return launch(args->a.bias ? queries_kernel<T, D, MT, true>
                               : queries_kernel<T, D, MT, false>,
                  grid, 128, (size_t)4 * TILE * D * 2 + diagonals, args,
                  stream);
}

bool gqa_attend_back_fast_takes(const struct gqa_attend_back *args)
{
    const uintptr_t pointers = (uintptr_t)args->a.out | (uintptr_t)args->d_out |
                               (uintptr_t)args->d_q | (uintptr_t)args->d_k |
                               (uintptr_t)args->d_v;

    return gqa_attend_fast_takes(&args->a) && args->soft_cap == 0 &&
           !args->adds_q && pointers % 16 == 0 &&
           args->a.capacity <= 65535 * 128;
}

/* Few rows of a tile where a head is wide: registers are. */
static int64_t row_tiles(const struct gqa_attend_back *args)
{
    return args->a.head_dim == 128 ? 1 : 2;
}

int64_t gqa_attend_back_rows(const struct gqa_attend_back *args, bool fast)
{
    return fast ? 64 * row_tiles(args) : (int64_t)TILE;
}

cudaError_t gqa_attend_back_fast_keys(const struct gqa_attend_back *args,
                                      cudaStream_t stream)
{
    typedef __nv_bfloat16 T;

    if (args->a.warpgroups && !args->a.bias)
        return gqa_attend_back_sm90_keys(args, stream);
    switch (args->a.head_dim) {
    case 32:
        return launch_keys<T, 32, 2, 4>(args, stream);
    case 64:
        return launch_keys<T, 64, 2, 4>(args, stream);
    default:
        return launch_keys<T, 128, 1, 8>(args, stream);
    }
}

cudaError_t gqa_attend_back_fast_queries(const struct gqa_attend_back *args,
                                         cudaStream_t stream)
{
    typedef __nv_bfloat16 T;

    if (args->a.warpgroups && !args->a.bias)
        return args->a.head_dim == 32
                   ? gqa_attend_back_narrow_queries(args, stream)
                   : gqa_attend_back_sm90_queries(args, stream);
    switch (args->a.head_dim) {
    case 32:
        return launch_queries<T, 32, 2>(args, stream);
    case 64:
        return launch_queries<T, 64, 2>(args, stream);
    default:
        return launch_queries<T, 128, 1>(args, stream);
    }
}
