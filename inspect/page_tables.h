/* The tables of the HTML page; they need similarity, and most the trade-off.
 * Errors GQA_ERR_NOMEM. */
#ifndef GQA_INSPECT_PAGE_TABLES_H
#define GQA_INSPECT_PAGE_TABLES_H

#include <stdio.h>

#include "inspect/inspection.h"

void gqa_page_put_uniform(FILE *out, const struct gqa_trade_off *trade_off);
void gqa_page_put_attentions(FILE *out, const struct gqa_inspection *in);
void gqa_page_put_exact(FILE *out, const struct gqa_inspection *in);

/* Bytes, as people read them. */
void gqa_page_put_bytes(FILE *out, uint64_t bytes);

#endif
