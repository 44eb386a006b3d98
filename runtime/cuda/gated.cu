/*
 * Gated feed-forwards as one operation, where the device has warpgroups and
 * the product is of such a shape that this pays.
 */
#include <string.h>

#include "runtime/cuda/device.cuh"
#include "runtime/cuda/gated_sm90.cuh"
#include "runtime/cuda/pack.cuh"

enum {
    LEAST_ROWS = 1024,
    /* Of longer sums, more of the time is the product's, and cuBLASLt's is
     * the faster one. */
    MOST_INPUTS = 1024,
};

/* cuTensorMapEncodeTiled(), which the driver has. */
typedef CUresult encode(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *,
                        const cuuint64_t *, const cuuint64_t *,
                        const cuuint32_t *, const cuuint32_t *,
                        CUtensorMapInterleave, CUtensorMapSwizzle,
                        CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

static enum gqa_status find_encode(struct gqa_device *device, encode **out)
{
    cudaDriverEntryPointQueryResult found;
    void *address = NULL;
    const enum gqa_status st = gqa_cuda_check(
        device,
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &address,
                                         12000, cudaEnableDefault, &found));

    if (st != GQA_OK)
        return st;
    if (found != cudaDriverEntryPointSuccess)
        address = NULL;
    *out = (encode *)address;
    return GQA_OK;
}

/* Boxes of a matrix [rows, width] of 16-bit numbers. */
static bool describe(encode *encode, CUtensorMap *map, bool bf16,
                     const void *matrix, uint64_t rows, uint64_t width)
{
    const cuuint64_t size[2] = {width, rows}, pitch[1] = {width * 2};
    const cuuint32_t box[2] = {64, GQA_GATED_ROWS}, steps[2] = {1, 1};

    return encode(map,
                  bf16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                       : CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
                  2, (void *)matrix, size, pitch, box, steps,
                  CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                  CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
                  CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

static bool takes(const struct gqa_device *device, uint64_t n_rows,
                  uint64_t inputs, uint64_t width)
{
    return device->warpgroups &&
           (device->real == GQA_BF16 || device->real == GQA_F16) &&
           n_rows >= LEAST_ROWS && n_rows <= INT32_MAX / 2 &&
           inputs <= MOST_INPUTS && width <= INT32_MAX / 2 &&
           is_whole(device->real, inputs) && is_whole(device->real, width);
}

enum gqa_status gqa_cuda_gated(struct gqa_device *device, bool *done,
                               void *hidden, void *gate_out, void *up_out,
                               const void *x, uint64_t n_rows,
                               const struct gqa_weight *gate,
                               const struct gqa_weight *up,
                               enum gqa_activation activation)
{
    const uint64_t width = gate->rows, inputs = gate->cols;
    const bool bf16 = device->real == GQA_BF16;
    enum gqa_status st = gqa_cuda_enter(device);
    struct gqa_gated args;
    encode *encode;

    *done = false;
    if (st != GQA_OK || !takes(device, n_rows, inputs, width) ||
        gate->dtype != device->real || up->dtype != device->real ||
        !is_aligned(gate->data) || !is_aligned(up->data) || !is_aligned(x) ||
        !is_aligned(hidden) || !is_aligned(gate_out) || !is_aligned(up_out))
        return st;
    if ((st = find_encode(device, &encode)) != GQA_OK || !encode)
        return st;
    memset(&args, 0, sizeof args);
    args.n_rows = (int64_t)n_rows;
    args.inputs = (int)inputs;
    args.width = (int)width;
    args.n_processors = device->n_processors;
    args.kept = gate_out != NULL;
    args.hidden = hidden;
    if (!describe(encode, &args.x, bf16, x, n_rows, inputs) ||
        !describe(encode, &args.gate, bf16, gate->data, width, inputs) ||
        !describe(encode, &args.up, bf16, up->data, width, inputs) ||
        (args.kept &&
         (!describe(encode, &args.gate_map, bf16, gate_out, n_rows, width) ||
          !describe(encode, &args.up_map, bf16, up_out, n_rows, width))))
        return GQA_OK;
    *done = true;
    return gqa_cuda_check(
        device, gqa_gated_sm90(&args, bf16, activation, device->stream));
}
