/* All that is known of an inspection's heads as one HTML page that needs
 * nothing else: no script, no font, no image from elsewhere. It is XML too. */
#ifndef GQA_INSPECT_PAGE_H
#define GQA_INSPECT_PAGE_H

#include <stdio.h>

#include "inspect/inspection.h"

/* Needs similarity; without a trade-off it has none. Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_page_put(FILE *out, const struct gqa_inspection *in);

#endif
