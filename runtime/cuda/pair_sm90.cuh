/*
 * Products of many rows with a weight on compute capability 9.0 whose sums
 * never leave the processor before they are used:
 *
 *   x        [n_rows, inputs]    bf16 or f16
 *   weights  [.., inputs]        likewise
 *
 * Two blocks, on two processors, take ROWS rows each of the same columns: each
 * copies its own rows and half of the weights' tile, the latter for both. Of a
 * block's warps two warpgroups multiply, 64 rows each, and one thread copies.
 * Blocks stay and take the next tile: while it is multiplied the other warps
 * make results of the last one's sums, which wait in shared memory, rounded as
 * if they had been written.
 */
#ifndef GQA_RUNTIME_CUDA_PAIR_SM90_CUH
#define GQA_RUNTIME_CUDA_PAIR_SM90_CUH

#include <string.h>

#include "runtime/cuda/launch.cuh"
#include "runtime/cuda/pack.cuh"
#include "runtime/cuda/pair.cuh"
#include "runtime/cuda/real.cuh"
#include "runtime/cuda/warpgroup.cuh"

enum {
    GROUP = 128, /* threads of a warpgroup */
    FACTORS = 2, /* warpgroups that multiply */
    /* Warps of one more: these make results, and the fourth copies. */
    FINISHERS = 3,
    ALL_WARPS = FINISHERS + FACTORS * GROUP / 32,
    PAIR = 2, /* blocks that share a tile of weights */
    ROWS = GQA_BOX_ROWS,
    COLUMNS = PAIR * GQA_BOX_ROWS, /* sums of a row */
    DEPTH = GQA_BOX_COLUMNS,       /* factors of a step */
    STAGES = 3,
    X_BYTES = ROWS * DEPTH * 2,
    WEIGHT_BYTES = COLUMNS * DEPTH * 2,
    STAGE_BYTES = X_BYTES + WEIGHT_BYTES,
    /* Sums lie as operands do (warpgroup.cuh), in parts of 64 columns. */
    PART_COLUMNS = GQA_BOX_COLUMNS,
    PART_BYTES = ROWS * PART_COLUMNS * 2,
    SUM_BYTES = ROWS * COLUMNS * 2,
    PIECES = PART_COLUMNS / 8, /* of 16 bytes, of a part's row */
    /* Registers of a thread. */
    FINISHER_REGISTERS = 136,
    FACTOR_REGISTERS = 184,
};
static_assert(GROUP * (FINISHER_REGISTERS + FACTORS * FACTOR_REGISTERS) <=
                  65536,
              "more registers than a processor has");

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
/* --- Copies for both blocks ----------------------------------------------- */

static __device__ __forceinline__ uint32_t rank_in_pair(void)
{
    uint32_t rank;

    asm("mov.u32 %0, %%cluster_ctarank;\n" : "=r"(rank));
    return rank;
}

/* All threads of both blocks. */
static __device__ __forceinline__ void pair_meets(void)
{
    asm volatile("barrier.cluster.arrive.release.aligned;\n"
                 "barrier.cluster.wait.acquire.aligned;\n" ::
                     : "memory");
}

/* As barrier_arrive(), of the block of that rank. Of what it has read by
 * products alone: it orders no other accesses between the blocks, which would
 * take a fence of the whole device each time. */
static __device__ __forceinline__ void barrier_arrive_at(uint64_t *barrier,
                                                         uint32_t rank)
{
    asm volatile("{\n"
                 ".reg .b32 there;\n"
                 "mapa.shared::cluster.u32 there, %0, %1;\n"
                 "mbarrier.arrive.shared::cluster.b64 _, [there];\n"
                 "}\n" ::"r"(shared_address(barrier)),
                 "r"(rank)
                 : "memory");
}

/* To the same place of both blocks, each of whose barriers counts them. */
static __device__ __forceinline__ void box_load_for_both(uint32_t to,
                                                         const CUtensorMap *map,
                                                         int column, int row,
                                                         uint32_t barrier)
{
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile."
                 "mbarrier::complete_tx::bytes.multicast::cluster "
                 "[%0], [%1, {%2, %3}], [%4], %5;\n" ::"r"(to),
                 "l"(map), "r"(column), "r"(row), "r"(barrier),
                 "h"((uint16_t)((1 << PAIR) - 1))
                 : "memory");
}

/* --- Sums in shared memory ------------------------------------------------ */

template <typename T>
static __device__ __forceinline__ uint32_t two(float a, float b)
{
    const T pair[2] = {real<T>::round(a), real<T>::round(b)};
    uint32_t word;

    memcpy(&word, pair, sizeof word);
    return word;
}

/* The sums of a warpgroup's 64 rows, to rows first_row ... of `sums`. */
template <typename T>
static __device__ __forceinline__ void leave_sums(uint32_t sums, float (*s)[4],
                                                  int first_row, int thread)
{
    const int lane = thread % 32;
    /* Four 8 x 8 matrices are stored at a time, rows of which this thread
     * names one: both halves of a warp's rows, of two pieces. */
    const int row = first_row + thread / 32 * 16 + lane % 16;
    const int second = lane / 16;

#pragma unroll
    for (int j = 0; j < COLUMNS / 8; j += 2) {
        const int piece = (j % PIECES + second) ^ (lane & 7);
        const uint32_t to =
            sums + j / PIECES * PART_BYTES + row * 128 + piece * 16;

        asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, "
                     "%3, %4};\n" ::"r"(to),
                     "r"(two<T>(s[j][0], s[j][1])),
                     "r"(two<T>(s[j][2], s[j][3])),
                     "r"(two<T>(s[j + 1][0], s[j + 1][1])),
                     "r"(two<T>(s[j + 1][2], s[j + 1][3]))
                     : "memory");
    }
}

/* 16 bytes of a row of sums. from: where those lie that have number `lane`
 * alone, of numbers whose bits are lane's and piece's, none of both. */
template <typename T>
static __device__ __forceinline__ pack<T, 8> piece_at(uint32_t from, int piece)
{
    pack<T, 8> out;
    uint32_t w[4];

    asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];\n"
                 : "=r"(w[0]), "=r"(w[1]), "=r"(w[2]), "=r"(w[3])
                 : "r"((from ^ (uint32_t)(piece % PIECES << 4)) +
                       piece / PIECES * PART_BYTES)
                 : "memory");
    memcpy(&out, w, sizeof w);
    return out;
}

/* Piece `piece` of those numbers, of part `part`. */
template <typename T>
static __device__ __forceinline__ pack<T, 8> sums_at(uint32_t sums, int part,
                                                     int row, int piece)
{
    return piece_at<T>(sums + row * 128 + ((piece ^ (row & 7)) << 4),
                       part * PIECES);
}

/* --- Of the warpgroups ---------------------------------------------------- */

struct barrier_set {
    uint64_t full[STAGES], empty[STAGES];
    uint64_t summed, finished; /* sums are there; are no longer needed */
};

/* The tiles of a pair of blocks; each block's are PAIR * ROWS rows apart. */
struct place {
    int n_columns; /* tiles side by side */
    int64_t n_tiles;
    int n_steps;
    uint32_t rank;
};

static __device__ __forceinline__ int64_t first_tile(void)
{
    return blockIdx.x / PAIR;
}

static __device__ __forceinline__ int64_t next_tile(int64_t t)
{
    return t + gridDim.x / PAIR;
}

static __device__ __forceinline__ int tile_row(const struct place *p, int64_t t)
{
    return (int)(t / p->n_columns * PAIR + p->rank) * ROWS;
}

/* Of those side by side. */
static __device__ __forceinline__ int tile_column(const struct place *p,
                                                  int64_t t)
{
    return (int)(t % p->n_columns);
}

static __device__ __forceinline__ void copy(const struct place *p,
                                            const struct gqa_pair_args *args,
                                            uint32_t tiles,
                                            struct barrier_set *barriers)
{
    const CUtensorMap *weight = &args->weights[p->rank];
    int step = 0;

    for (int64_t t = first_tile(); t < p->n_tiles; t = next_tile(t)) {
        const int row = tile_row(p, t);
        const int column = tile_column(p, t) * args->step;

        for (int k = 0; k < p->n_steps; k++, step++) {
            const int stage = step % STAGES;
            const uint32_t to = tiles + stage * STAGE_BYTES;
            const uint32_t to_weights =
                to + X_BYTES + p->rank * (WEIGHT_BYTES / PAIR);
            const uint32_t full = shared_address(&barriers->full[stage]);

            barrier_wait(&barriers->empty[stage], step / STAGES & 1 ^ 1);
            barrier_expect(full, STAGE_BYTES);
            box_load(to, &args->x, k * DEPTH, row, full);
            box_load_for_both(to_weights, weight, k * DEPTH, column, full);
        }
    }
}

/* Of the last tile all make results, since there is nothing left to multiply:
 * finish() as below. */
template <typename T, typename F>
static __device__ __forceinline__ void multiply_tiles(
    const struct place *p, uint32_t tiles, uint32_t sums,
    struct barrier_set *barriers, int group, int thread, F finish)
{
    const int lane = thread % 32;
    float s[COLUMNS / 8][4];
    int64_t last = 0;
    int step = 0, n = 0;

    for (int64_t t = first_tile(); t < p->n_tiles; t = next_tile(t), n++) {
        last = t;
        for (int k = 0; k < p->n_steps; k++, step++) {
            const int stage = step % STAGES;
            const uint32_t from = tiles + stage * STAGE_BYTES;
            const uint64_t a = operand<128>(from + group * 64 * DEPTH * 2, 0);
            const uint64_t b = operand<128>(from + X_BYTES, 0);

            barrier_wait(&barriers->full[stage], step / STAGES & 1);
            product_fence();
#pragma unroll
            for (int c = 0; c < DEPTH / 16; c++)
                product<T>::template scores<COLUMNS>(
                    s, operand_after(a, c * 32), operand_after(b, c * 32),
                    k + c > 0);
            product_commit();
            if (k > 0) {
                product_wait<1>();
                if (lane < PAIR)
                    barrier_arrive_at(&barriers->empty[(step - 1) % STAGES],
                                      lane);
            }
        }
        product_wait<0>();
        product_pin<COLUMNS / 8>(s);
        if (lane < PAIR)
            barrier_arrive_at(&barriers->empty[(step - 1) % STAGES], lane);
        barrier_wait(&barriers->finished, n & 1 ^ 1);
        leave_sums<T>(sums, s, group * 64, thread);
        proxy_fence();
        __syncwarp();
        if (lane == 0)
            barrier_arrive(&barriers->summed);
    }
    finish(tile_row(p, last), tile_column(p, last),
           FINISHERS + group * (GROUP / 32) + thread / 32, ALL_WARPS, lane,
           [&] { barrier_wait(&barriers->summed, n & 1 ^ 1); });
}

/* Tell that the warp has done with the sums. */
static __device__ __forceinline__ void release(struct barrier_set *barriers,
                                               int lane)
{
    __syncwarp();
    if (lane == 0)
        barrier_arrive(&barriers->finished);
}

/* finish(row, column, warp, n_warps, lane, await): as one of several warps, of
 * the tile of sums whose first row that is, column of those side by side. The
 * sums are there once await() has been called. */
template <typename F>
static __device__ __forceinline__ void finish_tiles(
    const struct place *p, struct barrier_set *barriers, int warp, int lane,
    F finish)
{
    int n = 0;

    for (int64_t t = first_tile(); t < p->n_tiles; t = next_tile(t), n++) {
        finish(tile_row(p, t), tile_column(p, t), warp,
               next_tile(t) < p->n_tiles ? (int)FINISHERS : (int)ALL_WARPS,
               lane, [&] { barrier_wait(&barriers->summed, n & 1); });
        release(barriers, lane);
    }
}

/* All that a kernel of clusters of PAIR blocks does. finish: as above, with the
 * address of the sums before these. */
template <typename T, typename F>
static __device__ __forceinline__ void multiply_pairs(
    const struct gqa_pair_args &args, F finish)
{
    extern __shared__ __align__(1024) unsigned char shared[];
    __shared__ struct barrier_set barriers;

    /* Shuffled, that the compiler sees it to be one in a warp. */
    const int group = __shfl_sync(0xffffffffu, threadIdx.x / GROUP, 0);
    const int warp = __shfl_sync(0xffffffffu, threadIdx.x % GROUP / 32, 0);
    const int lane = threadIdx.x % 32;
    const uint32_t tiles = shared_address(shared);
    const uint32_t sums = tiles + STAGES * STAGE_BYTES;
    struct place p;
    auto finish_one = [&](int row, int column, int warp, int n_warps, int lane,
                          auto await) {
        finish(sums, row, column, warp, n_warps, lane, await);
    };

    p.rank = rank_in_pair();
    p.n_columns = args.n_columns;
    p.n_tiles = (args.n_rows + PAIR * ROWS - 1) / (PAIR * ROWS) * p.n_columns;
    p.n_steps = (args.inputs + DEPTH - 1) / DEPTH;
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES; i++) {
            barrier_init(&barriers.full[i], 1);
            barrier_init(&barriers.empty[i], PAIR * FACTORS * GROUP / 32);
        }
        barrier_init(&barriers.summed, FACTORS * GROUP / 32);
        barrier_init(&barriers.finished, FINISHERS);
        asm volatile("fence.mbarrier_init.release.cluster;\n" ::: "memory");
    }
    pair_meets();
    await_before();

    if (group < FACTORS) {
        registers_more<FACTOR_REGISTERS>();
        multiply_tiles<T>(&p, tiles, sums, &barriers, group,
                          threadIdx.x % GROUP, finish_one);
    } else {
        registers_less<FINISHER_REGISTERS>();
        if (warp == FINISHERS) {
            if (lane == 0)
                copy(&p, &args, tiles, &barriers);
        } else {
            finish_tiles(&p, &barriers, warp, lane, finish_one);
        }
    }
    __syncwarp();
    pair_meets(); /* who is done first is still written to */
}
#endif

/* Launch such a kernel, of one argument whose `pair` is a gqa_pair_args. */
template <typename ARGS>
static cudaError_t launch_pairs(void (*kernel)(ARGS), const ARGS *args,
                                cudaStream_t stream)
{
    constexpr int shared = STAGES * STAGE_BYTES + SUM_BYTES;
    const struct gqa_pair_args *pair = &args->pair;
    const int64_t n_tiles =
        (pair->n_rows + PAIR * ROWS - 1) / (PAIR * ROWS) * pair->n_columns;
    const int64_t most = pair->n_processors / PAIR;
    /* Each time: it holds for the current device alone, and costs little. */
    cudaError_t error = cudaFuncSetAttribute(
        kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared);

    if (error != cudaSuccess)
        return error;
    return launch_early(true, kernel,
                        (unsigned)((n_tiles < most ? n_tiles : most) * PAIR),
                        GROUP * (FACTORS + 1), shared, stream, *args);
}

#endif
