/* What a check found, in words. */
#ifndef GQA_VERIFY_FINDING_H
#define GQA_VERIFY_FINDING_H

#include "common/status.h"

enum { GQA_FINDING_MAX = 1024 };

/* A failure or a remark; empty: none. */
struct gqa_finding {
    char text[GQA_FINDING_MAX];
};

/* Keep the first finding. */
void gqa_note(struct gqa_finding *finding, const char *fmt, ...)
    GQA_PRINTF(2, 3);

/* Behind what is there, after "; ". */
void gqa_note_more(struct gqa_finding *finding, const char *fmt, ...)
    GQA_PRINTF(2, 3);

#endif
