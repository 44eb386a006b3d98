/*
 * Models in several GGUF files, NAME-00001-of-00003.gguf and so on: the first
 * has the keys, each has some tensors.
 */
#ifndef GQA_FORMATS_GGUF_PARTS_H
#define GQA_FORMATS_GGUF_PARTS_H

#include <stdbool.h>

#include "formats/gguf/header.h"
#include "formats/source.h"

enum {
    GQA_GGUF_MAX_PARTS = 99999, /* five digits */
    /* "-00001-of-00003.gguf" */
    GQA_GGUF_PART_ENDING = 20,
};

/* Whether a name ends so in number and count, from 1 on. */
bool gqa_gguf_part_find(const char *path, unsigned *number, unsigned *count);

/* The ending of part `number`, with its end mark. */
void gqa_gguf_part_ending(char out[GQA_GGUF_PART_ENDING + 1], unsigned number,
                          unsigned count);

/* Open files that a model has. */
struct gqa_gguf_parts {
    int *fds; /* [n]; the first is the one that was given */
    unsigned n;
    uint64_t n_bytes; /* of all of them */
};

/*
 * Read the headers of a model: that of the file, to which tensors of the others
 * are added. parts: zero-initialised but for the file's descriptor, which it
 * owns already; filled as far as it came, also on an error.
 *
 * Errors GQA_ERR_USAGE: a part that is not the first, or without a name;
 * GQA_ERR_FORMAT: a part that is none of this model, or not all of it; those of
 * gqa_gguf_header_read() and of opening a file.
 */
GQA_MUST_USE
enum gqa_status gqa_gguf_parts_read(struct gqa_gguf_parts *parts,
                                    struct gqa_gguf_header *header,
                                    const struct gqa_file_handle *file);
void gqa_gguf_parts_close(struct gqa_gguf_parts *parts);

#endif
