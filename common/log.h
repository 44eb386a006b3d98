/*
 * Messages for people, on stderr, each with the tool's name before it. A log
 * line never changes the exit status.
 */
#ifndef GQA_COMMON_LOG_H
#define GQA_COMMON_LOG_H

#include "common/status.h"

/* What reaches stderr, each level with all above it. */
enum gqa_log_level {
    GQA_LOG_ERROR, /* the error that ends a run; where to find what was
                    * moved out of the way: -q */
    GQA_LOG_WARN,  /* what may not be as the user thinks; a progress bar */
    GQA_LOG_INFO,  /* what is read, decided and skipped, and why: -v */
    GQA_LOG_TIME,  /* how long each part took, and how fast: -vv */
};

/* tool: the prefix of every line; lent for the life of the process. */
void gqa_log_init(const char *tool, enum gqa_log_level level);
enum gqa_log_level gqa_log_level(void);

/* One line at the level; safe to call from any thread. Errors are statuses
 * (status.h), which main prints, and no log lines. */
void gqa_log(enum gqa_log_level level, const char *fmt, ...) GQA_PRINTF(2, 3);

#define gqa_alert(...) gqa_log(GQA_LOG_ERROR, __VA_ARGS__)
#define gqa_warn(...)  gqa_log(GQA_LOG_WARN, __VA_ARGS__)
#define gqa_info(...)  gqa_log(GQA_LOG_INFO, __VA_ARGS__)

#endif
