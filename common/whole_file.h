/* A file that is printed into and appears whole, or not at all. */
#ifndef GQA_COMMON_WHOLE_FILE_H
#define GQA_COMMON_WHOLE_FILE_H

#include <stdio.h>

#include "common/atomic.h"
#include "common/status.h"

struct gqa_whole_file {
    const char *path; /* lent */
    FILE *stream;
    struct gqa_atomic *atomic;
};

/* Begin a file, with force in place of an older one. Errors as
 * gqa_atomic_create_file(). */
GQA_MUST_USE
enum gqa_status gqa_whole_file_begin(struct gqa_whole_file *file,
                                     const char *path, bool force);

/*
 * End it: where st is GQA_OK and all could be written, it takes its place;
 * else there is none. Of a zeroed one nothing. Returns st, or that of
 * gqa_atomic_commit().
 */
enum gqa_status gqa_whole_file_end(struct gqa_whole_file *file,
                                   enum gqa_status st);

#endif
