/*
 * Rows of scores, a warp a row: what scores.cuh says. Sums are taken by lanes
 * and then across them, in the same order each time; nothing is added by
 * atomics.
 *
 * A lane has the same four keys of every 128 in each walk along a row, and so
 * reads what it has written itself.
 */
#include "common/signs.h"
#include "runtime/cuda/real.cuh"
#include "runtime/cuda/scores.cuh"
#include "runtime/cuda/sums.cuh"

enum { THREADS = 256, WARPS = THREADS / 32, WALK = 128 };

static unsigned blocks_for(int64_t n, int64_t each)
{
    const int64_t most = 1 << 20;
    const int64_t blocks = (n + each - 1) / each;

    return (unsigned)(blocks < most ? blocks : most);
}

template <typename T> struct factor {
    typedef T type;
};

template <> struct factor<__half> {
    typedef float type;
};

template <typename T, typename P>
static __global__ void __launch_bounds__(THREADS)
    copy_kernel(P *to, struct gqa_score_heads heads, struct gqa_score_tile tile)
{
    const int lane = (int)threadIdx.x % 32;
    const int64_t n = tile.n_sequences * heads.n_heads * heads.n_rows;
    const int64_t step = (int64_t)gridDim.x * WARPS;

    for (int64_t at = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32; at < n;
         at += step) {
        const int64_t row = heads.first_row + at % heads.n_rows;
        const int64_t h = at / heads.n_rows % heads.n_heads;
        const int64_t sequence =
            tile.first_sequence + at / heads.n_rows / heads.n_heads;
        const bool there = row < heads.counts[sequence];
        const int64_t name =
            heads.names ? heads.names[heads.first + h] : heads.first + h;
        const int64_t head = name / heads.shared;
        const T *from = (const T *)heads.data +
                        sequence * heads.sequence_stride +
                        row * heads.row_stride + heads.base +
                        head / heads.per_block * heads.block_stride +
                        head % heads.per_block * tile.head_dim;

        for (int64_t c = lane; c < tile.depth; c += 32)
            to[at * tile.depth + c] = real<P>::round(
                there && c < tile.head_dim ? real<T>::load(from[c]) : 0);
    }
}

/* A warp's row, and the keys [begin, end) that it sees: none of padding. */
struct row {
    int64_t at, t, h, head, sequence, begin, end;
    int64_t bias; /* where key 0's would stand */
};

static __device__ struct row row_of(const struct gqa_score_rows &rows,
                                    int64_t at)
{
    const struct gqa_score_tile &tile = rows.tile;
    const struct gqa_score_mask &mask = rows.mask;
    struct row row;
    int64_t p, n_keys;

    row.at = at;
    row.t = tile.first_row + at % tile.n_rows;
    row.h = at / tile.n_rows % tile.n_heads;
    row.head = tile.first_head + row.h;
    row.sequence = tile.first_sequence + at / tile.n_rows / tile.n_heads;
    p = tile.starts[row.sequence] + row.t;
    n_keys = tile.key_counts[row.sequence];
    row.begin = mask.window && p >= mask.window ? p - mask.window + 1 : 0;
    row.end = mask.causal && p + 1 < n_keys ? p + 1 : n_keys;
    if (row.t >= tile.n_tokens[row.sequence] || row.begin >= row.end)
        row.begin = row.end = 0;
    row.bias =
        (mask.names ? mask.names[row.head] : row.head) * (2 * mask.reach - 1) -
        p + mask.reach - 1;
    return row;
}

static __device__ __forceinline__ float masked(
    float scaled, const struct gqa_score_mask &mask, const struct row &row,
    int64_t c)
{
    if (c < row.begin || c >= row.end)
        return -INFINITY;
    if (mask.soft_cap > 0)
        scaled = mask.soft_cap * tanhf(scaled / mask.soft_cap);
    return mask.bias ? scaled + mask.bias[row.bias + c] : scaled;
}

/* Where this thread's walk along the row begins. */
static __device__ __forceinline__ int64_t first_of(const struct row &row)
{
    return row.begin / WALK * WALK + threadIdx.x % 32 * 4;
}

/* What to subtract from the row's masked scores: 0 where all are -infinity. */
static __device__ float shift_of(const float *own,
                                 const struct gqa_score_mask &mask,
                                 const struct row &row)
{
    float largest = -INFINITY;

    for (int64_t c = first_of(row); c < row.end; c += WALK) {
        const float4 x = *(const float4 *)(own + c);

        largest = fmaxf(largest, masked(x.x, mask, row, c));
        largest = fmaxf(largest, masked(x.y, mask, row, c + 1));
        largest = fmaxf(largest, masked(x.z, mask, row, c + 2));
        largest = fmaxf(largest, masked(x.w, mask, row, c + 3));
    }
    for (int offset = 16; offset > 0; offset /= 2)
        largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, offset));
    return largest == -INFINITY ? 0 : largest;
}

/* Four factors at a time. */
static __device__ __forceinline__ void put(float *out, const float *x)
{
    *(float4 *)out = make_float4(x[0], x[1], x[2], x[3]);
}

static __device__ __forceinline__ void put(__nv_bfloat16 *out, const float *x)
{
    ((__nv_bfloat162 *)out)[0] = __floats2bfloat162_rn(x[0], x[1]);
    ((__nv_bfloat162 *)out)[1] = __floats2bfloat162_rn(x[2], x[3]);
}

/*
 * The first walk finds the largest score; the second leaves exponentials in
 * place of the own scores and e, or the signs, in place of the others'; the
 * third makes r of both. What multiplies e in the sum that is taken from it
 * is p, and sqrt(p) in a probe's; where r is plain, e is 1 and nothing is
 * taken from it.
 */
enum kind { COMPARED, PROBED, PLAIN };

template <typename P, kind KIND>
static __global__ void __launch_bounds__(THREADS)
    weigh_kernel(struct gqa_score_rows rows)
{
    const struct gqa_score_tile &tile = rows.tile;
    const int64_t n = tile.n_sequences * tile.n_heads * tile.n_rows;
    const int64_t step = (int64_t)gridDim.x * WARPS;

    for (int64_t at = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32; at < n;
         at += step) {
        const struct row row = row_of(rows, at);
        float *own = rows.own + at * tile.n_keys;
        float *others = rows.others + at * tile.n_keys;
        P *out = (P *)rows.out + at * tile.n_keys;
        const float shift = shift_of(own, rows.mask, row);
        const uint64_t key =
            KIND == PROBED
                ? gqa_sign_key(rows.probe, (uint64_t)row.sequence,
                               (uint64_t)row.head,
                               (uint64_t)(tile.starts[row.sequence] + row.t))
                : 0;
        float sum = 0, mean = 0, weight = 1, loss = 0, by;

        for (int64_t c = first_of(row); c < row.end; c += WALK) {
            const float4 a = *(const float4 *)(own + c);
            float4 b = make_float4(0, 0, 0, 0);
            const float s[4] = {a.x, a.y, a.z, a.w};
            float p[4], e[4];

            if (KIND == COMPARED)
                b = *(const float4 *)(others + c);
            e[0] = b.x;
            e[1] = b.y;
            e[2] = b.z;
            e[3] = b.w;
#pragma unroll
            for (int i = 0; i < 4; i++) {
                p[i] = expf(masked(s[i], rows.mask, row, c + i) - shift);
                if (KIND == PROBED)
                    e[i] = gqa_sign_bit(key, (uint64_t)(c + i)) ? -1 : 1;
                else if (rows.subtract)
                    e[i] -= s[i];
                sum += p[i];
                if (KIND == PLAIN)
                    continue;
                mean += (KIND == PROBED ? sqrtf(p[i]) : p[i]) * e[i];
            }
            put(own + c, p);
            if (KIND != PLAIN)
                put(others + c, e);
        }
        sum = warp_sum(sum);
        mean = warp_sum(mean);
        by = sum == 0 ? 0 : 1 / sum;
        mean *= KIND == PROBED ? sqrtf(by) : by;
        if (rows.weights && row.begin < row.end)
            weight = rows.weights[(row.sequence * tile.n_new + row.t) *
                                      rows.n_heads +
                                  row.head];
        if (KIND == PROBED)
            weight = sqrtf(weight);

        for (int64_t c = threadIdx.x % 32 * 4; c < tile.n_keys; c += WALK) {
            float r[4] = {0, 0, 0, 0};

            if (c >= first_of(row) && c < row.end) {
                const float4 a = *(const float4 *)(own + c);
                const float4 b = KIND == PLAIN ? make_float4(0, 0, 0, 0)
                                               : *(const float4 *)(others + c);
                const float p[4] = {a.x * by, a.y * by, a.z * by, a.w * by};
                const float e[4] = {b.x, b.y, b.z, b.w};

#pragma unroll
                for (int i = 0; i < 4; i++)
                    if (KIND == PLAIN) {
                        r[i] = weight * p[i];
                    } else if (KIND == PROBED) {
                        r[i] = weight * (sqrtf(p[i]) * e[i] - p[i] * mean);
                    } else {
                        r[i] = weight * p[i] * (e[i] - mean);
                        loss += r[i] * (e[i] - mean);
                    }
            }
            put(out + c, r);
        }
        loss = warp_sum(loss);
        if (threadIdx.x % 32 == 0)
            rows.losses[at] = loss;
    }
}

/* A block a head. */
static __global__ void __launch_bounds__(THREADS)
    losses_kernel(double *losses, const float *from, struct gqa_score_tile tile)
{
    const int64_t n = tile.n_sequences * tile.n_rows;

    for (int64_t h = blockIdx.x; h < tile.n_heads; h += gridDim.x) {
        double sum = 0;

        for (int64_t i = threadIdx.x; i < n; i += THREADS)
            sum += from[(i / tile.n_rows * tile.n_heads + h) * tile.n_rows +
                        i % tile.n_rows];
        sum = block_sum<THREADS>(sum);
        if (threadIdx.x == 0)
            losses[tile.first_head + h] += sum;
    }
}

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    store_kernel(struct gqa_score_result result, struct gqa_score_tile tile)
{
    const int lane = (int)threadIdx.x % 32;
    const int64_t n = tile.n_sequences * result.n_heads * result.n_rows;
    const int64_t step = (int64_t)gridDim.x * WARPS;

    for (int64_t at = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32; at < n;
         at += step) {
        const int64_t row = result.first_row + at % result.n_rows;
        const int64_t head = result.first + at / result.n_rows % result.n_heads;
        const int64_t sequence =
            tile.first_sequence + at / result.n_rows / result.n_heads;
        T *to = (T *)result.out +
                (sequence * result.per_sequence + row) * result.width +
                head * tile.head_dim;

        if (row >= result.counts[sequence])
            continue;
        for (int64_t c = lane; c < tile.head_dim; c += 32)
            to[c] = real<T>::round(result.from[at * tile.depth + c]);
    }
}

void gqa_score_copy(struct gqa_device *device, void *to,
                    const struct gqa_score_heads *heads,
                    const struct gqa_score_tile *tile)
{
    const int64_t n = tile->n_sequences * heads->n_heads * heads->n_rows;

    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;
        typedef typename factor<T>::type P;

        copy_kernel<T, P><<<blocks_for(n, WARPS), THREADS, 0, device->stream>>>(
            (P *)to, *heads, *tile);
    });
}

void gqa_score_weigh(struct gqa_device *device,
                     const struct gqa_score_rows *rows)
{
    const struct gqa_score_tile *tile = &rows->tile;
    const unsigned blocks =
        blocks_for(tile->n_sequences * tile->n_heads * tile->n_rows, WARPS);

    with_real(device->real, [&](auto t) {
        typedef typename factor<decltype(t)>::type P;

        if (rows->plain)
            weigh_kernel<P, PLAIN>
                <<<blocks, THREADS, 0, device->stream>>>(*rows);
        else if (rows->probe)
            weigh_kernel<P, PROBED>
                <<<blocks, THREADS, 0, device->stream>>>(*rows);
        else
            weigh_kernel<P, COMPARED>
                <<<blocks, THREADS, 0, device->stream>>>(*rows);
    });
}

void gqa_score_add_losses(struct gqa_device *device, double *losses,
                          const struct gqa_score_rows *rows)
{
    losses_kernel<<<blocks_for(rows->tile.n_heads, 1), THREADS, 0,
                    device->stream>>>(losses, rows->losses, rows->tile);
}

void gqa_score_store(struct gqa_device *device,
                     const struct gqa_score_result *result,
                     const struct gqa_score_tile *tile)
{
    const int64_t n = tile->n_sequences * result->n_heads * result->n_rows;

    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        store_kernel<T><<<blocks_for(n, WARPS), THREADS, 0, device->stream>>>(
            *result, *tile);
    });
}
