/*
 * What products by pairs of blocks (pair_sm90.cuh) are told, and matrices as
 * the copy engine is told of them.
 */
#ifndef GQA_RUNTIME_CUDA_PAIR_CUH
#define GQA_RUNTIME_CUDA_PAIR_CUH

#include <cuda.h>

#include "runtime/cuda/device.cuh"

/* Rows and columns of a box: 128 bytes are how far a swizzle goes. */
enum { GQA_BOX_ROWS = 128, GQA_BOX_COLUMNS = 64 };

struct gqa_pair_args {
    int64_t n_rows;
    int inputs;    /* a multiple of 8 */
    int n_columns; /* tiles side by side */
    int step;      /* rows of weights from a tile to the next */
    int n_processors;
    CUtensorMap x, weights[2]; /* weights: of either half of a tile */
};

/* All but the maps, of tiles side by side that begin each `step` of the `width`
 * rows of weights. */
struct gqa_pair_args gqa_pair_of(const struct gqa_device *device,
                                 uint64_t n_rows, uint64_t inputs,
                                 uint64_t width, int step);

/* Whether the device has them, and such products of n_rows rows pay. */
bool gqa_pair_takes(const struct gqa_device *device, uint64_t n_rows,
                    uint64_t inputs);

/* A matrix [rows, width] of 16-bit numbers of device->real. */
struct gqa_boxes {
    CUtensorMap *map; /* set */
    const void *matrix;
    uint64_t rows, width;
};

/* Set the maps of n matrices. *done: whether the driver has what it takes, and
 * takes these. */
enum gqa_status gqa_cuda_boxes(struct gqa_device *device, bool *done,
                               const struct gqa_boxes *boxes, int n);

#endif
