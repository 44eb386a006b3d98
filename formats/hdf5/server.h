/* The parser's process, seen from within. */
#ifndef GQA_FORMATS_HDF5_SERVER_H
#define GQA_FORMATS_HDF5_SERVER_H

#include <signal.h>
#include <stdbool.h>
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

struct gqa_h5_service {
    int fd;        /* the file */
    uint64_t size; /* of it, in bytes */
    int channel;
    pid_t parent;    /* who forked the process */
    unsigned cpu_s;  /* after which it ends by itself */
    bool unconfined; /* no sandbox, by the user's wish; limits remain */
};

/*
 * A question is the number of a dataset (uint64_t) whose chunks are wanted.
 * The table comes unasked. Ends when the channel closes, or when its parent
 * has ended. To be called with the signals held that are not for it.
 */
_Noreturn void gqa_h5_serve(const struct gqa_h5_service *service);

/* The signals that the process ignores: they are its parent's business. */
void gqa_h5_not_for_child(sigset_t *set);

#endif
