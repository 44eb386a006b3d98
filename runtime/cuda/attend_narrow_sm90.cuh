/*
 * What the attention kernels for heads of 32 on compute capability 9.0 share,
 * forth and back to queries: blocks that stay, each with the rows of a head,
 * 128 at a time; warpgroups that compute, of 64 of these each, and a warp that
 * copies the tiles of keys and values that they see, one after another, by
 * boxes which tell of themselves.
 */
#ifndef GQA_RUNTIME_CUDA_ATTEND_NARROW_SM90_CUH
#define GQA_RUNTIME_CUDA_ATTEND_NARROW_SM90_CUH

#include "runtime/cuda/attend_sm90.cuh"
#include "runtime/cuda/box.cuh"

enum {
    D = 32,
    CONSUMERS = 2,                     /* warpgroups that compute */
    BLOCK_ROWS = CONSUMERS * ROWS,     /* queries at a time */
    THREADS = (CONSUMERS + 1) * GROUP, /* a warp of the last copies */
    BLOCKS = 2,                        /* on a processor */
    TILE = 64,                         /* keys and values */
    TILE_BYTES = TILE * D * 2,
    /* Of a thread: copying needs few. */
    PRODUCER_REGISTERS = 24,
    CONSUMER_REGISTERS = 104,
};
static_assert(BLOCKS * GROUP *
                      (PRODUCER_REGISTERS + CONSUMERS * CONSUMER_REGISTERS) <=
                  65536,
              "more registers than a processor has");

/* Of shared memory: K and V of STAGES tiles, and 8 bytes for each barrier, of
 * places that are full and of empty ones. */
template <int N> struct places {
    enum {
        STAGES = N,
        FULL = N * 2 * TILE_BYTES,
        EMPTY = FULL + N * 8,
        END = EMPTY + N * 8,
    };
};

/* How many blocks share the rows of a head, of n heads of all sequences: as
 * many as there is room for at once. */
static inline unsigned narrow_shares(const struct gqa_attend_fast *a, int64_t n)
{
    const int64_t blocks = (a->n_new + BLOCK_ROWS - 1) / BLOCK_ROWS;
    const int64_t room = (int64_t)a->n_processors * BLOCKS / n;

    return (unsigned)(room < 1 ? 1 : room < blocks ? room : blocks);
}

/* Boxes of TILE rows of all caches. Coordinates are ints: 2^31 rows of K and V
 * would take 256 GiB. */
static inline cudaError_t describe_caches(CUtensorMap *k, CUtensorMap *v,
                                          const struct gqa_attend_fast *a)
{
    const int64_t rows = a->n_sequences * a->n_kv_heads * a->capacity;
    const cudaError_t error =
        gqa_box_describe(k, a->bf16, a->k, rows, D, TILE, D);

    return error == cudaSuccess
               ? gqa_box_describe(v, a->bf16, a->v, rows, D, TILE, D)
               : error;
}

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
/* What a block works on: a head of a sequence, and of its blocks of rows those
 * from `last` on downwards, every step-th, that the longest come first. */
struct work {
    int sequence, head, kv_head;
    int start, n_keys, window;
    int n_rows; /* that see something */
    int last, step;
};

static __device__ __forceinline__ struct work work_of(
    const struct gqa_attend_fast &a, int first_sequence, int group)
{
    const int n_heads = (int)a.n_heads;
    struct work w;

    w.sequence = (int)blockIdx.x / n_heads;
    w.head = (int)blockIdx.x - w.sequence * n_heads;
    w.sequence += first_sequence;
    w.kv_head = w.head / group;
    w.start = (int)a.starts[w.sequence];
    w.n_keys = (int)a.n_keys[w.sequence];
    w.window = a.window < INT32_MAX ? (int)a.window : 0;
    w.n_rows = (int)a.n_new;
    w.last = ((int)a.n_new + BLOCK_ROWS - 1) / BLOCK_ROWS - 1 - (int)blockIdx.y;
    w.step = (int)gridDim.y;
    return w;
}

/* What n rows from `row` on see. */
static __device__ __forceinline__ struct span seen_of(
    const struct gqa_attend_fast &a, const struct work &w, int row, int n)
{
    return span_of<TILE>(a, w.start, row, n, w.n_rows, w.window, w.n_keys);
}

/* By one thread. */
template <typename P>
static __device__ __forceinline__ void begin_places(uint32_t shared)
{
    for (int i = 0; i < P::STAGES; i++) {
        barrier_init(shared + P::FULL + i * 8, 1);
        barrier_init(shared + P::EMPTY + i * 8, CONSUMERS * GROUP / 32);
    }
    proxy_fence();
}

/* Where tile n of K lies, and behind it that of V. */
template <typename P>
static __device__ __forceinline__ uint32_t place_of(uint32_t shared, uint32_t n)
{
    return shared + n % P::STAGES * (2 * TILE_BYTES);
}

template <typename P>
static __device__ __forceinline__ void await_tile(uint32_t shared, uint32_t n)
{
    barrier_wait(shared + P::FULL + n % P::STAGES * 8, n / P::STAGES & 1);
}

/* Tell that the warp has read it. */
template <typename P>
static __device__ __forceinline__ void release_tile(uint32_t shared, uint32_t n,
                                                    int lane)
{
    __syncwarp();
    if (lane == 0)
        barrier_arrive(shared + P::EMPTY + n % P::STAGES * 8);
}

/* Leave a tile to the other warpgroup. */
template <typename P>
static __device__ __forceinline__ void pass_tile(uint32_t shared, uint32_t n,
                                                 int lane)
{
    await_tile<P>(shared, n);
    release_tile<P>(shared, n, lane);
}

/* Copy a tile of which n_rows exist; the others are zeros: a weight of 0 does
 * not silence a NaN. */
template <typename T>
static __device__ __forceinline__ void copy_part(uint32_t to, const T *from,
                                                 int n_rows, int lane)
{
#pragma unroll 1
    for (int i = lane; i < TILE * D / 8; i += 32) {
        const int row = i / (D / 8), piece = i % (D / 8);
        uint4 x = {0, 0, 0, 0};

        if (row < n_rows)
            x = *(const uint4 *)(from + row * D + piece * 8);
        asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};\n" ::"r"(
                         tile_at<D>(to, row, piece)),
                     "r"(x.x), "r"(x.y), "r"(x.z), "r"(x.w)
                     : "memory");
    }
}

/* Copy tiles t0 .. t1 - 1, the first one to place n, as places become empty;
 * the number of the next. By one warp. */
template <typename P, typename T>
static __device__ __forceinline__ uint32_t
copy_tiles(const struct gqa_attend_fast &a, const CUtensorMap *k,
           const CUtensorMap *v, const struct work &w, struct span span,
           uint32_t shared, uint32_t n, int lane)
{
    const int64_t first =
        ((int64_t)w.sequence * a.n_kv_heads + w.kv_head) * a.capacity;

#pragma unroll 1
    for (int t = span.t0; t < span.t1; t++, n++) {
        const int key = t * TILE;
        const uint32_t to = place_of<P>(shared, n);
        const uint32_t full = shared + P::FULL + n % P::STAGES * 8;

        barrier_wait(shared + P::EMPTY + n % P::STAGES * 8,
                     n / P::STAGES & 1 ^ 1);
        if (key + TILE <= w.n_keys) {
            if (lane == 0) {
                barrier_expect(full, 2 * TILE_BYTES);
                box_load(to, k, 0, (int)first + key, full);
                box_load(to + TILE_BYTES, v, 0, (int)first + key, full);
            }
        } else {
            const int64_t from = (first + key) * D;

            copy_part(to, (const T *)a.k + from, w.n_keys - key, lane);
            copy_part(to + TILE_BYTES, (const T *)a.v + from, w.n_keys - key,
                      lane);
            proxy_fence();
            __syncwarp();
            if (lane == 0)
                barrier_arrive(full);
        }
    }
    return n;
}

/* A warp's 16 rows of D, as operands; those from `end` on are zeros. */
template <typename T>
static __device__ __forceinline__ void load_rows(uint32_t (*a)[4],
                                                 const T *from, int64_t width,
                                                 int row, int end, int lane)
{
#pragma unroll
    for (int i = 0; i < D / 16 * 4; i++) {
        const int at = row + lane / 4 + i % 2 * 8;
        const int column = i / 4 * 16 + i % 4 / 2 * 8 + (lane & 3) * 2;

        a[i / 4][i % 4] =
            at < end ? *(const uint32_t *)(from + at * width + column) : 0;
    }
}

/* Begin s = A B^T: a [ROWS, D] in registers, b [N, D]. */
template <typename T, int N>
static __device__ __forceinline__ void begin_scores_of(float (*s)[4],
                                                       const uint32_t (*a)[4],
                                                       uint32_t b)
{
    const uint64_t b_at = operand<D>(b, 0);

    product_fence();
#pragma unroll
    for (int c = 0; c < D / 16; c++)
        product<T>::template scores<N>(s, a[c], operand_after(b_at, c * 32),
                                       c > 0);
    product_commit();
}
#endif

#endif
