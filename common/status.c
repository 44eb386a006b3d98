#include "common/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Defined here, whatever they are to others. */
#undef gqa_fail
#undef gqa_fail_errno
#undef gqa_fail_nomem
#undef gqa_fail_prefix

enum { MESSAGE_MAX = 2048 };

static _Thread_local char message[MESSAGE_MAX];

void gqa_make_printable(char *line)
{
    for (; *line; line++) {
        const unsigned char next = (unsigned char)line[1];

        if ((unsigned char)*line < 0x20 || *line == 0x7f) {
            *line = '?';
        } else if ((unsigned char)*line == 0xc2 && next >= 0x80 &&
                   next < 0xa0) {
            /* U+0080 to U+009F, which terminals obey too. */
            line[0] = line[1] = '?';
        }
    }
}

enum gqa_status gqa_fail(enum gqa_status st, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    gqa_make_printable(message);
    return st;
}

enum gqa_status gqa_fail_errno(const char *fmt, ...)
{
    const int saved = errno;
    char what[MESSAGE_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    if (saved == ENOMEM)
        return gqa_fail(GQA_ERR_NOMEM, "%s: out of memory", what);
    return gqa_fail(GQA_ERR_IO, "%s: %s", what, strerror(saved));
}

enum gqa_status gqa_fail_nomem(void)
{
    return gqa_fail(GQA_ERR_NOMEM, "out of memory");
}

enum gqa_status gqa_fail_prefix(enum gqa_status st, const char *fmt, ...)
{
    char prefix[MESSAGE_MAX / 2];
    char rest[MESSAGE_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(prefix, sizeof prefix, fmt, ap);
    va_end(ap);
    memcpy(rest, message, sizeof rest);
    return gqa_fail(st, "%s: %s", prefix, rest);
}

const char *gqa_error_message(void)
{
    return message;
}
