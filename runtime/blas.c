#include "runtime/blas.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "common/advice.h"
#include "common/cli.h"
#include "common/library.h"

struct gqa_blas gqa_blas;

/* --- Room ----------------------------------------------------------------- */

static const uint64_t MIB = (uint64_t)1 << 20;

enum {
    BUFFER_MIB = 128, /* OpenBLAS's, for each thread; less on some machines */
    STACK_MIB = 8,    /* of a thread that OpenBLAS starts */
    /* Of one of ours besides: its stack, and what malloc() sets aside. */
    THREAD_MIB = 72,
    TOOL_MIB = 80, /* the tool and its libraries */
};

static enum gqa_status check(const struct rlimit *limit, const char *option,
                             uint64_t needed)
{
    if (limit->rlim_cur == RLIM_INFINITY || limit->rlim_cur / MIB >= needed)
        return GQA_OK;
    return gqa_fail(GQA_ERR_NOMEM,
                    "memory is limited to %llu MiB (ulimit %s), and OpenBLAS "
                    "needs about %llu for its threads; raise the limit, or "
                    "set OPENBLAS_NUM_THREADS=1%s",
                    (unsigned long long)(limit->rlim_cur / MIB), option,
                    (unsigned long long)needed,
                    gqa_advice(GQA_ADVICE_ONE_THREAD));
}

/* Threads that it starts as it is loaded, beside the one that loads it. */
static unsigned n_workers(void)
{
    static const char *const names[] = {"OPENBLAS_NUM_THREADS",
                                        "GOTO_NUM_THREADS", "OMP_NUM_THREADS"};
    const unsigned n_processors = gqa_cli_n_processors();

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        const long n = value ? strtol(value, NULL, 10) : 0;

        if (n > 0)
            return (n < (long)n_processors ? (unsigned)n : n_processors) - 1;
    }
    return n_processors - 1;
}

static enum gqa_status check_room(unsigned n_threads)
{
    const uint64_t needed = (uint64_t)n_workers() * (BUFFER_MIB + STACK_MIB) +
                            (uint64_t)n_threads * (BUFFER_MIB + THREAD_MIB) -
                            THREAD_MIB + TOOL_MIB;
    struct rlimit limit;
    enum gqa_status st = GQA_OK;

    if (getrlimit(RLIMIT_AS, &limit) == 0)
        st = check(&limit, "-v", needed);
    if (st == GQA_OK && getrlimit(RLIMIT_DATA, &limit) == 0)
        st = check(&limit, "-d", needed);
    return st;
}

/* --- The library ---------------------------------------------------------- */

static const struct gqa_library_symbol symbols[] = {
    {"cblas_sgemm", (void **)&gqa_blas.sgemm},
    {"cblas_dgemm", (void **)&gqa_blas.dgemm},
    {"cblas_zgemm", (void **)&gqa_blas.zgemm},
    {"cblas_sgemv", (void **)&gqa_blas.sgemv},
    {"cblas_dgemv", (void **)&gqa_blas.dgemv},
    {"dposv_", (void **)&gqa_blas.dposv},
    {"dsyevd_", (void **)&gqa_blas.dsyevd},
    {"zheevd_", (void **)&gqa_blas.zheevd},
    {"openblas_get_config", (void **)&gqa_blas.get_config},
    {"openblas_get_parallel", (void **)&gqa_blas.get_parallel},
    {"openblas_set_num_threads", (void **)&gqa_blas.set_num_threads},
};

enum gqa_status gqa_blas_load(unsigned n_threads)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static bool loaded;
    enum gqa_status st = check_room(n_threads);

    pthread_mutex_lock(&mutex);
    if (st == GQA_OK && !loaded) {
        st = gqa_library_load(GQA_OPENBLAS_SONAME, "OpenBLAS", symbols,
                              sizeof symbols / sizeof *symbols);
        loaded = st == GQA_OK;
    }
    pthread_mutex_unlock(&mutex);
    return st;
}
