/*
 * The wide half of a gated feed-forward on compute capability 9.0 as one
 * product (pair_sm90.cuh), half of whose columns are gate's, half up's:
 *
 *   hidden = act(x gate^T) * (x up^T)
 *
 *   x                      [n_rows, inputs]   bf16 or f16, like all of these
 *   gate, up               [width, inputs]
 *   hidden, what is kept   [n_rows, width]
 */
#include "runtime/cuda/activation.cuh"
#include "runtime/cuda/gated_sm90.cuh"
#include "runtime/cuda/pair_sm90.cuh"

enum {
    WIDTH = COLUMNS / 2,     /* of a tile of results */
    WARP_ROWS = 32 / PIECES, /* of a part, that a warp takes at a time */
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
/* A part, to columns from `column` on of a matrix. */
static __device__ __forceinline__ void part_store(const CUtensorMap *map,
                                                  uint32_t from, int column,
                                                  int row)
{
    asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group "
                 "[%0, {%1, %2}], [%3];\n" ::"l"(map),
                 "r"(column), "r"(row), "r"(from)
                 : "memory");
}

/* Until what this thread has begun to store has been read. */
static __device__ __forceinline__ void parts_read(void)
{
    asm volatile("cp.async.bulk.commit_group;\n"
                 "cp.async.bulk.wait_group.read 0;\n" ::
                     : "memory");
}

template <typename T, enum gqa_activation WHICH>
static __device__ __forceinline__ void finish(const struct gqa_gated *args,
                                              uint32_t sums, int row0,
                                              int column0, int warp,
                                              int n_warps, int lane)
{
    constexpr int PARTS = WIDTH / PART_COLUMNS; /* of gate, and of up */
    const int piece = lane % PIECES;
    const bool keeps = args->kept && warp == 0 && lane == 0;

    if (keeps)
        for (int part = 0; part < PARTS; part++) {
            const int column = column0 + part * PART_COLUMNS;

            part_store(&args->gate_map, sums + part * PART_BYTES, column, row0);
            part_store(&args->up_map, sums + (PARTS + part) * PART_BYTES,
                       column, row0);
        }
#pragma unroll 2
    for (int i = warp; i < ROWS / WARP_ROWS; i += n_warps) {
        const int row = i * WARP_ROWS + lane / PIECES;

#pragma unroll
        for (int part = 0; part < PARTS; part++) {
            const int column = column0 + part * PART_COLUMNS + piece * 8;
            const pack<T, 8> gate = sums_at<T>(sums, part, row, piece);
            const pack<T, 8> up = sums_at<T>(sums, PARTS + part, row, piece);
            pack<T, 8> out;

#pragma unroll
            for (int j = 0; j < 8; j++)
                out.v[j] = real<T>::round(
                    activation<T, WHICH>(real<T>::load(gate.v[j])) *
                    real<T>::load(up.v[j]));
            if (row0 + row < args->pair.n_rows && column < args->width)
                pack_to((T *)args->hidden +
                            (int64_t)(row0 + row) * args->width + column,
                        out);
        }
    }
    if (keeps)
        parts_read();
}
#endif

template <typename T, enum gqa_activation WHICH>
static __global__ void __cluster_dims__(PAIR, 1, 1)
    __launch_bounds__(GROUP *(FACTORS + 1), 1)
        gated_kernel(const __grid_constant__ struct gqa_gated args)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    multiply_pairs<T>(args.pair, [&](uint32_t sums, int row, int column,
                                     int warp, int n_warps, int lane,
                                     auto await) {
        await();
        finish<T, WHICH>(&args, sums, row, column * WIDTH, warp, n_warps, lane);
    });
#endif
}

cudaError_t gqa_gated_sm90(const struct gqa_gated *args, bool bf16,
                           enum gqa_activation activation, cudaStream_t stream)
{
    cudaError_t error = cudaSuccess;

    with_activation(activation, [&](auto which) {
        constexpr enum gqa_activation WHICH = decltype(which)::value;

        error = bf16 ? launch_pairs(gated_kernel<__nv_bfloat16, WHICH>, args,
                                    stream)
                     : launch_pairs(gated_kernel<__half, WHICH>, args, stream);
    });
    return error;
}
