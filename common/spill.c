#include "common/spill.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/temporary.h"

/* Fewer are not worth a file. */
static const uint64_t FEW = UINT64_C(1) << 20;

/* false: there is no room for a file. */
static bool map_copy(struct gqa_spill *out, const void *bytes, uint64_t n)
{
    void *data = MAP_FAILED;
    int fd = -1;

    if (gqa_temporary_open(&fd, n, "what was fitted") != GQA_OK)
        return false;
    if (gqa_temporary_write(fd, bytes, (size_t)n, 0) == GQA_OK)
        data = mmap(NULL, (size_t)n, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (data == MAP_FAILED)
        return false;
    *out = (struct gqa_spill){data, n};
    return true;
}

enum gqa_status gqa_spill_keep(struct gqa_spill *spill, const void *bytes,
                               uint64_t n)
{
    void *copy;

    gqa_spill_clear(spill);
    if (n >= FEW && map_copy(spill, bytes, n))
        return GQA_OK;
    copy = malloc((size_t)n);
    if (!copy)
        return gqa_fail_nomem();
    memcpy(copy, bytes, (size_t)n);
    spill->data = copy;
    return GQA_OK;
}

static void *address_of(const struct gqa_spill *spill)
{
    return (void *)(uintptr_t)spill->data;
}

void gqa_spill_rest(const struct gqa_spill *spill)
{
    if (spill->n_mapped > 0)
        (void)madvise(address_of(spill), (size_t)spill->n_mapped,
                      MADV_DONTNEED);
}

void gqa_spill_clear(struct gqa_spill *spill)
{
    if (spill->n_mapped > 0)
        munmap(address_of(spill), (size_t)spill->n_mapped);
    else
        free(address_of(spill));
    *spill = (struct gqa_spill){NULL, 0};
}
