/*
 * To be preloaded (LD_PRELOAD): one allocation of a program fails, or that
 * one and all later ones. fail_each.c says which, through a file that both
 * map; the count goes on in the processes that the program forks.
 *
 *   GQA_FAIL_ALLOC        the file (fail_alloc.h); unset: nothing fails
 *   GQA_FAIL_ALLOC_TRACE  set: the calls that led to it go to stderr
 *
 * Time stands still meanwhile, so that two runs print the same. What OpenBLAS,
 * and the library of Fortran that it is loaded with, take for themselves does
 * not fail: the one does not look whether it got it, the other ends the
 * process, and nobody can look for them.
 */
#include "fail_alloc.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* glibc's own names for what is replaced here. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t n);
void *__libc_memalign(size_t alignment, size_t n);

enum { MAX_CALLS = 64 };

static struct gqa_fail_alloc *shared;
static bool traced;

/* Of the process that is `owner`; a fork inherits both, and takes its own. */
static _Atomic uint64_t *last;
static pid_t owner;

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("GQA_FAIL_ALLOC");
    void *calls[1];
    void *map;
    int fd;

    if (!path)
        return;
    traced = getenv("GQA_FAIL_ALLOC_TRACE") != NULL;
    if (traced)
        (void)backtrace(calls, 1); /* the first call allocates */
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        _exit(127);
    map = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map == MAP_FAILED)
        _exit(127);
    shared = map;
}

static void trace(void)
{
    void *calls[MAX_CALLS];
    const int n = backtrace(calls, MAX_CALLS);

    backtrace_symbols_fd(calls, n, STDERR_FILENO);
}

static void note_last(uint64_t count)
{
    if (owner != getpid()) {
        const uint32_t i = atomic_fetch_add(&shared->n_processes, 1);

        owner = getpid();
        last = i < GQA_FAIL_ALLOC_PROCESSES ? &shared->last[i] : NULL;
    }
    if (last)
        *last = count;
}

static bool is_of_blas(const void *caller)
{
    Dl_info info;

    return dladdr(caller, &info) && info.dli_fname &&
           (strstr(info.dli_fname, "libopenblas") ||
            strstr(info.dli_fname, "libgfortran"));
}

static bool fails(const void *caller)
{
    uint64_t i;

    if (!shared)
        return false;
    i = atomic_fetch_add(&shared->count, 1) + 1;
    note_last(i);
    if (i < shared->fail_at || (i > shared->fail_at && !shared->and_later) ||
        is_of_blas(caller))
        return false;
    if (traced && i == shared->fail_at)
        trace();
    errno = ENOMEM;
    return true;
}

void *malloc(size_t n)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *old, size_t n)
{
    /* What shrinks to nothing is freed. */
    if (old && n == 0)
        return __libc_realloc(old, n);
    return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(old, n);
}

void *reallocarray(void *old, size_t n, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(n, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(old, bytes);
}

void *memalign(size_t alignment, size_t n)
{
    return fails(__builtin_return_address(0)) ? NULL
                                              : __libc_memalign(alignment, n);
}

void *aligned_alloc(size_t alignment, size_t n)
{
    return memalign(alignment, n);
}

int posix_memalign(void **out, size_t alignment, size_t n)
{
    void *block = memalign(alignment, n);

    if (!block)
        return ENOMEM;
    *out = block;
    return 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    (void)clock;
    memset(now, 0, sizeof *now);
    return 0;
}
