#include "formats/hdf5/server.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "formats/hdf5/library/library.h"
#include "formats/hdf5/sandbox.h"
#include "formats/hdf5/survey.h"
#include "formats/hdf5/table.h"

/* For the handler of crashes; more than any processor's state takes. */
enum { STACK_BYTES = 64 << 10 };

/* The other end is gone, or deaf: nobody is left to tell. */
static void send_all(int channel, const void *data, size_t n)
{
    const char *at = data;

    while (n > 0) {
        const ssize_t sent = write(channel, at, n);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            _exit(0);
        at += sent;
        n -= (size_t)sent;
    }
}

static void receive_all(int channel, void *data, size_t n)
{
    char *at = data;

    while (n > 0) {
        const ssize_t got = read(channel, at, n);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            _exit(0);
        at += got;
        n -= (size_t)got;
    }
}

static void answer(int channel, enum gqa_status st, const void *data, size_t n)
{
    const struct gqa_h5_answer head = {st, n};

    send_all(channel, &head, sizeof head);
    send_all(channel, data, n);
}

/* What the library took for the answer "no" may have been no answer. */
static enum gqa_status check_environment(void)
{
    return gqa_h5_short_of_memory() ? gqa_fail_nomem() : gqa_h5_check_reading();
}

static _Noreturn void answer_failure(int channel, enum gqa_status st)
{
    const enum gqa_status cause = check_environment();

    if (cause != GQA_OK)
        st = cause;
    answer(channel, st, gqa_error_message(), strlen(gqa_error_message()));
    _exit(0);
}

/*
 * The library does not live through every failed allocation: it crashes, or
 * ends the process. errno is still that of malloc() then.
 */
static void end_if_short_of_memory(void)
{
    if (errno == ENOMEM || gqa_h5_short_of_memory())
        _exit(GQA_H5_EXIT_NOMEM);
}

/* Else a fault comes again, and ends us as usual; what was sent does not. */
static void crashed(int number, siginfo_t *info, void *context)
{
    (void)context;
    end_if_short_of_memory();
    if (info->si_code <= 0)
        _exit(128 + number);
}

/* A signal for the tool is the parent's business: it ends this process. */
static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};

void gqa_h5_not_for_child(sigset_t *set)
{
    sigemptyset(set);
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        sigaddset(set, ignored[i]);
}

static void set_signals(void)
{
    static char stack[STACK_BYTES];
    const stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
    const struct sigaction crash = {
        .sa_sigaction = crashed,
        .sa_flags = (int)(SA_RESETHAND | SA_ONSTACK | SA_SIGINFO)};
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    sigset_t none;

    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
    /* It may have filled its own, telling itself of the failure for ever. */
    sigaltstack(&other, NULL);
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++)
        sigaction(crashes[i], &crash, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static pid_t who_forked;

static void look_for_parent(int number)
{
    (void)number;
    if (getppid() != who_forked)
        _exit(1);
}

/*
 * Where this process waits, the closed channel tells that its parent has
 * ended. Where it computes, it looks now and then. (The signal that the
 * kernel can send comes when the thread ends that forked.)
 */
static enum gqa_status watch_parent(pid_t parent)
{
    const struct timeval often = {.tv_usec = 100000};
    const struct itimerval timer = {often, often};
    struct sigaction action = {.sa_handler = look_for_parent,
                               .sa_flags = SA_RESTART};

    who_forked = parent;
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGPROF, &action, NULL) != 0 ||
        setitimer(ITIMER_PROF, &timer, NULL) != 0)
        return gqa_fail_errno("cannot set the timer of the HDF5 parser");
    look_for_parent(0);
    return GQA_OK;
}

static enum gqa_status add_note(struct gqa_h5_table *table, const char *text)
{
    char *longer;

    if (asprintf(&longer, "%s%s\n", table->notes ? table->notes : "", text) < 0)
        return gqa_fail_nomem();
    free(table->notes);
    table->notes = longer;
    return GQA_OK;
}

static void send_table(int channel, struct gqa_h5_table *table)
{
    struct gqa_wire wire = {.max = GQA_H5_MAX_TABLE_BYTES};

    gqa_h5_table_encode(&wire, table);
    if (wire.no_memory)
        answer_failure(channel, gqa_fail_nomem());
    if (wire.failed)
        answer_failure(channel, gqa_fail(GQA_ERR_UNSUPPORTED,
                                         "the names take more than %d bytes",
                                         GQA_H5_MAX_TABLE_BYTES));
    answer(channel, GQA_OK, wire.data, wire.length);
    free(wire.data);
}

static void answer_chunks(int channel, struct gqa_h5_file *file,
                          const struct gqa_h5_dataset *dataset)
{
    const size_t n = (size_t)dataset->n_chunks;
    struct gqa_h5_chunk *chunks = calloc(n + 1, sizeof *chunks);
    enum gqa_status st = GQA_OK;

    if (!chunks)
        st = gqa_fail_nomem();
    else
        st = gqa_h5_locate_chunks(file, chunks, dataset);
    if (st != GQA_OK || check_environment() != GQA_OK)
        answer_failure(channel, st);
    answer(channel, GQA_OK, chunks, n * sizeof *chunks);
    free(chunks);
}

static void answer_questions(int channel, struct gqa_h5_file *file,
                             const struct gqa_h5_table *table)
{
    for (;;) {
        uint64_t index;

        receive_all(channel, &index, sizeof index);
        if (index >= table->n_datasets)
            _exit(0);
        answer_chunks(channel, file, &table->datasets[index]);
    }
}

/* Everything that may fail for reasons which are not the file's. */
static enum gqa_status prepare(int *fd, int *channel,
                               const struct gqa_h5_service *service)
{
    enum gqa_status st;

    set_signals();
    if ((st = watch_parent(service->parent)) != GQA_OK)
        return st;
    if (!gqa_sandbox_keep(fd, channel))
        return gqa_fail_errno("cannot set up the process of the HDF5 parser");
    if (atexit(end_if_short_of_memory) != 0)
        return gqa_fail_nomem();
    return gqa_h5_library_start();
}

/* note: what is to be said of it, or NULL. */
static enum gqa_status confine(const char **note,
                               const struct gqa_h5_service *service)
{
    gqa_sandbox_limit(service->cpu_s);
    if (service->unconfined || gqa_sandbox_is_watched()) {
        *note = service->unconfined ? "parsed without a sandbox, as asked for"
                                    : "parsed without a sandbox, which "
                                      "valgrind cannot run in";
        return GQA_OK;
    }
    switch (gqa_sandbox_enter()) {
    case GQA_SANDBOX_CALLS:
        return GQA_OK;
    case GQA_SANDBOX_FILES:
        *note = "this system has no system call filter; the file is parsed "
                "without access to files and network (Landlock)";
        return GQA_OK;
    case GQA_SANDBOX_NONE:
        break;
    }
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "no HDF5 file is parsed here, as this system cannot "
                    "confine the parser: it has neither a system call filter "
                    "(seccomp) nor Landlock; --unsafe-hdf5 parses without, "
                    "for files that you trust");
}

void gqa_h5_serve(const struct gqa_h5_service *service)
{
    struct gqa_h5_table table = {0};
    struct gqa_h5_file *file = NULL;
    int fd = service->fd, channel = service->channel;
    const char *note = NULL;
    enum gqa_status st;

    if ((st = prepare(&fd, &channel, service)) != GQA_OK ||
        (st = confine(&note, service)) != GQA_OK)
        answer_failure(channel, st);
    st = gqa_h5_file_open(&file, fd, service->size);
    if (st == GQA_OK)
        st = gqa_h5_survey(&table, file);
    if (st == GQA_OK && note)
        st = add_note(&table, note);
    if (st != GQA_OK || check_environment() != GQA_OK)
        answer_failure(channel, st);
    send_table(channel, &table);
    answer_questions(channel, file, &table);
    _exit(0);
}
