/*
 * Boxes of matrices are described by the driver.
 */
#include "runtime/cuda/box.cuh"

/* cuTensorMapEncodeTiled(), which the driver has. */
typedef CUresult encode_tiled(CUtensorMap *, CUtensorMapDataType, cuuint32_t,
                              void *, const cuuint64_t *, const cuuint64_t *,
                              const cuuint32_t *, const cuuint32_t *,
                              CUtensorMapInterleave, CUtensorMapSwizzle,
                              CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

cudaError_t gqa_box_describe(CUtensorMap *map, bool bf16, const void *matrix,
                             int64_t rows, int64_t width, int box_rows,
                             int box_width)
{
    const cuuint64_t size[2] = {(cuuint64_t)width, (cuuint64_t)rows};
    const cuuint64_t pitch[1] = {(cuuint64_t)width * 2};
    const cuuint32_t box[2] = {(cuuint32_t)box_width, (cuuint32_t)box_rows};
    const cuuint32_t steps[2] = {1, 1};
    cudaDriverEntryPointQueryResult found;
    void *address = NULL;
    encode_tiled *encode;
    const cudaError_t error = cudaGetDriverEntryPointByVersion(
        "cuTensorMapEncodeTiled", &address, 12000, cudaEnableDefault, &found);

    if (error != cudaSuccess)
        return error;
    if (found != cudaDriverEntryPointSuccess || !address)
        return cudaErrorNotSupported;
    encode = (encode_tiled *)address;
    return encode(map,
                  bf16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                       : CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
                  2, (void *)matrix, size, pitch, box, steps,
                  CU_TENSOR_MAP_INTERLEAVE_NONE,
                  box_width == 32 ? CU_TENSOR_MAP_SWIZZLE_64B
                                  : CU_TENSOR_MAP_SWIZZLE_128B,
                  CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
                  CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS
               ? cudaSuccess
               : cudaErrorNotSupported;
}
