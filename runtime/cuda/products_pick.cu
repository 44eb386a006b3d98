#include "runtime/cuda/products_pick.cuh"

#include "runtime/cuda/rows.cuh"

enum { THREADS = 256, N_TIMES = 3 /* the best of which counts */ };

/* By less than this part of its time another is not faster than the first: it
 * was lucky, as processors that heat up are slower from trial to trial. */
static const double MARGIN = 0.03;

/* Where algorithms are tried. */
struct room {
    void *first, *other; /* outputs */
    unsigned *differ;
    cudaEvent_t begun, ended;
};

static __global__ void __launch_bounds__(THREADS)
    compare_kernel(unsigned *differ, const unsigned char *a,
                   const unsigned char *b, int64_t n)
{
    const int64_t step = (int64_t)gridDim.x * THREADS * sizeof(uint4);
    bool is_other = false;

    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) *
                     (int64_t)sizeof(uint4);
         i < n; i += step) {
        if (n - i >= (int64_t)sizeof(uint4)) {
            const uint4 x = *(const uint4 *)(a + i),
                        y = *(const uint4 *)(b + i);

            is_other |= x.x != y.x || x.y != y.y || x.z != y.z || x.w != y.w;
        } else {
            for (int64_t j = i; j < n; j++)
                is_other |= a[j] != b[j];
        }
    }
    if (is_other)
        atomicOr(differ, 1u);
}

static cudaError_t open_room(struct room *room, uint64_t n_bytes)
{
    cudaError_t error = cudaMalloc(&room->first, n_bytes);

    if (error == cudaSuccess)
        error = cudaMalloc(&room->other, n_bytes);
    if (error == cudaSuccess)
        error = cudaMalloc((void **)&room->differ, sizeof *room->differ);
    if (error == cudaSuccess)
        error = cudaEventCreate(&room->begun);
    if (error == cudaSuccess)
        error = cudaEventCreate(&room->ended);
    return error;
}

static void close_room(struct room *room)
{
    if (room->begun)
        (void)cudaEventDestroy(room->begun);
    if (room->ended)
        (void)cudaEventDestroy(room->ended);
    (void)cudaFree(room->first);
    (void)cudaFree(room->other);
    (void)cudaFree(room->differ);
}

/* *ms: infinite where it cannot run, or gives other bits than `first`. */
static cudaError_t try_one(float *ms, struct room *room,
                           struct gqa_device *device,
                           const struct gqa_product_trial *trial,
                           const cublasLtMatmulAlgo_t *algorithm, bool is_first)
{
    void *to = is_first ? room->first : room->other;
    const uint64_t n = trial->n_bytes;
    const uint64_t each = THREADS * sizeof(uint4);
    unsigned differ = 0;
    /* Between the rows of the output there may be more, which is not its. */
    cudaError_t error = cudaMemsetAsync(to, 0, n, device->stream);

    *ms = INFINITY;
    for (int i = 0; i <= N_TIMES && error == cudaSuccess; i++) {
        float took = INFINITY;

        error = cudaEventRecord(room->begun, device->stream);
        if (error == cudaSuccess &&
            trial->run(trial, algorithm, to) != CUBLAS_STATUS_SUCCESS)
            return cudaGetLastError();
        if (error == cudaSuccess)
            error = cudaEventRecord(room->ended, device->stream);
        if (error == cudaSuccess)
            error = cudaEventSynchronize(room->ended);
        if (error == cudaSuccess)
            error = cudaEventElapsedTime(&took, room->begun, room->ended);
        /* The first time more is done than the product. */
        if (i > 0 && took < *ms)
            *ms = took;
    }
    if (is_first || error != cudaSuccess)
        return error;
    error = cudaMemsetAsync(room->differ, 0, sizeof differ, device->stream);
    if (error != cudaSuccess)
        return error;
    compare_kernel<<<blocks_for((n + each - 1) / each), THREADS, 0,
                     device->stream>>>(
        room->differ, (const unsigned char *)room->first,
        (const unsigned char *)room->other, (int64_t)n);
    error = cudaGetLastError();
    if (error == cudaSuccess)
        error = cudaMemcpyAsync(&differ, room->differ, sizeof differ,
                                cudaMemcpyDeviceToHost, device->stream);
    if (error == cudaSuccess)
        error = cudaStreamSynchronize(device->stream);
    if (differ)
        *ms = INFINITY;
    return error;
}

enum gqa_status gqa_cuda_product_pick(int *picked, struct gqa_device *device,
                                      const struct gqa_product_trial *trial,
                                      const cublasLtMatmulAlgo_t *algorithms,
                                      int n)
{
    struct room room = {};
    float best = INFINITY;
    cudaError_t error = open_room(&room, trial->n_bytes);

    *picked = 0;
    /* What another stream does would count as theirs. */
    if (error == cudaSuccess)
        error = cudaDeviceSynchronize();
    for (int i = 0; i < n && error == cudaSuccess; i++) {
        float ms;

        error = try_one(&ms, &room, device, trial, &algorithms[i], i == 0);
        if (error == cudaSuccess && ms < best) {
            best = i == 0 ? (float)(1 - MARGIN) * ms : ms;
            *picked = i;
        }
    }
    close_room(&room);
    if (error == cudaErrorMemoryAllocation) {
        (void)cudaGetLastError();
        error = cudaSuccess;
    }
    return gqa_cuda_check(device, error);
}
