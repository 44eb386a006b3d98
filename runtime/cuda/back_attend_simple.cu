/*
 * Attention backwards for every shape and type, on plain cores.
 *
 *   q    rows of sequence s: s * n_new + i; heads placed as in the args
 *   k, v [n_sequences, n_kv_heads, capacity, head_dim]
 *   out  [rows, n_heads, head_dim]
 *
 * A tile is TILE queries of a head and TILE keys: thread (x, y) of 16 x 16 has
 * the scores of four queries and four keys, and of the gradient four rows and
 * four columns. Factors pass through shared memory in float32, DEPTH at a
 * time, so that head_dim has no limit; where it exceeds TILE, blocks share the
 * columns and each makes the scores anew.
 *
 * float16 comes here as well: gradients span more than it has, and none is
 * rounded to it before it is written.
 */
#include "runtime/cuda/back_attend.cuh"
#include "runtime/cuda/real.cuh"

enum { THREADS = 256, TILE = 64, DEPTH = 16, PAD = 4 };

/* Four numbers each of four rows. */
typedef float square[4][4];

struct simple_shared {
    union {
        struct {
            alignas(16) float rows[2][DEPTH][TILE + PAD];
            alignas(16) float keys[2][DEPTH][TILE + PAD];
        } scores; /* q and do; k and v */
        alignas(16) float factor[TILE][TILE + PAD];
    };
    alignas(16) float weights[TILE][TILE + PAD];
};

/* A head of a sequence. */
struct simple_head {
    int64_t sequence, head, kv_head;
    int64_t start, n_tokens, n_keys;
    int64_t q;     /* element of query 0 in q and dq */
    int64_t out;   /* in do */
    int64_t cache; /* of key 0 in k and v */
};

static __device__ struct simple_head simple_head_of(
    const struct gqa_attend_back &args, int64_t sequence, int64_t head)
{
    const struct gqa_attend_fast &a = args.a;
    struct simple_head h;

    h.sequence = sequence;
    h.head = head;
    h.kv_head = head / (a.n_heads / a.n_kv_heads);
    h.start = a.starts[sequence];
    h.n_tokens = a.n_tokens[sequence];
    h.n_keys = a.n_keys[sequence];
    h.q = sequence * a.n_new * a.q_width + a.q_base +
          head / a.q_per_block * a.q_block_stride +
          head % a.q_per_block * a.head_dim;
    h.out = (sequence * a.n_new * a.n_heads + head) * a.head_dim;
    h.cache = (sequence * a.n_kv_heads + h.kv_head) * a.capacity * a.head_dim;
    return h;
}

/* The keys that query i sees. */
static __device__ __forceinline__ int64_t simple_begin(
    const struct gqa_attend_back &args, const struct simple_head &h, int64_t i)
{
    const int64_t p = h.start + i;

    return args.a.window && p >= args.a.window ? p - args.a.window + 1 : 0;
}

static __device__ __forceinline__ int64_t simple_end(
    const struct gqa_attend_back &args, const struct simple_head &h, int64_t i)
{
    const int64_t p = h.start + i;

    return args.a.causal && p + 1 < h.n_keys ? p + 1 : h.n_keys;
}

/* to [DEPTH, TILE] = columns d .. of rows first .. of a matrix, transposed;
 * zeros where there is none. */
template <typename T>
static __device__ __forceinline__ void simple_load(float (*to)[TILE + PAD],
                                                   const T *from,
                                                   int64_t stride,
                                                   int64_t first, int64_t end,
                                                   int64_t d, int64_t head_dim)
{
    const int c = (int)threadIdx.x % DEPTH;

#pragma unroll
    for (int r = (int)threadIdx.x / DEPTH; r < TILE; r += THREADS / DEPTH)
        to[c][r] =
            first + r < end && d + c < head_dim
                ? (float)real<T>::load(from[(first + r) * stride + d + c])
                : 0;
}

/* s = the scaled scores of queries row .. and keys key .., four each from
 * 4 * y and 4 * x on, and dp = do v^T. */
template <typename T>
static __device__ __forceinline__ void simple_scores(
    square s, square dp, struct simple_shared *shared,
    const struct gqa_attend_back &args, const struct simple_head &h,
    int64_t row, int64_t key)
{
    const struct gqa_attend_fast &a = args.a;
    const int x = (int)threadIdx.x % 16, y = (int)threadIdx.x / 16;

#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++)
            s[i][j] = dp[i][j] = 0;
    for (int64_t d = 0; d < a.head_dim; d += DEPTH) {
        __syncthreads();
        simple_load(shared->scores.rows[0], (const T *)a.q + h.q, a.q_width,
                    row, h.n_tokens, d, a.head_dim);
        simple_load(shared->scores.rows[1], (const T *)args.d_out + h.out,
                    a.n_heads * a.head_dim, row, h.n_tokens, d, a.head_dim);
        simple_load(shared->scores.keys[0], (const T *)a.k + h.cache,
                    a.head_dim, key, h.n_keys, d, a.head_dim);
        simple_load(shared->scores.keys[1], (const T *)a.v + h.cache,
                    a.head_dim, key, h.n_keys, d, a.head_dim);
        __syncthreads();
#pragma unroll 4
        for (int c = 0; c < DEPTH; c++) {
#pragma unroll
            for (int which = 0; which < 2; which++) {
                const float4 r =
                    *(const float4 *)&shared->scores.rows[which][c][4 * y];
                const float4 k =
                    *(const float4 *)&shared->scores.keys[which][c][4 * x];
                const float rs[4] = {r.x, r.y, r.z, r.w};
                const float ks[4] = {k.x, k.y, k.z, k.w};

#pragma unroll
                for (int i = 0; i < 4; i++)
#pragma unroll
                    for (int j = 0; j < 4; j++)
                        (which ? dp : s)[i][j] += rs[i] * ks[j];
            }
        }
    }
    __syncthreads();
}

/* Of scores and dp, p and ds: the latter of a score before its cap; of one
 * after it in `biased`, if that is not NULL. */
static __device__ __forceinline__ void simple_weigh(
    square s, square dp, float (*biased)[4], const struct gqa_attend_back &args,
    const struct simple_head &h, int64_t row, int64_t key)
{
    const struct gqa_attend_fast &a = args.a;
    const int x = (int)threadIdx.x % 16, y = (int)threadIdx.x / 16;

#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int64_t n = row + 4 * y + i;
        const bool real_row = n < h.n_tokens;
        const int64_t at =
            (h.sequence * a.n_new + (real_row ? n : 0)) * a.n_heads + h.head;
        const float lse = a.lse[at], dot = args.dots[at];
        const int64_t begin = simple_begin(args, h, n);
        const int64_t end = real_row ? simple_end(args, h, n) : 0;

#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int64_t c = key + 4 * x + j;
            float score = s[i][j] * a.scale, slope = 1, p, ds;

            if (c < begin || c >= end) {
                s[i][j] = dp[i][j] = 0;
                if (biased)
                    biased[i][j] = 0;
                continue;
            }
            if (args.soft_cap > 0) {
                const float share = tanhf(score / args.soft_cap);

                score = args.soft_cap * share;
                slope = (1 - share) * (1 + share);
            }
            if (a.bias)
                score += a.bias[h.head * (2 * a.reach - 1) + c -
                                gqa_attend_place(a, h.start + n, h.n_keys) +
                                a.reach - 1];
            p = expf(score - lse);
            ds = p * (dp[i][j] - dot);
            s[i][j] = p;
            dp[i][j] = ds * slope;
            if (biased)
                biased[i][j] = ds;
        }
    }
}

/* sum [rows 4 y .., columns 4 x ..] += weights^T factor, whose rows are first
 * .. of a matrix [end, columns], from `column` on. */
template <typename T>
static __device__ __forceinline__ void simple_add(
    square sum, struct simple_shared *shared, const T *factor, int64_t stride,
    int64_t first, int64_t end, int64_t column, int64_t head_dim)
{
    const int x = (int)threadIdx.x % 16, y = (int)threadIdx.x / 16;
    const int c = (int)threadIdx.x % TILE;

    __syncthreads();
#pragma unroll
    for (int r = (int)threadIdx.x / TILE; r < TILE; r += THREADS / TILE)
        shared->factor[r][c] =
            first + r < end && column + c < head_dim
                ? (float)real<T>::load(
                      factor[(first + r) * stride + column + c])
                : 0;
    __syncthreads();
#pragma unroll 8
    for (int r = 0; r < TILE; r++) {
        const float4 w = *(const float4 *)&shared->weights[r][4 * y];
        const float4 f = *(const float4 *)&shared->factor[r][4 * x];
        const float ws[4] = {w.x, w.y, w.z, w.w};
        const float fs[4] = {f.x, f.y, f.z, f.w};

#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int j = 0; j < 4; j++)
                sum[i][j] += ws[i] * fs[j];
    }
}

/* Rows first .., below end, of a matrix (+)= factor * sum. */
template <typename T>
static __device__ __forceinline__ void simple_store(
    T *to, const square sum, float factor, int64_t stride, int64_t first,
    int64_t end, int64_t column, int64_t head_dim, bool adds)
{
    const int x = (int)threadIdx.x % 16, y = (int)threadIdx.x / 16;

#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int64_t r = first + 4 * y + i, c = column + 4 * x + j;

            if (r < end && c < head_dim)
                to[r * stride + c] = real<T>::round(
                    factor * sum[i][j] +
                    (adds ? (float)real<T>::load(to[r * stride + c]) : 0));
        }
}

/* A block has a tile of keys. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    simple_keys_kernel(struct gqa_attend_back args, int64_t n_tiles,
                       int64_t n_chunks)
{
    __shared__ struct simple_shared shared;
    const struct gqa_attend_fast &a = args.a;
    const int x = (int)threadIdx.x % 16, y = (int)threadIdx.x / 16;
    const int64_t column = blockIdx.x % n_chunks * TILE;
    const int64_t key = blockIdx.x / n_chunks % n_tiles * TILE;
    const int64_t which = blockIdx.x / (n_chunks * n_tiles);
    const int64_t sequence = which / a.n_kv_heads;
    const int64_t group = a.n_heads / a.n_kv_heads;
    const int64_t first_head = which % a.n_kv_heads * group;
    const int64_t cache = which * a.capacity * a.head_dim;
    square d_k = {}, d_v = {};

    for (int64_t g = 0; g < group; g++) {
        const struct simple_head h =
            simple_head_of(args, sequence, first_head + g);
        int64_t begin = 0, end = h.n_tokens;

        /* The queries that see some key of the tile. */
        if (a.causal && key > h.start)
            begin = key - h.start;
        if (a.window && key + TILE - 1 + a.window - h.start < end)
            end = key + TILE - 1 + a.window - h.start;
        if (key >= h.n_keys)
            end = 0;
        for (int64_t row = begin / TILE * TILE; row < end; row += TILE) {
            square s, dp;

            simple_scores<T>(s, dp, &shared, args, h, row, key);
            simple_weigh(s, dp, NULL, args, h, row, key);
#pragma unroll
            for (int i = 0; i < 4; i++)
                *(float4 *)&shared.weights[4 * y + i][4 * x] =
                    make_float4(s[i][0], s[i][1], s[i][2], s[i][3]);
            simple_add(d_v, &shared, (const T *)args.d_out + h.out,
                       a.n_heads * a.head_dim, row, h.n_tokens, column,
                       a.head_dim);
            __syncthreads();
#pragma unroll
            for (int i = 0; i < 4; i++)
                *(float4 *)&shared.weights[4 * y + i][4 * x] =
                    make_float4(dp[i][0], dp[i][1], dp[i][2], dp[i][3]);
            simple_add(d_k, &shared, (const T *)a.q + h.q, a.q_width, row,
                       h.n_tokens, column, a.head_dim);
            __syncthreads();
        }
    }
    simple_store((T *)args.d_k + cache, d_k, a.scale, a.head_dim, key,
                 a.capacity, column, a.head_dim, false);
    simple_store((T *)args.d_v + cache, d_v, 1, a.head_dim, key, a.capacity,
                 column, a.head_dim, false);
}

/* part[key + offset] += the sum of weights [key, query] along a diagonal of
 * the tile; a thread has one. */
static __device__ void simple_diagonals(const struct simple_shared *shared,
                                        float *part, int64_t key)
{
    const int n = (int)threadIdx.x; /* key - query + TILE - 1 */
    float sum = 0;

    if (n >= 2 * TILE - 1)
        return;
    for (int i = n < TILE ? TILE - 1 - n : 0; i < TILE && i + n < 2 * TILE - 1;
         i++)
        sum += shared->weights[i + n - TILE + 1][i];
    part[key + n] += sum;
}

/* A block has a tile of queries. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    simple_queries_kernel(struct gqa_attend_back args, int64_t n_tiles,
                          int64_t n_chunks)
{
    __shared__ struct simple_shared shared;
    const struct gqa_attend_fast &a = args.a;
    const int x = (int)threadIdx.x % 16, y = (int)threadIdx.x / 16;
    const int64_t column = blockIdx.x % n_chunks * TILE;
    const int64_t tile = blockIdx.x / n_chunks % n_tiles;
    const int64_t which = blockIdx.x / (n_chunks * n_tiles);
    const int64_t row = tile * TILE;
    const struct simple_head h = simple_head_of(
        args, args.first_sequence + which / a.n_heads, which % a.n_heads);
    const int64_t last = row + TILE < h.n_tokens ? row + TILE : h.n_tokens;
    const int64_t begin = simple_begin(args, h, row);
    const int64_t end = row < h.n_tokens ? simple_end(args, h, last - 1) : 0;
    float *part =
        args.bias_parts && column == 0
            ? args.bias_parts + (which * n_tiles + tile) * args.part_length
            : NULL;
    square d_q = {};

    if (part) {
        for (int64_t i = threadIdx.x; i < args.part_length; i += THREADS)
            part[i] = 0;
        __syncthreads();
    }
    for (int64_t key = begin / TILE * TILE; key < end; key += TILE) {
        square s, dp, biased;

        simple_scores<T>(s, dp, &shared, args, h, row, key);
        simple_weigh(s, dp, biased, args, h, row, key);
        if (part) {
#pragma unroll
            for (int j = 0; j < 4; j++)
                *(float4 *)&shared.weights[4 * x + j][4 * y] = make_float4(
                    biased[0][j], biased[1][j], biased[2][j], biased[3][j]);
            __syncthreads();
            if (key + threadIdx.x < args.part_length)
                simple_diagonals(&shared, part, key);
            __syncthreads();
        }
#pragma unroll
        for (int j = 0; j < 4; j++)
            *(float4 *)&shared.weights[4 * x + j][4 * y] =
                make_float4(dp[0][j], dp[1][j], dp[2][j], dp[3][j]);
        simple_add(d_q, &shared, (const T *)a.k + h.cache, a.head_dim, key,
                   h.n_keys, column, a.head_dim);
        __syncthreads();
    }
    simple_store((T *)args.d_q + h.q, d_q, a.scale, a.q_width, row, a.n_new,
                 column, a.head_dim, args.adds_q);
}

cudaError_t gqa_attend_back_simple_keys(const struct gqa_attend_back *args,
                                        enum gqa_dtype real,
                                        cudaStream_t stream)
{
    const struct gqa_attend_fast *a = &args->a;
    const int64_t n_tiles = (a->capacity + TILE - 1) / TILE;
    const int64_t n_chunks = (a->head_dim + TILE - 1) / TILE;
    const int64_t n = n_tiles * n_chunks * a->n_kv_heads * a->n_sequences;

    with_real(real, [&](auto t) {
        simple_keys_kernel<decltype(t)>
            <<<(unsigned)n, THREADS, 0, stream>>>(*args, n_tiles, n_chunks);
    });
    return cudaGetLastError();
}

cudaError_t gqa_attend_back_simple_queries(const struct gqa_attend_back *args,
                                           enum gqa_dtype real,
                                           cudaStream_t stream)
{
    const struct gqa_attend_fast *a = &args->a;
    const int64_t n_tiles = (a->n_new + TILE - 1) / TILE;
    const int64_t n_chunks = (a->head_dim + TILE - 1) / TILE;
    const int64_t n = n_tiles * n_chunks * a->n_heads * args->n_sequences;

    with_real(real, [&](auto t) {
        simple_queries_kernel<decltype(t)>
            <<<(unsigned)n, THREADS, 0, stream>>>(*args, n_tiles, n_chunks);
    });
    return cudaGetLastError();
}
