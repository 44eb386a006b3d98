/*
 * Numbers, strings and blocks in one buffer, in this machine's byte order:
 * what the HDF5 parser's process and ours say to each other.
 */
#ifndef GQA_FORMATS_HDF5_WIRE_H
#define GQA_FORMATS_HDF5_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Written with gqa_wire_put*(); zero-initialise. */
struct gqa_wire {
    unsigned char *data; /* owned; free() it */
    size_t length;
    size_t room;
    size_t max;  /* a put beyond this many bytes fails; 0: no limit */
    bool failed; /* out of memory or beyond max: what follows is dropped */
    bool no_memory;
};

void gqa_wire_put(struct gqa_wire *wire, const void *data, size_t n);
void gqa_wire_put_u32(struct gqa_wire *wire, uint32_t value);
void gqa_wire_put_u64(struct gqa_wire *wire, uint64_t value);
/* A block: its length, then its bytes. text: without the final NUL. */
void gqa_wire_put_block(struct gqa_wire *wire, const void *data, size_t n);
void gqa_wire_put_text(struct gqa_wire *wire, const char *text);

/* What is left to read of a message. */
struct gqa_wire_reader {
    const unsigned char *at;
    size_t left;
    bool failed; /* something was missing or too long; all reads give 0 */
    bool no_memory;
};

uint32_t gqa_wire_u32(struct gqa_wire_reader *reader);
uint64_t gqa_wire_u64(struct gqa_wire_reader *reader);
/* A block of at most max bytes; lent from the message; NULL on failure. */
const void *gqa_wire_block(struct gqa_wire_reader *reader, size_t max,
                           size_t *n);
/*
 * A text of at most max bytes and without NUL; owned by the caller, NULL on
 * failure, no_memory among them.
 */
char *gqa_wire_text(struct gqa_wire_reader *reader, size_t max);

#endif
