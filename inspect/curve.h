/* KV bytes against predicted loss as an SVG diagram. */
#ifndef GQA_INSPECT_CURVE_H
#define GQA_INSPECT_CURVE_H

#include <stdio.h>

#include "inspect/trade_off.h"

struct gqa_curve {
    const struct gqa_trade_off *trade_off;
    double x, y, width, height;
    double font; /* size of letters; all else follows it */
};

/* A <g> of an SVG, in the text's colour (currentColor) and two more. */
void gqa_curve_put(FILE *out, const struct gqa_curve *curve);

#endif
