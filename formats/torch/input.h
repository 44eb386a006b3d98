/* The bytes of a pickle, from a part of a file, a little at a time. */
#ifndef GQA_FORMATS_TORCH_INPUT_H
#define GQA_FORMATS_TORCH_INPUT_H

#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

enum { GQA_PICKLE_BUFFER = 16384 };

struct gqa_pickle_input {
    int fd;         /* lent */
    uint64_t start; /* of the pickle, in the file */
    uint64_t next;  /* not yet in the buffer */
    uint64_t end;   /* of what may be read */
    size_t n, used; /* of the buffer */
    unsigned char buffer[GQA_PICKLE_BUFFER];
};

/* Begin at byte `start` of the file; it goes no further than byte `end`. */
void gqa_pickle_input_begin(struct gqa_pickle_input *in, int fd, uint64_t start,
                            uint64_t end);

/* Bytes from the pickle's start that have been taken, and that are left. */
uint64_t gqa_pickle_input_at(const struct gqa_pickle_input *in);
uint64_t gqa_pickle_input_left(const struct gqa_pickle_input *in);

/* Take n bytes. Errors GQA_ERR_FORMAT: there are fewer; GQA_ERR_IO. */
GQA_MUST_USE
enum gqa_status gqa_pickle_input_take(struct gqa_pickle_input *in, void *out,
                                      size_t n);

#endif
