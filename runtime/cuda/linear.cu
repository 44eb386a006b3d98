/*
 * Products with weights, by cuBLASLt.
 *
 *   x    [n_rows, inputs]      real
 *   W    [outputs, inputs], or [inputs, outputs] when input_major
 *   out  [n_rows, outputs]     real, or float32 (logits)
 *
 * cuBLASLt counts columns first, so it sees each of these transposed:
 * out^T = W x^T. Sums are float32, and of float32 factors: neither TF32 nor
 * products made of bf16 pieces, which each algorithm is asked about.
 *
 * A few rows have a kernel of their own (few_rows.cu). Else a weight whose
 * dtype is not real's is converted panel by panel, PANEL bytes at most, so
 * that it is never held twice.
 */
#include <stdlib.h>
#include <string.h>

#include "runtime/cuda/device.cuh"
#include "runtime/cuda/few_rows.cuh"
#include "runtime/cuda/real.cuh"

static const uint64_t PANEL = (uint64_t)64 << 20;
static const uint64_t WORKSPACE = (uint64_t)32 << 20;
/* Elements of a matrix in one call: what 32-bit arithmetic can count. */
static const uint64_t MAX_ELEMENTS = (uint64_t)1 << 30;

enum { THREADS = 256, N_SLOTS = 256, N_CANDIDATES = 16 };

static unsigned blocks_for(uint64_t n_rows)
{
    const uint64_t most = 1 << 20;

    return (unsigned)(n_rows < most ? n_rows : most);
}

/* What the choice of an algorithm depends on. */
struct product_shape {
    uint64_t m, n, k, a_ld, d_ld;
    uint32_t a_alignment, b_alignment, d_alignment;
    uint8_t input_major, has_bias, accumulate, wide;
};

struct product {
    struct product_shape shape;
    const void *a, *b, *bias;
    void *d;
    float scale;
};

struct slot {
    bool used;
    struct product_shape shape;
    cublasLtMatmulAlgo_t algorithm;
};

struct gqa_products {
    struct slot slots[N_SLOTS];
};

static cudaDataType_t cuda_type(enum gqa_dtype dtype)
{
    return dtype == GQA_F32    ? CUDA_R_32F
           : dtype == GQA_BF16 ? CUDA_R_16BF
                               : CUDA_R_16F;
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

static cublasStatus_t describe(struct description *out, enum gqa_dtype real,
                               const struct product *product)
{
    const struct product_shape *s = &product->shape;
    const cudaDataType_t type = cuda_type(real);
    const cublasOperation_t transpose =
        s->input_major ? CUBLAS_OP_N : CUBLAS_OP_T;
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    cublasStatus_t status;

    status =
        cublasLtMatmulDescInit(&out->operation, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulDescSetAttribute(&out->operation,
                                                CUBLASLT_MATMUL_DESC_TRANSA,
                                                &transpose, sizeof transpose);
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
            &out->a, type, s->input_major ? s->m : s->k,
            s->input_major ? s->k : s->m, (int64_t)s->a_ld);
    if (status == CUBLAS_STATUS_SUCCESS)
        status =
            cublasLtMatrixLayoutInit(&out->b, type, s->k, s->n, (int64_t)s->k);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatrixLayoutInit(&out->d, s->wide ? CUDA_R_32F : type,
                                          s->m, s->n, (int64_t)s->d_ld);
    return status;
}

/* Sums of float32 factors, where these are float32. */
static bool is_exact(const cublasLtMatmulAlgo_t *algorithm, enum gqa_dtype real)
{
    const uint64_t wanted = CUBLASLT_NUMERICAL_IMPL_FLAGS_FMA |
                            CUBLASLT_NUMERICAL_IMPL_FLAGS_ACCUMULATOR_32F |
                            CUBLASLT_NUMERICAL_IMPL_FLAGS_INPUT_32F;
    uint64_t flags = 0;
    size_t n_written = 0;

    return real != GQA_F32 ||
           (cublasLtMatmulAlgoCapGetAttribute(
                algorithm, CUBLASLT_ALGO_CAP_NUMERICAL_IMPL_FLAGS, &flags,
                sizeof flags, &n_written) == CUBLAS_STATUS_SUCCESS &&
            (flags & wanted) == wanted &&
            !(flags & CUBLASLT_NUMERICAL_IMPL_FLAGS_TENSOR_OP_MASK));
}

static cublasStatus_t choose(cublasLtMatmulAlgo_t *out,
                             struct gqa_device *device,
                             const struct product *product,
                             struct description *is)
{
    /* Partial sums in float32, whatever out's type. */
    const uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    const struct product_shape *s = &product->shape;
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
    for (int i = 0; i < n_found; i++)
        if (found[i].state == CUBLAS_STATUS_SUCCESS &&
            is_exact(&found[i].algo, device->real)) {
            *out = found[i].algo;
            return CUBLAS_STATUS_SUCCESS;
        }
    return CUBLAS_STATUS_NOT_SUPPORTED;
}

static struct slot *slot_of(struct gqa_products *products,
                            const struct product_shape *shape)
{
    const unsigned char *bytes = (const unsigned char *)shape;
    uint32_t hash = 2166136261u; /* FNV-1a */

    for (size_t i = 0; i < sizeof *shape; i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    return &products->slots[hash % N_SLOTS];
}

static enum gqa_status multiply(struct gqa_device *device,
                                struct product *product)
{
    const float beta = product->shape.accumulate ? 1 : 0;
    struct description is;
    struct slot *slot;
    cublasStatus_t status;

    product->shape.a_alignment = alignment_of(product->a);
    product->shape.b_alignment = alignment_of(product->b);
    product->shape.d_alignment = alignment_of(product->d);
    slot = slot_of(device->products, &product->shape);
    status = describe(&is, device->real, product);
    if (status == CUBLAS_STATUS_SUCCESS &&
        (!slot->used ||
         memcmp(&slot->shape, &product->shape, sizeof slot->shape) != 0)) {
        slot->used = false;
        status = choose(&slot->algorithm, device, product, &is);
        if (status == CUBLAS_STATUS_SUCCESS) {
            slot->shape = product->shape;
            slot->used = true;
        }
    }
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmul(device->lt, &is.operation, &product->scale,
                                product->a, &is.a, product->b, &is.b, &beta,
                                product->d, &is.d, product->d, &is.d,
                                &slot->algorithm, device->workspace.data,
                                WORKSPACE, device->stream);
    return check_lt(device, status);
}

/* dst [n_rows, n_cols] = src [n_rows, pitch ...] from `first` on. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    convert_kernel(T *dst, struct weight_view src, int64_t first, int64_t pitch,
                   int64_t n_rows, int64_t n_cols)
{
    for (int64_t row = blockIdx.x; row < n_rows; row += gridDim.x)
        for (int64_t c = threadIdx.x; c < n_cols; c += THREADS)
            dst[row * n_cols + c] = real<T>::round(
                weight_at<typename real<T>::sum>(src, first + row * pitch + c));
}

static void convert(struct gqa_device *device, void *dst,
                    const struct gqa_weight *src, uint64_t first,
                    uint64_t pitch, uint64_t n_rows, uint64_t n_cols)
{
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        convert_kernel<T><<<blocks_for(n_rows), THREADS, 0, device->stream>>>(
            (T *)dst, view_of(src), (int64_t)first, (int64_t)pitch,
            (int64_t)n_rows, (int64_t)n_cols);
    });
}

static uint64_t size_of(enum gqa_dtype dtype)
{
    return dtype == GQA_F64 ? 8 : dtype == GQA_F32 ? 4 : 2;
}

/* The outputs [first, first + shape.m) of all rows. Converts the weight's
 * panel where it has to. */
static enum gqa_status multiply_panel(struct gqa_device *device,
                                      struct product *product, void *out,
                                      const void *x, uint64_t n_rows,
                                      const struct gqa_weight *weight,
                                      uint64_t first)
{
    struct product_shape *s = &product->shape;
    const uint64_t n_in = s->k, n_out = s->d_ld;
    const uint64_t real_size = size_of(device->real);
    const uint64_t out_size = s->wide ? sizeof(float) : real_size;
    const uint64_t at = s->input_major ? first : first * n_in;
    uint64_t step = MAX_ELEMENTS / (n_in > n_out ? n_in : n_out);
    enum gqa_status st = GQA_OK;

    if (step == 0)
        step = 1;
    if (weight->dtype == device->real) {
        product->a = (const char *)weight->data + at * real_size;
        s->a_ld = s->input_major ? n_out : n_in;
    } else {
        product->a = device->panel.data;
        s->a_ld = s->input_major ? s->m : n_in;
        if (s->input_major)
            convert(device, device->panel.data, weight, at, n_out, n_in, s->m);
        else
            convert(device, device->panel.data, weight, at, n_in, s->m, n_in);
        if ((st = gqa_cuda_launched(device)) != GQA_OK)
            return st;
    }
    for (uint64_t row = 0; row < n_rows && st == GQA_OK; row += step) {
        s->n = n_rows - row < step ? n_rows - row : step;
        product->b = (const char *)x + row * n_in * real_size;
        product->d = (char *)out + (row * n_out + first) * out_size;
        st = multiply(device, product);
    }
    return st;
}

/* bias, in device->real: as it is or converted. */
static enum gqa_status bias_as_real(struct gqa_device *device, const void **out,
                                    const struct gqa_weight *bias)
{
    const uint64_t n = bias->rows * bias->cols;
    enum gqa_status st;

    if (bias->dtype == device->real) {
        *out = bias->data;
        return GQA_OK;
    }
    st = gqa_cuda_reserve(device, &device->bias, n * size_of(device->real));
    if (st != GQA_OK)
        return st;
    *out = device->bias.data;
    convert(device, device->bias.data, bias, 0, n, 1, n);
    return gqa_cuda_launched(device);
}

/* product: scale and the flags of its shape. */
static enum gqa_status multiply_all(struct gqa_device *device,
                                    struct product *product, void *out,
                                    const void *x, uint64_t n_rows,
                                    const struct gqa_weight *weight,
                                    const struct gqa_weight *bias)
{
    struct product_shape *s = &product->shape;
    const uint64_t n_out = s->input_major ? weight->cols : weight->rows;
    const uint64_t n_in = s->input_major ? weight->rows : weight->cols;
    const uint64_t size = size_of(device->real);
    uint64_t step = MAX_ELEMENTS / n_in;
    const void *all_bias = NULL;
    enum gqa_status st = GQA_OK;

    if (weight->dtype != device->real)
        step = PANEL / (n_in * size);
    /* Whole tiles, and aligned pointers. */
    step = step < 128 ? 128 : step / 128 * 128;
    if (step > n_out)
        step = n_out;
    if (weight->dtype != device->real)
        st = gqa_cuda_reserve(device, &device->panel, step * n_in * size);
    if (st == GQA_OK && bias)
        st = bias_as_real(device, &all_bias, bias);
    s->k = n_in;
    s->d_ld = n_out;
    s->has_bias = bias != NULL;
    for (uint64_t first = 0; first < n_out && st == GQA_OK; first += step) {
        s->m = n_out - first < step ? n_out - first : step;
        if (bias)
            product->bias = (const char *)all_bias + first * size;
        st = multiply_panel(device, product, out, x, n_rows, weight, first);
    }
    return st;
}

enum gqa_status gqa_cuda_linear(struct gqa_device *device, void *out,
                                const void *x, uint64_t n_rows,
                                const struct gqa_weight *weight,
                                bool input_major, const struct gqa_weight *bias,
                                bool accumulate)
{
    const struct gqa_few_rows few = {
        out, x, weight, bias, (int64_t)n_rows, 1, accumulate, false};
    enum gqa_status st = gqa_cuda_enter(device);
    struct product product;

    if (st != GQA_OK || n_rows == 0)
        return st;
    if (!input_major && gqa_few_rows_takes(&few))
        return gqa_few_rows_multiply(device, &few);
    memset(&product, 0, sizeof product); /* shapes are compared as bytes */
    product.shape.input_major = input_major;
    product.shape.accumulate = accumulate;
    product.scale = 1;
    return multiply_all(device, &product, out, x, n_rows, weight, bias);
}

static __global__ void __launch_bounds__(THREADS)
    add_bias_kernel(float *out, int64_t n_rows, int64_t n_cols,
                    struct weight_view bias)
{
    for (int64_t row = blockIdx.x; row < n_rows; row += gridDim.x)
        for (int64_t c = threadIdx.x; c < n_cols; c += THREADS)
            out[row * n_cols + c] += weight_at<float>(bias, c);
}

enum gqa_status gqa_cuda_unembed(struct gqa_device *device, void *out,
                                 const void *x, uint64_t n_rows,
                                 const struct gqa_weight *weight,
                                 bool input_major,
                                 const struct gqa_weight *bias, double scale)
{
    const struct gqa_few_rows few = {
        out, x, weight, bias, (int64_t)n_rows, (float)scale, false, true};
    enum gqa_status st = gqa_cuda_enter(device);
    struct product product;

    if (st != GQA_OK || n_rows == 0)
        return st;
    if (!input_major && gqa_few_rows_takes(&few))
        return gqa_few_rows_multiply(device, &few);
    memset(&product, 0, sizeof product);
    product.shape.input_major = input_major;
    product.shape.wide = 1;
    product.scale = (float)scale;
    st = multiply_all(device, &product, out, x, n_rows, weight, NULL);
    if (st != GQA_OK || !bias)
        return st;
    add_bias_kernel<<<blocks_for(n_rows), THREADS, 0, device->stream>>>(
        (float *)out, (int64_t)n_rows,
        (int64_t)(input_major ? weight->cols : weight->rows), view_of(bias));
    return gqa_cuda_launched(device);
}
