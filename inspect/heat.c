#include "inspect/heat.h"

#include <math.h>
#include <stdbool.h>

/*
 * ColorBrewer's YlGnBu (Harrower and Brewer, 2003): told apart by the
 * colour-blind, and ever darker, so that it is read in grey as well.
 */
static const unsigned char anchors[][3] = {
    {0xff, 0xff, 0xd9}, {0xed, 0xf8, 0xb1}, {0xc7, 0xe9, 0xb4},
    {0x7f, 0xcd, 0xbb}, {0x41, 0xb6, 0xc4}, {0x1d, 0x91, 0xc0},
    {0x22, 0x5e, 0xa8}, {0x25, 0x34, 0x94}, {0x08, 0x1d, 0x58},
};
enum { N_ANCHORS = sizeof anchors / sizeof *anchors, N_LEVELS = 33 };

static int mix(int a, int b, double share)
{
    return (int)lround(a + (b - a) * share);
}

static void put_colour(FILE *out, int level)
{
    const double at = (double)level / (N_LEVELS - 1) * (N_ANCHORS - 1);
    const int i = level == N_LEVELS - 1 ? N_ANCHORS - 2 : (int)at;

    fprintf(out, "#%02x%02x%02x",
            (unsigned)mix(anchors[i][0], anchors[i + 1][0], at - i),
            (unsigned)mix(anchors[i][1], anchors[i + 1][1], at - i),
            (unsigned)mix(anchors[i][2], anchors[i + 1][2], at - i));
}

/* N_LEVELS: no number. */
static int level_of(const struct gqa_heat *heat, size_t row, size_t column)
{
    const size_t i = heat->order ? (size_t)heat->order[row] : row;
    const size_t j = heat->order ? (size_t)heat->order[column] : column;
    const double x = heat->matrix[i * heat->n + j];
    const double at = (x - heat->low) / (heat->high - heat->low);

    if (isnan(x))
        return N_LEVELS;
    return (int)lround(fmin(fmax(at, 0), 1) * (N_LEVELS - 1));
}

/* All cells of a level as one path, a rectangle for those in a row. */
static void put_level(FILE *out, const struct gqa_heat *heat, int level)
{
    bool begun = false;

    for (size_t row = 0; row < heat->n; row++)
        for (size_t i = 0, j; i < heat->n; i = j + 1) {
            for (j = i; j < heat->n && level_of(heat, row, j) == level; j++)
                ;
            if (j == i)
                continue;
            if (!begun) {
                fputs("<path fill=\"", out);
                if (level < N_LEVELS)
                    put_colour(out, level);
                else
                    fputs("#888", out);
                fputs("\" d=\"", out);
                begun = true;
            }
            fprintf(out, "M%zu %zuh%zuv1h-%zuz", i, row, j - i, j - i);
        }
    if (begun)
        fputs("\"/>", out);
}

static void put_frames(FILE *out, const struct gqa_heat *heat)
{
    if (heat->group < 2)
        return;
    fprintf(out,
            "<path fill=\"none\" stroke=\"#d94801\" stroke-width=\"%.3g\" "
            "d=\"",
            0.012 * (double)heat->n);
    for (size_t i = 0; i < heat->n; i += heat->group)
        fprintf(out, "M%zu %zuh%zuv%zuh-%zuz", i, i, heat->group, heat->group,
                heat->group);
    fputs("\"/>", out);
}

void gqa_heat_put(FILE *out, const struct gqa_heat *heat)
{
    fprintf(out,
            "<g transform=\"translate(%.6g %.6g) scale(%.6g)\">"
            "<g shape-rendering=\"crispEdges\">",
            heat->x, heat->y, heat->size / (double)heat->n);
    for (int level = 0; level <= N_LEVELS; level++)
        put_level(out, heat, level);
    fputs("</g>", out);
    put_frames(out, heat);
    fputs("</g>\n", out);
}

void gqa_heat_put_stops(FILE *out)
{
    for (int i = 0; i < N_ANCHORS; i++)
        fprintf(out, "<stop offset=\"%.4g\" stop-color=\"#%02x%02x%02x\"/>",
                (double)i / (N_ANCHORS - 1), anchors[i][0], anchors[i][1],
                anchors[i][2]);
}
