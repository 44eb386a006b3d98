/* Which of several algorithms of one product is the fastest, by trying them. */
#ifndef GQA_RUNTIME_CUDA_PRODUCTS_PICK_CUH
#define GQA_RUNTIME_CUDA_PRODUCTS_PICK_CUH

#include "runtime/cuda/device.cuh"

/* The product by one algorithm, whose output goes to d in place of its own. */
struct gqa_product_trial {
    cublasStatus_t (*run)(const struct gqa_product_trial *trial,
                          const cublasLtMatmulAlgo_t *algorithm, void *d);
    uint64_t n_bytes; /* that the output spans */
};

/*
 * The fastest of those that give the same bits as the first, so that which one
 * that is does not show; the first where there is no memory to try them in.
 * Waits for the device.
 */
GQA_MUST_USE
enum gqa_status gqa_cuda_product_pick(int *picked, struct gqa_device *device,
                                      const struct gqa_product_trial *trial,
                                      const cublasLtMatmulAlgo_t *algorithms,
                                      int n);

#endif
