#include "common/large.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

void gqa_large_advise(void *memory, size_t n_bytes)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t begin = ((uintptr_t)memory + page - 1) / page * page;
    const uintptr_t end = ((uintptr_t)memory + n_bytes) / page * page;

    /* What the system refuses stays in small pages. */
    if (begin < end)
        (void)madvise((char *)memory + (begin - (uintptr_t)memory), end - begin,
                      MADV_HUGEPAGE);
}
