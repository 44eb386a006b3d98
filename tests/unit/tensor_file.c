#include "tensor_file.h"

#include <check.h>
#include <stdio.h>

#include "scratch.h"

void tensor_file_add(struct tensor_file *file, const char *name, size_t rows,
                     size_t cols, const double *values)
{
    const size_t n = rows * (cols ? cols : 1);
    const size_t end = file->n_bytes + n * gqa_dtype_bits(file->dtype) / 8;
    char shape[64];

    ck_assert_uint_le(end, sizeof file->bytes);
    if (cols)
        snprintf(shape, sizeof shape, "%zu,%zu", rows, cols);
    else
        snprintf(shape, sizeof shape, "%zu", rows);
    file->n_header += (size_t)snprintf(
        file->header + file->n_header, sizeof file->header - file->n_header,
        "%c\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
        file->n_header ? ',' : '{', name, gqa_dtype_name(file->dtype), shape,
        file->n_bytes, end);
    ck_assert_uint_lt(file->n_header, sizeof file->header - 1);
    gqa_store_f64(file->bytes + file->n_bytes, file->dtype, values, n);
    file->n_bytes = end;
}

const char *tensor_file_write(struct tensor_file *file, const char *name)
{
    snprintf(file->header + file->n_header,
             sizeof file->header - file->n_header, "}");
    return scratch_write_safetensors(name, file->header, file->bytes,
                                     file->n_bytes);
}
