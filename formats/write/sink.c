#include "formats/write/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/large.h"

enum {
    STAGE_BYTES = 4 << 20,
    IN_PLACE_MIN = 256 << 10, /* shorter pieces are gathered instead */
    FLUSH_BYTES = 64 << 20,
    HUGE_PAGE = 2 << 20,
};

struct gqa_sink {
    int fd;
    bool is_stream;
    const char *path;
    bool direct;         /* O_DIRECT is set */
    uint64_t n_bytes;    /* expected, or 0 */
    uint64_t written;    /* a multiple of GQA_SINK_ALIGN until the end */
    uint64_t write_back; /* where asking for write-back has come to */
    unsigned char *stage;
    size_t staged;
};

static bool set_direct(int fd, bool on)
{
    const int flags = fcntl(fd, F_GETFL);

    return flags >= 0 &&
           fcntl(fd, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

enum gqa_status gqa_sink_create(struct gqa_sink **out, int fd, bool is_stream,
                                const char *path, uint64_t n_bytes)
{
    struct gqa_sink *sink = calloc(1, sizeof *sink);
    void *stage = NULL;

    if (!sink || posix_memalign(&stage, HUGE_PAGE, STAGE_BYTES) != 0) {
        free(sink);
        return gqa_fail_nomem();
    }
    /* Fewer pages to pin for each write. */
    gqa_large_advise(stage, STAGE_BYTES);
    sink->fd = fd;
    sink->is_stream = is_stream;
    sink->path = path;
    /* What we did not open keeps its flags: others may share it. */
    sink->direct = !is_stream && set_direct(fd, true);
    sink->n_bytes = n_bytes;
    sink->stage = stage;
    *out = sink;
    return GQA_OK;
}

void gqa_sink_free(struct gqa_sink *sink)
{
    if (!sink)
        return;
    free(sink->stage);
    free(sink);
}

uint64_t gqa_sink_offset(const struct gqa_sink *sink)
{
    return sink->written + sink->staged;
}

static enum gqa_status fail_write(const struct gqa_sink *sink)
{
    const int error = errno;
    const char *why = error == ENOSPC   ? "no space left on the device"
                      : error == EDQUOT ? "the disk quota is used up"
                      : error == EFBIG  ? "larger than a file may be here"
                      : error == EPIPE  ? "its reader has closed it"
                                        : strerror(error);

    if (sink->n_bytes > 0)
        return gqa_fail(GQA_ERR_IO, "%s: %s, after %llu of %llu bytes",
                        sink->path, why, (unsigned long long)sink->written,
                        (unsigned long long)sink->n_bytes);
    return gqa_fail(GQA_ERR_IO, "%s: %s, after %llu bytes", sink->path, why,
                    (unsigned long long)sink->written);
}

/*
 * Pages that go through the cache start on their way to the device early,
 * so that the wait at the end is short.
 */
static void start_write_back(struct gqa_sink *sink)
{
    if (sink->direct || sink->is_stream)
        sink->write_back = sink->written;
    if (sink->written - sink->write_back < FLUSH_BYTES)
        return;
    /* A hint: where it is not understood, fsync does all the work. */
    (void)sync_file_range(sink->fd, (off_t)sink->write_back,
                          (off_t)(sink->written - sink->write_back),
                          SYNC_FILE_RANGE_WRITE);
    sink->write_back = sink->written;
}

static ssize_t put_some(const struct gqa_sink *sink, const unsigned char *data,
                        size_t n)
{
    struct pollfd room = {.fd = sink->fd, .events = POLLOUT};
    ssize_t put;

    if (!sink->is_stream)
        return pwrite(sink->fd, data, n, (off_t)sink->written);
    /* Who shares a pipe may have made it one that does not wait. */
    while ((put = write(sink->fd, data, n)) < 0 && errno == EAGAIN &&
           poll(&room, 1, -1) >= 0)
        continue;
    return put;
}

static enum gqa_status write_out(struct gqa_sink *sink,
                                 const unsigned char *data, size_t n)
{
    while (n > 0) {
        const ssize_t put = put_some(sink, data, n);

        if (put < 0 && errno == EINTR)
            continue;
        /*
         * File systems may refuse direct writes only now. A short one, near
         * a limit or a full disk, leaves an odd offset: the cache takes it.
         */
        if (sink->direct &&
            ((put < 0 && errno == EINVAL) || (put >= 0 && (size_t)put < n))) {
            sink->direct = false;
            if (!set_direct(sink->fd, false))
                return gqa_fail_errno("%s: cannot leave direct writing",
                                      sink->path);
            if (put < 0)
                continue;
        }
        if (put < 0)
            return fail_write(sink);
        data += put;
        n -= (size_t)put;
        sink->written += (uint64_t)put;
    }
    start_write_back(sink);
    return GQA_OK;
}

/* Write the staged bytes but for those of a last, partial unit. */
static enum gqa_status flush_units(struct gqa_sink *sink)
{
    const size_t rest = sink->staged % GQA_SINK_ALIGN;
    const size_t whole = sink->staged - rest;
    enum gqa_status st;

    if (whole == 0)
        return GQA_OK;
    if ((st = write_out(sink, sink->stage, whole)) != GQA_OK)
        return st;
    memmove(sink->stage, sink->stage + whole, rest);
    sink->staged = rest;
    return GQA_OK;
}

enum gqa_status gqa_sink_write(struct gqa_sink *sink, const void *data,
                               size_t n)
{
    const unsigned char *from = data;

    while (n > 0) {
        const size_t room = STAGE_BYTES - sink->staged;
        const size_t part = n < room ? n : room;
        enum gqa_status st;

        memcpy(sink->stage + sink->staged, from, part);
        sink->staged += part;
        from += part;
        n -= part;
        if (sink->staged == STAGE_BYTES && (st = flush_units(sink)) != GQA_OK)
            return st;
    }
    return GQA_OK;
}

enum gqa_status gqa_sink_write_in_place(struct gqa_sink *sink, void *data,
                                        size_t n)
{
    const size_t lead = gqa_sink_offset(sink) % GQA_SINK_ALIGN;
    unsigned char *from = data;
    enum gqa_status st;
    size_t whole;

    if (n < IN_PLACE_MIN || (uintptr_t)from % GQA_SINK_ALIGN != lead)
        return gqa_sink_write(sink, data, n);
    if ((st = flush_units(sink)) != GQA_OK)
        return st;
    from -= lead;
    n += lead;
    memcpy(from, sink->stage, lead);
    sink->staged = 0;
    whole = n / GQA_SINK_ALIGN * GQA_SINK_ALIGN;
    if ((st = write_out(sink, from, whole)) != GQA_OK)
        return st;
    return gqa_sink_write(sink, from + whole, n - whole);
}

/* A pipe has no device. */
static bool is_on_device(const struct gqa_sink *sink)
{
    struct stat info;

    return !sink->is_stream ||
           (fstat(sink->fd, &info) == 0 && S_ISREG(info.st_mode));
}

enum gqa_status gqa_sink_finish(struct gqa_sink *sink)
{
    enum gqa_status st;

    if ((st = flush_units(sink)) != GQA_OK)
        return st;
    if (sink->direct && sink->staged > 0) {
        sink->direct = false;
        if (!set_direct(sink->fd, false))
            return gqa_fail_errno("%s: cannot leave direct writing",
                                  sink->path);
    }
    if ((st = write_out(sink, sink->stage, sink->staged)) != GQA_OK)
        return st;
    sink->staged = 0;
    if (is_on_device(sink) && fsync(sink->fd) != 0)
        return fail_write(sink);
    return GQA_OK;
}
