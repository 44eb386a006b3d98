#include "formats/write/buffers.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "common/large.h"

enum { PAGE = 4096 };

struct gqa_buffers {
    void *arena;
    size_t arena_bytes;
    size_t n_left;
    void *left[]; /* a stack */
};

enum gqa_status gqa_buffers_create(struct gqa_buffers **out, size_t n_buffers,
                                   size_t buffer_bytes)
{
    const size_t step = (buffer_bytes + PAGE - 1) / PAGE * PAGE;
    struct gqa_buffers *buffers =
        calloc(1, sizeof *buffers + n_buffers * sizeof *buffers->left);

    if (!buffers)
        return gqa_fail_nomem();
    buffers->arena_bytes = n_buffers * step;
    buffers->arena = mmap(NULL, buffers->arena_bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffers->arena == MAP_FAILED) {
        free(buffers);
        return gqa_fail_nomem();
    }
    /* Fewer faults, and fewer pages to pin for direct writing. */
    gqa_large_advise(buffers->arena, buffers->arena_bytes);
    while (buffers->n_left < n_buffers) {
        const size_t i = n_buffers - 1 - buffers->n_left;

        buffers->left[buffers->n_left++] = (char *)buffers->arena + i * step;
    }
    *out = buffers;
    return GQA_OK;
}

void gqa_buffers_free(struct gqa_buffers *buffers)
{
    if (!buffers)
        return;
    munmap(buffers->arena, buffers->arena_bytes);
    free(buffers);
}

size_t gqa_buffers_n_left(const struct gqa_buffers *buffers)
{
    return buffers->n_left;
}

void *gqa_buffers_take(struct gqa_buffers *buffers)
{
    assert(buffers->n_left > 0);
    return buffers->left[--buffers->n_left];
}

void gqa_buffers_give(struct gqa_buffers *buffers, void *buffer)
{
    buffers->left[buffers->n_left++] = buffer;
}
