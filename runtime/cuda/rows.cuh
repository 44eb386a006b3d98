/*
 * The rows of a batch, their heads, and norms, as kernels see them.
 */
#ifndef GQA_RUNTIME_CUDA_ROWS_CUH
#define GQA_RUNTIME_CUDA_ROWS_CUH

#include "runtime/cuda/device.cuh"
#include "runtime/cuda/real.cuh"

/* Blocks for n pieces of work; they go on to others where there are more than
 * a grid may have. */
static inline unsigned blocks_for(uint64_t n)
{
    const unsigned most = 1 << 20;

    return n < most ? (unsigned)n : most;
}

/* The rows of a batch. */
struct batch_view {
    int64_t n_rows, n_new;
    const int32_t *tokens;
    const int64_t *n_tokens, *starts;
};

static inline struct batch_view batch_of(const struct gqa_device *device)
{
    struct batch_view view;

    view.n_rows = (int64_t)(device->n_sequences * device->n_new);
    view.n_new = (int64_t)device->n_new;
    view.tokens = device->tokens;
    view.n_tokens = device->n_tokens;
    view.starts = device->starts;
    return view;
}

/* Where head h begins in a row. */
struct place_view {
    int64_t base, per_block, block_stride;
    int n_heads;
};

static inline struct place_view place_of(const struct gqa_head_place *place)
{
    struct place_view view;

    view.base = (int64_t)place->base;
    view.per_block = (int64_t)place->per_block;
    view.block_stride = (int64_t)place->block_stride;
    view.n_heads = (int)place->n_heads;
    return view;
}

/* Whether head h begins h * head_dim elements behind the first. */
static inline bool lie_side_by_side(const struct gqa_head_place *place,
                                    uint64_t head_dim)
{
    return place->per_block >= place->n_heads ||
           place->block_stride == place->per_block * head_dim;
}

static __device__ __forceinline__ int64_t
head_at(const struct place_view &place, int head, int head_dim)
{
    int per_block = (int)place.per_block;

    return place.base + head / per_block * place.block_stride +
           head % per_block * head_dim;
}

/* The position of a row; -1 where it is padding. */
static __device__ __forceinline__ int64_t
position_of(const struct batch_view &batch, int64_t row)
{
    int64_t sequence = row / batch.n_new, i = row % batch.n_new;

    return i < batch.n_tokens[sequence] ? batch.starts[sequence] + i : -1;
}

/* A norm inside a kernel. plus: added to the weight, whose view is zeros
 * where there is none. */
struct norm_view {
    bool centred, accumulate;
    double eps;
    struct weight_view weight, bias;
    float plus;
};

static inline struct norm_view norm_of(const struct gqa_norm_op *op,
                                       bool accumulate)
{
    struct norm_view view;

    view.centred = op->kind == GQA_NORM_LAYER;
    view.accumulate = accumulate;
    view.eps = op->eps;
    view.weight = view_of(op->weight);
    view.bias = view_of(op->bias);
    view.plus = op->one_plus || !op->weight ? 1 : 0;
    return view;
}

#endif
