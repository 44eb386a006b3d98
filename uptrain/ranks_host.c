/* Bytes from rank to rank, and sums of what lies in the host's memory. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "common/bounds.h"
#include "common/interrupt.h"
#include "uptrain/ranks_state.h"

enum {
    TICK_MS = 200,
    PIECE = 1 << 16, /* elements summed at a time */
};

/* A signal that has come is seen meanwhile, but obeyed where all can be. */
static void wait_for(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};

    (void)poll(&p, 1, TICK_MS);
    (void)gqa_interrupt_pending();
}

/* Whether a call is to be made again. */
static bool is_passing(int fd, short events)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        wait_for(fd, events);
    else if (errno != EINTR)
        return false;
    return true;
}

enum gqa_status gqa_ranks_send(struct gqa_ranks *r, unsigned to,
                               const void *bytes, size_t n)
{
    const int fd = r->links[to].data;
    const char *at = bytes;

    while (n > 0) {
        const ssize_t k = send(fd, at, n, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (k < 0 && is_passing(fd, POLLOUT))
            continue;
        if (k < 0)
            return gqa_ranks_lost(r);
        at += k;
        n -= (size_t)k;
    }
    return GQA_OK;
}

enum gqa_status gqa_ranks_receive(struct gqa_ranks *r, unsigned from,
                                  void *bytes, size_t n)
{
    const int fd = r->links[from].data;
    char *at = bytes;

    while (n > 0) {
        const ssize_t k = recv(fd, at, n, MSG_DONTWAIT);

        if (k < 0 && is_passing(fd, POLLIN))
            continue;
        if (k <= 0)
            return gqa_ranks_lost(r);
        at += k;
        n -= (size_t)k;
    }
    return GQA_OK;
}

enum gqa_status gqa_ranks_tell(struct gqa_ranks *r, unsigned from, void *bytes,
                               size_t n)
{
    enum gqa_status st = GQA_OK;

    if (!r)
        return GQA_OK;
    if (r->rank > 0) {
        if (r->rank == from)
            return gqa_ranks_send(r, 0, bytes, n);
        return gqa_ranks_receive(r, 0, bytes, n);
    }
    if (from > 0)
        st = gqa_ranks_receive(r, from, bytes, n);
    for (unsigned i = 1; i < r->n && st == GQA_OK; i++)
        if (i != from)
            st = gqa_ranks_send(r, i, bytes, n);
    return st;
}

/* --- Sums ----------------------------------------------------------------- */

static void add(void *sum, const void *more, size_t n, enum gqa_dtype dtype)
{
    if (dtype == GQA_F64) {
        double *s = sum;
        const double *m = more;

        for (size_t i = 0; i < n; i++)
            s[i] += m[i];
    } else {
        float *s = sum;
        const float *m = more;

        for (size_t i = 0; i < n; i++)
            s[i] += m[i];
    }
}

/* piece: room for n elements. */
static enum gqa_status sum_piece(struct gqa_ranks *r, void *data, void *piece,
                                 size_t n, enum gqa_dtype dtype)
{
    const size_t n_bytes = n * (gqa_dtype_bits(dtype) / 8);
    enum gqa_status st = GQA_OK;

    if (r->rank > 0) {
        st = gqa_ranks_send(r, 0, data, n_bytes);
        return st == GQA_OK ? gqa_ranks_receive(r, 0, data, n_bytes) : st;
    }
    for (unsigned i = 1; i < r->n && st == GQA_OK; i++) {
        st = gqa_ranks_receive(r, i, piece, n_bytes);
        if (st == GQA_OK)
            add(data, piece, n, dtype);
    }
    return st == GQA_OK ? gqa_ranks_tell(r, 0, data, n_bytes) : st;
}

enum gqa_status gqa_ranks_sum_host(struct gqa_ranks *r,
                                   const struct gqa_summands *list, size_t n)
{
    void *piece = calloc(PIECE, sizeof(double));
    enum gqa_status st = piece ? GQA_OK : gqa_fail_nomem();

    for (size_t i = 0; i < n; i++)
        for (uint64_t at = 0; at < list[i].n && st == GQA_OK; at += PIECE)
            st = sum_piece(r,
                           (char *)list[i].data +
                               at * (gqa_dtype_bits(list[i].dtype) / 8),
                           piece, (size_t)gqa_min_u64(PIECE, list[i].n - at),
                           list[i].dtype);
    free(piece);
    return st;
}
