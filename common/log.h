/*
 * Messages for people, on stderr, each with the tool's name before it. A log
 * line never changes the exit status.
 */
#ifndef GQA_COMMON_LOG_H
#define GQA_COMMON_LOG_H

#include "common/status.h"

enum gqa_log_level {
    GQA_LOG_ERROR,
    GQA_LOG_WARN,
    GQA_LOG_INFO,
    GQA_LOG_DEBUG,
};

/* tool: the prefix of every line; lent for the life of the process. */
void gqa_log_init(const char *tool, enum gqa_log_level level);
enum gqa_log_level gqa_log_level(void);

/* One line at the level; safe to call from any thread. */
void gqa_log(enum gqa_log_level level, const char *fmt, ...) GQA_PRINTF(2, 3);

#define gqa_error(...) gqa_log(GQA_LOG_ERROR, __VA_ARGS__)
#define gqa_warn(...)  gqa_log(GQA_LOG_WARN, __VA_ARGS__)
#define gqa_info(...)  gqa_log(GQA_LOG_INFO, __VA_ARGS__)
#define gqa_debug(...) gqa_log(GQA_LOG_DEBUG, __VA_ARGS__)

#endif
