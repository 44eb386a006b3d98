#include "runtime/streams.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/file.h"
#include "common/temporary.h"

struct gqa_streams {
    const struct gqa_backend *backend;
    struct gqa_device *device;
    uint64_t row_bytes;
    int fd;       /* -1: all is in memory */
    char *memory; /* all rows, or as many as are moved at once */
};

enum gqa_status gqa_streams_create(struct gqa_streams **out,
                                   const struct gqa_backend *backend,
                                   struct gqa_device *device, uint64_t n_rows,
                                   uint64_t row_bytes, uint64_t most,
                                   uint64_t host_bytes)
{
    struct gqa_streams *s = calloc(1, sizeof *s);
    enum gqa_status st = GQA_OK;
    uint64_t n_bytes, room = 0;

    if (!s)
        return gqa_fail_nomem();
    s->backend = backend;
    s->device = device;
    s->row_bytes = row_bytes;
    s->fd = -1;
    if (!gqa_mul_u64(n_rows, row_bytes, &n_bytes) || n_bytes > INT64_MAX ||
        !gqa_mul_u64(most, row_bytes, &room))
        st = gqa_fail(GQA_ERR_NOMEM,
                      "%llu rows of residual streams are more than any memory "
                      "holds",
                      (unsigned long long)n_rows);
    else if (n_bytes > host_bytes)
        st = gqa_temporary_open(&s->fd, n_bytes, "residual streams");
    else
        room = n_bytes;
    if (st == GQA_OK && !(s->memory = malloc(room ? (size_t)room : 1)))
        st = gqa_fail_nomem();
    if (st == GQA_OK)
        *out = s;
    else
        gqa_streams_free(s);
    return st;
}

void gqa_streams_free(struct gqa_streams *s)
{
    if (!s)
        return;
    if (s->fd >= 0)
        close(s->fd);
    free(s->memory);
    free(s);
}

enum gqa_status gqa_streams_save(struct gqa_streams *s, uint64_t row,
                                 uint64_t n, const void *src)
{
    const uint64_t at = row * s->row_bytes, n_bytes = n * s->row_bytes;
    char *const memory = s->fd < 0 ? s->memory + at : s->memory;
    enum gqa_status st = s->backend->download(s->device, memory, src, n_bytes);

    return st == GQA_OK && s->fd >= 0
               ? gqa_temporary_write(s->fd, memory, (size_t)n_bytes, at)
               : st;
}

enum gqa_status gqa_streams_load(struct gqa_streams *s, uint64_t row,
                                 uint64_t n, void *dst)
{
    const uint64_t at = row * s->row_bytes, n_bytes = n * s->row_bytes;
    char *const memory = s->fd < 0 ? s->memory + at : s->memory;
    enum gqa_status st = GQA_OK;

    if (s->fd >= 0)
        st = gqa_file_read(s->fd, memory, (size_t)n_bytes, at);
    return st == GQA_OK ? s->backend->upload(s->device, dst, memory, n_bytes)
                        : st;
}
