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

struct gqa_pair_args gqa_pair_of(const struct gqa_device *device,
                                 uint64_t n_rows, uint64_t inputs,
                                 uint64_t width, int step)
{
    struct gqa_pair_args args = {};

    args.n_rows = (int64_t)n_rows;
    args.inputs = (int)inputs;
    args.n_columns = (int)((width + (uint64_t)step - 1) / (uint64_t)step);
    args.step = step;
    args.n_processors = device->n_processors;
    return args;
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
