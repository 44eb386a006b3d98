/*
 * What the tensor-core attention kernels share: 16-byte asynchronous
 * copies into swizzled tiles, fragments of m16n8k16 products, and the range
 * of keys that a query sees.
 *
 * A tile is [rows, D] of a 16-bit type; the 16-byte piece c of row r lies
 * at c ^ (r & 7), so that eight rows read at one column hit all banks. Of
 * width 32, whose rows have four pieces and share a line with another, it is
 * c ^ (r / 2 & 3).
 */
#ifndef GQA_RUNTIME_CUDA_ATTEND_TILE_CUH
#define GQA_RUNTIME_CUDA_ATTEND_TILE_CUH

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

#include "runtime/cuda/attend_fast.cuh"

#define GQA_LOG2E 1.4426950408889634f
#define GQA_LN2   0.6931471805599453f

static __device__ __forceinline__ uint32_t shared_address(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

/* Copy 16 bytes, or write zeros where valid is false. */
static __device__ __forceinline__ void copy_async(uint32_t dst, const void *src,
                                                  bool valid)
{
    int n = valid ? 16 : 0;

    asm volatile(
        "cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;\n" ::"r"(dst),
        "l"(src), "r"(n)
        : "memory");
}

static __device__ __forceinline__ void copy_commit(void)
{
    asm volatile("cp.async.commit_group;\n" ::: "memory");
}

template <int N> static __device__ __forceinline__ void copy_wait(void)
{
    asm volatile("cp.async.wait_group %0;\n" ::"n"(N) : "memory");
}

/* Committed or not. */
static __device__ __forceinline__ void copy_wait_all(void)
{
    asm volatile("cp.async.wait_all;\n" ::: "memory");
}

static __device__ __forceinline__ void load_matrices(uint32_t r[4],
                                                     uint32_t address)
{
    asm volatile(
        "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
        : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
        : "r"(address)
        : "memory");
}

static __device__ __forceinline__ void load_matrices_transposed(
    uint32_t r[4], uint32_t address)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, "
                 "%3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}

/* 2^x; tiny weights become 0. exp2f() mends denormals at four times the
 * cost. */
static __device__ __forceinline__ float power_of_two(float x)
{
    float y;

    asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
    return y;
}

template <typename T> struct tile_type;

template <> struct tile_type<__nv_bfloat16> {
    static __device__ __forceinline__ void mma(float d[4], const uint32_t a[4],
                                               uint32_t b0, uint32_t b1)
    {
        asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, "
            "%3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    }
    static __device__ __forceinline__ uint32_t pack(float lo, float hi)
    {
        __nv_bfloat162 x = __floats2bfloat162_rn(lo, hi);

        return *(uint32_t *)&x;
    }
    static __device__ __forceinline__ __nv_bfloat16 round(float x)
    {
        return __float2bfloat16_rn(x);
    }
};

template <> struct tile_type<__half> {
    static __device__ __forceinline__ void mma(float d[4], const uint32_t a[4],
                                               uint32_t b0, uint32_t b1)
    {
        asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, "
            "%3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    }
    static __device__ __forceinline__ uint32_t pack(float lo, float hi)
    {
        __half2 x = __floats2half2_rn(lo, hi);

        return *(uint32_t *)&x;
    }
    static __device__ __forceinline__ __half round(float x)
    {
        return __float2half_rn(x);
    }
};

/* Address of 16-byte piece `piece` of row `row` of a tile of width D. */
template <int D>
static __device__ __forceinline__ uint32_t tile_at(uint32_t tile, int row,
                                                   int piece)
{
    const int turn = D == 32 ? row >> 1 & 3 : row & 7;

    return tile + (uint32_t)(row * D * 2 + ((piece ^ turn) << 4));
}

/* Rows first .. first + ROWS - 1 of a [.., D] matrix into a tile; rows from
 * `end` on as zeros, for a weight of 0 does not silence a NaN. A thread keeps
 * its column, and its row's place among eight. */
template <int D, int ROWS, int THREADS, typename T>
static __device__ __forceinline__ void tile_load(uint32_t tile, const T *matrix,
                                                 int first, int end, int thread)
{
    constexpr int pieces = D / 8, step = THREADS / pieces;
    const int row = thread / pieces, piece = thread % pieces;
    const uint32_t to = tile_at<D>(tile, row, piece);
    const T *from = matrix + (int64_t)(first + row) * D + piece * 8;

    static_assert(step % 8 == 0 && ROWS % step == 0, "whole steps");
#pragma unroll
    for (int n = 0; n < ROWS / step; n++) {
        bool valid = first + row + n * step < end;

        copy_async(to + n * step * D * 2, valid ? from + n * step * D : matrix,
                   valid);
    }
}

/* s[j] (16 rows, keys key + 8 j ..) = A K^T, for N keys of a tile. Tiles
 * begin at multiples of 256: the pieces of a row lie at exclusive ors of
 * their numbers with one address. */
template <int D, int N, typename T>
static __device__ __forceinline__ void tile_scores(float (*s)[4],
                                                   const uint32_t (*a)[4],
                                                   uint32_t tile, int key,
                                                   int lane)
{
    const uint32_t at = tile_at<D>(tile, key + ((lane >> 4) << 3) + (lane & 7),
                                   (lane >> 3) & 1);

#pragma unroll
    for (int j = 0; j < N / 8; j++)
        s[j][0] = s[j][1] = s[j][2] = s[j][3] = 0;
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
#pragma unroll
        for (int j = 0; j < N / 16; j++) {
            uint32_t b[4];

            load_matrices(b, (at ^ (k << 5)) + j * 32 * D);
            tile_type<T>::mma(s[2 * j], a[k], b[0], b[1]);
            tile_type<T>::mma(s[2 * j + 1], a[k], b[2], b[3]);
        }
    }
}

/* Weights of 16 keys, as an operand. */
template <typename T>
static __device__ __forceinline__ void tile_pack(uint32_t a[4],
                                                 const float (*p)[4])
{
    a[0] = tile_type<T>::pack(p[0][0], p[0][1]);
    a[1] = tile_type<T>::pack(p[0][2], p[0][3]);
    a[2] = tile_type<T>::pack(p[1][0], p[1][1]);
    a[3] = tile_type<T>::pack(p[1][2], p[1][3]);
}

/* o (16 rows, D columns) += P V. */
template <int D, int N, typename T>
static __device__ __forceinline__ void tile_values(float (*o)[4],
                                                   const float (*p)[4],
                                                   uint32_t tile, int key,
                                                   int lane)
{
    const uint32_t at = tile_at<D>(tile, key + (lane & 15), lane >> 4);

#pragma unroll
    for (int j = 0; j < N / 16; j++) {
        uint32_t a[4];

        tile_pack<T>(a, p + 2 * j);
#pragma unroll
        for (int d = 0; d < D / 16; d++) {
            uint32_t b[4];

            load_matrices_transposed(b, (at ^ (d << 5)) + j * 32 * D);
            tile_type<T>::mma(o[2 * d], a, b[0], b[1]);
            tile_type<T>::mma(o[2 * d + 1], a, b[2], b[3]);
        }
    }
}

/* A row's share of a softmax in base 2: its largest score, the sum of the
 * weights relative to it (of this thread's columns only). */
struct tile_row {
    float max, sum;
    int begin, end;    /* the keys it sees */
    const float *bias; /* at key 0; read where BIAS */
};

/* Where the bias of a row begins. Padding may stand farther from the keys
 * than the bias reaches; it then sees fewer. */
template <bool BIAS>
static __device__ __forceinline__ void tile_row_bias(
    struct tile_row *row, const struct gqa_attend_fast &args, int head,
    int64_t position)
{
    row->bias = NULL;
    if (BIAS) {
        row->bias =
            args.bias + head * (2 * args.reach - 1) - position + args.reach - 1;
        if (row->begin < position - args.reach + 1)
            row->begin = (int)(position - args.reach + 1);
        if (row->end > position + args.reach)
            row->end = (int)(position + args.reach);
    }
}

/* Scores of a row (`half` of 16) with keys that it does not see are -inf. */
template <int N>
static __device__ __forceinline__ void tile_mask(float (*s)[4],
                                                 const struct tile_row *row,
                                                 int key, int half, int lane)
{
    /* Of the thread's first key: those behind it are told by constants. */
    const int first = key + (lane & 3) * 2;
    const int begin = row->begin - first, end = row->end - first;

#pragma unroll
    for (int i = 0; i < N / 4; i++) {
        const int c = i / 2 * 8 + i % 2;

        if (c < begin || c >= end)
            s[i / 2][half * 2 + i % 2] = -INFINITY;
    }
}

/* Turn scores (16 rows, N keys from `key` on) into weights, relative to the
 * rows' new maxima; grow: what makes weights of before such. */
template <int N, bool BIAS>
static __device__ __forceinline__ void tile_weights(float (*s)[4],
                                                    float grow[2],
                                                    struct tile_row rows[2],
                                                    float scale_log2, int key,
                                                    bool masked, int lane)
{
#pragma unroll
    for (int half = 0; half < 2; half++) {
        struct tile_row *row = &rows[half];
        float max = row->max, shift, factor = scale_log2;

        if (BIAS) {
#pragma unroll
            for (int i = 0; i < N / 4; i++) {
                float *x = &s[i / 2][half * 2 + i % 2];
                int c = key + (i / 2) * 8 + (lane & 3) * 2 + i % 2;

                *x *= scale_log2;
                if (c >= row->begin && c < row->end)
                    *x += row->bias[c] * GQA_LOG2E;
            }
            factor = 1;
        }
        if (masked)
            tile_mask<N>(s, row, key, half, lane);
#pragma unroll
        for (int i = 0; i < N / 4; i++)
            max = fmaxf(max, s[i / 2][half * 2 + i % 2]);
        max = fmaxf(max, __shfl_xor_sync(0xffffffffu, max, 1));
        max = fmaxf(max, __shfl_xor_sync(0xffffffffu, max, 2));
        shift = max == -INFINITY ? 0 : max * factor;
        grow[half] = power_of_two(row->max * factor - shift);
        row->sum *= grow[half];
#pragma unroll
        for (int i = 0; i < N / 4; i++) {
            float *x = &s[i / 2][half * 2 + i % 2];

            *x = power_of_two(*x * factor - shift);
            row->sum += *x;
        }
        row->max = max;
    }
}

/* o (16 rows, D columns) relative to the rows' new maxima. */
template <int D>
static __device__ __forceinline__ void tile_scale(float (*o)[4],
                                                  const float grow[2])
{
#pragma unroll
    for (int d = 0; d < D / 8; d++) {
#pragma unroll
        for (int i = 0; i < 4; i++)
            o[d][i] *= grow[i / 2];
    }
}

/* Write lse of query i of a sequence; factor: what a row's max is to be
 * multiplied by, to be in base 2. All lanes call it. */
static __device__ __forceinline__ void tile_lse(
    const struct gqa_attend_fast &args, const struct tile_row *row,
    int64_t sequence, int64_t i, int head, float factor, int lane)
{
    float sum = row->sum;

    if (!args.lse)
        return;
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    if (lane % 4 == 0 && i < args.n_new)
        args.lse[(sequence * args.n_new + i) * args.n_heads + head] =
            i >= args.n_tokens[sequence] ? 0
            : sum == 0                   ? -INFINITY
                       : (row->max * factor + log2f(sum)) * GQA_LN2;
}

/* What a row (`half` of 16) has summed, over the sum of its weights, to
 * D columns at `to` if it is `valid`. All lanes call it. */
template <typename T, int D>
static __device__ __forceinline__ void tile_store(T *to, bool valid,
                                                  const float (*o)[4],
                                                  float sum, int half, int lane)
{
    uint32_t *out = (uint32_t *)to;

    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    sum = sum == 0 ? 0 : 1 / sum;
    if (valid) {
#pragma unroll
        for (int d = 0; d < D / 8; d++)
            out[d * 4 + lane % 4] = tile_type<T>::pack(
                o[d][half * 2] * sum, o[d][half * 2 + 1] * sum);
    }
}

#endif
