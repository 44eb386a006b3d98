/* A figure for a paper: the trade-off and some heatmaps, as wide as a column
 * (84 mm). */
#ifndef GQA_INSPECT_FIGURE_H
#define GQA_INSPECT_FIGURE_H

#include <stdio.h>

#include "inspect/inspection.h"

/* Needs similarity; without a trade-off the heatmaps alone. Errors those of
 * gqa_markup_put(). */
GQA_MUST_USE
enum gqa_status gqa_figure_put(FILE *out, const struct gqa_inspection *in);

#endif
