#include "inspect/page.h"

#include <inttypes.h>

#include "common/markup.h"
#include "common/page_style.h"
#include "inspect/curve.h"
#include "inspect/heat.h"
#include "inspect/layer_groups.h"
#include "inspect/page_tables.h"
#include "inspect/report_tables.h"

/* Heads whose numbers stand beside a map. */
enum { MAX_NUMBERED = 24 };

static enum gqa_status put_head(FILE *out, const struct gqa_inspection *in)
{
    const struct gqa_model *model = in->model;
    const char *path = gqa_checkpoint_path(in->checkpoint);
    enum gqa_status st;

    fputs("<!DOCTYPE html>\n<html lang=\"en\" "
          "xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n"
          "<meta charset=\"utf-8\"/>\n"
          "<meta name=\"viewport\" content=\"width=device-width, "
          "initial-scale=1\"/>\n<title>KV heads of ",
          out);
    st = gqa_markup_put(out, path);
    fprintf(out,
            "</title>\n<style>\n%s</style>\n</head>\n<body>\n<h1>KV heads of ",
            gqa_page_style);
    if (st == GQA_OK)
        st = gqa_markup_put(out, path);
    fprintf(out, "</h1>\n<p class=\"soft\">%s, d_model %" PRIu64 ", ",
            gqa_family_name(model->family), model->d_model);
    if (gqa_model_is_encoder_decoder(model))
        fprintf(out, "%" PRIu64 " encoder and %" PRIu64 " decoder layers",
                model->n_layers, model->n_decoder_layers);
    else
        fprintf(out, "%" PRIu64 " layers", model->n_layers);
    fprintf(out, ", %" PRIu64 " parameters</p>\n", in->n_parameters);
    return st;
}

/* --- The plan ------------------------------------------------------------- */

static void put_command(FILE *out, const struct gqa_inspection *in,
                        enum gqa_attention_kind kind, const char *only)
{
    if (!gqa_layer_groups_has(in, kind))
        return;
    fprintf(out, "gqa-convert --method=aligned %s--layer-groups ", only);
    gqa_layer_groups_put(out, in, kind);
    fputc('\n', out);
}

static void put_choice(FILE *out, const struct gqa_inspection *in)
{
    const struct gqa_trade_off *t = in->trade_off;
    const bool cross = gqa_layer_groups_has(in, GQA_ATTENTION_CROSS);

    fprintf(out, "<p>The best for a budget of %.4g%%: <strong>",
            100 * t->budget);
    gqa_page_put_bytes(out, t->chosen.bytes);
    fprintf(out,
            " for each token, %.1f%% of what is stored, with a predicted loss "
            "of %.2f%%</strong>.</p>\n<pre>",
            100 * (double)t->chosen.bytes / (double)t->stored,
            100 * t->chosen.lost);
    put_command(out, in, GQA_ATTENTION_SELF,
                cross ? "--attention decoder-self " : "");
    put_command(out, in, GQA_ATTENTION_CROSS, "--attention decoder-cross ");
    fputs("</pre>\n", out);
}

static void put_plan(FILE *out, const struct gqa_inspection *in)
{
    fputs("<h2>KV cache against predicted loss</h2>\n", out);
    put_choice(out, in);
    fputs("<figure class=\"curve\"><svg viewBox=\"0 0 640 380\" role=\"img\" "
          "xmlns=\"http://www.w3.org/2000/svg\"><title>KV bytes of a token "
          "against the predicted loss; the table below has the "
          "numbers</title>\n",
          out);
    gqa_curve_put(out, &(struct gqa_curve){.trade_off = in->trade_off,
                                           .width = 640,
                                           .height = 380,
                                           .font = 13});
    fputs("</svg><figcaption>Lost: of the energy of scores and outputs, what "
          "an aligned conversion loses, ",
          out);
    gqa_report_put_source(out, in);
    fputs(in->similarity->n_tokens
              ? "; each attention counts by the share of the residual stream "
                "that it makes."
              : "; all attentions that keep a cache count alike.",
          out);
    if (gqa_layer_groups_has(in, GQA_ATTENTION_CROSS))
        fputs(" Bytes are of a generated token and of a token of the source.",
              out);
    fputs("</figcaption></figure>\n", out);
    gqa_page_put_uniform(out, in->trade_off);
}

/* --- Heads ---------------------------------------------------------------- */

static void put_scale(FILE *out, const char *id, const char *title,
                      const char *low)
{
    fprintf(out,
            "<svg width=\"220\" height=\"44\" viewBox=\"0 0 220 44\" "
            "role=\"img\" xmlns=\"http://www.w3.org/2000/svg\"><title>Colours "
            "of %s, from %s to 1</title><defs><linearGradient id=\"%s\">",
            title, low, id);
    gqa_heat_put_stops(out);
    fprintf(out,
            "</linearGradient></defs><rect width=\"220\" height=\"16\" "
            "fill=\"url(#%s)\"/><g fill=\"currentColor\" font-size=\"13\" "
            "font-family=\"sans-serif\"><text y=\"34\">%s</text>"
            "<text x=\"110\" y=\"34\" text-anchor=\"middle\">%s</text>"
            "<text x=\"220\" y=\"34\" text-anchor=\"end\">1</text></g></svg>\n",
            id, low, title);
}

static void put_numbers(FILE *out, const struct gqa_heat *heat)
{
    const double cell = heat->size / (double)heat->n;
    const double font = cell < 9 ? cell : 9;

    fprintf(out,
            "<g fill=\"currentColor\" font-size=\"%.3g\" "
            "font-family=\"sans-serif\" text-anchor=\"end\">",
            font);
    for (size_t i = 0; i < heat->n; i++)
        fprintf(out, "<text x=\"%.4g\" y=\"%.4g\">%" PRIu64 "</text>",
                heat->x - 3, heat->y + ((double)i + 0.5) * cell + font * 0.35,
                heat->order ? heat->order[i] : i);
    fputs("</g>\n", out);
}

static void put_map(FILE *out, const struct gqa_similar_heads *heads,
                    const struct gqa_sharing_choice *choice,
                    const double *matrix, const char *title, double low)
{
    const size_t n = heads->alike.n;
    const double margin = n <= MAX_NUMBERED ? 16 : 0;
    const struct gqa_heat heat = {.matrix = matrix,
                                  .n = n,
                                  .order = choice ? choice->heads : NULL,
                                  .group =
                                      choice ? n / (size_t)choice->pooled : 0,
                                  .low = low,
                                  .high = 1,
                                  .x = margin,
                                  .y = 1,
                                  .size = 198};

    if (!matrix)
        return;
    fprintf(out,
            "<div><p>%s</p><svg viewBox=\"0 0 %.4g 200\" role=\"img\" "
            "xmlns=\"http://www.w3.org/2000/svg\"><title>%s: mean of pairs ",
            title, 200 + margin, title);
    gqa_similarity_put_mean(out, matrix, n);
    fputs("</title>\n", out);
    gqa_heat_put(out, &heat);
    if (margin > 0)
        put_numbers(out, &heat);
    fputs("</svg></div>\n", out);
}

static void put_groups(FILE *out, const struct gqa_sharing_choice *choice,
                       size_t n)
{
    const size_t m = n / (size_t)choice->pooled;

    if (m == 1) {
        fputs("No heads share.", out);
        return;
    }
    fprintf(out, "To %" PRIu64 ", losing %.1f%% of keys and %.1f%% of values:",
            choice->pooled, 100 * choice->lost[0], 100 * choice->lost[1]);
    for (size_t i = 0; i < n; i++)
        fprintf(out, "%s%" PRIu64, i % m == 0 ? " " : "+", choice->heads[i]);
}

static enum gqa_status put_heads(FILE *out, const struct gqa_inspection *in,
                                 size_t index)
{
    const struct gqa_attention *a = &in->model->attentions[index];
    const struct gqa_similar_heads *heads = &in->similarity->attentions[index];
    const struct gqa_compared_heads *c = &heads->alike;
    const struct gqa_sharing_choice *choice = gqa_inspection_drawn(in, index);
    const double least = gqa_similarity_least_kept(in->similarity);
    enum gqa_status st;

    fprintf(out,
            "<figure class=\"heads\"><h3>%s %s-attention, layer %" PRIu64
            "</h3>\n<div class=\"maps\">\n",
            gqa_stack_name(a->stack), gqa_attention_kind_name(a->kind),
            a->layer);
    put_map(out, heads, choice, c->cosine[0], "Keys, cosine", 0);
    put_map(out, heads, choice, c->kept[0], "Keys, energy kept", least);
    put_map(out, heads, choice, c->cosine[1], "Values, cosine", 0);
    put_map(out, heads, choice, c->kept[1], "Values, energy kept", least);
    fputs("</div><figcaption>", out);
    if (choice)
        put_groups(out, choice, c->n);
    fputs("<br/><code>", out);
    st = gqa_markup_put(out, in->model->params[a->k.weight].name);
    fputs("</code></figcaption></figure>\n", out);
    return st;
}

static enum gqa_status put_all_heads(FILE *out, const struct gqa_inspection *in)
{
    enum gqa_status st = GQA_OK;
    char low[32];

    fputs("<h2>How alike heads are</h2>\n<p>Each square compares two heads. "
          "<em>Cosine</em>: of what they are as they stand, which a mean "
          "of heads adds up; 0 and less look the same. <em>Energy kept</em>: "
          "of what "
          "two heads give to scores (keys) and outputs (values), the share "
          "that one head keeps which both share, aligned; unlike heads keep "
          "about half. Heads stand in the order of the groups, which are "
          "framed. Heads are compared ",
          out);
    gqa_report_put_source(out, in);
    fputs(".</p>\n<div class=\"scale\">\n", out);
    put_scale(out, "cosine", "cosine", "0");
    snprintf(low, sizeof low, "%.2g",
             gqa_similarity_least_kept(in->similarity));
    put_scale(out, "kept", "energy kept", low);
    fputs("</div>\n", out);
    for (size_t i = 0; i < in->similarity->n && st == GQA_OK; i++)
        st = put_heads(out, in, i);
    return st;
}

enum gqa_status gqa_page_put(FILE *out, const struct gqa_inspection *in)
{
    enum gqa_status st = put_head(out, in);

    if (st != GQA_OK)
        return st;
    if (in->similarity->unaligned) {
        fputs("<p>What heads lose where they share is not worked out: ", out);
        st = gqa_markup_put(out, in->similarity->unaligned);
        fputs(".</p>\n", out);
    }
    if (in->trade_off)
        put_plan(out, in);
    if (st == GQA_OK && in->trade_off)
        gqa_page_put_exact(out, in);
    fputs("<h2>Attentions</h2>\n", out);
    gqa_page_put_attentions(out, in);
    if (st == GQA_OK)
        st = put_all_heads(out, in);
    fputs("<footer class=\"soft\">Made by gqa-inspect " GQA_VERSION
          ". CKA: linear centred kernel alignment (Kornblith et al., 2019). "
          "Colours: ColorBrewer YlGnBu.</footer>\n</body>\n</html>\n",
          out);
    return st;
}
