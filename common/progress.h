/*
 * A progress bar on stderr, for people: only where that is a terminal, at
 * most six times a second.
 */
#ifndef GQA_COMMON_PROGRESS_H
#define GQA_COMMON_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gqa_progress {
    bool shown; /* stderr is a terminal that can redraw a line */
    uint64_t start_ns, last_ns;
};

/* quiet: show nothing wherever stderr goes. */
void gqa_progress_start(struct gqa_progress *progress, bool quiet);

/* Any thread, one at a time. progress: struct gqa_progress. */
void gqa_progress_update(void *progress, uint64_t done_bytes,
                         uint64_t all_bytes);

/* Clear the line. */
void gqa_progress_finish(struct gqa_progress *progress);

/*
 * The bar as text of at most `width` columns, without control characters.
 * Returns buf.
 */
char *gqa_progress_format(char *buf, size_t n, unsigned width,
                          uint64_t done_bytes, uint64_t all_bytes,
                          uint64_t elapsed_ns);

#endif
