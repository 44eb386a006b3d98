/*
 * Sums over the GPUs of several processes, by NCCL, on the device's own
 * stream.
 *
 * Some process may be gone while this one waits for it: another thread then
 * gives up. NCCL's kernels end when they are told so, and the communicator
 * must not be used any more: it is looked at under a lock.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/cuda/back.cuh"
#include "runtime/cuda/device.cuh"
#include "runtime/cuda/nccl.cuh"

enum { PATIENCE_S = 3 };

struct gqa_communicator {
    struct gqa_device *device;
    int rank;
    pthread_mutex_t lock;
    ncclComm_t comm; /* NULL: given up */
};

static struct gqa_nccl nccl;

static bool find_all(void *library)
{
    const struct {
        void *function;
        const char *name;
    } list[] = {{&nccl.get_unique_id, "ncclGetUniqueId"},
                {&nccl.comm_init_rank, "ncclCommInitRank"},
                {&nccl.comm_destroy, "ncclCommDestroy"},
                {&nccl.comm_abort, "ncclCommAbort"},
                {&nccl.get_error_string, "ncclGetErrorString"},
                {&nccl.all_reduce, "ncclAllReduce"},
                {&nccl.broadcast, "ncclBroadcast"},
                {&nccl.group_start, "ncclGroupStart"},
                {&nccl.group_end, "ncclGroupEnd"}};

    for (const auto &symbol : list) {
        /* As POSIX has it: an object pointer that holds a function's. */
        void *const address = dlsym(library, symbol.name);

        if (!address)
            return false;
        memcpy(symbol.function, &address, sizeof address);
    }
    return true;
}

/* It begins threads, and stays until the process ends. */
static enum gqa_status load(void)
{
    static bool is_loaded;
    void *library;

    if (is_loaded)
        return GQA_OK;
    library = dlopen(GQA_NCCL_SONAME, RTLD_NOW | RTLD_LOCAL);
    if (!library || !find_all(library)) {
        const char *why = dlerror();

        if (library)
            (void)dlclose(library);
        return gqa_cuda_host->fail(
            GQA_ERR_UNSUPPORTED,
            "NCCL, which several GPUs need, cannot be loaded: %s; install it "
            "(libnccl2), or put its folder in LD_LIBRARY_PATH, or run on one "
            "GPU",
            why ? why : GQA_NCCL_SONAME);
    }
    is_loaded = true;
    return GQA_OK;
}

static enum gqa_status check(struct gqa_device *device, ncclResult_t result)
{
    if (result == ncclSuccess)
        return GQA_OK;
    (void)cudaGetLastError();
    return gqa_cuda_host->fail(
        GQA_ERR_IO,
        "GPU %d (%s): NCCL fails: %s (NCCL_DEBUG=WARN lets it say more)",
        device->ordinal, device->name, nccl.get_error_string(result));
}

static enum gqa_status make_id(struct gqa_device *device,
                               struct gqa_group_id *out)
{
    ncclUniqueId id;
    enum gqa_status st = load();

    static_assert(sizeof id == sizeof out->bytes, "as NCCL has it");
    if (st == GQA_OK)
        st = gqa_cuda_enter(device);
    if (st == GQA_OK)
        st = check(device, nccl.get_unique_id(&id));
    if (st == GQA_OK)
        memcpy(out->bytes, &id, sizeof id);
    return st;
}

static enum gqa_status join(struct gqa_device *device,
                            struct gqa_communicator **out,
                            const struct gqa_group_id *group, unsigned rank,
                            unsigned n)
{
    struct gqa_communicator *c;
    ncclUniqueId id;
    enum gqa_status st = load();

    if (st == GQA_OK)
        st = gqa_cuda_enter(device);
    if (st != GQA_OK)
        return st;
    c = (struct gqa_communicator *)calloc(1, sizeof *c);
    if (!c)
        return gqa_cuda_host->fail(GQA_ERR_NOMEM, "out of memory");
    c->device = device;
    c->rank = (int)rank;
    (void)pthread_mutex_init(&c->lock, NULL);
    memcpy(&id, group->bytes, sizeof id);
    st = check(device, nccl.comm_init_rank(&c->comm, (int)n, id, c->rank));
    if (st == GQA_OK) {
        *out = c;
        return GQA_OK;
    }
    (void)pthread_mutex_destroy(&c->lock);
    free(c);
    return st;
}

/* Who holds the lock may be what waits for ever: it is not waited for long. */
static void give_up(struct gqa_communicator *c)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    if (pthread_mutex_timedlock(&c->lock, &until) != 0)
        return;
    if (c->comm)
        (void)nccl.comm_abort(c->comm);
    c->comm = NULL;
    pthread_mutex_unlock(&c->lock);
}

static void leave(struct gqa_communicator *c)
{
    if (!c)
        return;
    if (c->comm && cudaSetDevice(c->device->ordinal) == cudaSuccess) {
        (void)cudaStreamSynchronize(c->device->stream);
        (void)nccl.comm_destroy(c->comm);
    }
    (void)cudaGetLastError();
    (void)pthread_mutex_destroy(&c->lock);
    free(c);
}

static enum gqa_status gone(const struct gqa_communicator *c)
{
    return gqa_cuda_host->fail(GQA_ERR_IO,
                               "GPU %d (%s): another process that it computes "
                               "with is gone",
                               c->device->ordinal, c->device->name);
}

/* One launch for all of them, where NCCL can. */
static ncclResult_t reduce(struct gqa_communicator *c,
                           const struct gqa_summands *list, size_t n)
{
    ncclResult_t result = nccl.group_start(), ended;

    for (size_t i = 0; i < n && result == ncclSuccess; i++)
        result = nccl.all_reduce(list[i].data, list[i].data, list[i].n,
                                 list[i].dtype == GQA_F64 ? ncclFloat64
                                                          : ncclFloat32,
                                 ncclSum, c->comm, c->device->stream);
    ended = nccl.group_end();
    return result == ncclSuccess ? ended : result;
}

static enum gqa_status sum(struct gqa_communicator *c,
                           const struct gqa_summands *list, size_t n)
{
    enum gqa_status st = gqa_cuda_enter(c->device);

    if (st != GQA_OK)
        return st;
    pthread_mutex_lock(&c->lock);
    st = c->comm ? check(c->device, reduce(c, list, n)) : gone(c);
    pthread_mutex_unlock(&c->lock);
    return st;
}

static enum gqa_status share(struct gqa_communicator *c, void *data,
                             uint64_t n_bytes)
{
    enum gqa_status st = gqa_cuda_enter(c->device);

    if (st != GQA_OK)
        return st;
    pthread_mutex_lock(&c->lock);
    st = c->comm
             ? check(c->device, nccl.broadcast(data, data, n_bytes, ncclInt8, 0,
                                               c->comm, c->device->stream))
             : gone(c);
    pthread_mutex_unlock(&c->lock);
    return st;
}

static constexpr struct gqa_collective_ops make_ops()
{
    struct gqa_collective_ops ops = {};

    ops.make_id = make_id;
    ops.join = join;
    ops.leave = leave;
    ops.give_up = give_up;
    ops.sum = sum;
    ops.share = share;
    return ops;
}

extern const struct gqa_collective_ops gqa_cuda_collectives = make_ops();
