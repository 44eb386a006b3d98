/* A matrix as an SVG heatmap, and its scale of colours. */
#ifndef GQA_INSPECT_HEAT_H
#define GQA_INSPECT_HEAT_H

#include <stdint.h>
#include <stdio.h>

struct gqa_heat {
    const double *matrix; /* [n, n] */
    size_t n;
    const uint64_t *order; /* [n]: of rows and columns; NULL: as they are */
    size_t group;          /* so many neighbours are framed; 0: none */
    double low, high;  /* ends of the scale; what is beyond is as they are */
    double x, y, size; /* where it stands */
};

/* A <g> of an SVG. What is no number is grey. */
void gqa_heat_put(FILE *out, const struct gqa_heat *heat);

/* Stops of a linearGradient from low to high. */
void gqa_heat_put_stops(FILE *out);

#endif
