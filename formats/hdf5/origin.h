/*
 * Whether bytes come from the file. The HDF5 library trusts many a length in
 * a file and then copies what lies behind a block in memory; what it hands
 * over is believed only where the same bytes are among those that it read.
 */
#ifndef GQA_FORMATS_HDF5_ORIGIN_H
#define GQA_FORMATS_HDF5_ORIGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes [start, end) of the file. */
struct gqa_h5_range {
    uint64_t start, end;
};

/* Zero-initialise but for fd. It lives as long as the process. */
struct gqa_h5_origin {
    int fd;
    struct gqa_h5_range *ranges; /* in the order of reading */
    size_t n;
    size_t room;
    /* Where something was found last: what is asked for next is near. */
    size_t last;
    uint64_t near;
    /* A read failed for this errno, or 0: the file became shorter. */
    bool is_unread;
    int error;
};

/* These bytes were read. Out of memory, they count as if they were not. */
void gqa_h5_origin_note(struct gqa_h5_origin *origin, uint64_t address,
                        uint64_t n);

/* Whether n bytes occur in what was read; address: one of the places. */
bool gqa_h5_origin_find(struct gqa_h5_origin *origin, const void *bytes,
                        size_t n, uint64_t *address);

#endif
