#include "runtime/cuda/pair.cuh"

#include "runtime/cuda/box.cuh"
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

enum gqa_status gqa_cuda_boxes(struct gqa_device *device, bool *done,
                               const struct gqa_boxes *boxes, int n)
{
    cudaError_t error = cudaSuccess;

    for (int i = 0; i < n && error == cudaSuccess; i++)
        error = gqa_box_describe(boxes[i].map, device->real == GQA_BF16,
                                 boxes[i].matrix, (int64_t)boxes[i].rows,
                                 (int64_t)boxes[i].width, GQA_BOX_ROWS,
                                 GQA_BOX_COLUMNS);
    *done = error == cudaSuccess;
    return error == cudaErrorNotSupported ? GQA_OK
                                          : gqa_cuda_check(device, error);
}
