#include "verify/finding.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void gqa_note(struct gqa_finding *finding, const char *fmt, ...)
{
    va_list ap;

    if (finding->text[0] != '\0')
        return;
    va_start(ap, fmt);
    vsnprintf(finding->text, sizeof finding->text, fmt, ap);
    va_end(ap);
}

void gqa_note_more(struct gqa_finding *finding, const char *fmt, ...)
{
    size_t used = strlen(finding->text);
    va_list ap;

    if (used > 0 && used + 3 < sizeof finding->text) {
        memcpy(finding->text + used, "; ", 3);
        used += 2;
    }
    va_start(ap, fmt);
    vsnprintf(finding->text + used, sizeof finding->text - used, fmt, ap);
    va_end(ap);
}
