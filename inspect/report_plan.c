/* KV bytes against predicted loss, and the best choice. */
#include <inttypes.h>

#include "common/units.h"
#include "inspect/exact.h"
#include "inspect/layer_groups.h"
#include "inspect/report_tables.h"
#include "inspect/table.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void put_bytes(FILE *out, uint64_t bytes)
{
    fputs(gqa_units_bytes((char[GQA_UNITS_MAX]){""}, bytes), out);
}

static double share(uint64_t bytes, uint64_t of)
{
    return of ? 100 * (double)bytes / (double)of : 0;
}

/* --- All with the same number --------------------------------------------- */

enum uniform_column { HEADS, BYTES, OF_STORED, LOST, BEST };

static const struct gqa_column uniform_columns[] = {
    [HEADS] = {"KV heads", true},      [BYTES] = {"each token", true},
    [OF_STORED] = {"of stored", true}, [LOST] = {"lost", true},
    [BEST] = {"each its own", true},
};

static void put_uniform_cell(FILE *out, const void *ctx, size_t row,
                             size_t column)
{
    const struct gqa_trade_off *t = ctx;
    const struct gqa_uniform_row *r = &t->uniform[row];

    switch ((enum uniform_column)column) {
    case HEADS:
        if (r->pooled)
            fprintf(out, "%" PRIu64, r->pooled);
        else
            fputs("mixed", out);
        break;
    case BYTES:
        put_bytes(out, r->at.bytes);
        break;
    case OF_STORED:
        fprintf(out, "%.1f%%", share(r->at.bytes, t->stored));
        break;
    case LOST:
        fprintf(out, "%.2f%%", 100 * r->at.lost);
        break;
    case BEST:
        fprintf(out, "%.2f%%", 100 * r->best);
        break;
    }
}

/* --- Each with its own ---------------------------------------------------- */

/* Columns before those of losses, and the most of these. */
enum { STACK, KIND, LAYER, WEIGHT, CHOSEN, N_FIXED, MAX_LOSSES = 5 };

struct choice_table {
    const struct gqa_inspection *in;
    uint64_t pooled[MAX_LOSSES];
    char titles[MAX_LOSSES][24];
    struct gqa_column columns[N_FIXED + MAX_LOSSES];
    size_t n_losses;
};

static const struct gqa_sharing_choice *find_choice(
    const struct gqa_similar_heads *heads, uint64_t pooled)
{
    for (size_t i = 0; i < heads->n_choices; i++)
        if (heads->choices[i].pooled == pooled)
            return &heads->choices[i];
    return NULL;
}

static void put_choice_cell(FILE *out, const void *ctx, size_t row,
                            size_t column)
{
    const struct choice_table *table = ctx;
    const struct gqa_trade_off *t = table->in->trade_off;
    const size_t index = t->attentions[row];
    const struct gqa_attention *a = &table->in->model->attentions[index];
    const struct gqa_sharing_choice *choice;

    switch (column) {
    case STACK:
        fputs(gqa_stack_name(a->stack), out);
        break;
    case KIND:
        fputs(gqa_attention_kind_name(a->kind), out);
        break;
    case LAYER:
        fprintf(out, "%" PRIu64, a->layer);
        break;
    case WEIGHT:
        if (table->in->similarity->n_tokens)
            fprintf(out, "%.1f%%",
                    100 * table->in->similarity->attentions[index].weight);
        else
            fputc('-', out);
        break;
    case CHOSEN:
        fprintf(out, "%" PRIu64,
                gqa_trade_off_pick(t, table->in->similarity, row)->pooled);
        break;
    default:
        choice = find_choice(&table->in->similarity->attentions[index],
                             table->pooled[column - N_FIXED]);
        if (choice)
            fprintf(out, "%.1f%%", 100 * choice->predicted);
        else
            fputc('-', out);
        break;
    }
}

/* Losses for numbers that all may have, the fewest heads last. */
static enum gqa_status put_choices(FILE *out, const struct gqa_inspection *in)
{
    static const struct gqa_column fixed[N_FIXED] = {
        [STACK] = {"stack", false},    [KIND] = {"kind", false},
        [LAYER] = {"layer", true},     [WEIGHT] = {"makes", true},
        [CHOSEN] = {"KV heads", true},
    };
    const struct gqa_trade_off *t = in->trade_off;
    struct choice_table table = {.in = in};
    const size_t first = t->n_uniform > MAX_LOSSES
                             ? t->n_uniform - MAX_LOSSES
                             : t->uniform[0].at.bytes == t->stored;

    for (size_t i = 0; i < N_FIXED; i++)
        table.columns[i] = fixed[i];
    for (size_t i = first; i < t->n_uniform; i++) {
        const size_t k = table.n_losses++;

        table.pooled[k] = t->uniform[i].pooled;
        snprintf(table.titles[k], sizeof table.titles[k], "lost at %" PRIu64,
                 table.pooled[k]);
        table.columns[N_FIXED + k] = (struct gqa_column){table.titles[k], true};
    }
    return gqa_table_print(out, &(const struct gqa_table){
                                    .columns = table.columns,
                                    .n_columns = N_FIXED + table.n_losses,
                                    .n_rows = t->n,
                                    .cell = put_choice_cell,
                                    .ctx = &table,
                                });
}

static void put_command(FILE *out, const struct gqa_inspection *in,
                        enum gqa_attention_kind kind, const char *only)
{
    if (!gqa_layer_groups_has(in, kind))
        return;
    fprintf(out, "  gqa-convert --method=aligned %s--layer-groups ", only);
    gqa_layer_groups_put(out, in, kind);
    fputc('\n', out);
}

static void put_commands(FILE *out, const struct gqa_inspection *in)
{
    const bool cross = gqa_layer_groups_has(in, GQA_ATTENTION_CROSS);

    put_command(out, in, GQA_ATTENTION_SELF,
                cross ? "--attention decoder-self " : "");
    put_command(out, in, GQA_ATTENTION_CROSS, "--attention decoder-cross ");
}

/* --- Without loss --------------------------------------------------------- */

static void put_exact(FILE *out, const struct gqa_inspection *in)
{
    struct gqa_exact exact[GQA_N_EXACT];
    const size_t n = gqa_exact_find(exact, in->model, in->similarity);

    if (n > 0)
        fputs("\nWithout any loss, in a runtime that can keep it in place of "
              "keys and values:\n",
              out);
    for (size_t i = 0; i < n; i++) {
        fprintf(out, "  %s:\n    ", gqa_exact_text(exact[i].kind));
        put_bytes(out, exact[i].bytes);
        fputs(" for each token, not ", out);
        put_bytes(out, exact[i].stored);
        fprintf(out, "; %.4g times attention's multiplications\n",
                exact[i].work);
    }
}

enum gqa_status gqa_report_plan(FILE *out, const struct gqa_inspection *in)
{
    const struct gqa_trade_off *t = in->trade_off;
    enum gqa_status st;

    fputs("KV cache and predicted loss, ", out);
    gqa_report_put_source(out, in);
    fputs(":\nwhat an aligned conversion loses of the energy of scores and "
          "outputs.\n",
          out);
    fputs(
        in->similarity->n_tokens
            ? "Each attention counts by the share of the residual stream that "
              "it makes.\n"
            : "All attentions that keep a cache count alike; with --calibrate "
              "by what they make.\n",
        out);
    if (gqa_layer_groups_has(in, GQA_ATTENTION_CROSS))
        fputs("Bytes are of a generated token and of a token of the source.\n",
              out);
    fputc('\n', out);
    st = gqa_table_print(out, &(const struct gqa_table){
                                  .columns = uniform_columns,
                                  .n_columns = COUNT(uniform_columns),
                                  .n_rows = t->n_uniform,
                                  .cell = put_uniform_cell,
                                  .ctx = t,
                              });
    if (st != GQA_OK)
        return st;
    fprintf(out, "\nThe best for a budget of %.4g%%: ", 100 * t->budget);
    put_bytes(out, t->chosen.bytes);
    fprintf(out, " for each token (%.1f%%), lost %.2f%%\n\n",
            share(t->chosen.bytes, t->stored), 100 * t->chosen.lost);
    if ((st = put_choices(out, in)) != GQA_OK)
        return st;
    fputc('\n', out);
    put_commands(out, in);
    put_exact(out, in);
    return GQA_OK;
}
