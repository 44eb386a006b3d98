/*
 * Grouped-query attention for many new tokens; the scores are never stored.
 *
 *   q    rows of sequence s: s * n_new + i; heads placed as in the args
 *   k, v [n_sequences, n_kv_heads, capacity, D]   bf16 or f16
 *   out  [rows, n_heads, D]                       likewise
 *
 * A block of four warps holds 64 * MT queries of one head, 16 * MT in each
 * warp, and walks tiles of TILE keys, the next being copied meanwhile. Heads
 * of a group run side by side and meet in the L2.
 */
#include "runtime/cuda/attend_fast.cuh"
#include "runtime/cuda/attend_tile.cuh"

/* Keys of a tile, where a head is of 32 or of 64. */
enum { THREADS = 128, TILE_32 = 64, TILE_64 = 128 };

template <typename T, int D, int MT, int TILE, bool BIAS>
static __global__ void __launch_bounds__(THREADS, D == 32 ? 3 : 2)
    prefill_kernel(struct gqa_attend_fast args)
{
    constexpr int ROWS = 64 * MT;
    constexpr uint32_t tile_bytes = TILE * D * 2, q_bytes = ROWS * D * 2;
    extern __shared__ __align__(256) unsigned char shared[];

    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int n_heads = (int)args.n_heads;
    const int head = (int)blockIdx.x % n_heads;
    const int64_t sequence = (int)blockIdx.x / n_heads;
    const int64_t kv_head = head / (int)(args.n_heads / args.n_kv_heads);
    /* The longest rows first. */
    const int64_t first_row = (int64_t)(gridDim.y - 1 - blockIdx.y) * ROWS;
    const int64_t start = args.starts[sequence];
    const int n_keys = (int)args.n_keys[sequence];
    const T *k = (const T *)args.k +
                 (sequence * args.n_kv_heads + kv_head) * args.capacity * D;
    const T *v = (const T *)args.v +
                 (sequence * args.n_kv_heads + kv_head) * args.capacity * D;
    const T *q = (const T *)args.q + sequence * args.n_new * args.q_width +
                 args.q_base +
                 head / (int)args.q_per_block * args.q_block_stride +
                 head % (int)args.q_per_block * D;
    const uint32_t q_tile = shared_address(shared);
    const uint32_t tiles = q_tile + q_bytes;
    const float scale_log2 = args.scale * GQA_LOG2E;

    /* What any row of the block sees, and what all see. */
    const int window = args.window < INT32_MAX ? (int)args.window : 0;
    const int first = (int)(start + first_row);
    const int last =
        first +
        (int)(args.n_new - first_row < ROWS ? args.n_new - first_row : ROWS) -
        1;
    const int begin = window && first >= window ? first - window + 1 : 0;
    const int end = args.causal && last + 1 < n_keys ? last + 1 : n_keys;
    const int all_begin = window && last >= window ? last - window + 1 : 0;
    const int all_end = args.causal && first + 1 < n_keys ? first + 1 : n_keys;
    const int t0 = begin / TILE;
    const int t1 = end > begin ? (end + TILE - 1) / TILE : t0;
    /* The keys that some row of the warp sees end here. */
    const int warp_end =
        args.causal ? min(end, first + (warp + 1) * 16 * MT) : end;
    /* Where the lane reads in a tile whose 16-byte pieces are pieces 2 c,
     * 2 c + 1 of a row: at ^ (c << 5), as rows begin at multiples of 128. */
    const uint32_t rows_at = tile_at<D>(0, lane & 15, lane >> 4);
    const uint32_t q_rows_at = q_tile + rows_at + warp * MT * 32 * D;
    const uint32_t keys_at =
        tile_at<D>(0, ((lane >> 4) << 3) + (lane & 7), (lane >> 3) & 1);

    struct tile_row rows[MT][2];
    float o[MT][D / 8][4];

#pragma unroll
    for (int n = 0; n < ROWS * D / 8 / THREADS; n++) {
        int i = n * THREADS + (int)threadIdx.x;
        int row = i / (D / 8), piece = i % (D / 8);
        bool valid = first_row + row < args.n_new;

        copy_async(tile_at<D>(q_tile, row, piece),
                   q + (valid ? first_row + row : 0) * args.q_width + piece * 8,
                   valid);
    }
    if (t0 < t1) {
        tile_load<D, TILE, THREADS>(tiles, k, t0 * TILE, end, (int)threadIdx.x);
        tile_load<D, TILE, THREADS>(tiles + tile_bytes, v, t0 * TILE, end,
                                    (int)threadIdx.x);
    }
    copy_commit();

#pragma unroll
    for (int m = 0; m < MT; m++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            rows[m][half].max = -INFINITY;
            rows[m][half].sum = 0;
        }
#pragma unroll
        for (int d = 0; d < D / 8; d++)
            o[m][d][0] = o[m][d][1] = o[m][d][2] = o[m][d][3] = 0;
    }

    int stage = 0;
    for (int t = t0; t < t1; t++) {
        const uint32_t tile = tiles + 2 * stage * tile_bytes;
        float s[MT][TILE / 8][4];
        bool masked = t * TILE < all_begin || (t + 1) * TILE > all_end;

        copy_wait<0>();
        __syncthreads();
        stage ^= 1;
        if (t + 1 < t1) {
            tile_load<D, TILE, THREADS>(tiles + 2 * stage * tile_bytes, k,
                                        (t + 1) * TILE, end, (int)threadIdx.x);
            tile_load<D, TILE, THREADS>(tiles + (2 * stage + 1) * tile_bytes, v,
                                        (t + 1) * TILE, end, (int)threadIdx.x);
        }
        copy_commit();
        if (t * TILE >= warp_end)
            continue;

#pragma unroll
        for (int m = 0; m < MT; m++)
#pragma unroll
            for (int j = 0; j < TILE / 8; j++)
                s[m][j][0] = s[m][j][1] = s[m][j][2] = s[m][j][3] = 0;
                /* S = Q K^T: each fragment of K serves all MT row tiles. */
#pragma unroll
        for (int c = 0; c < D / 16; c++) {
            uint32_t a[MT][4];

#pragma unroll
            for (int m = 0; m < MT; m++)
                load_matrices(a[m], (q_rows_at ^ (c << 5)) + m * 32 * D);
#pragma unroll
            for (int j = 0; j < TILE / 16; j++) {
                uint32_t b[4];

                load_matrices(b, ((tile + keys_at) ^ (c << 5)) + j * 32 * D);
#pragma unroll
                for (int m = 0; m < MT; m++) {
                    tile_type<T>::mma(s[m][2 * j], a[m], b[0], b[1]);
                    tile_type<T>::mma(s[m][2 * j + 1], a[m], b[2], b[3]);
                }
            }
        }
#pragma unroll
        for (int m = 0; m < MT; m++) {
            float grow[2];

            /* Found anew where needed: registers are few. */
            if (BIAS || masked) {
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    int p = first + (warp * MT + m) * 16 + half * 8 + lane / 4;
                    struct tile_row *row = &rows[m][half];

                    row->begin = window && p >= window ? p - window + 1 : 0;
                    row->end = args.causal && p + 1 < n_keys ? p + 1 : n_keys;
                    tile_row_bias<BIAS>(row, args, head, p);
                    if (p > last)
                        row->end = row->begin;
                }
            }
            tile_weights<TILE, BIAS>(s[m], grow, rows[m], scale_log2, t * TILE,
                                     masked, lane);
            tile_scale<D>(o[m], grow);
        }
        /* O += P V, likewise. */
#pragma unroll
        for (int j = 0; j < TILE / 16; j++) {
            uint32_t a[MT][4];

#pragma unroll
            for (int m = 0; m < MT; m++)
                tile_pack<T>(a[m], s[m] + 2 * j);
#pragma unroll
            for (int d = 0; d < D / 16; d++) {
                uint32_t b[4];

                load_matrices_transposed(
                    b, ((tile + tile_bytes + rows_at) ^ (d << 5)) + j * 32 * D);
#pragma unroll
                for (int m = 0; m < MT; m++) {
                    tile_type<T>::mma(o[m][2 * d], a[m], b[0], b[1]);
                    tile_type<T>::mma(o[m][2 * d + 1], a[m], b[2], b[3]);
                }
            }
        }
    }
    copy_wait<0>();

#pragma unroll
    for (int m = 0; m < MT; m++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int64_t i = first_row + (warp * MT + m) * 16 + half * 8 + lane / 4;
            T *out = (T *)args.out +
                     ((sequence * args.n_new + i) * n_heads + head) * D;

            tile_lse(args, &rows[m][half], sequence, i, head,
                     BIAS ? 1 : scale_log2, lane);
            tile_store<T, D>(out, i < args.n_new, o[m], rows[m][half].sum, half,
                             lane);
        }
    }
}

template <typename T, int D, int MT, int TILE>
static cudaError_t launch(const struct gqa_attend_fast *args,
                          cudaStream_t stream)
{
    constexpr size_t shared =
        ((size_t)64 * MT + (size_t)4 * TILE) * D * sizeof(T);
    void (*kernel)(struct gqa_attend_fast) =
        args->bias ? prefill_kernel<T, D, MT, TILE, true>
                   : prefill_kernel<T, D, MT, TILE, false>;
    dim3 grid((unsigned)(args->n_heads * args->n_sequences),
              (unsigned)((args->n_new + 64 * MT - 1) / (64 * MT)));

    /* Each time: it holds for the current device alone, and costs little. */
    cudaError_t error = cudaFuncSetAttribute(
        kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);
    if (error != cudaSuccess)
        return error;
    kernel<<<grid, THREADS, shared, stream>>>(*args);
    return cudaGetLastError();
}

cudaError_t gqa_attend_prefill(const struct gqa_attend_fast *args,
                               cudaStream_t stream)
{
    if (args->warpgroups && !args->bias)
        return args->head_dim == 32 ? gqa_attend_narrow_sm90(args, stream)
                                    : gqa_attend_prefill_sm90(args, stream);
    if (args->head_dim == 32)
        return args->bf16 ? launch<__nv_bfloat16, 32, 2, TILE_32>(args, stream)
                          : launch<__half, 32, 2, TILE_32>(args, stream);
    if (args->head_dim == 64)
        return args->bf16 ? launch<__nv_bfloat16, 64, 2, TILE_64>(args, stream)
                          : launch<__half, 64, 2, TILE_64>(args, stream);
    return args->bf16 ? launch<__nv_bfloat16, 128, 2, 64>(args, stream)
                      : launch<__half, 128, 2, 64>(args, stream);
}
