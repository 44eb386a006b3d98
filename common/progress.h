/*
 * A progress bar on stderr, for people: only where that is a terminal, at
 * most six times a second.
 */
#ifndef GQA_COMMON_PROGRESS_H
#define GQA_COMMON_PROGRESS_H

#include <stddef.h>
#include <stdint.h>

#include "common/log.h"

struct gqa_progress;

/*
 * Start the clock. level: below GQA_LOG_WARN nothing is shown anywhere.
 * End it with gqa_progress_free(). Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_progress_create(struct gqa_progress **out,
                                    enum gqa_log_level level);

/* arg: a struct gqa_progress. Any thread, one at a time. */
void gqa_progress_update(void *arg, uint64_t done_bytes, uint64_t all_bytes);

/* Clear the line. Accepts NULL. */
void gqa_progress_free(struct gqa_progress *progress);

/*
 * The bar as text of at most `width` columns, without control characters.
 * Returns buf.
 */
char *gqa_progress_format(char *buf, size_t n, unsigned width,
                          uint64_t done_bytes, uint64_t all_bytes,
                          uint64_t elapsed_ns);

#endif
