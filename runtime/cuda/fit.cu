/*
 * Least squares from moments, in float64.
 *
 *   inputs     [n, n]   X^T X
 *   products   [n, m]   X^T Y
 *   out        [n, m]   of (inputs + extra I) out = products + extra began
 *
 * cuSOLVER counts columns first: to it, right-hand sides are [m, n]. It is
 * loaded when something is solved, since with what it needs it is larger than
 * all else that a run loads.
 */
#include <cusolverDn.h>
#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/cuda/products.cuh"
#include "runtime/cuda/sums.cuh"

#define QUOTED(x)   #x
#define VALUE_OF(x) QUOTED(x)
#define SONAME      "libcusolver.so." VALUE_OF(CUSOLVER_VER_MAJOR)

enum { THREADS = 256, TILE = 32, STRIPS = 8, PARTS = 1024 };

struct gqa_solver {
    void *library;
    cusolverDnHandle_t handle;
    decltype(&cusolverDnCreate) create;
    decltype(&cusolverDnDestroy) destroy;
    decltype(&cusolverDnSetStream) set_stream;
    decltype(&cusolverDnDpotrf_bufferSize) factor_room;
    decltype(&cusolverDnDpotrf) factor;
    decltype(&cusolverDnDpotrs) solve;
};

/* *extra = ridge times the mean of a's diagonal; one block. */
static __global__ void __launch_bounds__(THREADS)
    extra_kernel(double *extra, const double *a, int64_t n, double ridge)
{
    double trace = 0;

    for (int64_t i = threadIdx.x; i < n; i += THREADS)
        trace += a[i * n + i];
    trace = block_sum<THREADS>(trace);
    if (threadIdx.x == 0)
        *extra = ridge * trace / (double)n;
}

static __global__ void __launch_bounds__(THREADS)
    raise_kernel(double *out, const double *a, const double *extra, int64_t n)
{
    for (int64_t row = blockIdx.x; row < n; row += gridDim.x)
        for (int64_t c = threadIdx.x; c < n; c += THREADS)
            out[row * n + c] = a[row * n + c] + (row == c ? *extra : 0);
}

/* out [n_cols, n_rows] = a^T, or (a + *extra began)^T; a block has a tile. */
static __global__ void __launch_bounds__(TILE *STRIPS)
    turn_kernel(double *out, const double *a, const double *began,
                const double *extra, int64_t n_rows, int64_t n_cols)
{
    __shared__ double tile[TILE][TILE + 1];
    const int64_t row0 = (int64_t)blockIdx.y * TILE;
    const int64_t col0 = (int64_t)blockIdx.x * TILE;
    const int lane = (int)threadIdx.x;

    for (int strip = (int)threadIdx.y; strip < TILE; strip += STRIPS) {
        const int64_t i = row0 + strip, j = col0 + lane;

        if (i < n_rows && j < n_cols)
            tile[strip][lane] = a[i * n_cols + j] +
                                (began ? *extra * began[i * n_cols + j] : 0);
    }
    __syncthreads();
    for (int strip = (int)threadIdx.y; strip < TILE; strip += STRIPS) {
        const int64_t i = row0 + lane, j = col0 + strip;

        if (i < n_rows && j < n_cols)
            out[j * n_rows + i] = tile[lane][strip];
    }
}

/* parts [PARTS]: of the sum of w (image - 2 products), a block a part. */
static __global__ void __launch_bounds__(THREADS)
    loss_kernel(double *parts, const double *w, const double *image,
                const double *products, int64_t n)
{
    const int64_t step = (int64_t)PARTS * THREADS;
    double sum = 0;

    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n;
         i += step)
        sum += w[i] * (image[i] - 2 * products[i]);
    sum = block_sum<THREADS>(sum);
    if (threadIdx.x == 0)
        parts[blockIdx.x] = sum;
}

static enum gqa_status check(struct gqa_device *device, cusolverStatus_t status)
{
    cudaError_t error;

    if (status == CUSOLVER_STATUS_SUCCESS)
        return GQA_OK;
    /* An error of the device says more than cuSOLVER's number for it. */
    error = cudaGetLastError();
    if (error != cudaSuccess)
        return gqa_cuda_check(device, error);
    return gqa_cuda_host->fail(
        status == CUSOLVER_STATUS_ALLOC_FAILED ? GQA_ERR_NOMEM : GQA_ERR_IO,
        "GPU %d (%s): cuSOLVER fails with status %d", device->ordinal,
        device->name, (int)status);
}

template <typename F>
static bool find(F *function, const struct gqa_solver *solver, const char *name)
{
    *function = (F)dlsym(solver->library, name);
    return *function != NULL;
}

static bool find_all(struct gqa_solver *s)
{
    s->library = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
    return s->library && find(&s->create, s, "cusolverDnCreate") &&
           find(&s->destroy, s, "cusolverDnDestroy") &&
           find(&s->set_stream, s, "cusolverDnSetStream") &&
           find(&s->factor_room, s, "cusolverDnDpotrf_bufferSize") &&
           find(&s->factor, s, "cusolverDnDpotrf") &&
           find(&s->solve, s, "cusolverDnDpotrs");
}

void gqa_cuda_solver_free(struct gqa_solver *solver)
{
    if (!solver)
        return;
    if (solver->handle)
        (void)solver->destroy(solver->handle);
    /* It may be in use by another device, and begins threads: it stays. */
    free(solver);
}

static enum gqa_status load_solver(struct gqa_device *device)
{
    struct gqa_solver *solver;
    enum gqa_status st;

    if (device->solver)
        return GQA_OK;
    solver = (struct gqa_solver *)calloc(1, sizeof *solver);
    if (!solver)
        return gqa_cuda_host->fail(GQA_ERR_NOMEM, "out of memory");
    if (!find_all(solver)) {
        const char *why = dlerror();

        st = gqa_cuda_host->fail(
            GQA_ERR_UNSUPPORTED,
            "cuSOLVER cannot be loaded: %s; install it, as the CUDA toolkit "
            "has it, or put its folder in LD_LIBRARY_PATH, or run on the CPU",
            why ? why : SONAME);
        goto done;
    }
    if ((st = check(device, solver->create(&solver->handle))) != GQA_OK)
        goto done;
    st = check(device, solver->set_stream(solver->handle, device->stream));
    if (st != GQA_OK)
        goto done;
    device->solver = solver;
    solver = NULL;
done:
    gqa_cuda_solver_free(solver);
    return st;
}

static void turn(struct gqa_device *device, double *out, const double *a,
                 const double *began, const double *extra, uint64_t n_rows,
                 uint64_t n_cols)
{
    const dim3 tiles((unsigned)((n_cols + TILE - 1) / TILE),
                     (unsigned)((n_rows + TILE - 1) / TILE));

    turn_kernel<<<tiles, dim3(TILE, STRIPS), 0, device->stream>>>(
        out, a, began, extra, (int64_t)n_rows, (int64_t)n_cols);
}

/* The workspace of a fit. */
struct fit {
    double *a, *sides, *room, *extra;
    int *infos; /* of factor and solve */
    int n_room;
};

static enum gqa_status make_room(struct fit *fit, struct gqa_device *device,
                                 const double *inputs, uint64_t n, uint64_t m)
{
    enum gqa_status st;
    double *data;
    void *infos;

    /* The matrix is looked at for its size alone. */
    st = check(device, device->solver->factor_room(
                           device->solver->handle, CUBLAS_FILL_MODE_LOWER,
                           (int)n, (double *)inputs, (int)n, &fit->n_room));
    if (st == GQA_OK)
        st = gqa_cuda_reserve(device, &device->fit,
                              (n * n + n * m + (uint64_t)fit->n_room + 2) *
                                  sizeof *data);
    data = (double *)device->fit.data;
    fit->a = data;
    fit->sides = fit->a + n * n;
    fit->room = fit->sides + n * m;
    fit->extra = fit->room + fit->n_room;
    infos = fit->extra + 1;
    fit->infos = (int *)infos;
    return st;
}

static enum gqa_status factor_and_solve(struct gqa_device *device,
                                        const struct fit *fit, uint64_t n,
                                        uint64_t m)
{
    const struct gqa_solver *s = device->solver;
    int infos[2] = {0, 0};
    enum gqa_status st;

    st = check(device,
               s->factor(s->handle, CUBLAS_FILL_MODE_LOWER, (int)n, fit->a,
                         (int)n, fit->room, fit->n_room, &fit->infos[0]));
    if (st == GQA_OK)
        st = check(device, s->solve(s->handle, CUBLAS_FILL_MODE_LOWER, (int)n,
                                    (int)m, fit->a, (int)n, fit->sides, (int)n,
                                    &fit->infos[1]));
    if (st == GQA_OK)
        st = gqa_cuda_check(
            device, cudaMemcpyAsync(infos, fit->infos, sizeof infos,
                                    cudaMemcpyDeviceToHost, device->stream));
    if (st == GQA_OK)
        st = gqa_cuda_check(device, cudaStreamSynchronize(device->stream));
    if (st == GQA_OK && (infos[0] != 0 || infos[1] != 0))
        st = gqa_cuda_host->fail(
            GQA_ERR_FORMAT,
            "a least-squares problem has no solution: what it is made of is "
            "not finite");
    return st;
}

enum gqa_status gqa_cuda_fit_ridge(struct gqa_device *device, double *out,
                                   const double *began, const double *inputs,
                                   const double *products, uint64_t n,
                                   uint64_t m, double ridge)
{
    struct fit fit;
    enum gqa_status st = gqa_cuda_enter(device);

    if (st == GQA_OK)
        st = load_solver(device);
    if (st == GQA_OK)
        st = make_room(&fit, device, inputs, n, m);
    if (st != GQA_OK)
        return st;
    extra_kernel<<<1, THREADS, 0, device->stream>>>(fit.extra, inputs,
                                                    (int64_t)n, ridge);
    raise_kernel<<<(unsigned)(n < 65536 ? n : 65536), THREADS, 0,
                   device->stream>>>(fit.a, inputs, fit.extra, (int64_t)n);
    turn(device, fit.sides, products, began, fit.extra, n, m);
    if ((st = gqa_cuda_launched(device)) != GQA_OK)
        return st;
    if ((st = factor_and_solve(device, &fit, n, m)) != GQA_OK)
        return st;
    turn(device, out, fit.sides, NULL, NULL, m, n);
    return gqa_cuda_launched(device);
}

enum gqa_status gqa_cuda_fit_loss(struct gqa_device *device, double *out,
                                  const double *weight, const double *inputs,
                                  const double *products, uint64_t n,
                                  uint64_t m)
{
    struct gqa_product product;
    struct gqa_product_shape *s = &product.shape;
    double *image, *parts, sums[PARTS];
    enum gqa_status st = gqa_cuda_enter(device);

    if (st == GQA_OK)
        st = gqa_cuda_reserve(device, &device->fit,
                              (n * m + PARTS) * sizeof *image);
    if (st != GQA_OK)
        return st;
    image = (double *)device->fit.data;
    parts = image + n * m;
    /* image = inputs weight. Columns first: image^T = weight^T inputs. */
    memset(&product, 0, sizeof product);
    s->type = s->out_type = GQA_F64;
    s->m = s->a_ld = s->d_ld = m;
    s->n = s->k = s->b_ld = n;
    product.a = weight;
    product.b = inputs;
    product.d = image;
    product.scale = 1;
    if ((st = gqa_cuda_multiply(device, &product)) != GQA_OK)
        return st;
    loss_kernel<<<PARTS, THREADS, 0, device->stream>>>(
        parts, weight, image, products, (int64_t)(n * m));
    if ((st = gqa_cuda_launched(device)) != GQA_OK)
        return st;
    st = gqa_cuda_check(device, cudaMemcpyAsync(sums, parts, sizeof sums,
                                                cudaMemcpyDeviceToHost,
                                                device->stream));
    if (st == GQA_OK)
        st = gqa_cuda_check(device, cudaStreamSynchronize(device->stream));
    if (st != GQA_OK)
        return st;
    *out = 0;
    for (int i = 0; i < PARTS; i++)
        *out += sums[i];
    return GQA_OK;
}
