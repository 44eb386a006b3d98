/* The parser's process, seen from within. */
#ifndef GQA_FORMATS_HDF5_SERVER_H
#define GQA_FORMATS_HDF5_SERVER_H

#include <stdint.h>
#include <sys/types.h>

/*
 * Each answer begins with this; then come length bytes: a table, an array of
 * struct gqa_h5_chunk, or the message of an error.
 */
struct gqa_h5_answer {
    uint64_t status; /* enum gqa_status */
    uint64_t length;
};

/* The process ends with it where the library ended it for lack of memory. */
enum { GQA_H5_EXIT_NOMEM = 3 };

/*
 * A question is the number of a dataset (uint64_t) whose chunks are wanted.
 * The table comes unasked. Ends when the channel closes. parent: who must
 * live on while the file is surveyed.
 */
_Noreturn void gqa_h5_serve(int fd, uint64_t size, int channel, pid_t parent);

#endif
