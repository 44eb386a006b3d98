/* A run as a page of HTML by itself, with its curve. */
#ifndef GQA_UPTRAIN_PAGE_H
#define GQA_UPTRAIN_PAGE_H

#include <stdio.h>

#include "uptrain/history.h"

/* name: of what was trained, as given. The history has an evaluation. Errors
 * GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_run_page(FILE *out, const char *name,
                             const struct gqa_history *history);

#endif
