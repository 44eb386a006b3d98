/*
 * Gated feed-forwards as one operation, where the device has warpgroups and
 * the product is of such a shape that this pays.
 */
#include <string.h>

#include "runtime/cuda/device.cuh"
#include "runtime/cuda/gated_sm90.cuh"
#include "runtime/cuda/pack.cuh"

enum { WIDTH = GQA_BOX_ROWS }; /* of a tile of results */

enum gqa_status gqa_cuda_gated(struct gqa_device *device, bool *done,
                               void *hidden, void *gate_out, void *up_out,
                               const void *x, uint64_t n_rows,
                               const struct gqa_weight *gate,
                               const struct gqa_weight *up,
                               enum gqa_activation activation)
{
    const uint64_t width = gate->rows, inputs = gate->cols;
    enum gqa_status st = gqa_cuda_enter(device);
    struct gqa_gated args;
    const struct gqa_boxes boxes[] = {
        {&args.pair.x, x, n_rows, inputs},
        {&args.pair.weights[0], gate->data, width, inputs},
        {&args.pair.weights[1], up->data, width, inputs},
        {&args.gate_map, gate_out, n_rows, width},
        {&args.up_map, up_out, n_rows, width},
    };

    *done = false;
    if (st != GQA_OK || !gqa_pair_takes(device, n_rows, inputs) ||
        width > INT32_MAX / 2 || !is_whole(device->real, width) ||
        gate->dtype != device->real || up->dtype != device->real ||
        !is_aligned(gate->data) || !is_aligned(up->data) || !is_aligned(x) ||
        !is_aligned(hidden) || !is_aligned(gate_out) || !is_aligned(up_out))
        return st;
    memset(&args, 0, sizeof args);
    args.pair = gqa_pair_of(device, n_rows, inputs, width, WIDTH);
    args.width = (int)width;
    args.kept = gate_out != NULL;
    args.hidden = hidden;
    st = gqa_cuda_boxes(device, done, boxes, args.kept ? 5 : 3);
    return *done ? gqa_cuda_check(
                       device, gqa_gated_sm90(&args, device->real == GQA_BF16,
                                              activation, device->stream))
                 : st;
}
