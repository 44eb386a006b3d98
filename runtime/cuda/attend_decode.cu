/*
 * Grouped-query attention for few new tokens.
 *
 *   q    rows of sequence s: s * n_new + i; heads placed as in the args
 *   k, v [n_sequences, n_kv_heads, capacity, D]   bf16 or f16
 *   out  [rows, n_heads, D]                       likewise
 *
 * The query rows of one KV head (group_size * n_new of them) are the rows of
 * tensor-core tiles, so that each K and V row is read once for all. A block
 * of four warps walks tiles of keys; WM warps lie along the rows, 4 / WM
 * share the keys of a tile. Long sequences are split among blocks where there
 * are too few of them; a second kernel joins the parts, in fixed order.
 */
#include "runtime/cuda/attend_fast.cuh"
#include "runtime/cuda/attend_tile.cuh"
#include "runtime/cuda/launch.cuh"

enum { MAX_SPLITS = 128 };

/* Where the parts lie in the workspace: sums [rows * heads, splits, D], then
 * pairs (largest score in base 2, sum of weights). */
static __device__ __forceinline__ float2 *part_scales(float *workspace,
                                                      int64_t n_parts, int d)
{
    return (float2 *)(workspace + n_parts * d);
}

/* How blocks are laid out: warps that share the keys of a tile, keys in a
 * tile, tiles in flight, blocks on a processor. */
struct decode_layout {
    int key_warps, tile, n_stages, n_resident;
};

/* For a head dim and a number of warps along the rows. Long tiles save
 * instructions where the rows are many. */
static constexpr __host__ __device__ struct decode_layout layout_of(int d,
                                                                    int wm)
{
    /* Short rows are a small tile: many blocks rather than many warps. */
    if (d == 32)
        return {1, 64, 3, wm == 4 ? 4 : 8};
    if (d == 64 && wm == 4)
        return {1, 128, 2, 2};
    if (d == 64)
        return {4 / wm, 64, 4, 3};
    return {4 / wm, 64, 3, 2};
}

template <typename T, int D, int WM, bool BIAS>
static __global__ void __launch_bounds__(32 * WM * layout_of(D, WM).key_warps,
                                         layout_of(D, WM).n_resident)
    decode_kernel(struct gqa_attend_fast args)
{
    constexpr struct decode_layout layout = layout_of(D, WM);
    constexpr int WN = layout.key_warps, TILE = layout.tile;
    constexpr int STAGES = layout.n_stages, THREADS = 32 * WM * WN;
    constexpr int KEYS = TILE / WN, ROWS = 16 * WM;
    constexpr uint32_t tile_bytes = TILE * D * 2;
    extern __shared__ __align__(256) unsigned char shared[];

    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int wm = warp % WM, wn = warp / WM;
    const int group = (int)args.n_heads / (int)args.n_kv_heads;
    const int n_rows = group * (int)args.n_new;
    const int n_row_tiles = (n_rows + ROWS - 1) / ROWS;
    const int64_t kv_head = (int)blockIdx.y / n_row_tiles;
    const int first_row = (int)blockIdx.y % n_row_tiles * ROWS;
    const int64_t sequence = blockIdx.z;
    const int64_t start = args.starts[sequence], n_keys = args.n_keys[sequence];
    const T *k = (const T *)args.k +
                 (sequence * args.n_kv_heads + kv_head) * args.capacity * D;
    const T *v = (const T *)args.v +
                 (sequence * args.n_kv_heads + kv_head) * args.capacity * D;
    const uint32_t tiles = shared_address(shared);
    const float scale_log2 = args.scale * GQA_LOG2E;

    /* What any row of the block sees, and what all see. */
    int64_t last = start + args.n_new - 1;
    int64_t begin =
        args.window && start >= args.window ? start - args.window + 1 : 0;
    int64_t end = args.causal && last + 1 < n_keys ? last + 1 : n_keys;
    int64_t all_begin =
        args.window && last >= args.window ? last - args.window + 1 : 0;
    int64_t all_end = args.causal && start + 1 < n_keys ? start + 1 : n_keys;
    int64_t tile_first = begin / TILE;
    int64_t n_tiles = end > begin ? (end + TILE - 1) / TILE - tile_first : 0;
    int64_t t0 = tile_first + n_tiles * blockIdx.x / gridDim.x;
    int64_t t1 = tile_first + n_tiles * (blockIdx.x + 1) / gridDim.x;

    struct tile_row rows[2];
    uint32_t q[D / 16][4];
    float o[D / 8][4];

#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
        if (t0 + s < t1) {
            tile_load<D, TILE, THREADS>(tiles + 2 * s * tile_bytes, k,
                                        (int)(t0 + s) * TILE, (int)end,
                                        (int)threadIdx.x);
            tile_load<D, TILE, THREADS>(tiles + (2 * s + 1) * tile_bytes, v,
                                        (int)(t0 + s) * TILE, (int)end,
                                        (int)threadIdx.x);
        }
        copy_commit();
    }

#pragma unroll
    for (int half = 0; half < 2; half++) {
        uint32_t r = (uint32_t)first_row + wm * 16 + half * 8 + lane / 4;
        uint32_t n_new = (uint32_t)args.n_new;
        uint32_t head = (uint32_t)(kv_head * group) + r / n_new;
        uint32_t per_block = (uint32_t)args.q_per_block;
        int64_t i = r % n_new, p = start + i;
        const uint32_t *from =
            (const uint32_t *)((const T *)args.q +
                               (sequence * args.n_new + i) * args.q_width +
                               args.q_base +
                               (int64_t)(head / per_block) *
                                   args.q_block_stride +
                               head % per_block * D);

        rows[half].max = -INFINITY;
        rows[half].sum = 0;
        rows[half].begin =
            (int)(args.window && p >= args.window ? p - args.window + 1 : 0);
        rows[half].end = (int)(args.causal && p + 1 < n_keys ? p + 1 : n_keys);
        if (r >= n_rows)
            rows[half].end = 0;
        tile_row_bias<BIAS>(&rows[half], args, (int)head, p);
#pragma unroll
        for (int c = 0; c < D / 16; c++) {
            q[c][half] = r < n_rows ? from[c * 8 + lane % 4] : 0;
            q[c][2 + half] = r < n_rows ? from[c * 8 + lane % 4 + 4] : 0;
        }
    }
#pragma unroll
    for (int d = 0; d < D / 8; d++)
        o[d][0] = o[d][1] = o[d][2] = o[d][3] = 0;

    int stage = 0;
    for (int64_t t = t0; t < t1; t++) {
        float s[KEYS / 8][4], grow[2];
        int64_t ahead = t + STAGES - 1;
        int free_stage = stage == 0 ? STAGES - 1 : stage - 1;
        uint32_t tile = tiles + 2 * stage * tile_bytes;

        copy_wait<STAGES - 2>();
        __syncthreads();
        if (ahead < t1) {
            tile_load<D, TILE, THREADS>(tiles + 2 * free_stage * tile_bytes, k,
                                        (int)ahead * TILE, (int)end,
                                        (int)threadIdx.x);
            tile_load<D, TILE, THREADS>(
                tiles + (2 * free_stage + 1) * tile_bytes, v, (int)ahead * TILE,
                (int)end, (int)threadIdx.x);
        }
        copy_commit();

        tile_scores<D, KEYS, T>(s, q, tile, wn * KEYS, lane);
        tile_weights<KEYS, BIAS>(
            s, grow, rows, scale_log2, (int)t * TILE + wn * KEYS,
            t * TILE < all_begin || (t + 1) * TILE > all_end, lane);
        tile_scale<D>(o, grow);
        tile_values<D, KEYS, T>(o, s, tile + tile_bytes, wn * KEYS, lane);
        stage = stage + 1 == STAGES ? 0 : stage + 1;
    }

    copy_wait<0>();
#if __CUDA_ARCH__ >= 900
    cudaTriggerProgrammaticLaunchCompletion();
#endif
    const uint32_t n_new = (uint32_t)args.n_new;
    const int64_t first_head =
        sequence * n_new * args.n_heads + kv_head * group;
    const int64_t n_parts = args.n_sequences * n_new * args.n_heads * gridDim.x;

#pragma unroll
    for (int half = 0; half < 2; half++) {
        rows[half].sum += __shfl_xor_sync(0xffffffffu, rows[half].sum, 1);
        rows[half].sum += __shfl_xor_sync(0xffffffffu, rows[half].sum, 2);
    }
    if constexpr (WN == 1) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const uint32_t r =
                (uint32_t)first_row + wm * 16 + half * 8 + lane / 4;
            const int64_t at =
                first_head + r % n_new * args.n_heads + r / n_new;
            const int64_t part = at * gridDim.x + blockIdx.x;
            const float sum = rows[half].sum, factor = sum == 0 ? 0 : 1 / sum;

            if (r >= n_rows)
                continue;
            if (gridDim.x > 1 && lane % 4 == 0)
                part_scales(args.workspace, n_parts, D)[part] =
                    make_float2(rows[half].max * (BIAS ? 1 : scale_log2), sum);
#pragma unroll
            for (int d = 0; d < D / 8; d++) {
                const int column = d * 8 + lane % 4 * 2;
                const float x = o[d][half * 2], y = o[d][half * 2 + 1];

                if (gridDim.x > 1)
                    *(float2 *)&args.workspace[part * D + column] =
                        make_float2(x, y);
                else
                    *(uint32_t *)((T *)args.out + at * D + column) =
                        tile_type<T>::pack(x * factor, y * factor);
            }
        }
        return;
    }

    /* Join the warps that shared the keys, in order of their number. */
    __syncthreads();
    float *sums = (float *)shared;                     /* [WN, ROWS, D] */
    float2 *scales = (float2 *)(sums + WN * ROWS * D); /* [WN, ROWS] */
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int r = wm * 16 + half * 8 + lane / 4;

        if (lane % 4 == 0)
            scales[wn * ROWS + r] = make_float2(
                rows[half].max * (BIAS ? 1 : scale_log2), rows[half].sum);
#pragma unroll
        for (int d = 0; d < D / 8; d++)
            *(float2 *)&sums[(wn * ROWS + r) * D + d * 8 + lane % 4 * 2] =
                make_float2(o[d][half * 2], o[d][half * 2 + 1]);
    }
    __syncthreads();
    for (int r = warp; r < ROWS && first_row + r < n_rows; r += WM * WN) {
        constexpr int width = D / 32;
        const uint32_t row = (uint32_t)(first_row + r);
        const int64_t at =
            first_head + row % n_new * args.n_heads + row / n_new;
        float max = -INFINITY, sum = 0, x[width] = {};

#pragma unroll
        for (int n = 0; n < WN; n++)
            max = fmaxf(max, scales[n * ROWS + r].x);
#pragma unroll
        for (int n = 0; n < WN; n++) {
            float2 part = scales[n * ROWS + r];
            float weight = part.x == -INFINITY ? 0 : power_of_two(part.x - max);

            sum += part.y * weight;
#pragma unroll
            for (int i = 0; i < width; i++)
                x[i] += sums[(n * ROWS + r) * D + lane * width + i] * weight;
        }

        if (gridDim.x == 1) {
            uint32_t *out = (uint32_t *)((T *)args.out + at * D + lane * width);
            float factor = sum == 0 ? 0 : 1 / sum;

#pragma unroll
            for (int i = 0; i < width / 2; i++)
                out[i] = tile_type<T>::pack(x[2 * i] * factor,
                                            x[2 * i + 1] * factor);
        } else {
            int64_t part = at * gridDim.x + blockIdx.x;

#pragma unroll
            for (int i = 0; i < width; i++)
                args.workspace[part * D + lane * width + i] = x[i];
            if (lane == 0)
                part_scales(args.workspace, n_parts, D)[part] =
                    make_float2(max, sum);
        }
    }
}

/* One block of D threads for each row and head. */
template <typename T, int D>
static __global__ void __launch_bounds__(D)
    join_kernel(T *out, float *workspace, int n_splits)
{
    __shared__ float2 scales[MAX_SPLITS];
    const int64_t at = blockIdx.x;
    const int64_t n_parts = (int64_t)gridDim.x * n_splits;
    const float *part = workspace + at * n_splits * D + threadIdx.x;
    float max = -INFINITY, sum = 0, x = 0;

    await_before();
    for (int n = threadIdx.x; n < n_splits; n += D)
        scales[n] = part_scales(workspace, n_parts, D)[at * n_splits + n];
    __syncthreads();
    for (int n = 0; n < n_splits; n++)
        max = fmaxf(max, scales[n].x);
#pragma unroll 8
    for (int n = 0; n < n_splits; n++) {
        float weight =
            scales[n].x == -INFINITY ? 0 : power_of_two(scales[n].x - max);

        sum += scales[n].y * weight;
        x += part[(int64_t)n * D] * weight;
    }
    out[at * D + threadIdx.x] = tile_type<T>::round(sum == 0 ? 0 : x / sum);
}

bool gqa_attend_fast_takes(const struct gqa_attend_fast *args)
{
    return (args->head_dim == 32 || args->head_dim == 64 ||
            args->head_dim == 128) &&
           args->per_key == 0 && args->scale > 0 && args->q_width % 8 == 0 &&
           args->q_base % 8 == 0 && args->q_block_stride % 8 == 0 &&
           (uintptr_t)args->q % 16 == 0 && (uintptr_t)args->k % 16 == 0 &&
           (uintptr_t)args->v % 16 == 0 && (uintptr_t)args->out % 8 == 0 &&
           args->n_sequences <= 65535 && args->capacity <= INT32_MAX &&
           args->n_heads <= 65535 &&
           args->n_heads * args->n_sequences <= INT32_MAX &&
           args->n_new <= 65535;
}

struct decode_shape {
    int row_warps, n_splits;
};

static struct decode_shape shape_of(const struct gqa_attend_fast *args)
{
    int64_t rows = args->n_heads / args->n_kv_heads * args->n_new;
    struct decode_shape shape = {rows <= 16 ? 1 : rows <= 32 ? 2 : 4, 1};
    int64_t tile_rows = 16 * shape.row_warps;
    int64_t blocks = (rows + tile_rows - 1) / tile_rows * args->n_kv_heads *
                     args->n_sequences;
    struct decode_layout layout =
        layout_of((int)args->head_dim, shape.row_warps);
    int64_t tiles = (args->max_keys + layout.tile - 1) / layout.tile;
    int64_t slots = (int64_t)args->n_processors * layout.n_resident;
    int64_t best = INT64_MAX;

    /* Two waves balance themselves: the last blocks share the bandwidth. */
    if (blocks >= 2 * slots)
        return shape;
    /* In eighths of a tile's time: a block starts and ends in two tiles, and
     * joining takes two more and a little for each part and its rows. */
    for (int n = 1; n <= MAX_SPLITS && n <= tiles; n++) {
        int64_t waves = (blocks * n + slots - 1) / slots;
        int64_t cost = waves * ((tiles + n - 1) / n + 2) * 8 +
                       (n > 1 ? 16 + n * shape.row_warps : 0);

        if (cost < best) {
            best = cost;
            shape.n_splits = n;
        }
    }
    return shape;
}

int64_t gqa_attend_decode_workspace(const struct gqa_attend_fast *args)
{
    int n_splits = shape_of(args).n_splits;

    return n_splits == 1 ? 0
                         : args->n_sequences * args->n_new * args->n_heads *
                               n_splits * (args->head_dim + 2);
}

template <typename T, int D, int WM>
static cudaError_t launch(const struct gqa_attend_fast *args, int n_splits,
                          cudaStream_t stream)
{
    constexpr struct decode_layout layout = layout_of(D, WM);
    constexpr size_t shared =
        (size_t)layout.n_stages * 2 * layout.tile * D * sizeof(T);
    void (*kernel)(struct gqa_attend_fast) =
        args->bias ? decode_kernel<T, D, WM, true>
                   : decode_kernel<T, D, WM, false>;
    int64_t rows = args->n_heads / args->n_kv_heads * args->n_new;
    dim3 grid((unsigned)n_splits,
              (unsigned)((rows + 16 * WM - 1) / (16 * WM) * args->n_kv_heads),
              (unsigned)args->n_sequences);

    static_assert(shared >= (size_t)layout.key_warps * 16 * WM * (D + 2) *
                                sizeof(float),
                  "the join's sums need the tiles' memory");
    /* Each time: it holds for the current device alone, and costs little. */
    cudaError_t error = cudaFuncSetAttribute(
        kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);
    if (error != cudaSuccess)
        return error;
    kernel<<<grid, 32 * WM * layout.key_warps, shared, stream>>>(*args);
    if (n_splits > 1) {
        error = launch_early(
            args->overlaps, join_kernel<T, D>,
            dim3((unsigned)(args->n_sequences * args->n_new * args->n_heads)),
            D, 0, stream, (T *)args->out, args->workspace, n_splits);
        if (error != cudaSuccess)
            return error;
    }
    return cudaGetLastError();
}

template <typename T, int D>
static cudaError_t launch_rows(const struct gqa_attend_fast *args,
                               cudaStream_t stream)
{
    struct decode_shape shape = shape_of(args);

    switch (shape.row_warps) {
    case 1:
        return launch<T, D, 1>(args, shape.n_splits, stream);
    case 2:
        return launch<T, D, 2>(args, shape.n_splits, stream);
    default:
        return launch<T, D, 4>(args, shape.n_splits, stream);
    }
}

cudaError_t gqa_attend_decode(const struct gqa_attend_fast *args,
                              cudaStream_t stream)
{
    if (args->head_dim == 32)
        return args->bf16 ? launch_rows<__nv_bfloat16, 32>(args, stream)
                          : launch_rows<__half, 32>(args, stream);
    if (args->head_dim == 64)
        return args->bf16 ? launch_rows<__nv_bfloat16, 64>(args, stream)
                          : launch_rows<__half, 64>(args, stream);
    return args->bf16 ? launch_rows<__nv_bfloat16, 128>(args, stream)
                      : launch_rows<__half, 128>(args, stream);
}
