/* Libraries that are loaded when they are needed, not when a program starts. */
#ifndef GQA_COMMON_LIBRARY_H
#define GQA_COMMON_LIBRARY_H

#include <stddef.h>

#include "common/status.h"

struct gqa_library_symbol {
    const char *name;
    void **address; /* filled; a function's may be kept in it, as POSIX says */
};

/*
 * Load a library for the rest of the process, and find all these symbols.
 *
 * soname  what programs that are linked with it would load.
 * what    what it is called in messages.
 * Errors  GQA_ERR_UNSUPPORTED: it is not there, or of another version;
 *         GQA_ERR_NOMEM; GQA_ERR_IO.
 */
GQA_MUST_USE
enum gqa_status gqa_library_load(const char *soname, const char *what,
                                 const struct gqa_library_symbol *symbols,
                                 size_t n);

#endif
