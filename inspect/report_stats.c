/* The table of statistics, and the norms of heads. */
#include <inttypes.h>

#include "common/text.h"
#include "inspect/report_tables.h"
#include "inspect/table.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum stats_column {
    STATS_DTYPE,
    STATS_NAN,
    STATS_INF,
    STATS_MIN,
    STATS_MAX,
    STATS_NAME,
};

static const struct gqa_column stats_columns[] = {
    [STATS_DTYPE] = {"dtype", false}, [STATS_NAN] = {"NaN", true},
    [STATS_INF] = {"Inf", true},      [STATS_MIN] = {"min", true},
    [STATS_MAX] = {"max", true},      [STATS_NAME] = {"name", false},
};

static void put_range_end(FILE *out, const struct gqa_tensor_stats *stats,
                          double value)
{
    if (stats->n_finite == 0)
        fputc('-', out);
    else
        fprintf(out, "%.6g", value);
}

static void put_count(FILE *out, const struct gqa_tensor_stats *stats,
                      uint64_t n)
{
    if (stats->is_float)
        fprintf(out, "%" PRIu64, n);
    else
        fputc('-', out);
}

static void put_stats_cell(FILE *out, const void *ctx, size_t row,
                           size_t column)
{
    const struct gqa_inspection *in = ctx;
    const size_t index = in->tensors[row];
    const struct gqa_tensor *tensor =
        gqa_checkpoint_tensor(in->checkpoint, index);
    const struct gqa_tensor_stats *stats = &in->stats->tensors[index];

    switch ((enum stats_column)column) {
    case STATS_DTYPE:
        fputs(gqa_dtype_name(tensor->dtype), out);
        break;
    case STATS_NAN:
        put_count(out, stats, stats->n_nan);
        break;
    case STATS_INF:
        put_count(out, stats, stats->n_inf);
        break;
    case STATS_MIN:
        put_range_end(out, stats, stats->min);
        break;
    case STATS_MAX:
        put_range_end(out, stats, stats->max);
        break;
    case STATS_NAME:
        gqa_text_put(out, tensor->name);
        break;
    }
}

/* Norms of one attention's K or V heads, four to a line. */
static void put_norms(FILE *out, const struct gqa_attention *a, bool is_key,
                      const double *norms)
{
    enum { PER_LINE = 4 };

    for (uint64_t h = 0; h < a->n_kv_heads; h++) {
        if (h % PER_LINE == 0) {
            fputs(h == 0 ? "" : "\n", out);
            if (h == 0 && is_key)
                fprintf(out, "%-7s  %-5s  %5" PRIu64, gqa_stack_name(a->stack),
                        gqa_attention_kind_name(a->kind), a->layer);
            else
                fprintf(out, "%21s", "");
            fprintf(out, "  %-5s  %4" PRIu64 " ",
                    h > 0    ? ""
                    : is_key ? "key"
                             : "value",
                    h);
        }
        fprintf(out, " %9.4g", norms[h]);
    }
    fputc('\n', out);
}

enum gqa_status gqa_report_stats(FILE *out, const struct gqa_inspection *in)
{
    const struct gqa_stats *stats = in->stats;
    enum gqa_status st =
        gqa_table_print(out, &(const struct gqa_table){
                                 .columns = stats_columns,
                                 .n_columns = COUNT(stats_columns),
                                 .n_rows = in->n_tensors,
                                 .wraps = true,
                                 .cell = put_stats_cell,
                                 .ctx = in,
                             });

    if (st != GQA_OK || !in->model)
        return st;
    fputs("\n"
          "stack    kind   layer  of     head  L2 norm of this head and the "
          "next\n",
          out);
    for (size_t i = 0; i < stats->n_attentions; i++) {
        const struct gqa_attention *a = &in->model->attentions[i];

        if (stats->heads[i].k)
            put_norms(out, a, true, stats->heads[i].k);
        if (stats->heads[i].v)
            put_norms(out, a, false, stats->heads[i].v);
    }
    return GQA_OK;
}
