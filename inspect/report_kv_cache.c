/* The table of KV-cache sizes. */
#include <inttypes.h>

#include "common/units.h"
#include "inspect/report_tables.h"
#include "inspect/table.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum kv_column {
    KV_HEADS,
    KV_SELF,
    KV_CROSS,
    KV_TOTAL,
    KV_SHARE,
    KV_NOTE,
};

static const struct gqa_column kv_columns[] = {
    [KV_HEADS] = {"KV heads", true},     [KV_SELF] = {"per token", true},
    [KV_CROSS] = {"source token", true}, [KV_TOTAL] = {"in all", true},
    [KV_SHARE] = {"of MHA", true},       [KV_NOTE] = {"", false},
};

/* A decoder-only model has no column for cross-attention. */
struct kv_table {
    const struct gqa_kv_plan *plan;
    enum kv_column columns[COUNT(kv_columns)];
    size_t n_columns;
};

static void put_kv_note(FILE *out, const struct gqa_kv_row *row)
{
    const char *name = row->is_mha            ? "multi-head"
                       : row->n_kv_heads == 1 ? "multi-query"
                                              : "";

    fputs(name, out);
    if (row->is_stored)
        fprintf(out, "%sas stored", *name ? ", " : "");
}

static void put_kv_cell(FILE *out, const void *ctx, size_t row, size_t column)
{
    const struct kv_table *table = ctx;
    const struct gqa_kv_row *r = &table->plan->rows[row];

    switch (table->columns[column]) {
    case KV_HEADS:
        if (r->n_kv_heads == 0)
            fputs("mixed", out);
        else
            fprintf(out, "%" PRIu64, r->n_kv_heads);
        break;
    case KV_SELF:
        fputs(gqa_units_bytes((char[GQA_UNITS_MAX]){""}, r->per_token.self),
              out);
        break;
    case KV_CROSS:
        fputs(gqa_units_bytes((char[GQA_UNITS_MAX]){""}, r->per_token.cross),
              out);
        break;
    case KV_TOTAL:
        fputs(gqa_units_bytes((char[GQA_UNITS_MAX]){""}, r->total_bytes), out);
        break;
    case KV_SHARE:
        fprintf(out, "%.1f %%",
                100 * (double)r->total_bytes /
                    (double)table->plan->rows[0].total_bytes);
        break;
    case KV_NOTE:
        put_kv_note(out, r);
        break;
    }
}

/* The dtype that bytes were counted in, or NULL where several were. */
static const char *cache_dtype(const struct gqa_model *model)
{
    const struct gqa_param *first = NULL;

    for (size_t i = 0; i < model->n_attentions; i++) {
        const struct gqa_attention *a = &model->attentions[i];
        const size_t weights[2] = {a->k.weight, a->v.weight};

        for (unsigned j = 0; j < 2 && gqa_kv_is_cached(a); j++) {
            if (!first)
                first = &model->params[weights[j]];
            if (model->params[weights[j]].dtype != first->dtype)
                return NULL;
        }
    }
    return first ? gqa_dtype_name(first->dtype) : NULL;
}

static void put_kv_head_line(FILE *out, const struct gqa_inspection *in,
                             bool cross)
{
    static const char *const origins[] = {
        [GQA_CONTEXT_OPTION] = "",
        [GQA_CONTEXT_CONFIG] = " (the configuration's longest)",
        [GQA_CONTEXT_DEFAULT] = " (the default)",
    };
    const struct gqa_kv_plan *plan = in->kv_plan;
    const char *dtype = cache_dtype(in->model);

    fprintf(out, "KV cache: context %" PRIu64 "%s, batch %" PRIu64 ", %s\n",
            plan->context, origins[in->context_origin], plan->batch,
            dtype ? dtype : "each attention in its own dtype");
    if (cross)
        fputs("Cross-attention caches the source, taken to be as long as the "
              "context.\n",
              out);
    fputc('\n', out);
}

enum gqa_status gqa_report_kv_plan(FILE *out, const struct gqa_inspection *in)
{
    const bool cross = in->kv_plan->rows[0].per_token.cross > 0;
    struct gqa_column columns[COUNT(kv_columns)];
    struct kv_table table = {.plan = in->kv_plan};

    for (size_t i = 0; i < COUNT(kv_columns); i++) {
        if (i == KV_CROSS && !cross)
            continue;
        columns[table.n_columns] = kv_columns[i];
        table.columns[table.n_columns++] = (enum kv_column)i;
    }
    put_kv_head_line(out, in, cross);
    return gqa_table_print(out, &(const struct gqa_table){
                                    .columns = columns,
                                    .n_columns = table.n_columns,
                                    .n_rows = in->kv_plan->n_rows,
                                    .cell = put_kv_cell,
                                    .ctx = &table,
                                });
}
