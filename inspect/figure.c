#include "inspect/figure.h"

#include <inttypes.h>

#include "common/markup.h"
#include "inspect/curve.h"
#include "inspect/heat.h"

/* In millimetres; letters of 7 points. */
static const double WIDTH = 84, FONT = 2.47, CURVE_HEIGHT = 52;
static const double MAP = 17.5, GAP = 1.5, LABEL = 9, SCALE = 33;

enum { MAX_ROWS = 3, N_MAPS = 4 };

static const char *const titles[N_MAPS] = {"K, cosine", "K, kept", "V, cosine",
                                           "V, kept"};

/* The first, the middle and the last that keep a cache; of all, if none
 * does. */
static size_t choose_rows(size_t rows[MAX_ROWS],
                          const struct gqa_inspection *in)
{
    const struct gqa_trade_off *t = in->trade_off;
    const size_t all = t ? t->n : in->similarity->n;
    size_t n = 0;

    for (size_t i = 0; i < MAX_ROWS && i < all; i++) {
        const size_t at = all <= MAX_ROWS ? i : i * (all - 1) / (MAX_ROWS - 1);

        rows[n++] = t ? t->attentions[at] : at;
    }
    return n;
}

static void put_text(FILE *out, double x, double y, const char *more,
                     const char *text)
{
    fprintf(out, "<text x=\"%.5g\" y=\"%.5g\"%s>%s</text>\n", x, y, more, text);
}

static void put_row(FILE *out, const struct gqa_inspection *in, size_t index,
                    double y, double least)
{
    const struct gqa_attention *a = &in->model->attentions[index];
    const struct gqa_similar_heads *heads = &in->similarity->attentions[index];
    const struct gqa_compared_heads *c = &heads->alike;
    const struct gqa_sharing_choice *choice = gqa_inspection_drawn(in, index);
    const double *const maps[N_MAPS] = {c->cosine[0], c->kept[0], c->cosine[1],
                                        c->kept[1]};
    char text[64];

    snprintf(text, sizeof text, "%s %" PRIu64, gqa_attention_kind_name(a->kind),
             a->layer);
    fprintf(out,
            "<text transform=\"translate(%.5g %.5g) rotate(-90)\" "
            "text-anchor=\"middle\">%s</text>\n",
            LABEL - GAP - 1, y + MAP / 2, text);
    for (size_t i = 0; i < N_MAPS; i++) {
        const struct gqa_heat heat = {
            .matrix = maps[i],
            .n = c->n,
            .order = choice ? choice->heads : NULL,
            .group = choice ? c->n / (size_t)choice->pooled : 0,
            .low = i % 2 ? least : 0,
            .high = 1,
            .x = LABEL + (double)i * (MAP + GAP),
            .y = y,
            .size = MAP};

        if (heat.matrix)
            gqa_heat_put(out, &heat);
    }
}

static void put_scale(FILE *out, double x, double y, const char *low,
                      const char *title)
{
    fprintf(out,
            "<rect x=\"%.5g\" y=\"%.5g\" width=\"%.5g\" height=\"%.3g\" "
            "fill=\"url(#scale)\"/>\n",
            x, y, SCALE, FONT);
    put_text(out, x, y + 2 * FONT + 0.3, "", low);
    put_text(out, x + SCALE / 2, y + 2 * FONT + 0.3, " text-anchor=\"middle\"",
             title);
    put_text(out, x + SCALE, y + 2 * FONT + 0.3, " text-anchor=\"end\"", "1");
}

static void put_maps(FILE *out, const struct gqa_inspection *in, double y,
                     const size_t *rows, size_t n_rows)
{
    const double least = gqa_similarity_least_kept(in->similarity);
    char low[32];

    fprintf(out, "<defs><linearGradient id=\"scale\">");
    gqa_heat_put_stops(out);
    fprintf(out,
            "</linearGradient></defs>\n<g fill=\"currentColor\" "
            "font-size=\"%.3g\" font-family=\"sans-serif\">\n",
            FONT);
    for (size_t i = 0; i < N_MAPS; i++)
        put_text(out, LABEL + (double)i * (MAP + GAP) + MAP / 2, y + FONT,
                 " text-anchor=\"middle\"", titles[i]);
    y += FONT + GAP;
    for (size_t i = 0; i < n_rows; i++) {
        put_row(out, in, rows[i], y, least);
        y += MAP + GAP;
    }
    put_scale(out, LABEL, y, "0", "cosine");
    snprintf(low, sizeof low, "%.2g", least);
    put_scale(out, LABEL + 2 * (MAP + GAP), y, low, "energy kept");
    fputs("</g>\n", out);
}

enum gqa_status gqa_figure_put(FILE *out, const struct gqa_inspection *in)
{
    size_t rows[MAX_ROWS];
    const size_t n_rows = choose_rows(rows, in);
    const double curve = in->trade_off ? CURVE_HEIGHT + 2 * GAP : 0;
    const double height =
        curve + FONT + GAP + (double)n_rows * (MAP + GAP) + 2.6 * FONT;
    enum gqa_status st;

    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.5gmm\" "
            "height=\"%.5gmm\" viewBox=\"0 0 %.5g %.5g\" role=\"img\">\n"
            "<title>KV heads of ",
            WIDTH, height, WIDTH, height);
    st = gqa_markup_put(out, gqa_checkpoint_path(in->checkpoint));
    fputs("</title>\n", out);
    if (in->trade_off)
        gqa_curve_put(out, &(struct gqa_curve){.trade_off = in->trade_off,
                                               .width = WIDTH,
                                               .height = CURVE_HEIGHT,
                                               .font = FONT});
    put_maps(out, in, curve, rows, n_rows);
    fputs("</svg>\n", out);
    return st;
}
