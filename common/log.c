#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/progress.h"

static const char *tool_name = "gqa";
static enum gqa_log_level max_level = GQA_LOG_WARN;

void gqa_log_init(const char *tool, enum gqa_log_level level)
{
    tool_name = tool;
    max_level = level;
}

enum gqa_log_level gqa_log_level(void)
{
    return max_level;
}

void gqa_log(enum gqa_log_level level, const char *fmt, ...)
{
    char line[2304];
    va_list ap;

    if (level > max_level)
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    gqa_make_printable(line);
    gqa_progress_clear();
    /* One call, so that lines of two threads do not mix. */
    fprintf(stderr, "%s: %s%s\n", tool_name,
            level == GQA_LOG_WARN ? "warning: " : "", line);
}
