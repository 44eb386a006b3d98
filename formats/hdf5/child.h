/*
 * The parser's process, seen from ours: it has the HDF5 library and the
 * file, and nothing else. It is asked over a socket, and nothing that it
 * says is trusted.
 */
#ifndef GQA_FORMATS_HDF5_CHILD_H
#define GQA_FORMATS_HDF5_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/status.h"
#include "formats/hdf5/table.h"

struct gqa_h5_child {
    pid_t pid;           /* 0: none, or ended */
    int channel;         /* a socket */
    unsigned limit_ms;   /* processor time, all answers together */
    int64_t left_ms;     /* of the time that is spent waiting for them */
    uint64_t file_bytes; /* for the message when that is over */
};

/*
 * Start the process; it begins with the survey at once. fd: lent. size: of
 * the file in bytes. limit_ms: how long it may take in all, of processor time;
 * and 30 times that of waiting. unconfined: without the sandbox. Errors
 * GQA_ERR_IO.
 */
GQA_MUST_USE
enum gqa_status gqa_h5_child_start(struct gqa_h5_child *child, int fd,
                                   uint64_t size, unsigned limit_ms,
                                   bool unconfined);

/*
 * The survey, once, first of all. table: zero-initialised; to be cleared
 * also after a failure. Errors GQA_ERR_FORMAT (also: the process died, or
 * took too long), GQA_ERR_UNSUPPORTED, GQA_ERR_NOMEM, GQA_ERR_INTERRUPTED;
 * GQA_ERR_IO: the process could not be set up, or was ended by the system.
 */
GQA_MUST_USE
enum gqa_status gqa_h5_child_table(struct gqa_h5_child *child,
                                   struct gqa_h5_table *table,
                                   uint64_t file_bytes);

/*
 * Where the chunks of a dataset of the table lie: chunks has room for
 * dataset->n_chunks, row-major. Each lies in the file. Errors as above.
 */
GQA_MUST_USE
enum gqa_status gqa_h5_child_chunks(struct gqa_h5_child *child,
                                    struct gqa_h5_chunk *chunks, size_t index,
                                    const struct gqa_h5_dataset *dataset,
                                    uint64_t file_bytes);

/* Kill it if it lives, and leave no zombie. Any number of times. */
void gqa_h5_child_end(struct gqa_h5_child *child);

#endif
