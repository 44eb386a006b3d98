/*
 * Boxes of a matrix, which one thread of compute capability 9.0 begins to copy
 * to shared memory: a row of a box is as long as a swizzle of operands goes
 * (warpgroup.cuh), 64 or 128 bytes.
 */
#ifndef GQA_RUNTIME_CUDA_BOX_CUH
#define GQA_RUNTIME_CUDA_BOX_CUH

#include <cuda.h>
#include <cuda_runtime.h>
#include <stdbool.h>
#include <stdint.h>

/* Boxes of box_rows x box_width (32 or 64) of a matrix [rows, width] of bf16 or
 * f16, aligned to 16 bytes, width a multiple of 8. What lies beyond the matrix
 * is copied as zeros. cudaErrorNotSupported: the driver has no boxes, or not
 * these. */
cudaError_t gqa_box_describe(CUtensorMap *map, bool bf16, const void *matrix,
                             int64_t rows, int64_t width, int box_rows,
                             int box_width);

#endif
