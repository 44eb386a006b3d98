/* The table of tensors as stored. */
#include <inttypes.h>
#include <string.h>

#include "common/text.h"
#include "common/units.h"
#include "inspect/report_tables.h"
#include "inspect/table.h"
#include "inspect/tensor_rows.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum tensor_column {
    TENSOR_DTYPE,
    TENSOR_SHAPE,
    TENSOR_COUNT,
    TENSOR_SIZE,
    TENSOR_FILE,
    TENSOR_NAME,
};

static const struct gqa_column tensor_columns[] = {
    [TENSOR_DTYPE] = {"dtype", false}, [TENSOR_SHAPE] = {"shape", false},
    [TENSOR_COUNT] = {"n", true},      [TENSOR_SIZE] = {"size", true},
    [TENSOR_FILE] = {"file", true},    [TENSOR_NAME] = {"name", false},
};

/* How many tensors a row stands for is shown where one stands for several, the
 * file where there are several and every tensor has a row. */
struct tensor_table {
    const struct gqa_inspection *in;
    struct gqa_tensor_rows rows;
    enum tensor_column columns[COUNT(tensor_columns)];
    struct gqa_column shown[COUNT(tensor_columns)];
    size_t n_columns;
};

static void put_shape(FILE *out, const struct gqa_tensor *tensor)
{
    for (unsigned i = 0; i < tensor->rank; i++)
        fprintf(out, "%s%" PRIu64, i == 0 ? "[" : ", ", tensor->shape[i]);
    fputs(tensor->rank == 0 ? "[]" : "]", out);
}

static size_t file_number(const struct gqa_inspection *in, size_t tensor)
{
    const struct gqa_source *source = gqa_inspection_source_of(in, tensor);
    size_t i = 0;

    while (gqa_checkpoint_source(in->checkpoint, i) != source)
        i++;
    return i + 1;
}

static const char *file_name(const struct gqa_source *source)
{
    const char *slash = strrchr(source->path, '/');

    return slash ? slash + 1 : source->path;
}

static void put_tensor_cell(FILE *out, const void *ctx, size_t row,
                            size_t column)
{
    const struct tensor_table *table = ctx;
    const struct gqa_tensor_row *r = &table->rows.items[row];
    const struct gqa_tensor *tensor =
        gqa_checkpoint_tensor(table->in->checkpoint, r->first);

    switch (table->columns[column]) {
    case TENSOR_DTYPE:
        fputs(gqa_dtype_name(tensor->dtype), out);
        break;
    case TENSOR_SHAPE:
        put_shape(out, tensor);
        break;
    case TENSOR_COUNT:
        fprintf(out, "%zu", r->n);
        break;
    case TENSOR_SIZE:
        fputs(gqa_units_bytes((char[GQA_UNITS_MAX]){""}, r->bytes), out);
        break;
    case TENSOR_FILE:
        fprintf(out, "%zu", file_number(table->in, r->first));
        break;
    case TENSOR_NAME:
        gqa_text_put(out, r->name);
        break;
    }
}

static void choose_columns(struct tensor_table *table)
{
    const struct gqa_checkpoint *checkpoint = table->in->checkpoint;
    const bool is_collapsed = table->rows.n < table->in->n_tensors;

    for (size_t i = 0; i < COUNT(tensor_columns); i++) {
        if (i == TENSOR_COUNT && !is_collapsed)
            continue;
        if (i == TENSOR_FILE &&
            (is_collapsed || gqa_checkpoint_n_sources(checkpoint) == 1))
            continue;
        table->shown[table->n_columns] = tensor_columns[i];
        table->columns[table->n_columns++] = (enum tensor_column)i;
    }
}

/* What the numbers in the column of files stand for. */
static void put_files(FILE *out, const struct gqa_checkpoint *checkpoint)
{
    for (size_t i = 0; i < gqa_checkpoint_n_sources(checkpoint); i++) {
        fprintf(out, "%sfile %zu: ", i == 0 ? "\n" : "", i + 1);
        gqa_text_put(out, file_name(gqa_checkpoint_source(checkpoint, i)));
        fputc('\n', out);
    }
}

enum gqa_status gqa_report_tensors(FILE *out, const struct gqa_inspection *in)
{
    struct tensor_table table = {.in = in};
    enum gqa_status st =
        gqa_tensor_rows_create(&table.rows, in->checkpoint, in->show.all);

    if (st == GQA_OK) {
        choose_columns(&table);
        st = gqa_table_print(out, &(const struct gqa_table){
                                      .columns = table.shown,
                                      .n_columns = table.n_columns,
                                      .n_rows = table.rows.n,
                                      .wraps = true,
                                      .cell = put_tensor_cell,
                                      .ctx = &table,
                                  });
    }
    for (size_t i = 0; st == GQA_OK && i < table.n_columns; i++)
        if (table.columns[i] == TENSOR_FILE)
            put_files(out, in->checkpoint);
    gqa_tensor_rows_free(&table.rows);
    return st;
}
