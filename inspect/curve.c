#include "inspect/curve.h"

#include <inttypes.h>
#include <math.h>

/* Told apart by shape too. */
#define BEST_COLOUR   "#2b8cbe"
#define CHOSEN_COLOUR "#d94801"

/* Where the axes stand, and what is at their ends. */
struct axes {
    FILE *out;
    const struct gqa_trade_off *t;
    double left, top, width, height, font;
    double fewest; /* the least share of stored bytes */
    double most;   /* lost, at the top */
    double step;   /* between marks of it */
};

static double share_of(const struct axes *a, uint64_t bytes)
{
    return (double)bytes / (double)a->t->stored;
}

static double x_of(const struct axes *a, double share)
{
    /* Halving the bytes is a step of the same width everywhere. */
    return a->fewest < 1
               ? a->left + a->width * (1 - log(share) / log(a->fewest))
               : a->left + a->width;
}

static double y_of(const struct axes *a, double lost)
{
    return a->top + a->height * (1 - lost / a->most);
}

static void choose_scale(struct axes *a)
{
    static const double steps[] = {0.001, 0.002, 0.005, 0.01,
                                   0.02,  0.05,  0.1,   0.2};
    double most = 0;
    size_t i = 0;

    a->fewest = 1;
    for (size_t k = 0; k < a->t->n_curve; k++) {
        most = fmax(most, a->t->curve[k].lost);
        a->fewest = fmin(a->fewest, share_of(a, a->t->curve[k].bytes));
    }
    for (size_t k = 0; k < a->t->n_uniform; k++)
        most = fmax(most, a->t->uniform[k].at.lost);
    while (i + 1 < sizeof steps / sizeof *steps && most / steps[i] > 5)
        i++;
    a->step = steps[i];
    a->most = fmax(ceil(most / a->step - 1e-9), 1) * a->step;
}

static void put_text(const struct axes *a, double x, double y,
                     const char *anchor, const char *text)
{
    fprintf(a->out,
            "<text x=\"%.5g\" y=\"%.5g\" text-anchor=\"%s\">%s</text>\n", x, y,
            anchor, text);
}

static void put_line(const struct axes *a, double x0, double y0, double x1,
                     double y1, double opacity)
{
    fprintf(a->out,
            "<path d=\"M%.5g %.5gL%.5g %.5g\" stroke=\"currentColor\" "
            "stroke-opacity=\"%.3g\" stroke-width=\"%.3g\"/>\n",
            x0, y0, x1, y1, opacity, a->font * 0.07);
}

static void put_axes(const struct axes *a)
{
    const double right = a->left + a->width, bottom = a->top + a->height;
    char text[32];

    for (int i = 0; i <= lround(a->most / a->step); i++) {
        const double lost = i * a->step;

        put_line(a, a->left, y_of(a, lost), right, y_of(a, lost),
                 lost > 0 ? 0.2 : 0.8);
        snprintf(text, sizeof text, "%.3g%%", 100 * lost);
        put_text(a, a->left - a->font * 0.5, y_of(a, lost) + a->font * 0.35,
                 "end", text);
    }
    for (int i = 0; ldexp(1, -i) >= a->fewest * 0.999; i++) {
        const double share = ldexp(1, -i);

        put_line(a, x_of(a, share), bottom, x_of(a, share),
                 bottom + a->font * 0.4, 0.8);
        snprintf(text, sizeof text, "%.3g%%", 100 * share);
        put_text(a, x_of(a, share), bottom + a->font * 1.5, "middle", text);
    }
    put_text(a, a->left + a->width / 2, bottom + a->font * 3, "middle",
             "KV bytes of a token, of those stored");
    fprintf(a->out,
            "<text transform=\"translate(%.5g %.5g) rotate(-90)\" "
            "text-anchor=\"middle\">predicted loss</text>\n",
            a->left - a->font * 3.6, a->top + a->height / 2);
}

static void put_best(const struct axes *a)
{
    fprintf(a->out,
            "<path fill=\"none\" stroke=\"" BEST_COLOUR
            "\" stroke-width=\"%.3g\" stroke-linejoin=\"round\" d=\"",
            a->font * 0.18);
    for (size_t i = 0; i < a->t->n_curve; i++)
        fprintf(a->out, "%s%.5g %.5g", i == 0 ? "M" : "L",
                x_of(a, share_of(a, a->t->curve[i].bytes)),
                y_of(a, a->t->curve[i].lost));
    fputs("\"/>\n", a->out);
}

static void put_circle(const struct axes *a, double x, double y)
{
    fprintf(a->out,
            "<circle cx=\"%.5g\" cy=\"%.5g\" r=\"%.3g\" fill=\"none\" "
            "stroke=\"currentColor\" stroke-width=\"%.3g\"/>\n",
            x, y, a->font * 0.38, a->font * 0.13);
}

static void put_diamond(const struct axes *a, double x, double y)
{
    const double r = a->font * 0.55;

    fprintf(a->out,
            "<path fill=\"" CHOSEN_COLOUR
            "\" d=\"M%.5g %.5gl%.3g %.3gl%.3g %.3gl-%.3g %.3gz\"/>\n",
            x, y - r, r, r, -r, r, r, -r);
}

static void put_points(const struct axes *a)
{
    const struct gqa_trade_off *t = a->t;
    char text[32];

    put_diamond(a, x_of(a, share_of(a, t->chosen.bytes)),
                y_of(a, t->chosen.lost));
    for (size_t i = 0; i < t->n_uniform; i++) {
        const struct gqa_uniform_row *row = &t->uniform[i];
        const double x = x_of(a, share_of(a, row->at.bytes));
        const double y = y_of(a, row->at.lost);

        put_circle(a, x, y);
        if (row->pooled == 0)
            continue;
        snprintf(text, sizeof text, "%" PRIu64, row->pooled);
        put_text(a, x + a->font * 0.6, y - a->font * 0.6, "start", text);
    }
}

/* Above, where no curve comes. */
static void put_legend(const struct axes *a)
{
    const double y = a->top - a->font * 1.7, text = y + a->font * 0.35;
    double x = a->left;

    put_circle(a, x, y);
    put_text(a, x + a->font, text, "start", "one number for all");
    x += a->font * 12;
    fprintf(a->out,
            "<path stroke=\"" BEST_COLOUR
            "\" stroke-width=\"%.3g\" d=\"M%.5g %.5gh%.3g\"/>\n",
            a->font * 0.18, x - a->font, y, a->font * 1.6);
    put_text(a, x + a->font, text, "start", "each its own");
    x += a->font * 8.5;
    put_diamond(a, x, y);
    put_text(a, x + a->font, text, "start", "chosen");
}

void gqa_curve_put(FILE *out, const struct gqa_curve *curve)
{
    const double font = curve->font;
    struct axes a = {.out = out,
                     .t = curve->trade_off,
                     .left = curve->x + 5 * font,
                     .top = curve->y + 2.9 * font,
                     .width = curve->width - 7 * font,
                     .height = curve->height - 6.5 * font,
                     .font = font};

    choose_scale(&a);
    fprintf(out,
            "<g fill=\"currentColor\" font-size=\"%.3g\" "
            "font-family=\"sans-serif\">\n",
            font);
    put_axes(&a);
    put_best(&a);
    put_points(&a);
    put_legend(&a);
    fputs("</g>\n", out);
}
