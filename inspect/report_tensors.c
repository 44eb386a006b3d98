/* The table of tensors as stored. */
#include <inttypes.h>
#include <string.h>

#include "common/units.h"
#include "inspect/report_tables.h"
#include "inspect/text.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum tensor_column {
    TENSOR_DTYPE,
    TENSOR_SHAPE,
    TENSOR_SIZE,
    TENSOR_BYTES,
    TENSOR_NAME,
    TENSOR_FILE,
};

static const struct gqa_column tensor_columns[] = {
    [TENSOR_DTYPE] = {"dtype", false}, [TENSOR_SHAPE] = {"shape", false},
    [TENSOR_SIZE] = {"size", true},    [TENSOR_BYTES] = {"bytes", true},
    [TENSOR_NAME] = {"name", false},   [TENSOR_FILE] = {"file", false},
};

static void put_shape(FILE *out, const struct gqa_tensor *tensor)
{
    for (unsigned i = 0; i < tensor->rank; i++)
        fprintf(out, "%s%" PRIu64, i == 0 ? "[" : ", ", tensor->shape[i]);
    fputs(tensor->rank == 0 ? "[]" : "]", out);
}

static const char *file_name(const struct gqa_source *source)
{
    const char *slash = strrchr(source->path, '/');

    return slash ? slash + 1 : source->path;
}

static void put_tensor_cell(FILE *out, const void *ctx, size_t row,
                            size_t column)
{
    const struct gqa_inspection *in = ctx;
    const struct gqa_tensor *tensor =
        gqa_checkpoint_tensor(in->checkpoint, row);

    switch ((enum tensor_column)column) {
    case TENSOR_DTYPE:
        fputs(gqa_dtype_name(tensor->dtype), out);
        break;
    case TENSOR_SHAPE:
        put_shape(out, tensor);
        break;
    case TENSOR_SIZE:
        fputs(gqa_units_bytes((char[GQA_UNITS_MAX]){""}, tensor->n_bytes), out);
        break;
    case TENSOR_BYTES:
        fprintf(out, "%" PRIu64, tensor->n_bytes);
        break;
    case TENSOR_NAME:
        gqa_text_put(out, tensor->name);
        break;
    case TENSOR_FILE:
        gqa_text_put(out, file_name(gqa_inspection_source_of(in, row)));
        break;
    }
}

enum gqa_status gqa_report_tensors(FILE *out, const struct gqa_inspection *in)
{
    return gqa_table_print(out, tensor_columns, COUNT(tensor_columns),
                           gqa_checkpoint_n_tensors(in->checkpoint),
                           put_tensor_cell, in);
}
