#include "runtime/cuda/pair.cuh"

#include "runtime/cuda/pack.cuh"

enum {
    LEAST_ROWS = 1024,
    /* Of longer sums, more of the time is the product's, and cuBLASLt's is
     * the faster one. */
    MOST_INPUTS = 1024,
};

bool gqa_pair_takes(const struct gqa_device *device, uint64_t n_rows,
                    uint64_t inputs)
{
    return device->warpgroups &&
           (device->real == GQA_BF16 || device->real == GQA_F16) &&
           n_rows >= LEAST_ROWS && n_rows <= INT32_MAX / 2 &&
           inputs <= MOST_INPUTS && is_whole(device->real, inputs);
}

/* cuTensorMapEncodeTiled(), which the driver has. */
typedef CUresult encode_tiled(CUtensorMap *, CUtensorMapDataType, cuuint32_t,
                              void *, const cuuint64_t *, const cuuint64_t *,
                              const cuuint32_t *, const cuuint32_t *,
                              CUtensorMapInterleave, CUtensorMapSwizzle,
                              CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

static enum gqa_status find_encode(struct gqa_device *device,
                                   encode_tiled **out)
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
    *out = (encode_tiled *)address;
    return GQA_OK;
}

static bool describe(encode_tiled *encode, bool bf16, const struct gqa_boxes *b)
{
    const cuuint64_t size[2] = {b->width, b->rows}, pitch[1] = {b->width * 2};
    const cuuint32_t box[2] = {GQA_BOX_COLUMNS, GQA_BOX_ROWS};
    const cuuint32_t steps[2] = {1, 1};

    return encode(b->map,
                  bf16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                       : CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
                  2, (void *)b->matrix, size, pitch, box, steps,
                  CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                  CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
                  CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

enum gqa_status gqa_cuda_boxes(struct gqa_device *device, bool *done,
                               const struct gqa_boxes *boxes, int n)
{
    encode_tiled *encode = NULL;
    const enum gqa_status st = find_encode(device, &encode);

    *done = st == GQA_OK && encode;
    for (int i = 0; i < n && *done; i++)
        *done = describe(encode, device->real == GQA_BF16, &boxes[i]);
    return st;
}
