#include "runtime/cpu/room.h"

#include <cblas.h>
#include <stdint.h>
#include <sys/resource.h>

#include "common/advice.h"

static const uint64_t MIB = (uint64_t)1 << 20;

enum {
    BUFFER_MIB = 128, /* OpenBLAS's, for each thread; less on some machines */
    TOOL_MIB = 80,    /* the tool and its libraries */
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

enum gqa_status gqa_cpu_check_room(unsigned n_threads)
{
    const int n_workers = openblas_get_parallel() == OPENBLAS_THREAD
                              ? openblas_get_num_threads() - 1
                              : 0;
    const uint64_t n_buffers = (uint64_t)n_workers + n_threads;
    const uint64_t needed = n_buffers * BUFFER_MIB + TOOL_MIB;
    struct rlimit limit;
    enum gqa_status st = GQA_OK;

    if (n_buffers > 0 && getrlimit(RLIMIT_AS, &limit) == 0)
        st = check(&limit, "-v", needed);
    if (st == GQA_OK && n_buffers > 0 && getrlimit(RLIMIT_DATA, &limit) == 0)
        st = check(&limit, "-d", needed);
    return st;
}
