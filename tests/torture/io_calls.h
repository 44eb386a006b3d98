/* Calls of the system that may fail, and how they do. */
#ifndef GQA_TESTS_IO_CALLS_H
#define GQA_TESTS_IO_CALLS_H

#include <stdbool.h>
#include <stddef.h>

enum io_kind {
    IO_ERROR,
    IO_SHORT, /* half of what was asked for is done */
    IO_END,   /* nothing is left to read */
    IO_KILL,  /* the program is killed here, and cannot help it */
    IO_TERM,  /* the program is asked to end here */
};

struct io_fault {
    const char *name;
    enum io_kind kind;
    int error;
    const char *words; /* that tell of it, where strerror() does not */
    bool stays;        /* what has come about may go on, too */
};

enum { IO_MAX_FAULTS = 8 };

struct io_call {
    long number;
    const char *name;
    const struct io_fault *faults[IO_MAX_FAULTS]; /* up to NULL */
};

extern const struct io_call io_calls[];
extern const size_t n_io_calls;

#endif
