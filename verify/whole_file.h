/* A file that appears whole, in place of an older one, or not at all. */
#ifndef GQA_VERIFY_WHOLE_FILE_H
#define GQA_VERIFY_WHOLE_FILE_H

#include <stdbool.h>
#include <stdio.h>

#include "common/status.h"

/* So many can be begun at a time: a report, logits. */
enum { GQA_WHOLE_FILES = 2 };

struct gqa_partial;

struct gqa_whole_file {
    const char *path; /* lent */
    FILE *stream;
    struct gqa_partial *partial; /* the new file beside it */
};

/* Begin a file, from one thread at a time. Errors GQA_ERR_IO, GQA_ERR_USAGE
 * (there is something else than a file), GQA_ERR_NOMEM; the message begins with
 * the path. */
GQA_MUST_USE
enum gqa_status gqa_whole_file_begin(struct gqa_whole_file *file,
                                     const char *path);

/*
 * End it: where st is GQA_OK and all could be written, it takes its place;
 * else there is none. Of a zeroed one nothing. Returns st, or GQA_ERR_IO.
 */
enum gqa_status gqa_whole_file_end(struct gqa_whole_file *file,
                                   enum gqa_status st);

/* Remove all that have begun; for a signal handler, before the process ends. */
bool gqa_whole_file_clean(void);

/* Whether a file could be written there. Errors as gqa_whole_file_begin(). */
GQA_MUST_USE
enum gqa_status gqa_whole_file_try(const char *path);

#endif
