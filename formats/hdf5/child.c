#include "formats/hdf5/child.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/interrupt.h"
#include "formats/hdf5/sandbox.h"
#include "formats/hdf5/server.h"

enum { SLICE_MS = 200, MAX_MESSAGE = 2048, WAIT_FACTOR = 30 };

/* What is left to the process for one answer. */
struct budget {
    int64_t cpu_end_ms; /* of its processor time */
    int64_t wait_ms;
};

enum gqa_status gqa_h5_child_start(struct gqa_h5_child *child, int fd,
                                   uint64_t size, unsigned limit_ms)
{
    const pid_t parent = getpid();
    sigset_t held, before;
    int ends[2];
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return gqa_fail_errno("cannot make a socket for the HDF5 parser");
    /* None of them is for the child, not even before it can say so. */
    gqa_h5_not_for_child(&held);
    pthread_sigmask(SIG_BLOCK, &held, &before);
    pid = fork();
    if (pid == 0)
        gqa_h5_serve(fd, size, ends[1], parent);
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

static enum gqa_status took_too_long(struct gqa_h5_child *child)
{
    (void)end_child(child);
    return gqa_fail(GQA_ERR_FORMAT,
                    "the HDF5 structures take too long to parse; the file is "
                    "damaged or hostile");
}

static enum gqa_status interrupted(struct gqa_h5_child *child)
{
    (void)end_child(child);
    return gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
}

static enum gqa_status died(struct gqa_h5_child *child)
{
    const int status = end_child(child);

    /* Who ends us may end all of our processes. */
    if (gqa_interrupt_pending())
        return interrupted(child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == GQA_H5_EXIT_NOMEM)
        return gqa_fail_nomem();
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)
        return took_too_long(child);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the HDF5 library asked for more memory than it is "
                        "allowed (%d MiB): the file is damaged or hostile",
                        GQA_SANDBOX_MIB);
    if (WIFSIGNALED(status))
        return gqa_fail(GQA_ERR_FORMAT,
                        "the HDF5 library could not parse it (signal %d, %s): "
                        "the file is damaged or hostile",
                        WTERMSIG(status), strsignal(WTERMSIG(status)));
    return gqa_fail(GQA_ERR_FORMAT,
                    "the HDF5 library could not parse it (the process ended "
                    "with status %d): the file is damaged or hostile",
                    WEXITSTATUS(status));
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

static struct budget new_budget(const struct gqa_h5_child *child)
{
    return (struct budget){cpu_ms(child) + child->limit_ms,
                           (int64_t)child->limit_ms * WAIT_FACTOR};
}

/*
 * Exactly n bytes within the budget. Waiting is counted in short slices, so
 * that a tool which was stopped (^Z) meanwhile finds it unspent.
 */
static enum gqa_status receive(struct gqa_h5_child *child, void *data, size_t n,
                               struct budget *budget)
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
        budget->wait_ms -= spent < at_most ? spent : at_most;
        if (budget->wait_ms <= 0 ||
            (polled <= 0 && cpu_ms(child) > budget->cpu_end_ms))
            return took_too_long(child);
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
                                       const struct gqa_h5_answer *head,
                                       struct budget *budget)
{
    char message[MAX_MESSAGE];
    enum gqa_status st;

    if (head->length >= sizeof message)
        return nonsense(child);
    st = receive(child, message, (size_t)head->length, budget);
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
                                    uint64_t *length, struct budget *budget)
{
    struct gqa_h5_answer head;
    const enum gqa_status st = receive(child, &head, sizeof head, budget);

    if (st != GQA_OK)
        return st;
    if (head.status != GQA_OK)
        return receive_failure(child, &head, budget);
    *length = head.length;
    return GQA_OK;
}

enum gqa_status gqa_h5_child_table(struct gqa_h5_child *child,
                                   struct gqa_h5_table *table,
                                   uint64_t file_bytes)
{
    struct budget budget = new_budget(child);
    uint64_t length = 0;
    enum gqa_status st = receive_head(child, &length, &budget);
    void *message;

    if (st != GQA_OK)
        return st;
    if (length > GQA_H5_MAX_TABLE_BYTES)
        return nonsense(child);
    message = malloc((size_t)length + 1);
    if (!message)
        return gqa_fail_nomem();
    st = receive(child, message, (size_t)length, &budget);
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
    struct budget budget = new_budget(child);
    uint64_t length = 0, n_written = 0, end;
    enum gqa_status st;

    if (child->pid <= 0)
        return gqa_fail(GQA_ERR_FORMAT, "the HDF5 parser has failed before");
    if ((st = ask(child, index)) != GQA_OK ||
        (st = receive_head(child, &length, &budget)) != GQA_OK)
        return st;
    if (length != n * sizeof *chunks)
        return nonsense(child);
    st = receive(child, chunks, n * sizeof *chunks, &budget);
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
