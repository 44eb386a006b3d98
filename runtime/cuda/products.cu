/*
 * Products by cuBLASLt: the algorithm for a shape is chosen once, and only
 * among those that are exact enough. For large products that come again and
 * again, its guess at the fastest is tried against its others.
 */
#include <stdlib.h>
#include <string.h>

#include "runtime/cuda/products.cuh"
#include "runtime/cuda/products_pick.cuh"

static const uint64_t WORKSPACE = (uint64_t)32 << 20;

enum {
    N_SLOTS = 256,
    N_CANDIDATES = 16,
    N_PICKED = 8,    /* more are never the fastest */
    USES_BEFORE = 16 /* a product is worth the trial */
};

/* Factors that are multiplied: less is done too soon to be tried for. */
static const double LEAST_WORK = (double)((uint64_t)1 << 31);

struct slot {
    bool used;
    unsigned n_uses;
    struct gqa_product_shape shape;
    cublasLtMatmulAlgo_t algorithm;
};

struct gqa_products {
    struct slot slots[N_SLOTS];
};

static cudaDataType_t cuda_type(enum gqa_dtype dtype)
{
    switch (dtype) {
    case GQA_F64:
        return CUDA_R_64F;
    case GQA_F32:
        return CUDA_R_32F;
    case GQA_BF16:
        return CUDA_R_16BF;
    default:
        return CUDA_R_16F;
    }
}

static enum gqa_status check_lt(struct gqa_device *device,
                                cublasStatus_t status)
{
    cudaError_t error;

    if (status == CUBLAS_STATUS_SUCCESS)
        return GQA_OK;
    /* An error of the device says more than cuBLASLt's word for it. */
    error = cudaGetLastError();
    if (error != cudaSuccess)
        return gqa_cuda_check(device, error);
    return gqa_cuda_host->fail(
        status == CUBLAS_STATUS_ALLOC_FAILED ? GQA_ERR_NOMEM : GQA_ERR_IO,
        "GPU %d (%s): cuBLASLt: %s", device->ordinal, device->name,
        cublasLtGetStatusString(status));
}

enum gqa_status gqa_cuda_products_create(struct gqa_device *device)
{
    enum gqa_status st;

    device->products =
        (struct gqa_products *)calloc(1, sizeof *device->products);
    if (!device->products)
        return gqa_cuda_host->fail(GQA_ERR_NOMEM, "out of memory");
    if ((st = check_lt(device, cublasLtCreate(&device->lt))) != GQA_OK)
        return st;
    return gqa_cuda_reserve(device, &device->workspace, WORKSPACE);
}

void gqa_cuda_products_free(struct gqa_products *products)
{
    free(products);
}

static uint32_t alignment_of(const void *p)
{
    uintptr_t address = (uintptr_t)p | 256;

    return (uint32_t)(address & (~address + 1));
}

/* The three matrices and the operation, as cuBLASLt wants them. */
struct description {
    cublasLtMatmulDescOpaque_t operation;
    cublasLtMatrixLayoutOpaque_t a, b, d;
};

static cublasStatus_t set_batch(cublasLtMatrixLayout_t layout, uint64_t n,
                                uint64_t stride)
{
    const int32_t n_batch = (int32_t)n;
    const int64_t elements = (int64_t)stride;
    cublasStatus_t status = cublasLtMatrixLayoutSetAttribute(
        layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &n_batch, sizeof n_batch);

    return status == CUBLAS_STATUS_SUCCESS
               ? cublasLtMatrixLayoutSetAttribute(
                     layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                     &elements, sizeof elements)
               : status;
}

static cublasStatus_t describe(struct description *out,
                               const struct gqa_product *product)
{
    const struct gqa_product_shape *s = &product->shape;
    const bool f64 = s->type == GQA_F64;
    const cudaDataType_t type = cuda_type(s->type);
    const cublasOperation_t a = s->a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasOperation_t b = s->b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    cublasStatus_t status;

    status = cublasLtMatmulDescInit(
        &out->operation, f64 ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F,
        f64 ? CUDA_R_64F : CUDA_R_32F);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulDescSetAttribute(
            &out->operation, CUBLASLT_MATMUL_DESC_TRANSA, &a, sizeof a);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulDescSetAttribute(
            &out->operation, CUBLASLT_MATMUL_DESC_TRANSB, &b, sizeof b);
    if (status == CUBLAS_STATUS_SUCCESS && s->has_bias)
        status = cublasLtMatmulDescSetAttribute(&out->operation,
                                                CUBLASLT_MATMUL_DESC_EPILOGUE,
                                                &epilogue, sizeof epilogue);
    if (status == CUBLAS_STATUS_SUCCESS && s->has_bias)
        status = cublasLtMatmulDescSetAttribute(
            &out->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &product->bias,
            sizeof product->bias);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatrixLayoutInit(
            &out->a, type, s->a_transposed ? s->k : s->m,
            s->a_transposed ? s->m : s->k, (int64_t)s->a_ld);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatrixLayoutInit(
            &out->b, type, s->b_transposed ? s->n : s->k,
            s->b_transposed ? s->k : s->n, (int64_t)s->b_ld);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatrixLayoutInit(&out->d, cuda_type(s->out_type), s->m,
                                          s->n, (int64_t)s->d_ld);
    if (status == CUBLAS_STATUS_SUCCESS && s->n_batch)
        status = set_batch(&out->a, s->n_batch, s->a_stride);
    if (status == CUBLAS_STATUS_SUCCESS && s->n_batch)
        status = set_batch(&out->b, s->n_batch, s->b_stride);
    if (status == CUBLAS_STATUS_SUCCESS && s->n_batch)
        status = set_batch(&out->d, s->n_batch, s->d_stride);
    return status;
}

/* Sums of float32 factors, where these are float32. */
static bool is_exact(const cublasLtMatmulAlgo_t *algorithm, enum gqa_dtype type)
{
    const uint64_t wanted = CUBLASLT_NUMERICAL_IMPL_FLAGS_FMA |
                            CUBLASLT_NUMERICAL_IMPL_FLAGS_ACCUMULATOR_32F |
                            CUBLASLT_NUMERICAL_IMPL_FLAGS_INPUT_32F;
    uint64_t flags = 0;
    size_t n_written = 0;

    return type != GQA_F32 ||
           (cublasLtMatmulAlgoCapGetAttribute(
                algorithm, CUBLASLT_ALGO_CAP_NUMERICAL_IMPL_FLAGS, &flags,
                sizeof flags, &n_written) == CUBLAS_STATUS_SUCCESS &&
            (flags & wanted) == wanted &&
            !(flags & CUBLASLT_NUMERICAL_IMPL_FLAGS_TENSOR_OP_MASK));
}

/* At most `room` that are exact enough, the likely fastest first; *n: 1 or
 * more. */
static cublasStatus_t find_algorithms(cublasLtMatmulAlgo_t *out, int *n,
                                      int room, struct gqa_device *device,
                                      const struct gqa_product *product,
                                      struct description *is)
{
    /* Partial sums in the type of sums, whatever out's; none by atomics, so
     * that the same product gives the same bits. */
    const uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    const struct gqa_product_shape *s = &product->shape;
    cublasLtMatmulPreferenceOpaque_t preference;
    cublasLtMatmulHeuristicResult_t found[N_CANDIDATES];
    const struct {
        cublasLtMatmulPreferenceAttributes_t name;
        const void *value;
        size_t size;
    } settings[] = {
        {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &WORKSPACE,
         sizeof WORKSPACE},
        {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions,
         sizeof reductions},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &s->a_alignment,
         sizeof s->a_alignment},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &s->b_alignment,
         sizeof s->b_alignment},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &s->d_alignment,
         sizeof s->d_alignment},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &s->d_alignment,
         sizeof s->d_alignment},
    };
    cublasStatus_t status = cublasLtMatmulPreferenceInit(&preference);
    int n_found = 0;

    for (const auto &setting : settings)
        if (status == CUBLAS_STATUS_SUCCESS)
            status = cublasLtMatmulPreferenceSetAttribute(
                &preference, setting.name, setting.value, setting.size);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulAlgoGetHeuristic(
            device->lt, &is->operation, &is->a, &is->b, &is->d, &is->d,
            &preference, N_CANDIDATES, found, &n_found);
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    *n = 0;
    for (int i = 0; i < n_found && *n < room; i++)
        if (found[i].state == CUBLAS_STATUS_SUCCESS &&
            is_exact(&found[i].algo, s->type))
            out[(*n)++] = found[i].algo;
    return *n > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

static cublasStatus_t run(struct gqa_device *device,
                          const struct gqa_product *product,
                          struct description *is,
                          const cublasLtMatmulAlgo_t *algorithm, void *d)
{
    const double scale = product->scale;
    const double beta = product->shape.accumulate ? 1 : 0;
    const float scale_f32 = (float)scale, beta_f32 = (float)beta;
    const bool f64 = product->shape.type == GQA_F64;
    const void *c = product->c ? product->c : product->d;

    return cublasLtMatmul(device->lt, &is->operation,
                          f64 ? (const void *)&scale : (const void *)&scale_f32,
                          product->a, &is->a, product->b, &is->b,
                          f64 ? (const void *)&beta : (const void *)&beta_f32,
                          c, &is->d, d, &is->d, algorithm,
                          device->workspace.data, WORKSPACE, device->stream);
}

struct trial {
    struct gqa_product_trial base;
    struct gqa_device *device;
    const struct gqa_product *product;
    struct description *is;
};

static cublasStatus_t run_trial(const struct gqa_product_trial *base,
                                const cublasLtMatmulAlgo_t *algorithm, void *d)
{
    const struct trial *t = (const struct trial *)base;

    return run(t->device, t->product, t->is, algorithm, d);
}

static bool is_large(const struct gqa_product_shape *s)
{
    return (double)s->m * (double)s->n * (double)s->k *
               (double)(s->n_batch ? s->n_batch : 1) >=
           LEAST_WORK;
}

static uint64_t output_bytes(const struct gqa_product_shape *s)
{
    const uint64_t n_batch = s->n_batch ? s->n_batch : 1;
    const uint64_t each = s->out_type == GQA_F64   ? 8
                          : s->out_type == GQA_F32 ? 4
                                                   : 2;

    return ((n_batch - 1) * s->d_stride + (s->n - 1) * s->d_ld + s->m) * each;
}

/* The slot's algorithm becomes the fastest that gives the same bits. */
static enum gqa_status pick(struct slot *slot, struct gqa_device *device,
                            const struct gqa_product *product,
                            struct description *is)
{
    struct trial trial = {
        {run_trial, output_bytes(&product->shape)}, device, product, is};
    cublasLtMatmulAlgo_t found[N_PICKED];
    int n = 0, picked = 0;
    enum gqa_status st = check_lt(
        device, find_algorithms(found, &n, N_PICKED, device, product, is));

    if (st == GQA_OK)
        st = gqa_cuda_product_pick(&picked, device, &trial.base, found, n);
    if (st == GQA_OK)
        slot->algorithm = found[picked];
    return st;
}

static struct slot *slot_of(struct gqa_products *products,
                            const struct gqa_product_shape *shape)
{
    const unsigned char *bytes = (const unsigned char *)shape;
    uint32_t hash = 2166136261u; /* FNV-1a */

    for (size_t i = 0; i < sizeof *shape; i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    return &products->slots[hash % N_SLOTS];
}

enum gqa_status gqa_cuda_multiply(struct gqa_device *device,
                                  struct gqa_product *product)
{
    const void *c = product->c ? product->c : product->d;
    struct description is;
    struct slot *slot;
    cublasStatus_t status;
    int n = 0;

    product->shape.a_alignment = alignment_of(product->a);
    product->shape.b_alignment = alignment_of(product->b);
    product->shape.d_alignment = alignment_of(product->d);
    if (alignment_of(c) < product->shape.d_alignment)
        product->shape.d_alignment = alignment_of(c);
    slot = slot_of(device->products, &product->shape);
    status = describe(&is, product);
    if (status == CUBLAS_STATUS_SUCCESS &&
        (!slot->used ||
         memcmp(&slot->shape, &product->shape, sizeof slot->shape) != 0)) {
        slot->used = false;
        status = find_algorithms(&slot->algorithm, &n, 1, device, product, &is);
        if (status == CUBLAS_STATUS_SUCCESS) {
            slot->shape = product->shape;
            slot->n_uses = 0;
            slot->used = true;
        }
    }
    if (status == CUBLAS_STATUS_SUCCESS && is_large(&product->shape) &&
        ++slot->n_uses == USES_BEFORE) {
        enum gqa_status st = pick(slot, device, product, &is);

        if (st != GQA_OK)
            return st;
    }
    if (status == CUBLAS_STATUS_SUCCESS)
        status = run(device, product, &is, &slot->algorithm, product->d);
    return check_lt(device, status);
}
