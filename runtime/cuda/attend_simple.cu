/*
 * Grouped-query attention for every shape; the scores are never stored.
 *
 *   q    rows of sequence s: s * n_new + i; heads placed as in the args
 *   k, v [n_sequences, n_kv_heads, capacity, head_dim]
 *   out  [rows, n_heads, head_dim]
 *
 * The query rows of one KV head (group_size * n_new of them, a head's tokens
 * side by side) are cut into tiles of 16 * RT. A block holds one tile and
 * walks the keys, 64 at a time: thread (x, y) of 8 x 16 has the scores of
 * RT rows and 8 keys, and of RT rows and DV / 8 columns of the output.
 * Factors pass through shared memory in float32, DEPTH at a time, so that
 * head_dim has no limit; where it exceeds DV, blocks share the columns and
 * each makes the scores anew.
 */
#include "runtime/cuda/attend_simple.cuh"
#include "runtime/cuda/real.cuh"

enum { THREADS = 128, KEYS = 64, DEPTH = 32, PAD = 4 };

struct simple_args {
    struct gqa_attend_fast a;
    float soft_cap; /* 0: none */
    int64_t n_tiles, n_chunks, n_blocks;
};

/* What a block works on, and what its rows see. */
template <int ROWS> struct simple_rows {
    int64_t q[ROWS], out[ROWS]; /* element of head_dim's first; -1: none */
    int64_t begin[ROWS], end[ROWS], bias[ROWS];
};

template <int ROWS>
static __device__ void simple_row(struct simple_rows<ROWS> *rows, int r,
                                  const struct simple_args &args,
                                  int64_t sequence, int64_t kv_head,
                                  int64_t row)
{
    const struct gqa_attend_fast &a = args.a;
    const int64_t group = a.n_heads / a.n_kv_heads;
    const int64_t head = kv_head * group + row / a.n_new, i = row % a.n_new;
    const int64_t p = a.starts[sequence] + i, n_keys = a.n_keys[sequence];

    rows->q[r] = rows->out[r] = -1;
    rows->begin[r] = rows->end[r] = rows->bias[r] = 0;
    if (row >= group * a.n_new)
        return;
    rows->out[r] = ((sequence * a.n_new + i) * a.n_heads + head) * a.head_dim;
    if (i >= a.n_tokens[sequence])
        return;
    rows->q[r] = (sequence * a.n_new + i) * a.q_width + a.q_base +
                 head / a.q_per_block * a.q_block_stride +
                 head % a.q_per_block * a.head_dim;
    rows->begin[r] = a.window && p >= a.window ? p - a.window + 1 : 0;
    rows->end[r] = a.causal && p + 1 < n_keys ? p + 1 : n_keys;
    rows->bias[r] =
        head * (2 * a.reach - 1) - gqa_attend_place(a, p, n_keys) + a.reach - 1;
}

/* to [DEPTH, n + PAD] = columns d .. d + DEPTH - 1 of rows, transposed;
 * zeros where there is none. */
template <typename T, int N>
static __device__ __forceinline__ void load_rows(float (*to)[N + PAD],
                                                 const T *from,
                                                 const int64_t *at, int64_t d,
                                                 int64_t head_dim)
{
    const int c = (int)threadIdx.x % DEPTH;

#pragma unroll 4
    for (int r = (int)threadIdx.x / DEPTH; r < N; r += THREADS / DEPTH)
        to[c][r] = at[r] >= 0 && d + c < head_dim
                       ? (float)real<T>::load(from[at[r] + d + c])
                       : 0;
}

template <typename T>
static __device__ __forceinline__ void load_keys(float (*to)[KEYS + PAD],
                                                 const T *k, int64_t key,
                                                 int64_t end, int64_t d,
                                                 int64_t head_dim)
{
    const int c = (int)threadIdx.x % DEPTH;

#pragma unroll 4
    for (int r = (int)threadIdx.x / DEPTH; r < KEYS; r += THREADS / DEPTH)
        to[c][r] = key + r < end && d + c < head_dim
                       ? (float)real<T>::load(k[(key + r) * head_dim + d + c])
                       : 0;
}

/* CAPPED: scores have a soft cap; most have none, and no room for it. */
template <typename T, int RT, int DV, bool CAPPED>
static __global__ void __launch_bounds__(THREADS)
    simple_kernel(struct simple_args args)
{
    constexpr int ROWS = 16 * RT;
    __shared__ struct simple_rows<ROWS> rows;
    __shared__ union {
        struct {
            alignas(16) float q[DEPTH][ROWS + PAD];
            alignas(16) float k[DEPTH][KEYS + PAD];
        } scores;
        alignas(16) float v[DEPTH][DV];
    } factors;
    __shared__ alignas(16) float weights[KEYS][ROWS + PAD];

    const struct gqa_attend_fast &a = args.a;
    const int x = (int)threadIdx.x % 8, y = (int)threadIdx.x / 8;

    for (int64_t block = blockIdx.x; block < args.n_blocks;
         block += gridDim.x) {
        /* The longest rows first. */
        const int64_t tile =
            args.n_tiles - 1 -
            block % (args.n_tiles * args.n_chunks) / args.n_chunks;
        const int64_t column = block % args.n_chunks * DV;
        const int64_t which = block / (args.n_tiles * args.n_chunks);
        const int64_t sequence = which / a.n_kv_heads;
        const int64_t cache = which * a.capacity * a.head_dim;
        const T *k = (const T *)a.k + cache, *v = (const T *)a.v + cache;
        int64_t begin = INT64_MAX, end = 0;
        float max[RT], sum[RT], o[RT][DV / 8];

        __syncthreads();
        if (threadIdx.x < ROWS)
            simple_row<ROWS>(&rows, (int)threadIdx.x, args, sequence,
                             which % a.n_kv_heads, tile * ROWS + threadIdx.x);
        __syncthreads();
        for (int r = 0; r < ROWS; r++)
            if (rows.begin[r] < rows.end[r]) {
                begin = rows.begin[r] < begin ? rows.begin[r] : begin;
                end = rows.end[r] > end ? rows.end[r] : end;
            }
#pragma unroll
        for (int i = 0; i < RT; i++) {
            max[i] = -INFINITY;
            sum[i] = 0;
#pragma unroll
            for (int j = 0; j < DV / 8; j++)
                o[i][j] = 0;
        }

        for (int64_t key = begin; key < end; key += KEYS) {
            float s[RT][8];

#pragma unroll
            for (int i = 0; i < RT; i++)
#pragma unroll
                for (int j = 0; j < 8; j++)
                    s[i][j] = 0;
            for (int64_t d = 0; d < a.head_dim; d += DEPTH) {
                __syncthreads();
                load_rows<T, ROWS>(factors.scores.q, (const T *)a.q, rows.q, d,
                                   a.head_dim);
                load_keys<T>(factors.scores.k, k, key, end, d, a.head_dim);
                __syncthreads();
#pragma unroll 8
                for (int c = 0; c < DEPTH; c++) {
                    const float4 k0 =
                        *(const float4 *)&factors.scores.k[c][x * 4];
                    const float4 k1 =
                        *(const float4 *)&factors.scores.k[c][32 + x * 4];

#pragma unroll
                    for (int i = 0; i < RT; i++) {
                        const float q = factors.scores.q[c][y * RT + i];

                        s[i][0] += q * k0.x;
                        s[i][1] += q * k0.y;
                        s[i][2] += q * k0.z;
                        s[i][3] += q * k0.w;
                        s[i][4] += q * k1.x;
                        s[i][5] += q * k1.y;
                        s[i][6] += q * k1.z;
                        s[i][7] += q * k1.w;
                    }
                }
            }

#pragma unroll
            for (int i = 0; i < RT; i++) {
                const int r = y * RT + i;
                float largest = max[i], shift, grow;

#pragma unroll
                for (int j = 0; j < 8; j++) {
                    const int64_t c = key + j / 4 * 32 + x * 4 + j % 4;
                    const bool seen = c >= rows.begin[r] && c < rows.end[r];

                    s[i][j] *= a.scale;
                    if (CAPPED)
                        s[i][j] =
                            args.soft_cap * tanhf(s[i][j] / args.soft_cap);
                    if (seen && a.bias)
                        s[i][j] += a.bias[rows.bias[r] + c];
                    if (!seen)
                        s[i][j] = -INFINITY;
                    largest = fmaxf(largest, s[i][j]);
                }
#pragma unroll
                for (int lane = 1; lane < 8; lane *= 2)
                    largest = fmaxf(
                        largest, __shfl_xor_sync(0xffffffffu, largest, lane));
                shift = largest == -INFINITY ? 0 : largest;
                grow = expf(max[i] - shift);
                max[i] = largest;
                sum[i] *= grow;
#pragma unroll
                for (int j = 0; j < 8; j++) {
                    const float weight = expf(s[i][j] - shift);

                    sum[i] += weight;
                    weights[j / 4 * 32 + x * 4 + j % 4][r] = weight;
                }
#pragma unroll
                for (int j = 0; j < DV / 8; j++)
                    o[i][j] *= grow;
            }

            for (int half = 0; half < KEYS && key + half < end; half += DEPTH) {
                __syncthreads();
                for (int n = (int)threadIdx.x; n < DEPTH * DV; n += THREADS) {
                    const int64_t c = key + half + n / DV;
                    const int64_t d = column + n % DV;

                    factors.v[n / DV][n % DV] =
                        c < end && d < a.head_dim
                            ? (float)real<T>::load(v[c * a.head_dim + d])
                            : 0;
                }
                __syncthreads();
#pragma unroll 4
                for (int c = 0; c < DEPTH; c++) {
                    float weight[RT];

#pragma unroll
                    for (int i = 0; i < RT; i++)
                        weight[i] = weights[half + c][y * RT + i];
#pragma unroll
                    for (int j = 0; j < DV / 32; j++) {
                        const float4 value =
                            *(const float4 *)&factors.v[c][j * 32 + x * 4];

#pragma unroll
                        for (int i = 0; i < RT; i++) {
                            o[i][j * 4] += weight[i] * value.x;
                            o[i][j * 4 + 1] += weight[i] * value.y;
                            o[i][j * 4 + 2] += weight[i] * value.z;
                            o[i][j * 4 + 3] += weight[i] * value.w;
                        }
                    }
                }
            }
        }

#pragma unroll
        for (int i = 0; i < RT; i++) {
            const int64_t out = rows.out[y * RT + i];

#pragma unroll
            for (int lane = 1; lane < 8; lane *= 2)
                sum[i] += __shfl_xor_sync(0xffffffffu, sum[i], lane);
            if (a.lse && out >= 0 && column == 0 && x == 0)
                a.lse[out / a.head_dim] =
                    rows.q[y * RT + i] < 0 ? 0 : max[i] + logf(sum[i]);
#pragma unroll
            for (int j = 0; j < DV / 8; j++) {
                const int64_t d = column + j / 4 * 32 + x * 4 + j % 4;

                if (out >= 0 && d < a.head_dim)
                    ((T *)a.out)[out + d] =
                        real<T>::round(sum[i] == 0 ? 0 : o[i][j] / sum[i]);
            }
        }
    }
}

template <typename T, int RT, int DV>
static void launch(struct simple_args *args, cudaStream_t stream)
{
    const struct gqa_attend_fast *a = &args->a;
    const int64_t n_rows = a->n_heads / a->n_kv_heads * a->n_new;
    const int64_t most = (int64_t)1 << 30;
    unsigned n;

    args->n_tiles = (n_rows + 16 * RT - 1) / (16 * RT);
    args->n_chunks = (a->head_dim + DV - 1) / DV;
    args->n_blocks =
        args->n_tiles * args->n_chunks * a->n_kv_heads * a->n_sequences;
    n = (unsigned)(args->n_blocks < most ? args->n_blocks : most);
    if (args->soft_cap > 0)
        simple_kernel<T, RT, DV, true><<<n, THREADS, 0, stream>>>(*args);
    else
        simple_kernel<T, RT, DV, false><<<n, THREADS, 0, stream>>>(*args);
}

cudaError_t gqa_attend_simple(const struct gqa_attend_fast *args,
                              float soft_cap, enum gqa_dtype real,
                              cudaStream_t stream)
{
    struct simple_args all = {*args, soft_cap, 0, 0, 0};

    with_real(real, [&](auto t) {
        typedef decltype(t) T;

        if (args->n_heads / args->n_kv_heads * args->n_new > 16) {
            if (args->head_dim <= 64)
                launch<T, 4, 64>(&all, stream);
            else
                launch<T, 4, 128>(&all, stream);
        } else if (args->head_dim <= 64) {
            launch<T, 1, 64>(&all, stream);
        } else {
            launch<T, 1, 128>(&all, stream);
        }
    });
    return cudaGetLastError();
}
