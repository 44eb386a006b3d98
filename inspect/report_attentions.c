/* The table of attentions: a row for layers that are alike. */
#include <inttypes.h>

#include "common/text.h"
#include "inspect/attention_rows.h"
#include "inspect/names.h"
#include "inspect/report_tables.h"
#include "inspect/table.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum attention_column {
    ATTENTION_STACK,
    ATTENTION_KIND,
    ATTENTION_LAYERS,
    ATTENTION_N_HEADS,
    ATTENTION_N_KV_HEADS,
    ATTENTION_HEAD_DIM,
    ATTENTION_POSITION,
    ATTENTION_BIAS,
    ATTENTION_DTYPE,
};

static const struct gqa_column attention_columns[] = {
    [ATTENTION_STACK] = {"stack", false},
    [ATTENTION_KIND] = {"kind", false},
    [ATTENTION_LAYERS] = {"layers", false},
    [ATTENTION_N_HEADS] = {"heads", true},
    [ATTENTION_N_KV_HEADS] = {"KV heads", true},
    [ATTENTION_HEAD_DIM] = {"dim", true},
    [ATTENTION_POSITION] = {"positions", false},
    [ATTENTION_BIAS] = {"bias", false},
    [ATTENTION_DTYPE] = {"dtype", false},
};

static void put_position(FILE *out, const struct gqa_attention *a)
{
    fputs(gqa_position_name(&a->position), out);
    if (a->position.scheme == GQA_POSITION_ROPE &&
        a->position.rotary_dim != a->head_dim)
        fprintf(out, " %" PRIu64 "/%" PRIu64, a->position.rotary_dim,
                a->head_dim);
}

static void put_bias(FILE *out, const struct gqa_attention *a,
                     size_t output_bias)
{
    static const char *const names[4] = {"q", "k", "v", "o"};
    const size_t biases[4] = {a->q.bias, a->k.bias, a->v.bias, output_bias};
    const char *gap = "";

    for (unsigned i = 0; i < 4; i++)
        if (biases[i] != GQA_NO_PARAM) {
            fprintf(out, "%s%s", gap, names[i]);
            gap = ",";
        }
    if (*gap == '\0')
        fputc('-', out);
}

/* The dtypes of the four weights, each once. */
static void put_dtypes(FILE *out, const struct gqa_model *model,
                       const struct gqa_attention *a)
{
    const struct gqa_slice *const slices[4] = {&a->q, &a->k, &a->v, &a->o};
    unsigned seen = 0;

    for (unsigned i = 0; i < 4; i++) {
        const enum gqa_dtype dtype = model->params[slices[i]->weight].dtype;

        if (seen & (1U << dtype))
            continue;
        fprintf(out, "%s%s", seen ? "," : "", gqa_dtype_name(dtype));
        seen |= 1U << dtype;
    }
}

struct attention_table {
    const struct gqa_inspection *in;
    struct gqa_attention_rows rows;
};

static void put_attention_cell(FILE *out, const void *ctx, size_t row,
                               size_t column)
{
    const struct attention_table *table = ctx;
    const struct gqa_attention_row *r = &table->rows.items[row];
    const struct gqa_model *model = table->in->model;
    const struct gqa_attention *a = &model->attentions[r->first];

    switch ((enum attention_column)column) {
    case ATTENTION_STACK:
        fputs(gqa_stack_name(a->stack), out);
        break;
    case ATTENTION_KIND:
        fputs(gqa_attention_kind_name(a->kind), out);
        break;
    case ATTENTION_LAYERS:
        gqa_numbers_put(out, &r->layers);
        break;
    case ATTENTION_N_HEADS:
        fprintf(out, "%" PRIu64, a->n_heads);
        break;
    case ATTENTION_N_KV_HEADS:
        fprintf(out, "%" PRIu64, a->n_kv_heads);
        break;
    case ATTENTION_HEAD_DIM:
        fprintf(out, "%" PRIu64, a->head_dim);
        break;
    case ATTENTION_POSITION:
        put_position(out, a);
        break;
    case ATTENTION_BIAS:
        put_bias(out, a, table->in->output_bias[r->first]);
        break;
    case ATTENTION_DTYPE:
        put_dtypes(out, model, a);
        break;
    }
}

/* How the heads lie, and in which tensors. */
static void put_attention_note(FILE *out, const void *ctx, size_t row)
{
    const struct attention_table *table = ctx;
    const struct gqa_attention_row *r = &table->rows.items[row];
    const struct gqa_attention *a = &table->in->model->attentions[r->first];

    fprintf(out, "%s, %s: ", gqa_head_layout_name(a->layout),
            gqa_axis_word(&a->k));
    gqa_attention_row_put_names(out, r);
}

enum gqa_status gqa_report_attentions(FILE *out,
                                      const struct gqa_inspection *in)
{
    struct attention_table table = {.in = in};
    enum gqa_status st = gqa_attention_rows_create(&table.rows, in);

    if (st == GQA_OK)
        st = gqa_table_print(out, &(const struct gqa_table){
                                      .columns = attention_columns,
                                      .n_columns = COUNT(attention_columns),
                                      .n_rows = table.rows.n,
                                      .cell = put_attention_cell,
                                      .note = put_attention_note,
                                      .ctx = &table,
                                  });
    gqa_attention_rows_free(&table.rows);
    return st;
}
