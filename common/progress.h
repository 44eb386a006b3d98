/*
 * A progress bar on stderr, for people: only where that is a terminal, and
 * in each phase at most six times a second. A bar that is full is cleared:
 * none stands at 100 % while something else goes on.
 */
#ifndef GQA_COMMON_PROGRESS_H
#define GQA_COMMON_PROGRESS_H

#include <stddef.h>
#include <stdint.h>

#include "common/log.h"

struct gqa_progress;

enum gqa_progress_unit { GQA_PROGRESS_BYTES, GQA_PROGRESS_TOKENS };

/*
 * level: below GQA_LOG_WARN nothing is shown anywhere. At first the phase is
 * one of bytes, without a label. End it with gqa_progress_free(). Errors
 * GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_progress_create(struct gqa_progress **out,
                                    enum gqa_log_level level);

/*
 * Begin a phase, and its clock: "drawing samples". The label, lent, is shown
 * at once. Where nothing is counted, that is all.
 */
void gqa_progress_phase(struct gqa_progress *progress, const char *label,
                        enum gqa_progress_unit unit);

/* arg: a struct gqa_progress. done of all units. Any thread, one at a time. */
void gqa_progress_update(void *arg, uint64_t done, uint64_t all);

/* Show a line as it is, where a bar would not say it; likewise seldom enough.
 */
void gqa_progress_say(struct gqa_progress *progress, const char *text);

/*
 * Clear the line of whatever bar is drawn, before something else is written
 * to the terminal; the bar comes back as it goes on.
 */
void gqa_progress_clear(void);

/* Clear the line. Accepts NULL. */
void gqa_progress_free(struct gqa_progress *progress);

/* What a bar shows. */
struct gqa_progress_state {
    const char *label; /* or NULL */
    enum gqa_progress_unit unit;
    uint64_t done, all; /* all 0: only the label */
    uint64_t elapsed_ns;
};

enum { GQA_PROGRESS_SIZE = 384 };

/*
 * The bar as text of at most `width` columns, without control characters;
 * what there is no room for is left out. Returns buf.
 */
char *gqa_progress_format(char buf[GQA_PROGRESS_SIZE], unsigned width,
                          const struct gqa_progress_state *state);

#endif
