/*
 * Run a command, and answer for the kernel at one of its calls: a filter of
 * its calls (seccomp) asks before each that is in the table of io_calls.h,
 * whatever library makes it, in each thread and each process that it forks.
 */
#ifndef GQA_TESTS_IO_WATCH_H
#define GQA_TESTS_IO_WATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "io_calls.h"

enum { IO_MAX_CALLS = 1 << 16 };

struct io_plan {
    size_t at; /* the call that fails, from 0; SIZE_MAX: none */
    const struct io_fault *fault;
    bool and_later; /* and all later ones that can fail so */
};

struct io_run {
    int status; /* as waitpid() gives it */
    bool hangs;
    size_t n_calls;                    /* since main() began */
    unsigned char calls[IO_MAX_CALLS]; /* rows of the table */
};

/*
 * become() turns the new process into the command; it does not return.
 * False where the system does not ask.
 */
bool io_watch(struct io_run *out, const struct io_plan *plan,
              void (*become)(void));

#endif
