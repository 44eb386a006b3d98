/* Files that are read, and whether they are still what they were. */
#ifndef GQA_FORMATS_WATCH_H
#define GQA_FORMATS_WATCH_H

#include "common/entries.h"
#include "common/status.h"

/* Zero-initialise; gqa_watch_clear() frees what was added. */
struct gqa_watch {
    struct gqa_entry *files; /* [n]; names are paths */
    size_t n;
};

/* Remember a file as it is now; fd: open. Errors GQA_ERR_IO, GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_watch_add(struct gqa_watch *watch, const char *path,
                              int fd);

/*
 * That each path still leads to the same file, of the same size and time of
 * writing. Errors GQA_ERR_IO; the message begins with the path.
 */
GQA_MUST_USE
enum gqa_status gqa_watch_check(const struct gqa_watch *watch);

void gqa_watch_clear(struct gqa_watch *watch);

#endif
