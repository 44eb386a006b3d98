/*
 * Text that is printed into memory. Unlike one of open_memstream(), such a
 * stream tells when it ran out of memory: that one's fclose() returns 0 and
 * leaves no text, or one that lacks what did not fit.
 */
#ifndef GQA_COMMON_MEMORY_STREAM_H
#define GQA_COMMON_MEMORY_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/status.h"

struct gqa_memory_stream {
    FILE *out;  /* print into this; a seek fails */
    char *text; /* [n], terminated, after a flush; the stream's own */
    size_t n;
    size_t room;
    bool is_short; /* something did not fit, and is lost */
};

/* Errors GQA_ERR_NOMEM. End it with gqa_memory_stream_free(). */
GQA_MUST_USE
enum gqa_status gqa_memory_stream_open(struct gqa_memory_stream *stream);

/* stream->text holds all that was printed, or: GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_memory_stream_flush(struct gqa_memory_stream *stream);

/* After a flush: forget the text, and begin again. */
void gqa_memory_stream_rewind(struct gqa_memory_stream *stream);

void gqa_memory_stream_free(struct gqa_memory_stream *stream);

#endif
