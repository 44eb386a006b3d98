#include "inspect/attention_rows.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory_stream.h"
#include "common/text.h"

enum {
    /* Patterns of layers repeat soon: rows that are looked back at. */
    LOOK_BACK = 8,
    MAX_LAYERS_WIDTH = 11, /* of a cell, so that lines fit */
};

static enum gqa_status make_names(char **out, struct gqa_memory_stream *memory,
                                  const struct gqa_model *model,
                                  const struct gqa_attention *a)
{
    const struct gqa_slice *const slices[4] = {&a->q, &a->k, &a->v, &a->o};
    const char *names[4];
    enum gqa_status st;

    for (unsigned i = 0; i < 4; i++)
        names[i] = model->params[slices[i]->weight].name;
    gqa_memory_stream_rewind(memory);
    gqa_text_put_names(memory->out, names, 4);
    if ((st = gqa_memory_stream_flush(memory)) != GQA_OK)
        return st;
    *out = strdup(memory->text);
    return *out ? GQA_OK : gqa_fail_nomem();
}

/* Where the layer's number is in the names. */
static void find_layer(struct gqa_attention_row *row, uint64_t layer)
{
    uint64_t value;
    size_t from = 0;

    while (gqa_name_next_number(row->names, from, &row->at, &row->digits,
                                &value)) {
        if (value == layer)
            return;
        from = row->at + row->digits;
    }
    row->digits = 0;
}

static bool are_named_alike(const struct gqa_attention_row *a,
                            const struct gqa_attention_row *b)
{
    return a->digits > 0 && b->digits > 0 && a->at == b->at &&
           memcmp(a->names, b->names, a->at) == 0 &&
           strcmp(a->names + a->at + a->digits, b->names + b->at + b->digits) ==
               0;
}

static bool are_stored_alike(const struct gqa_model *model,
                             const struct gqa_slice *a,
                             const struct gqa_slice *b)
{
    return a->axis == b->axis &&
           model->params[a->weight].dtype == model->params[b->weight].dtype &&
           (a->bias == GQA_NO_PARAM) == (b->bias == GQA_NO_PARAM);
}

/* Whether all that a row shows is the same, but for the layer. */
static bool are_alike(const struct gqa_inspection *in,
                      const struct gqa_attention_row *row,
                      const struct gqa_attention_row *other)
{
    const struct gqa_model *model = in->model;
    const struct gqa_attention *a = &model->attentions[row->first];
    const struct gqa_attention *b = &model->attentions[other->first];

    return a->stack == b->stack && a->kind == b->kind &&
           a->n_heads == b->n_heads && a->n_kv_heads == b->n_kv_heads &&
           a->head_dim == b->head_dim && a->layout == b->layout &&
           a->position.scheme == b->position.scheme &&
           a->position.rotary_dim == b->position.rotary_dim &&
           are_stored_alike(model, &a->q, &b->q) &&
           are_stored_alike(model, &a->k, &b->k) &&
           are_stored_alike(model, &a->v, &b->v) &&
           are_stored_alike(model, &a->o, &b->o) &&
           (in->output_bias[row->first] == GQA_NO_PARAM) ==
               (in->output_bias[other->first] == GQA_NO_PARAM) &&
           are_named_alike(row, other);
}

static void clear_row(struct gqa_attention_row *row)
{
    gqa_numbers_free(&row->layers);
    free(row->names);
}

/* The row that an attention may join: one that is like it, and does not become
 * too wide; NULL: none. */
static struct gqa_attention_row *find_row(struct gqa_attention_rows *rows,
                                          const struct gqa_inspection *in,
                                          const struct gqa_attention_row *like)
{
    for (size_t i = 0; i < LOOK_BACK && i < rows->n; i++) {
        struct gqa_attention_row *row = &rows->items[rows->n - 1 - i];

        if (are_alike(in, row, like))
            return gqa_numbers_width(&row->layers) < MAX_LAYERS_WIDTH ? row
                                                                      : NULL;
    }
    return NULL;
}

static enum gqa_status add(struct gqa_attention_rows *rows,
                           const struct gqa_inspection *in, size_t attention,
                           struct gqa_memory_stream *memory)
{
    const struct gqa_attention *a = &in->model->attentions[attention];
    struct gqa_attention_row added = {.first = attention, .n = 1};
    struct gqa_attention_row *row;
    enum gqa_status st = make_names(&added.names, memory, in->model, a);

    if (st != GQA_OK)
        return st;
    find_layer(&added, a->layer);
    row = in->show.all ? NULL : find_row(rows, in, &added);
    if (row) {
        clear_row(&added);
        row->n++;
        return gqa_numbers_add(&row->layers, a->layer);
    }
    st = gqa_numbers_add(&added.layers, a->layer);
    rows->items[rows->n++] = added;
    return st;
}

enum gqa_status gqa_attention_rows_create(struct gqa_attention_rows *out,
                                          const struct gqa_inspection *in)
{
    struct gqa_memory_stream memory;
    enum gqa_status st;

    *out = (struct gqa_attention_rows){0};
    if ((st = gqa_memory_stream_open(&memory)) != GQA_OK)
        return st;
    /* One more: malloc(0) may give NULL. */
    out->items = calloc(in->model->n_attentions + 1, sizeof *out->items);
    if (!out->items)
        st = gqa_fail_nomem();
    for (size_t i = 0; i < in->model->n_attentions && st == GQA_OK; i++)
        st = add(out, in, i, &memory);
    gqa_memory_stream_free(&memory);
    return st;
}

void gqa_attention_rows_free(struct gqa_attention_rows *rows)
{
    for (size_t i = 0; i < rows->n; i++)
        clear_row(&rows->items[i]);
    free(rows->items);
    *rows = (struct gqa_attention_rows){0};
}

void gqa_attention_row_put_names(FILE *out, const struct gqa_attention_row *row)
{
    if (row->n == 1) {
        fputs(row->names, out);
        return;
    }
    fprintf(out, "%.*s", (int)row->at, row->names);
    gqa_numbers_put(out, &row->layers);
    fputs(row->names + row->at + row->digits, out);
}
