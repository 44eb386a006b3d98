/* The tables of the text report. Errors GQA_ERR_NOMEM. */
#ifndef GQA_INSPECT_REPORT_TABLES_H
#define GQA_INSPECT_REPORT_TABLES_H

#include <stdio.h>

#include "inspect/inspection.h"

/* A row for each attention; needs the model. */
GQA_MUST_USE
enum gqa_status gqa_report_attentions(FILE *out,
                                      const struct gqa_inspection *in);

/* A row for each tensor as stored. */
GQA_MUST_USE
enum gqa_status gqa_report_tensors(FILE *out, const struct gqa_inspection *in);

/* A row for each number of KV heads; needs the plan. */
GQA_MUST_USE
enum gqa_status gqa_report_kv_plan(FILE *out, const struct gqa_inspection *in);

/* A row for each tensor, then the norms of K and V heads; needs stats. */
GQA_MUST_USE
enum gqa_status gqa_report_stats(FILE *out, const struct gqa_inspection *in);

/* How alike heads are, and which would share; needs similarity. */
GQA_MUST_USE
enum gqa_status gqa_report_similarity(FILE *out,
                                      const struct gqa_inspection *in);

/* What heads were compared by: "by their weights"; needs similarity. */
void gqa_report_put_source(FILE *out, const struct gqa_inspection *in);

/* KV bytes against predicted loss; needs the trade-off. */
GQA_MUST_USE
enum gqa_status gqa_report_plan(FILE *out, const struct gqa_inspection *in);

#endif
