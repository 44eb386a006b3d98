#include "formats/hdf5/table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/checked.h"

enum {
    MAX_DEFLATION = 1032, /* how far deflate can shrink bytes */
};

static bool has_filter(const struct gqa_h5_dataset *d, enum gqa_h5_filter_id id)
{
    for (unsigned i = 0; i < d->n_filters; i++)
        if (d->filters[i].id == id)
            return true;
    return false;
}

static enum gqa_status check_chunk_bytes(const struct gqa_h5_dataset *d,
                                         uint64_t bytes, uint64_t file_bytes)
{
    if (bytes > UINT32_MAX)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: chunks of %" PRIu64 " bytes, more than HDF5 "
                        "allows",
                        d->path, bytes);
    /* A chunk that goes through no filter need not be in memory. */
    if (bytes <= GQA_H5_MAX_CHUNK_BYTES ||
        (d->n_filters == 0 && !d->big_endian))
        return GQA_OK;
    if (!has_filter(d, GQA_H5_ZSTD) && bytes / MAX_DEFLATION > file_bytes)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: declares chunks of %" PRIu64 " bytes, which a "
                        "file of %" PRIu64 " cannot hold",
                        d->path, bytes, file_bytes);
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "%s: chunks of %" PRIu64 " bytes, more than the %d that "
                    "are read at once; rewrite the file with smaller ones or "
                    "none: h5repack -l CONTI in.h5 out.h5",
                    d->path, bytes, GQA_H5_MAX_CHUNK_BYTES);
}

static enum gqa_status check_chunks(struct gqa_h5_dataset *d,
                                    uint64_t file_bytes)
{
    uint64_t bytes = gqa_dtype_bits(d->dtype) / 8, n = 1;

    if (d->rank == 0)
        return gqa_fail(GQA_ERR_FORMAT, "%s: chunks of a scalar", d->path);
    for (unsigned i = 0; i < d->rank; i++) {
        if (d->chunk[i] == 0)
            return gqa_fail(GQA_ERR_FORMAT, "%s: chunks without elements",
                            d->path);
        d->grid[i] =
            d->shape[i] / d->chunk[i] + (d->shape[i] % d->chunk[i] != 0);
        if (!gqa_mul_u64(bytes, d->chunk[i], &bytes))
            return gqa_fail(GQA_ERR_FORMAT, "%s: the bytes of a chunk overflow",
                            d->path);
        if (!gqa_mul_u64(n, d->grid[i], &n) || n > GQA_H5_MAX_CHUNKS)
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "%s: more than %d chunks; rewrite the file with "
                            "larger ones: h5repack -l CONTI in.h5 out.h5",
                            d->path, GQA_H5_MAX_CHUNKS);
    }
    d->chunk_bytes = bytes;
    d->n_chunks = n;
    if (d->n_written > n)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: its index has %" PRIu64 " chunks, its shape "
                        "%" PRIu64,
                        d->path, d->n_written, n);
    return check_chunk_bytes(d, bytes, file_bytes);
}

uint64_t gqa_h5_n_parts(const struct gqa_h5_dataset *dataset)
{
    if (dataset->layout == GQA_H5_CHUNKED)
        return dataset->n_chunks;
    return dataset->n_bytes > 0;
}

uint64_t gqa_h5_n_unwritten(const struct gqa_h5_dataset *dataset)
{
    switch (dataset->layout) {
    case GQA_H5_CHUNKED:
        return dataset->n_chunks - dataset->n_written;
    case GQA_H5_ABSENT:
        return dataset->n_bytes > 0;
    case GQA_H5_CONTIGUOUS:
        break;
    }
    return 0;
}

enum gqa_status gqa_h5_dataset_measure(struct gqa_h5_dataset *d)
{
    d->n_elements = 1;
    for (unsigned i = 0; i < d->rank; i++)
        if (!gqa_mul_u64(d->n_elements, d->shape[i], &d->n_elements))
            return gqa_fail(GQA_ERR_FORMAT,
                            "%s: the declared shape overflows 64 bits",
                            d->path);
    if (!gqa_mul_u64(d->n_elements, gqa_dtype_bits(d->dtype) / 8,
                     &d->n_bytes) ||
        d->n_bytes > INT64_MAX)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: the declared shape overflows 64 bits", d->path);
    return GQA_OK;
}

enum gqa_status gqa_h5_dataset_check(struct gqa_h5_dataset *d,
                                     uint64_t file_bytes)
{
    const enum gqa_status st = gqa_h5_dataset_measure(d);
    uint64_t end;

    if (st != GQA_OK)
        return st;
    if (d->layout == GQA_H5_CHUNKED)
        return check_chunks(d, file_bytes);
    if (d->layout == GQA_H5_CONTIGUOUS &&
        (!gqa_add_u64(d->offset, d->n_bytes, &end) || end > file_bytes))
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: %" PRIu64 " bytes at %" PRIu64
                        " pass the end of the file (%" PRIu64 " bytes)",
                        d->path, d->n_bytes, d->offset, file_bytes);
    return GQA_OK;
}

void gqa_h5_dataset_clear(struct gqa_h5_dataset *dataset)
{
    free(dataset->path);
}

void gqa_h5_table_clear(struct gqa_h5_table *table)
{
    for (size_t i = 0; i < table->n_variables; i++)
        free(table->variables[i].name);
    for (size_t i = 0; i < table->n_datasets; i++)
        gqa_h5_dataset_clear(&table->datasets[i]);
    free(table->variables);
    free(table->datasets);
    free(table->config);
    free(table->notes);
}
