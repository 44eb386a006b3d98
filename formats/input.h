/* A part of a file, read from its beginning on, a little at a time. */
#ifndef GQA_FORMATS_INPUT_H
#define GQA_FORMATS_INPUT_H

#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

enum { GQA_INPUT_BUFFER = 16384 };

struct gqa_input {
    const char *what; /* it is, for messages; lent */
    int fd;           /* lent */
    uint64_t start;   /* of the part, in the file */
    uint64_t next;    /* not yet in the buffer */
    uint64_t end;     /* of what may be read */
    size_t n, used;   /* of the buffer */
    unsigned char buffer[GQA_INPUT_BUFFER];
};

/* Begin at byte `start` of the file; it goes no further than byte `end`. */
void gqa_input_begin(struct gqa_input *in, const char *what, int fd,
                     uint64_t start, uint64_t end);

/* Bytes from the start that have been taken, and that are left. */
uint64_t gqa_input_at(const struct gqa_input *in);
uint64_t gqa_input_left(const struct gqa_input *in);

/* Take n bytes. Errors GQA_ERR_FORMAT: there are fewer; GQA_ERR_IO. */
GQA_MUST_USE
enum gqa_status gqa_input_take(struct gqa_input *in, void *out, size_t n);

/* Pass over n bytes; errors alike. */
GQA_MUST_USE
enum gqa_status gqa_input_skip(struct gqa_input *in, uint64_t n);

/* Take a number of n bytes, the least first; errors alike. */
GQA_MUST_USE
enum gqa_status gqa_input_number(struct gqa_input *in, uint64_t *out, size_t n);

#endif
