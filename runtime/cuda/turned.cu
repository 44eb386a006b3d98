/*
 * Queries, keys and values that are turned and kept as they are made, where
 * the device has warpgroups and the product is of such a shape that this pays.
 */
#include <string.h>

#include "runtime/cuda/back.cuh"
#include "runtime/cuda/pack.cuh"
#include "runtime/cuda/turned_sm90.cuh"

enum { COLUMNS = 2 * GQA_BOX_ROWS }; /* of a tile */

/* The three side by side in rows of the product. */
static bool lie_together(const struct gqa_turn_op *op, uint64_t outputs)
{
    const uint64_t d = op->head_dim, n_q = op->q_place.n_heads;
    const uint64_t n_k = op->k_place.n_heads;

    return op->q == op->k && op->k == op->v && op->q_width == outputs &&
           op->k_width == outputs && op->v_width == outputs &&
           n_k == op->v_place.n_heads && (n_q + 2 * n_k) * d == outputs &&
           op->q_place.base == 0 && op->k_place.base == n_q * d &&
           op->v_place.base == (n_q + n_k) * d &&
           lie_side_by_side(&op->q_place, d) &&
           lie_side_by_side(&op->k_place, d) &&
           lie_side_by_side(&op->v_place, d);
}

static bool takes(const struct gqa_device *device, const struct gqa_turn_op *op,
                  const void *x, uint64_t n_rows,
                  const struct gqa_weight *weight)
{
    const uint64_t d = op->head_dim;

    return gqa_pair_takes(device, n_rows, weight->cols) &&
           weight->dtype == device->real && weight->rows > GQA_BOX_ROWS &&
           weight->rows <= INT32_MAX / 2 && op->q && op->cache_k &&
           (d == 32 || d == 64 || d == 128) && !op->interleaved &&
           (op->n_pairs == 0 || op->n_pairs == d / 2) &&
           lie_together(op, weight->rows) && is_aligned(weight->data) &&
           is_aligned(x) && is_aligned(op->q) && is_aligned(op->cache_k) &&
           is_aligned(op->cache_v) && is_aligned(op->cos_sin);
}

enum gqa_status gqa_cuda_project(struct gqa_device *device, bool *done,
                                 const struct gqa_turn_op *op, const void *x,
                                 const struct gqa_weight *weight)
{
    const uint64_t n_rows = device->n_sequences * device->n_new;
    const uint64_t outputs = weight->rows, inputs = weight->cols;
    enum gqa_status st = gqa_cuda_enter(device);
    struct gqa_turned args;
    const struct gqa_boxes boxes[] = {
        {&args.pair.x, x, n_rows, inputs},
        {&args.pair.weights[0], weight->data, outputs, inputs},
        {&args.pair.weights[1],
         (const char *)weight->data +
             GQA_BOX_ROWS * inputs * gqa_size_of(device->real),
         outputs - GQA_BOX_ROWS, inputs},
    };

    *done = false;
    if (st != GQA_OK || !takes(device, op, x, n_rows, weight))
        return st;
    memset(&args, 0, sizeof args);
    args.pair = gqa_pair_of(device, n_rows, inputs, outputs, COLUMNS);
    args.batch = batch_of(device);
    args.n_queries = (int)op->q_place.n_heads;
    args.n_keys = (int)op->k_place.n_heads;
    args.head_dim = (int)op->head_dim;
    args.q_width = (int64_t)op->q_width;
    args.capacity = (int64_t)op->capacity;
    args.q = op->q;
    args.cache_k = op->cache_k;
    args.cache_v = op->cache_v;
    args.cos_sin = op->n_pairs ? (const float *)op->cos_sin : NULL;
    st = gqa_cuda_boxes(device, done, boxes, 3);
    return *done ? gqa_cuda_check(
                       device, gqa_turned_sm90(&args, device->real == GQA_BF16,
                                               device->stream))
                 : st;
}
