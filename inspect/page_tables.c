#include "inspect/page_tables.h"

#include <inttypes.h>

#include "common/units.h"
#include "inspect/exact.h"

void gqa_page_put_bytes(FILE *out, uint64_t bytes)
{
    fputs(gqa_units_bytes((char[GQA_UNITS_MAX]){""}, bytes), out);
}

static void put_share(FILE *out, double share, int digits)
{
    fprintf(out, "%.*f%%", digits, 100 * share);
}

/* --- The same number everywhere ------------------------------------------- */

void gqa_page_put_uniform(FILE *out, const struct gqa_trade_off *t)
{
    fputs("<div class=\"wide\"><table><thead><tr><th scope=\"col\">KV heads"
          "</th><th scope=\"col\">bytes of a token</th><th scope=\"col\">of "
          "stored</th><th scope=\"col\">lost</th><th scope=\"col\">lost, each "
          "attention its own</th></tr></thead>\n<tbody>\n",
          out);
    for (size_t i = 0; i < t->n_uniform; i++) {
        const struct gqa_uniform_row *row = &t->uniform[i];

        if (row->pooled)
            fprintf(out, "<tr><th scope=\"row\">%" PRIu64 "</th><td>",
                    row->pooled);
        else
            fputs("<tr><th scope=\"row\">mixed</th><td>", out);
        gqa_page_put_bytes(out, row->at.bytes);
        fputs("</td><td>", out);
        put_share(out, (double)row->at.bytes / (double)t->stored, 1);
        fputs("</td><td>", out);
        put_share(out, row->at.lost, 2);
        fputs("</td><td>", out);
        put_share(out, row->best, 2);
        fputs("</td></tr>\n", out);
    }
    fputs("</tbody></table></div>\n", out);
}

/* --- Each attention ------------------------------------------------------- */

static void put_mean(FILE *out, const double *matrix, size_t n)
{
    fputs("<td>", out);
    if (matrix && n > 1)
        gqa_similarity_put_mean(out, matrix, n);
    else
        fputs("&#8211;", out);
    fputs("</td>", out);
}

/* The place of a model's attention among those of the plan, or n. */
static size_t place_of(const struct gqa_trade_off *t, size_t index)
{
    size_t place = 0;

    while (place < t->n && t->attentions[place] != index)
        place++;
    return place;
}

/* As stored nothing is lost. */
static bool has_column(const struct gqa_trade_off *t, size_t row)
{
    return t->uniform[row].pooled && t->uniform[row].at.bytes < t->stored;
}

/* Losses at the numbers that all may have. */
static void put_losses(FILE *out, const struct gqa_inspection *in, size_t index)
{
    const struct gqa_trade_off *t = in->trade_off;
    const struct gqa_similar_heads *heads = &in->similarity->attentions[index];
    const size_t place = place_of(t, index);
    const uint64_t chosen =
        place < t->n ? gqa_trade_off_pick(t, in->similarity, place)->pooled : 0;

    for (size_t i = 0; i < t->n_uniform; i++) {
        size_t k = 0;

        if (!has_column(t, i))
            continue;
        while (k < heads->n_choices &&
               heads->choices[k].pooled != t->uniform[i].pooled)
            k++;
        if (k == heads->n_choices) {
            fputs("<td>&#8211;</td>", out);
            continue;
        }
        fputs(t->uniform[i].pooled == chosen ? "<td class=\"chosen\">" : "<td>",
              out);
        put_share(out, heads->choices[k].predicted, 1);
        fputs("</td>", out);
    }
    if (chosen)
        fprintf(out, "<td>%" PRIu64 "</td>", chosen);
    else
        fputs("<td>&#8211;</td>", out);
}

static void put_head(FILE *out, const struct gqa_trade_off *t,
                     bool with_weights)
{
    size_t n = 0;

    for (size_t i = 0; t && i < t->n_uniform; i++)
        n += has_column(t, i);
    fputs("<thead><tr><th rowspan=\"2\" scope=\"col\" class=\"name\">attention"
          "</th><th colspan=\"3\" scope=\"colgroup\">keys, mean of pairs</th>"
          "<th colspan=\"3\" scope=\"colgroup\">values, mean of pairs</th>",
          out);
    if (with_weights)
        fputs("<th rowspan=\"2\" scope=\"col\">makes of<br/>the stream</th>",
              out);
    if (n > 0)
        fprintf(out,
                "<th colspan=\"%zu\" scope=\"colgroup\">lost with so many KV "
                "heads</th><th rowspan=\"2\" scope=\"col\">chosen</th>",
                n);
    fputs("</tr>\n<tr>", out);
    for (int i = 0; i < 2; i++)
        fputs("<th scope=\"col\">cosine</th><th scope=\"col\">CKA</th>"
              "<th scope=\"col\">kept</th>",
              out);
    for (size_t i = 0; t && i < t->n_uniform; i++)
        if (has_column(t, i))
            fprintf(out, "<th scope=\"col\">%" PRIu64 "</th>",
                    t->uniform[i].pooled);
    fputs("</tr></thead>\n", out);
}

void gqa_page_put_attentions(FILE *out, const struct gqa_inspection *in)
{
    fputs("<div class=\"wide\"><table class=\"long\">\n", out);
    put_head(out, in->trade_off, in->similarity->n_tokens > 0);
    fputs("<tbody>\n", out);
    for (size_t i = 0; i < in->similarity->n; i++) {
        const struct gqa_attention *a = &in->model->attentions[i];
        const struct gqa_compared_heads *c =
            &in->similarity->attentions[i].alike;

        fprintf(out,
                "<tr><th scope=\"row\" class=\"name\">%s %s %" PRIu64 "</th>",
                gqa_stack_name(a->stack), gqa_attention_kind_name(a->kind),
                a->layer);
        for (int part = 0; part < 2; part++) {
            put_mean(out, c->cosine[part], c->n);
            put_mean(out, c->cka[part], c->n);
            put_mean(out, c->kept[part], c->n);
        }
        if (in->similarity->n_tokens)
            fprintf(out, "<td>%.1f%%</td>",
                    100 * in->similarity->attentions[i].weight);
        if (in->trade_off)
            put_losses(out, in, i);
        fputs("</tr>\n", out);
    }
    fputs("</tbody></table></div>\n", out);
}

/* --- Without loss --------------------------------------------------------- */

void gqa_page_put_exact(FILE *out, const struct gqa_inspection *in)
{
    struct gqa_exact exact[GQA_N_EXACT];
    const size_t n = gqa_exact_find(exact, in->model, in->similarity);

    if (n == 0)
        return;
    fputs("<h2>Without any loss</h2>\n<p>Keys here are not rotated, so a "
          "runtime may keep what they are made of in place of keys and values, "
          "and move their projections to queries and outputs:</p>\n"
          "<div class=\"wide\"><table><thead><tr><th scope=\"col\" "
          "class=\"name\">kept</th><th scope=\"col\">bytes of a token</th>"
          "<th scope=\"col\">K and V</th><th scope=\"col\">multiplications of "
          "attention</th></tr></thead>\n<tbody>\n",
          out);
    for (size_t i = 0; i < n; i++) {
        fprintf(out, "<tr><th scope=\"row\" class=\"name\">%s</th><td>",
                gqa_exact_text(exact[i].kind));
        gqa_page_put_bytes(out, exact[i].bytes);
        fputs("</td><td>", out);
        gqa_page_put_bytes(out, exact[i].stored);
        fprintf(out, "</td><td>&#215; %.4g</td></tr>\n", exact[i].work);
    }
    fputs("</tbody></table></div>\n", out);
}
