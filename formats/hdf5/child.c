#include "formats/hdf5/child.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/interrupt.h"
#include "formats/hdf5/sandbox.h"
#include "formats/hdf5/server.h"

enum { SLICE_MS = 200, MAX_MESSAGE = 2048, WAIT_FACTOR = 30 };

/* After all that we let it take: it ends by itself where we are stopped. */
static unsigned cpu_s(unsigned limit_ms)
{
    return limit_ms / 1000 + 3;
}

enum gqa_status gqa_h5_child_start(struct gqa_h5_child *child, int fd,
                                   uint64_t size, unsigned limit_ms,
                                   bool unconfined)
{
    struct gqa_h5_service service = {.fd = fd,
                                     .size = size,
                                     .parent = getpid(),
                                     .cpu_s = cpu_s(limit_ms),
                                     .unconfined = unconfined};
    sigset_t held, before;
    int ends[2];
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return gqa_fail_errno("cannot make a socket for the HDF5 parser");
    service.channel = ends[1];
    /* None of them is for the child, not even before it can say so. */
    gqa_h5_not_for_child(&held);
    pthread_sigmask(SIG_BLOCK, &held, &before);
    pid = fork();
    if (pid == 0)
        gqa_h5_serve(&service);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(ends[1]);
    if (pid < 0) {
        const enum gqa_status st =
            gqa_fail_errno("cannot start a process for the HDF5 parser");

        close(ends[0]);
        return st;
    }
    child->pid = pid;
    child->channel = ends[0];
    child->limit_ms = limit_ms;
    child->left_ms = (int64_t)limit_ms * WAIT_FACTOR;
    child->file_bytes = size;
    return GQA_OK;
}

/* Its wait status; 0 where that is unknown. */
static int end_child(struct gqa_h5_child *child)
{
    int status = 0;
    pid_t ended;

    if (child->pid <= 0)
        return 0;
    /* No effect on one that has died already: its status remains. */
    kill(child->pid, SIGKILL);
    do
        ended = waitpid(child->pid, &status, 0);
    while (ended < 0 && errno == EINTR);
    close(child->channel);
    child->pid = 0;
    return ended < 0 ? 0 : status;
}

void gqa_h5_child_end(struct gqa_h5_child *child)
{
    (void)end_child(child);
}

/* what: "processor time", or of waiting. */
static enum gqa_status took_too_long(struct gqa_h5_child *child, int64_t ms,
                                     const char *what)
{
    (void)end_child(child);
    return gqa_fail(GQA_ERR_FORMAT,
                    "the HDF5 structures take too long to parse: more than "
                    "%g s %s, which is the most for a file of %" PRIu64
                    " bytes; the file is damaged or hostile",
                    (double)ms / 1000, what, child->file_bytes);
}

static enum gqa_status took_too_much(struct gqa_h5_child *child)
{
    return took_too_long(child, child->limit_ms, "of processor time");
}

static enum gqa_status interrupted(struct gqa_h5_child *child)
{
    (void)end_child(child);
    return gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
}

/* By a limit of the user's, or of the system's; that is not the file's fault.
 */
static enum gqa_status ended_by_system(const struct gqa_h5_child *child,
                                       int number)
{
    struct rlimit cpu;

    if (number == SIGKILL)
        return gqa_fail(GQA_ERR_IO,
                        "the process that parses the HDF5 structures was "
                        "killed, as happens where a machine or a container is "
                        "short of memory");
    if (number == SIGXCPU && getrlimit(RLIMIT_CPU, &cpu) == 0 &&
        cpu.rlim_cur < cpu_s(child->limit_ms))
        return gqa_fail(GQA_ERR_IO,
                        "the process that parses the HDF5 structures has used "
                        "up the processor time that it is limited to "
                        "(ulimit -t)");
    return GQA_OK;
}

static enum gqa_status died(struct gqa_h5_child *child)
{
    const int status = end_child(child);
    enum gqa_status st;

    /* Who ends us may end all of our processes. */
    if (gqa_interrupt_pending())
        return interrupted(child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == GQA_H5_EXIT_NOMEM)
        return gqa_fail_nomem();
    if (!WIFSIGNALED(status))
        return gqa_fail(GQA_ERR_FORMAT,
                        "the HDF5 library could not parse it (the process "
                        "ended with status %d): the file is damaged or hostile",
                        WEXITSTATUS(status));
    if ((st = ended_by_system(child, WTERMSIG(status))) != GQA_OK)
        return st;
    if (WTERMSIG(status) == SIGXCPU)
        return took_too_much(child);
    if (WTERMSIG(status) == SIGSYS)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the HDF5 library asked for more memory than it is "
                        "allowed (%d MiB): the file is damaged or hostile",
                        GQA_SANDBOX_MIB);
    return gqa_fail(GQA_ERR_FORMAT,
                    "the HDF5 library could not parse it (signal %d, %s): "
                    "the file is damaged or hostile",
                    WTERMSIG(status), strsignal(WTERMSIG(status)));
}

static int64_t clock_ms(clockid_t clock)
{
    struct timespec now;

    if (clock_gettime(clock, &now) != 0)
        return 0;
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t cpu_ms(const struct gqa_h5_child *child)
{
    clockid_t clock;

    return clock_getcpuclockid(child->pid, &clock) == 0 ? clock_ms(clock) : 0;
}

/*
 * Exactly n bytes within the budget. Waiting is counted in short slices, so
 * that a tool which was stopped (^Z) meanwhile finds it unspent.
 */
static enum gqa_status receive(struct gqa_h5_child *child, void *data, size_t n)
{
    char *at = data;

    while (n > 0) {
        struct pollfd ready = {.fd = child->channel, .events = POLLIN};
        const int64_t before = clock_ms(CLOCK_MONOTONIC);
        const int64_t at_most = (int64_t)2 * SLICE_MS;
        const int polled = poll(&ready, 1, SLICE_MS);
        const int64_t spent = clock_ms(CLOCK_MONOTONIC) - before;
        ssize_t got;

        if (gqa_interrupt_pending())
            return interrupted(child);
        child->left_ms -= spent < at_most ? spent : at_most;
        if (child->left_ms <= 0)
            return took_too_long(child, (int64_t)child->limit_ms * WAIT_FACTOR,
                                 "of waiting");
        if (polled <= 0 && cpu_ms(child) > child->limit_ms)
            return took_too_much(child);
        if (polled <= 0)
            continue;
        got = recv(child->channel, at, n, MSG_DONTWAIT);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got <= 0)
            return died(child);
        at += got;
        n -= (size_t)got;
    }
    return GQA_OK;
}

static enum gqa_status nonsense(struct gqa_h5_child *child)
{
    (void)end_child(child);
    return gqa_fail(GQA_ERR_FORMAT,
                    "the process that parses the HDF5 structures sent "
                    "nonsense; the file is damaged or hostile");
}

/* The other side found a fault: its message becomes ours. */
static enum gqa_status receive_failure(struct gqa_h5_child *child,
                                       const struct gqa_h5_answer *head)
{
    char message[MAX_MESSAGE];
    enum gqa_status st;

    if (head->length >= sizeof message)
        return nonsense(child);
    st = receive(child, message, (size_t)head->length);
    if (st != GQA_OK)
        return st;
    (void)end_child(child);
    message[head->length] = '\0';
    switch (head->status) {
    case GQA_ERR_UNSUPPORTED:
    case GQA_ERR_NOMEM:
    case GQA_ERR_IO:
        st = (enum gqa_status)head->status;
        break;
    default:
        st = GQA_ERR_FORMAT;
    }
    return gqa_fail(st, "%s", message);
}

static enum gqa_status receive_head(struct gqa_h5_child *child,
                                    uint64_t *length)
{
    struct gqa_h5_answer head;
    const enum gqa_status st = receive(child, &head, sizeof head);

    if (st != GQA_OK)
        return st;
    if (head.status != GQA_OK)
        return receive_failure(child, &head);
    *length = head.length;
    return GQA_OK;
}

enum gqa_status gqa_h5_child_table(struct gqa_h5_child *child,
                                   struct gqa_h5_table *table,
                                   uint64_t file_bytes)
{
    uint64_t length = 0;
    enum gqa_status st = receive_head(child, &length);
    void *message;

    if (st != GQA_OK)
        return st;
    if (length > GQA_H5_MAX_TABLE_BYTES)
        return nonsense(child);
    message = malloc((size_t)length + 1);
    if (!message)
        return gqa_fail_nomem();
    st = receive(child, message, (size_t)length);
    if (st == GQA_OK)
        st = gqa_h5_table_decode(table, message, (size_t)length, file_bytes);
    free(message);
    return st;
}

static enum gqa_status ask(struct gqa_h5_child *child, uint64_t index)
{
    /* Far less than a socket holds: it goes out at once or never. */
    if (send(child->channel, &index, sizeof index,
             MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)sizeof index)
        return died(child);
    return GQA_OK;
}

enum gqa_status gqa_h5_child_chunks(struct gqa_h5_child *child,
                                    struct gqa_h5_chunk *chunks, size_t index,
                                    const struct gqa_h5_dataset *dataset,
                                    uint64_t file_bytes)
{
    const size_t n = (size_t)dataset->n_chunks;
    uint64_t length = 0, n_written = 0, end;
    enum gqa_status st;

    if (child->pid <= 0)
        return gqa_fail(GQA_ERR_FORMAT, "the HDF5 parser has failed before");
    if ((st = ask(child, index)) != GQA_OK ||
        (st = receive_head(child, &length)) != GQA_OK)
        return st;
    if (length != n * sizeof *chunks)
        return nonsense(child);
    st = receive(child, chunks, n * sizeof *chunks);
    for (size_t i = 0; i < n && st == GQA_OK; i++) {
        n_written += chunks[i].size > 0;
        if (!gqa_add_u64(chunks[i].address, chunks[i].size, &end) ||
            end > file_bytes)
            st = gqa_fail(GQA_ERR_FORMAT,
                          "chunk %zu passes the end of the file", i);
    }
    /* Users have been told how many there are. */
    if (st == GQA_OK && n_written != dataset->n_written)
        return nonsense(child);
    return st;
}
