#include "uptrain/page.h"

#include <inttypes.h>
#include <math.h>

#include "common/markup.h"
#include "common/page_style.h"

#define LOSS_COLOUR "#9ecae1"
#define KL_COLOUR   "#d94801"

/* In the units of the drawing. */
static const double WIDTH = 640, HEIGHT = 320, LEFT = 64, TOP = 24, RIGHT = 16,
                    BOTTOM = 48;

/* Points of a line that can be told apart. */
enum { MAX_POINTS = 600 };

struct axes {
    FILE *out;
    const struct gqa_history *h;
    double low, high; /* powers of 10: the vertical axis is of logarithms */
};

static double x_of(const struct axes *a, double step)
{
    const double all = (double)(a->h->n_steps > 0 ? a->h->n_steps : 1);

    return LEFT + (WIDTH - LEFT - RIGHT) * step / all;
}

static double y_of(const struct axes *a, double value)
{
    const double at = value > 0 ? log10(value) : a->low;

    return TOP + (HEIGHT - TOP - BOTTOM) * (a->high - fmax(at, a->low)) /
                     (a->high - a->low);
}

static void take(struct axes *a, double value)
{
    if (!(value > 0) || !isfinite(value))
        return;
    a->low = fmin(a->low, floor(log10(value)));
    a->high = fmax(a->high, ceil(log10(value)));
}

static void choose_scale(struct axes *a)
{
    a->low = INFINITY;
    a->high = -INFINITY;
    for (uint64_t i = 0; i < a->h->n_steps; i++)
        take(a, a->h->losses[i]);
    for (size_t i = 0; i < a->h->n_evaluations; i++)
        take(a, a->h->evaluations[i].kl);
    if (a->low > a->high)
        a->low = a->high = 0;
    if (a->low == a->high)
        a->low = a->high - 1;
}

static void put_axes(const struct axes *a)
{
    for (int i = 0; i <= (int)(a->high - a->low); i++) {
        const double value = pow(10, a->low + i);

        fprintf(a->out,
                "<path d=\"M%g %.5gH%g\" stroke=\"currentColor\" "
                "stroke-opacity=\"0.2\"/>\n<text x=\"%g\" y=\"%.5g\" "
                "text-anchor=\"end\">%.3g</text>\n",
                LEFT, y_of(a, value), WIDTH - RIGHT, LEFT - 6,
                y_of(a, value) + 4, value);
    }
    fprintf(a->out,
            "<text x=\"%g\" y=\"%g\">0</text>\n<text x=\"%g\" y=\"%g\" "
            "text-anchor=\"end\">%" PRIu64 " steps</text>\n",
            LEFT, HEIGHT - BOTTOM + 18, WIDTH - RIGHT, HEIGHT - BOTTOM + 18,
            a->h->n_steps);
}

/* Means of neighbours, where there are many. */
static void put_losses(const struct axes *a)
{
    const uint64_t n = a->h->n_steps;
    const uint64_t take_n = n / MAX_POINTS + 1;

    fputs("<path fill=\"none\" stroke=\"" LOSS_COLOUR
          "\" stroke-width=\"1.5\" d=\"",
          a->out);
    for (uint64_t i = 0; i < n; i += take_n) {
        double sum = 0;
        uint64_t k = 0;

        for (; k < take_n && i + k < n; k++)
            sum += a->h->losses[i + k];
        fprintf(a->out, "%s%.5g %.5g", i == 0 ? "M" : "L",
                x_of(a, (double)i + (double)k / 2), y_of(a, sum / (double)k));
    }
    fputs("\"/>\n", a->out);
}

static void put_measures(const struct axes *a)
{
    const struct gqa_history *h = a->h;

    fputs("<path fill=\"none\" stroke=\"" KL_COLOUR
          "\" stroke-width=\"2\" d=\"",
          a->out);
    for (size_t i = 0; i < h->n_evaluations; i++)
        fprintf(a->out, "%s%.5g %.5g", i == 0 ? "M" : "L",
                x_of(a, (double)h->evaluations[i].step),
                y_of(a, h->evaluations[i].kl));
    fputs("\"/>\n", a->out);
    for (size_t i = 0; i < h->n_evaluations; i++)
        fprintf(a->out,
                "<circle cx=\"%.5g\" cy=\"%.5g\" r=\"%d\" fill=\"" KL_COLOUR
                "\"/>\n",
                x_of(a, (double)h->evaluations[i].step),
                y_of(a, h->evaluations[i].kl), i == h->best ? 5 : 3);
}

static void put_curve(FILE *out, const struct gqa_history *h)
{
    struct axes a = {.out = out, .h = h};

    choose_scale(&a);
    fprintf(out,
            "<figure class=\"curve\">\n<svg "
            "xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" "
            "role=\"img\">\n<title>loss and KL by step</title>\n<g "
            "fill=\"currentColor\" font-size=\"12\" "
            "font-family=\"sans-serif\">\n",
            WIDTH, HEIGHT);
    put_axes(&a);
    put_losses(&a);
    put_measures(&a);
    fprintf(out,
            "<text x=\"%g\" y=\"%g\" fill=\"" KL_COLOUR
            "\">mean KL on sequences held out</text>\n<text x=\"%g\" "
            "y=\"%g\" fill=\"" LOSS_COLOUR "\">loss of each step</text>\n",
            LEFT, HEIGHT - 8, LEFT + 220, HEIGHT - 8);
    fputs("</g>\n</svg>\n<figcaption>Nats, on a scale of logarithms. The "
          "largest point is the state that is kept.</figcaption>\n</figure>\n",
          out);
}

static void put_perplexity(FILE *out, double perplexity)
{
    if (perplexity > 0)
        fprintf(out, "<td>%.5g</td>", perplexity);
    else
        fputs("<td></td>", out);
}

static void put_table(FILE *out, const struct gqa_history *h)
{
    fputs("<div class=\"wide\"><table>\n<thead><tr><th>step</th><th>mean "
          "KL</th><th>same top 1</th><th>perplexity</th><th>of the "
          "original</th></tr></thead>\n<tbody>\n",
          out);
    for (size_t i = 0; i < h->n_evaluations; i++) {
        const struct gqa_evaluation *e = &h->evaluations[i];

        fprintf(out, "<tr><td%s>%" PRIu64 "</td><td>%.4g</td><td>%.1f %%</td>",
                i == h->best ? " class=\"chosen\"" : "", e->step, e->kl,
                100 * e->top1);
        put_perplexity(out, e->perplexity[1]);
        put_perplexity(out, e->perplexity[0]);
        fputs("</tr>\n", out);
    }
    fputs("</tbody>\n</table></div>\n", out);
}

enum gqa_status gqa_run_page(FILE *out, const char *name,
                             const struct gqa_history *h)
{
    enum gqa_status st;

    fputs("<!DOCTYPE html>\n<html lang=\"en\" "
          "xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n"
          "<meta charset=\"utf-8\"/>\n"
          "<meta name=\"viewport\" content=\"width=device-width, "
          "initial-scale=1\"/>\n<title>Training of ",
          out);
    st = gqa_markup_put(out, name);
    fprintf(out,
            "</title>\n<style>\n%s</style>\n</head>\n<body>\n<h1>Training of ",
            gqa_page_style);
    if (st == GQA_OK)
        st = gqa_markup_put(out, name);
    fprintf(out,
            "</h1>\n<p>Mean KL from the original %.4g, %.4g before: after "
            "%" PRIu64 " of %" PRIu64 " steps, at a rate of %.3g.</p>\n",
            gqa_history_best(h)->kl, gqa_history_start(h)->kl,
            gqa_history_best(h)->step, h->n_steps, h->rate);
    put_curve(out, h);
    put_table(out, h);
    fputs("<footer>gqa-uptrain " GQA_VERSION "</footer>\n</body>\n</html>\n",
          out);
    return st;
}
