/* The table of attentions. */
#include <inttypes.h>

#include "inspect/names.h"
#include "inspect/report_tables.h"
#include "inspect/text.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum attention_column {
    ATTENTION_STACK,
    ATTENTION_KIND,
    ATTENTION_LAYER,
    ATTENTION_N_HEADS,
    ATTENTION_N_KV_HEADS,
    ATTENTION_GROUP_SIZE,
    ATTENTION_HEAD_DIM,
    ATTENTION_LAYOUT,
    ATTENTION_POSITION,
    ATTENTION_BIAS,
    ATTENTION_DTYPE,
    ATTENTION_NAMES,
};

static const struct gqa_column attention_columns[] = {
    [ATTENTION_STACK] = {"stack", false},
    [ATTENTION_KIND] = {"kind", false},
    [ATTENTION_LAYER] = {"layer", true},
    [ATTENTION_N_HEADS] = {"heads", true},
    [ATTENTION_N_KV_HEADS] = {"KV heads", true},
    [ATTENTION_GROUP_SIZE] = {"group", true},
    [ATTENTION_HEAD_DIM] = {"head dim", true},
    [ATTENTION_LAYOUT] = {"heads lie", false},
    [ATTENTION_POSITION] = {"positions", false},
    [ATTENTION_BIAS] = {"bias", false},
    [ATTENTION_DTYPE] = {"dtype", false},
    [ATTENTION_NAMES] = {"tensors", false},
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
                       const struct gqa_slice *const slices[4])
{
    unsigned seen = 0;

    for (unsigned i = 0; i < 4; i++) {
        const enum gqa_dtype dtype = model->params[slices[i]->weight].dtype;

        if (seen & (1U << dtype))
            continue;
        fprintf(out, "%s%s", seen ? "," : "", gqa_dtype_name(dtype));
        seen |= 1U << dtype;
    }
}

static void put_attention_cell(FILE *out, const void *ctx, size_t row,
                               size_t column)
{
    const struct gqa_inspection *in = ctx;
    const struct gqa_model *model = in->model;
    const struct gqa_attention *a = &model->attentions[row];
    const struct gqa_slice *const slices[4] = {&a->q, &a->k, &a->v, &a->o};

    switch ((enum attention_column)column) {
    case ATTENTION_STACK:
        fputs(gqa_stack_name(a->stack), out);
        break;
    case ATTENTION_KIND:
        fputs(gqa_attention_kind_name(a->kind), out);
        break;
    case ATTENTION_LAYER:
        fprintf(out, "%" PRIu64, a->layer);
        break;
    case ATTENTION_N_HEADS:
        fprintf(out, "%" PRIu64, a->n_heads);
        break;
    case ATTENTION_N_KV_HEADS:
        fprintf(out, "%" PRIu64, a->n_kv_heads);
        break;
    case ATTENTION_GROUP_SIZE:
        fprintf(out, "%" PRIu64, a->n_heads / a->n_kv_heads);
        break;
    case ATTENTION_HEAD_DIM:
        fprintf(out, "%" PRIu64, a->head_dim);
        break;
    case ATTENTION_LAYOUT:
        fprintf(out, "%s, %s", gqa_head_layout_name(a->layout),
                gqa_axis_word(&a->k));
        break;
    case ATTENTION_POSITION:
        put_position(out, a);
        break;
    case ATTENTION_BIAS:
        put_bias(out, a, in->output_bias[row]);
        break;
    case ATTENTION_DTYPE:
        put_dtypes(out, model, slices);
        break;
    case ATTENTION_NAMES: {
        const char *names[4];

        for (unsigned i = 0; i < 4; i++)
            names[i] = model->params[slices[i]->weight].name;
        gqa_text_put_names(out, names, 4);
        break;
    }
    }
}

enum gqa_status gqa_report_attentions(FILE *out,
                                      const struct gqa_inspection *in)
{
    return gqa_table_print(out, attention_columns, COUNT(attention_columns),
                           in->model->n_attentions, put_attention_cell, in);
}
