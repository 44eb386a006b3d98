/*
 * The plug-in's vtable: opening and closing a device, its memory, and the
 * batch.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/cuda/back.cuh"
#include "runtime/cuda/device.cuh"

enum { MIN_MAJOR = 8 }; /* what the attention kernels are written for */

const struct gqa_host *gqa_cuda_host;

static const double GIB = 1024.0 * 1024 * 1024;

/* Bytes of a copy from the host that are set aside. */
static const uint64_t LEAST_ASIDE = (uint64_t)64 << 10;
static const uint64_t MOST_ASIDE = (uint64_t)512 << 10;

enum gqa_status gqa_cuda_check(struct gqa_device *device, cudaError_t error)
{
    if (error == cudaSuccess)
        return GQA_OK;
    if (error == cudaErrorMemoryAllocation) {
        (void)cudaGetLastError(); /* not a lasting one */
        return gqa_cuda_host->fail(GQA_ERR_NOMEM, "GPU %d (%s): out of memory",
                                   device->ordinal, device->name);
    }
    return gqa_cuda_host->fail(
        GQA_ERR_IO, "GPU %d (%s) failed: %s (%s)", device->ordinal,
        device->name, cudaGetErrorString(error), cudaGetErrorName(error));
}

enum gqa_status gqa_cuda_launched(struct gqa_device *device)
{
    return gqa_cuda_check(device, cudaGetLastError());
}

enum gqa_status gqa_cuda_enter(struct gqa_device *device)
{
    return gqa_cuda_check(device, cudaSetDevice(device->ordinal));
}

static enum gqa_status allocate(struct gqa_device *device, void **out,
                                uint64_t n_bytes)
{
    void *memory = NULL;
    /* A byte at least, so that the pointer is not NULL. */
    cudaError_t error = cudaMalloc(&memory, n_bytes ? n_bytes : 1);

    if (error == cudaErrorMemoryAllocation) {
        size_t free_bytes = 0, total_bytes = 0;

        (void)cudaGetLastError();
        (void)cudaMemGetInfo(&free_bytes, &total_bytes);
        return gqa_cuda_host->fail(
            GQA_ERR_NOMEM,
            "GPU %d (%s): no room for %llu bytes (%.1f GiB); %.1f of its "
            "%.1f GiB are free",
            device->ordinal, device->name, (unsigned long long)n_bytes,
            (double)n_bytes / GIB, (double)free_bytes / GIB,
            (double)total_bytes / GIB);
    }
    /* NaN in every dtype: what is read before it is written shows. It also
     * spares initcheck the stores of cuBLASLt, some of which it misses. */
    if (error == cudaSuccess)
        error = cudaMemsetAsync(memory, 0xff, n_bytes, device->stream);
    if (error == cudaSuccess)
        *out = memory;
    else
        (void)cudaFree(memory);
    return gqa_cuda_check(device, error);
}

enum gqa_status gqa_cuda_reserve(struct gqa_device *device,
                                 struct gqa_scratch *scratch, uint64_t n_bytes)
{
    enum gqa_status st;

    if (scratch->data && scratch->n_bytes >= n_bytes)
        return GQA_OK;
    /* cudaFree() waits for the work that may use it. */
    st = gqa_cuda_check(device, cudaFree(scratch->data));
    scratch->data = NULL;
    scratch->n_bytes = 0;
    if (st == GQA_OK)
        st = allocate(device, &scratch->data, n_bytes);
    if (st == GQA_OK)
        scratch->n_bytes = n_bytes;
    return st;
}

static enum gqa_status copy_in(struct gqa_device *device, void *dst,
                               const void *src, uint64_t n_bytes)
{
    /* From pageable memory, this returns once src has been read. */
    return gqa_cuda_check(device, cudaMemcpyAsync(dst, src, n_bytes,
                                                  cudaMemcpyHostToDevice,
                                                  device->stream));
}

static enum gqa_status make_aside(struct gqa_device *device)
{
    cudaError_t error = cudaSuccess;

    for (int i = 0; i < GQA_CUDA_N_ASIDE && error == cudaSuccess; i++)
        if (!device->aside.sent[i])
            error = cudaEventCreateWithFlags(&device->aside.sent[i],
                                             cudaEventDisableTiming);
    if (error == cudaSuccess)
        error =
            cudaHostAlloc((void **)&device->aside.data,
                          GQA_CUDA_N_ASIDE * MOST_ASIDE, cudaHostAllocDefault);
    return gqa_cuda_check(device, error);
}

/* The driver sets few bytes aside by itself; for more it would wait until the
 * device has done all that came before, and the device then for the host. */
enum gqa_status gqa_cuda_send(struct gqa_device *device, void *dst,
                              const void *src, uint64_t n_bytes)
{
    const unsigned turn = device->aside.turn % GQA_CUDA_N_ASIDE;
    enum gqa_status st = GQA_OK;
    char *place;

    if (n_bytes <= LEAST_ASIDE || n_bytes > MOST_ASIDE)
        return copy_in(device, dst, src, n_bytes);
    if (!device->aside.data)
        st = make_aside(device);
    if (st == GQA_OK)
        st = gqa_cuda_check(device,
                            cudaEventSynchronize(device->aside.sent[turn]));
    if (st != GQA_OK)
        return st;
    place = device->aside.data + turn * MOST_ASIDE;
    memcpy(place, src, n_bytes);
    st = copy_in(device, dst, place, n_bytes);
    if (st == GQA_OK)
        st = gqa_cuda_check(
            device, cudaEventRecord(device->aside.sent[turn], device->stream));
    device->aside.turn++;
    return st;
}

static void device_close(struct gqa_device *device)
{
    if (!device)
        return;
    /* Errors of a lost device change nothing here. */
    if (cudaSetDevice(device->ordinal) == cudaSuccess) {
        struct gqa_scratch *const scratches[] = {
            &device->batch,      &device->workspace,   &device->panel,
            &device->factors,    &device->bias,        &device->parts,
            &device->key_counts, &device->row_numbers, &device->scores,
            &device->fit,        &device->back};

        if (device->stream)
            (void)cudaStreamSynchronize(device->stream);
        gqa_cuda_solver_free(device->solver);
        for (struct gqa_scratch *scratch : scratches)
            (void)cudaFree(scratch->data);
        for (cudaEvent_t sent : device->aside.sent)
            if (sent)
                (void)cudaEventDestroy(sent);
        (void)cudaFreeHost(device->aside.data);
        if (device->lt)
            (void)cublasLtDestroy(device->lt);
        if (device->mark)
            (void)cudaEventDestroy(device->mark);
        if (device->stream)
            (void)cudaStreamDestroy(device->stream);
    }
    (void)cudaGetLastError();
    gqa_cuda_products_free(device->products);
    free(device->numbers);
    free(device->counts);
    free(device);
}

static enum gqa_status identify(struct gqa_device *device)
{
    cudaDeviceProp properties;
    enum gqa_status st = gqa_cuda_check(
        device, cudaGetDeviceProperties(&properties, device->ordinal));

    if (st != GQA_OK)
        return st;
    snprintf(device->name, sizeof device->name, "%.127s", properties.name);
    if (properties.major < MIN_MAJOR)
        return gqa_cuda_host->fail(
            GQA_ERR_UNSUPPORTED,
            "GPU %d (%s) is too old: its compute capability is %d.%d, and "
            "%d.0 is the least; run on the CPU",
            device->ordinal, device->name, properties.major, properties.minor,
            MIN_MAJOR);
    device->n_processors = properties.multiProcessorCount;
    device->overlaps = properties.major >= 9;
#ifdef GQA_SM90A
    device->warpgroups = properties.major == 9 && properties.minor == 0;
#endif
    return GQA_OK;
}

static enum gqa_status device_open(struct gqa_device **out,
                                   const struct gqa_device_options *options)
{
    enum gqa_status st;
    struct gqa_device *device;
    cudaError_t error;
    int n_devices = 0;

    if (options->real != GQA_F32 && options->real != GQA_BF16 &&
        options->real != GQA_F16)
        return gqa_cuda_host->fail(
            GQA_ERR_UNSUPPORTED,
            "the GPU runs models in float32, bfloat16 and float16; float64 "
            "is for the CPU");
    error = cudaGetDeviceCount(&n_devices);
    if (error != cudaSuccess)
        return gqa_cuda_host->fail(GQA_ERR_IO, "the GPUs do not answer: %s",
                                   cudaGetErrorString(error));
    if (options->ordinal >= (unsigned)n_devices)
        return gqa_cuda_host->fail(
            GQA_ERR_USAGE,
            "no GPU %u: this machine has %d, and they count from 0",
            options->ordinal, n_devices);
    device = (struct gqa_device *)calloc(1, sizeof *device);
    if (!device)
        return gqa_cuda_host->fail(GQA_ERR_NOMEM, "out of memory");
    device->ordinal = (int)options->ordinal;
    device->real = options->real;
    device->n_threads = options->n_threads;
    if ((st = identify(device)) != GQA_OK)
        goto done;
    if ((st = gqa_cuda_enter(device)) != GQA_OK)
        goto done;
    st = gqa_cuda_check(device, cudaStreamCreateWithFlags(
                                    &device->stream, cudaStreamNonBlocking));
    if (st != GQA_OK)
        goto done;
    st = gqa_cuda_check(device, cudaEventCreateWithFlags(
                                    &device->mark, cudaEventDisableTiming));
    if (st != GQA_OK)
        goto done;
    if ((st = gqa_cuda_products_create(device)) != GQA_OK)
        goto done;
    *out = device;
    device = NULL;
done:
    device_close(device);
    return st;
}

static enum gqa_status device_wait_for(struct gqa_device *device,
                                       struct gqa_device *other)
{
    enum gqa_status st = gqa_cuda_enter(device);

    if (st == GQA_OK)
        st = gqa_cuda_check(other, cudaEventRecord(other->mark, other->stream));
    return st == GQA_OK
               ? gqa_cuda_check(device, cudaStreamWaitEvent(device->stream,
                                                            other->mark, 0))
               : st;
}

/* "; kernel module 580.1.2" or nothing. */
static void module_version(char *text, size_t size)
{
    FILE *file = fopen("/sys/module/nvidia/version", "r");
    char version[64];

    text[0] = '\0';
    if (!file)
        return;
    if (fgets(version, sizeof version, file)) {
        version[strcspn(version, "\n")] = '\0';
        snprintf(text, size, " (%s)", version);
    }
    fclose(file);
}

static enum gqa_status device_describe(struct gqa_device *device,
                                       struct gqa_device_info *out)
{
    enum gqa_status st;
    size_t free_bytes = 0, total_bytes = 0, lt = cublasLtGetVersion();
    int driver = 0, runtime = 0;
    char module[80];

    if ((st = gqa_cuda_enter(device)) != GQA_OK)
        return st;
    st = gqa_cuda_check(device, cudaMemGetInfo(&free_bytes, &total_bytes));
    if (st != GQA_OK)
        return st;
    (void)cudaDriverGetVersion(&driver);
    (void)cudaRuntimeGetVersion(&runtime);
    module_version(module, sizeof module);
    memset(out, 0, sizeof *out);
    snprintf(out->name, sizeof out->name, "%s", device->name);
    snprintf(out->software, sizeof out->software,
             "CUDA driver %d.%d%s, runtime %d.%d, cuBLASLt %zu.%zu.%zu",
             driver / 1000, driver % 1000 / 10, module, runtime / 1000,
             runtime % 1000 / 10, lt / 10000, lt / 100 % 100, lt % 100);
    out->total_bytes = total_bytes;
    out->free_bytes = free_bytes;
    out->real = device->real;
    out->n_threads = device->n_threads;
    return GQA_OK;
}

static enum gqa_status device_alloc(struct gqa_device *device, void **out,
                                    uint64_t n_bytes)
{
    enum gqa_status st = gqa_cuda_enter(device);

    return st == GQA_OK ? allocate(device, out, n_bytes) : st;
}

static void device_free(struct gqa_device *device, void *memory)
{
    if (memory && cudaSetDevice(device->ordinal) == cudaSuccess)
        (void)cudaFree(memory);
}

static enum gqa_status device_upload(struct gqa_device *device, void *dst,
                                     const void *src, uint64_t n_bytes)
{
    enum gqa_status st = gqa_cuda_enter(device);

    if (st == GQA_OK)
        st = copy_in(device, dst, src, n_bytes);
    /* src might be memory that the device reads by itself. */
    if (st == GQA_OK)
        st = gqa_cuda_check(device, cudaStreamSynchronize(device->stream));
    return st;
}

static enum gqa_status device_download(struct gqa_device *device, void *dst,
                                       const void *src, uint64_t n_bytes)
{
    enum gqa_status st = gqa_cuda_enter(device);

    if (st == GQA_OK)
        st = gqa_cuda_check(device, cudaMemcpyAsync(dst, src, n_bytes,
                                                    cudaMemcpyDeviceToHost,
                                                    device->stream));
    if (st == GQA_OK)
        st = gqa_cuda_check(device, cudaStreamSynchronize(device->stream));
    return st;
}

/* Of the host's, behind a step of training: threads that sleep until the device
 * is done wake up 80 to 160 microseconds late, in which it has nothing to do.
 * What takes longer may as well be slept through. */
static const double POLLED_S = 0.02;

/* Pinned memory, and an event behind its last copy. */
struct staging {
    struct gqa_staging base;
    cudaEvent_t copied;
    bool is_fetched; /* by the last copy, not sent */
};

static void stage_close(struct gqa_device *device, struct gqa_staging *base)
{
    struct staging *staging = (struct staging *)base;

    if (!staging)
        return;
    /* Errors of a lost device change nothing here. */
    if (cudaSetDevice(device->ordinal) == cudaSuccess) {
        if (staging->copied) {
            (void)cudaEventSynchronize(staging->copied);
            (void)cudaEventDestroy(staging->copied);
        }
        (void)cudaFreeHost(staging->base.data);
    }
    (void)cudaGetLastError();
    free(staging);
}

static enum gqa_status stage_open(struct gqa_device *device,
                                  struct gqa_staging **out, uint64_t n_bytes)
{
    struct staging *staging = (struct staging *)calloc(1, sizeof *staging);
    enum gqa_status st;
    cudaError_t error;

    if (!staging)
        return gqa_cuda_host->fail(GQA_ERR_NOMEM, "out of memory");
    if ((st = gqa_cuda_enter(device)) != GQA_OK)
        goto done;
    error = cudaHostAlloc(&staging->base.data, n_bytes, cudaHostAllocDefault);
    if (error == cudaErrorMemoryAllocation) {
        (void)cudaGetLastError();
        st = gqa_cuda_host->fail(
            GQA_ERR_NOMEM,
            "GPU %d (%s): no %llu bytes of this machine's memory can be "
            "pinned for it",
            device->ordinal, device->name, (unsigned long long)n_bytes);
        goto done;
    }
    if ((st = gqa_cuda_check(device, error)) != GQA_OK)
        goto done;
    staging->base.n_bytes = n_bytes;
    /* Whoever waits leaves the processor to those who read. */
    st = gqa_cuda_check(
        device,
        cudaEventCreateWithFlags(&staging->copied, cudaEventBlockingSync |
                                                       cudaEventDisableTiming));
    if (st != GQA_OK)
        goto done;
    *out = &staging->base;
    staging = NULL;
done:
    stage_close(device, (struct gqa_staging *)staging);
    return st;
}

static enum gqa_status stage_send(struct gqa_device *device,
                                  struct gqa_staging *base, void *dst,
                                  uint64_t n_bytes)
{
    struct staging *staging = (struct staging *)base;
    enum gqa_status st = gqa_cuda_enter(device);

    staging->is_fetched = false;
    if (st == GQA_OK)
        st = copy_in(device, dst, staging->base.data, n_bytes);
    if (st == GQA_OK)
        st = gqa_cuda_check(device,
                            cudaEventRecord(staging->copied, device->stream));
    return st;
}

static enum gqa_status stage_fetch(struct gqa_device *device,
                                   struct gqa_staging *base, const void *src,
                                   uint64_t n_bytes)
{
    struct staging *staging = (struct staging *)base;
    enum gqa_status st = gqa_cuda_enter(device);

    staging->is_fetched = true;
    if (st == GQA_OK)
        st = gqa_cuda_check(
            device, cudaMemcpyAsync(staging->base.data, src, n_bytes,
                                    cudaMemcpyDeviceToHost, device->stream));
    if (st == GQA_OK)
        st = gqa_cuda_check(device,
                            cudaEventRecord(staging->copied, device->stream));
    return st;
}

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Not ready yet, maybe. Others who want the processor get it. */
static cudaError_t poll_for(cudaEvent_t event, double seconds)
{
    const double start = seconds_now();
    cudaError_t error;

    while ((error = cudaEventQuery(event)) == cudaErrorNotReady) {
        (void)cudaGetLastError(); /* it is told of as one */
        if (seconds_now() - start >= seconds)
            break;
        (void)sched_yield();
    }
    return error;
}

static enum gqa_status stage_wait(struct gqa_device *device,
                                  struct gqa_staging *base)
{
    const struct staging *staging = (const struct staging *)base;
    enum gqa_status st = gqa_cuda_enter(device);
    cudaError_t error = cudaErrorNotReady;

    if (st != GQA_OK)
        return st;
    if (staging->is_fetched)
        error = poll_for(staging->copied, POLLED_S);
    /* At once where nothing has been sent or fetched. */
    return gqa_cuda_check(device, error == cudaErrorNotReady
                                      ? cudaEventSynchronize(staging->copied)
                                      : error);
}

static enum gqa_status device_set_batch(struct gqa_device *device,
                                        const struct gqa_batch *batch)
{
    const uint64_t n = batch->n_sequences, n_rows = n * batch->n_new;
    const uint64_t n_bytes = 3 * n * sizeof(int64_t) + n_rows * sizeof(int32_t);
    enum gqa_status st;
    int64_t *numbers;

    if ((st = gqa_cuda_enter(device)) != GQA_OK)
        return st;
    if ((st = gqa_cuda_reserve(device, &device->batch, n_bytes)) != GQA_OK)
        return st;
    if (n_bytes > device->numbers_bytes) {
        numbers = (int64_t *)realloc(device->numbers, n_bytes);
        if (!numbers)
            return gqa_cuda_host->fail(GQA_ERR_NOMEM, "out of memory");
        device->numbers = numbers;
        device->numbers_bytes = n_bytes;
    }
    numbers = device->numbers;
    device->max_keys = 0;
    for (uint64_t s = 0; s < n; s++) {
        numbers[s] = (int64_t)batch->n_tokens[s];
        numbers[n + s] = (int64_t)batch->starts[s];
        numbers[2 * n + s] = numbers[s] + numbers[n + s];
        if (numbers[2 * n + s] > device->max_keys)
            device->max_keys = numbers[2 * n + s];
    }
    memcpy(numbers + 3 * n, batch->tokens, n_rows * sizeof(int32_t));
    device->n_sequences = n;
    device->n_new = batch->n_new;
    device->n_tokens = (const int64_t *)device->batch.data;
    device->starts = device->n_tokens + n;
    device->n_keys = device->starts + n;
    device->tokens = (const int32_t *)(device->n_keys + n);
    return gqa_cuda_send(device, device->batch.data, numbers, n_bytes);
}

/* By name, so that no order has to be kept; C++17 has no initialisers that
 * do it. */
static constexpr struct gqa_backend make_backend(void)
{
    struct gqa_backend b = {};

    b.abi = GQA_BACKEND_ABI;
    b.gradients = &gqa_cuda_gradients;
    b.collectives = &gqa_cuda_collectives;
    b.name = "cuda";
    b.open = device_open;
    b.close = device_close;
    b.describe = device_describe;
    b.alloc = device_alloc;
    b.free = device_free;
    b.upload = device_upload;
    b.download = device_download;
    b.zero = gqa_cuda_zero;
    b.copy = gqa_cuda_copy;
    b.stage_open = stage_open;
    b.stage_close = stage_close;
    b.stage_send = stage_send;
    b.stage_fetch = stage_fetch;
    b.stage_wait = stage_wait;
    b.wait_for = device_wait_for;
    b.set_batch = device_set_batch;
    b.embed = gqa_cuda_embed;
    b.rotate = gqa_cuda_rotate;
    b.store = gqa_cuda_store;
    b.attend = gqa_cuda_attend;
    b.merge = gqa_cuda_merge;
    b.sink = gqa_cuda_sink;
    b.sum_pieces = gqa_cuda_sum_pieces;
    b.norm = gqa_cuda_norm;
    b.linear = gqa_cuda_linear;
    b.activate = gqa_cuda_activate;
    b.gated = gqa_cuda_gated;
    b.clip = gqa_cuda_clip;
    b.xielu = gqa_cuda_xielu;
    b.swiglu_pairs = gqa_cuda_swiglu_pairs;
    b.gather = gqa_cuda_gather;
    b.add_rows = gqa_cuda_add_rows;
    b.unembed = gqa_cuda_unembed;
    b.gram = gqa_cuda_gram;
    b.fit_ridge = gqa_cuda_fit_ridge;
    b.fit_loss = gqa_cuda_fit_loss;
    b.norm_heads = gqa_cuda_norm_heads;
    b.soft_cap = gqa_cuda_soft_cap;
    b.weigh_rows = gqa_cuda_weigh_rows;
    b.scores = gqa_cuda_scores;
    b.draw = gqa_cuda_draw;
    b.follow = gqa_cuda_follow;
    return b;
}

static constexpr struct gqa_backend backend = make_backend();

extern "C" __attribute__((visibility("default"))) const struct gqa_backend *
gqa_cuda_backend(const struct gqa_host *host)
{
    int driver = 0, n_devices = 0;
    cudaError_t error;

    if (host->abi != GQA_BACKEND_ABI) {
        host->fail(GQA_ERR_UNSUPPORTED,
                   "the CUDA plug-in is of another version: its interface is "
                   "%u and this tool's is %u; install the two together",
                   (unsigned)GQA_BACKEND_ABI, host->abi);
        return NULL;
    }
    gqa_cuda_host = host;
    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
        (void)cudaGetLastError();
        host->fail(GQA_ERR_UNSUPPORTED,
                   "no NVIDIA driver on this machine: install one, or run on "
                   "the CPU");
        return NULL;
    }
    error = cudaGetDeviceCount(&n_devices);
    (void)cudaGetLastError();
    if (error == cudaErrorInsufficientDriver) {
        host->fail(GQA_ERR_UNSUPPORTED,
                   "the NVIDIA driver is too old: it knows CUDA %d.%d, and "
                   "the plug-in is built with %d.%d; install a newer driver, "
                   "or run on the CPU",
                   driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000,
                   CUDART_VERSION % 1000 / 10);
        return NULL;
    }
    if (error == cudaErrorNoDevice || (error == cudaSuccess && !n_devices)) {
        host->fail(GQA_ERR_UNSUPPORTED,
                   "the NVIDIA driver finds no GPU that this process may use "
                   "(CUDA_VISIBLE_DEVICES?); run on the CPU");
        return NULL;
    }
    if (error != cudaSuccess) {
        host->fail(GQA_ERR_UNSUPPORTED,
                   "the NVIDIA driver does not start: %s; run on the CPU",
                   cudaGetErrorString(error));
        return NULL;
    }
    return &backend;
}
