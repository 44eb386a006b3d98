#include "formats/span.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/checked.h"
#include "common/file.h"

/*
 * A system call costs about what copying a page from the cache does, and a
 * disk reads whole pages: gaps up to a page are read and dropped.
 */
enum { MAX_GAP = 4096, WINDOW = 256 << 10 };

bool gqa_span_fits(const struct gqa_span *span, uint64_t n_bytes)
{
    uint64_t end, reach, total;

    if (span->piece == 0 || span->count == 0)
        return true;
    return gqa_mul_u64(span->piece, span->count, &total) &&
           total <= PTRDIFF_MAX &&
           gqa_mul_u64(span->stride, span->count - 1, &reach) &&
           gqa_add_u64(reach, span->piece, &reach) &&
           gqa_add_u64(span->offset, reach, &end) && end <= n_bytes;
}

struct gqa_span gqa_span_simplify(struct gqa_span span)
{
    if (span.piece == 0 || span.count == 0) {
        span.piece = span.count = 0;
    } else if (span.stride == span.piece) {
        span.piece *= span.count;
        span.stride = 0;
        span.count = 1;
    }
    return span;
}

static enum gqa_status read_apart(int fd, uint64_t at,
                                  const struct gqa_span *span, char *buf)
{
    for (uint64_t i = 0; i < span->count; i++) {
        const enum gqa_status st =
            gqa_file_read(fd, buf, (size_t)span->piece, at);

        if (st != GQA_OK)
            return st;
        buf += span->piece;
        at += span->stride;
    }
    return GQA_OK;
}

static enum gqa_status read_together(int fd, uint64_t at,
                                     const struct gqa_span *span, char *buf)
{
    enum gqa_status st = GQA_OK;
    char *window = malloc(WINDOW);
    uint64_t left = span->count;

    if (!window)
        return gqa_fail_nomem();
    while (left > 0 && st == GQA_OK) {
        /* stride > piece > 0 here */
        const uint64_t fit = (WINDOW - span->piece) / span->stride + 1;
        const uint64_t n = left < fit ? left : fit;

        st = gqa_file_read(fd, window,
                           (size_t)((n - 1) * span->stride + span->piece), at);
        if (st != GQA_OK)
            break;
        for (uint64_t i = 0; i < n; i++) {
            memcpy(buf, window + i * span->stride, (size_t)span->piece);
            buf += span->piece;
        }
        at += n * span->stride;
        left -= n;
    }
    free(window);
    return st;
}

enum gqa_status gqa_span_pread(int fd, uint64_t base,
                               const struct gqa_span *span, void *buf)
{
    const struct gqa_span s = gqa_span_simplify(*span);

    if (s.count > 1 && s.stride > s.piece && s.stride - s.piece <= MAX_GAP &&
        s.piece <= WINDOW / 4)
        return read_together(fd, base + s.offset, &s, buf);
    return read_apart(fd, base + s.offset, &s, buf);
}
