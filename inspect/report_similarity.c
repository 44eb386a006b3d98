/* How alike heads are, and which would share. */
#include <inttypes.h>

#include "inspect/report_tables.h"
#include "inspect/table.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum column {
    STACK,
    KIND,
    LAYER,
    K_COSINE,
    K_CKA,
    K_KEPT,
    V_COSINE,
    V_CKA,
    V_KEPT,
    SHARED,
    LOST,
};

static const struct gqa_column columns[] = {
    [STACK] = {"stack", false},   [KIND] = {"kind", false},
    [LAYER] = {"layer", true},    [K_COSINE] = {"K cos", true},
    [K_CKA] = {"K CKA", true},    [K_KEPT] = {"K kept", true},
    [V_COSINE] = {"V cos", true}, [V_CKA] = {"V CKA", true},
    [V_KEPT] = {"V kept", true},  [SHARED] = {"to", true},
    [LOST] = {"lost", true},
};

static const struct gqa_sharing_choice *shown(
    const struct gqa_similar_heads *heads)
{
    return heads->n_choices ? &heads->choices[heads->shown] : NULL;
}

static void put_mean(FILE *out, const double *matrix, size_t n)
{
    if (matrix && n > 1)
        gqa_similarity_put_mean(out, matrix, n);
    else
        fputc('-', out);
}

static void put_cell(FILE *out, const void *ctx, size_t row, size_t column)
{
    const struct gqa_inspection *in = ctx;
    const struct gqa_attention *a = &in->model->attentions[row];
    const struct gqa_similar_heads *heads = &in->similarity->attentions[row];
    const struct gqa_compared_heads *c = &heads->alike;
    const struct gqa_sharing_choice *choice = shown(heads);

    switch ((enum column)column) {
    case STACK:
        fputs(gqa_stack_name(a->stack), out);
        break;
    case KIND:
        fputs(gqa_attention_kind_name(a->kind), out);
        break;
    case LAYER:
        fprintf(out, "%" PRIu64, a->layer);
        break;
    case K_COSINE:
        put_mean(out, c->cosine[0], c->n);
        break;
    case K_CKA:
        put_mean(out, c->cka[0], c->n);
        break;
    case K_KEPT:
        put_mean(out, c->kept[0], c->n);
        break;
    case V_COSINE:
        put_mean(out, c->cosine[1], c->n);
        break;
    case V_CKA:
        put_mean(out, c->cka[1], c->n);
        break;
    case V_KEPT:
        put_mean(out, c->kept[1], c->n);
        break;
    case SHARED:
        if (choice)
            fprintf(out, "%" PRIu64, choice->pooled);
        else
            fputc('-', out);
        break;
    case LOST:
        if (choice)
            fprintf(out, "%.1f%%", 100 * choice->predicted);
        else
            fputc('-', out);
        break;
    }
}

/* "0,5 1,2 3,4": heads that share. */
static void put_groups(FILE *out, const void *ctx, size_t row)
{
    const struct gqa_inspection *in = ctx;
    const struct gqa_similar_heads *heads = &in->similarity->attentions[row];
    const struct gqa_sharing_choice *choice = shown(heads);
    const size_t n = heads->alike.n;

    if (!choice || choice->pooled == n)
        fputs("none share", out);
    for (size_t i = 0; choice && choice->pooled < n && i < n; i++)
        fprintf(out, "%s%" PRIu64,
                i == 0                                  ? ""
                : i % (n / (size_t)choice->pooled) == 0 ? " "
                                                        : ",",
                choice->heads[i]);
}

void gqa_report_put_source(FILE *out, const struct gqa_inspection *in)
{
    if (in->similarity->n_tokens)
        fprintf(out, "by %" PRIu64 " tokens", in->similarity->n_tokens);
    else
        fputs("by their weights", out);
}

enum gqa_status gqa_report_similarity(FILE *out,
                                      const struct gqa_inspection *in)
{
    fputs("How alike KV heads are, ", out);
    gqa_report_put_source(out, in);
    fputs(": means over pairs of heads.\n"
          "cos, CKA: as they stand. kept: of the energy of scores (K) and "
          "outputs (V) of\n"
          "two heads, what one keeps that both share. lost: of all of it, with "
          "so many KV\n"
          "heads, which share as below.\n\n",
          out);
    return gqa_table_print(out, &(const struct gqa_table){
                                    .columns = columns,
                                    .n_columns = COUNT(columns),
                                    .n_rows = in->similarity->n,
                                    .cell = put_cell,
                                    .note = put_groups,
                                    .ctx = in,
                                });
}
