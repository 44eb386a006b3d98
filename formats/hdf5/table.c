#include "formats/hdf5/table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/checked.h"

enum {
    MAX_NOTES_BYTES = 1 << 20,
    MIN_DATASET_BYTES = 32, /* no dataset takes less in a message */
    MAX_DEFLATION = 1032,   /* how far deflate can shrink bytes */
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

static void put_dataset(struct gqa_wire *wire, const struct gqa_h5_dataset *d)
{
    gqa_wire_put_text(wire, d->path);
    gqa_wire_put_u32(wire, d->dtype);
    gqa_wire_put_u32(wire, d->big_endian);
    gqa_wire_put_u32(wire, d->rank);
    for (unsigned i = 0; i < d->rank; i++)
        gqa_wire_put_u64(wire, d->shape[i]);
    gqa_wire_put(wire, d->fill, sizeof d->fill);
    gqa_wire_put_u32(wire, d->layout);
    switch (d->layout) {
    case GQA_H5_CONTIGUOUS:
        gqa_wire_put_u64(wire, d->offset);
        break;
    case GQA_H5_CHUNKED:
        for (unsigned i = 0; i < d->rank; i++)
            gqa_wire_put_u64(wire, d->chunk[i]);
        gqa_wire_put_u64(wire, d->n_written);
        gqa_wire_put_u32(wire, d->raw_edges);
        gqa_wire_put_u32(wire, d->n_filters);
        for (unsigned i = 0; i < d->n_filters; i++) {
            gqa_wire_put_u32(wire, d->filters[i].id);
            gqa_wire_put_u32(wire, d->filters[i].element);
        }
        break;
    case GQA_H5_ABSENT:
        break;
    }
}

void gqa_h5_table_encode(struct gqa_wire *wire,
                         const struct gqa_h5_table *table)
{
    gqa_wire_put_u32(wire, table->naming);
    gqa_wire_put_text(wire, table->config ? table->config : "");
    gqa_wire_put_text(wire, table->notes ? table->notes : "");
    gqa_wire_put_u64(wire, table->n_variables);
    gqa_wire_put_u64(wire, table->n_datasets);
    for (size_t i = 0; i < table->n_variables; i++) {
        const struct gqa_h5_variable *v = &table->variables[i];

        gqa_wire_put_text(wire, v->name);
        gqa_wire_put_u64(wire, v->n_copies);
        for (size_t k = 0; k < v->n_copies; k++)
            put_dataset(wire, &table->datasets[v->first + k]);
    }
}

static enum gqa_status nonsense(const struct gqa_wire_reader *in)
{
    if (in->no_memory)
        return gqa_fail_nomem();
    return gqa_fail(GQA_ERR_FORMAT,
                    "the process that parses the HDF5 structures sent "
                    "nonsense; the file is damaged or hostile");
}

/* Known, and its element sizes fit what unshuffling expects. */
static bool filter_is_sound(const struct gqa_h5_filter *filter)
{
    switch (filter->id) {
    case GQA_H5_SHUFFLE:
        return filter->element > 0;
    case GQA_H5_DEFLATE:
    case GQA_H5_FLETCHER32:
    case GQA_H5_ZSTD:
        return true;
    }
    return false;
}

static bool get_chunked(struct gqa_wire_reader *in, struct gqa_h5_dataset *d)
{
    for (unsigned i = 0; i < d->rank; i++)
        d->chunk[i] = gqa_wire_u64(in);
    d->n_written = gqa_wire_u64(in);
    d->raw_edges = gqa_wire_u32(in) != 0;
    d->n_filters = gqa_wire_u32(in);
    if (d->n_filters > GQA_H5_MAX_FILTERS)
        return false;
    for (unsigned i = 0; i < d->n_filters; i++) {
        d->filters[i].id = gqa_wire_u32(in);
        d->filters[i].element = gqa_wire_u32(in);
        if (!filter_is_sound(&d->filters[i]))
            return false;
    }
    return true;
}

static bool get_dataset(struct gqa_wire_reader *in, struct gqa_h5_dataset *d)
{
    d->path = gqa_wire_text(in, GQA_H5_MAX_PATH);
    d->dtype = gqa_wire_u32(in);
    d->big_endian = gqa_wire_u32(in) != 0;
    d->rank = gqa_wire_u32(in);
    if (in->failed || d->rank > GQA_MAX_RANK || d->dtype >= GQA_N_DTYPES ||
        gqa_dtype_bits(d->dtype) % 8 != 0)
        return false;
    for (unsigned i = 0; i < d->rank; i++)
        d->shape[i] = gqa_wire_u64(in);
    for (unsigned i = 0; i < sizeof d->fill; i += 4) {
        const uint32_t part = gqa_wire_u32(in);

        memcpy(d->fill + i, &part, sizeof part);
    }
    d->layout = gqa_wire_u32(in);
    switch (d->layout) {
    case GQA_H5_CONTIGUOUS:
        d->offset = gqa_wire_u64(in);
        break;
    case GQA_H5_CHUNKED:
        if (!get_chunked(in, d))
            return false;
        break;
    case GQA_H5_ABSENT:
        break;
    default:
        return false;
    }
    return !in->failed;
}

static enum gqa_status decode_dataset(struct gqa_wire_reader *in,
                                      struct gqa_h5_dataset *d,
                                      uint64_t file_bytes)
{
    if (!get_dataset(in, d))
        return nonsense(in);
    return gqa_h5_dataset_check(d, file_bytes);
}

/* Small files must not stand for terabytes together either. */
static enum gqa_status check_total(const struct gqa_h5_table *table,
                                   uint64_t file_bytes)
{
    uint64_t total = 0;

    for (size_t i = 0; i < table->n_datasets; i++)
        if (!gqa_add_u64(total, table->datasets[i].n_bytes, &total))
            total = UINT64_MAX;
    if (total > UINT64_C(4) << 30 && total / 1000 > file_bytes)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the datasets declare %" PRIu64
                        " bytes, but the file has only %" PRIu64,
                        total, file_bytes);
    return GQA_OK;
}

static bool same_kind(const struct gqa_h5_dataset *a,
                      const struct gqa_h5_dataset *b)
{
    return a->dtype == b->dtype && a->rank == b->rank &&
           memcmp(a->shape, b->shape, a->rank * sizeof a->shape[0]) == 0;
}

static enum gqa_status decode_variable(struct gqa_h5_table *table,
                                       struct gqa_h5_variable *v,
                                       size_t n_datasets,
                                       struct gqa_wire_reader *in,
                                       uint64_t file_bytes)
{
    uint64_t n_copies;

    v->name = gqa_wire_text(in, GQA_MAX_NAME);
    v->first = table->n_datasets;
    n_copies = gqa_wire_u64(in);
    if (!v->name || v->name[0] == '\0' || n_copies == 0 ||
        n_copies > n_datasets - table->n_datasets)
        return nonsense(in);
    for (uint64_t k = 0; k < n_copies; k++) {
        struct gqa_h5_dataset *d = &table->datasets[table->n_datasets++];
        const enum gqa_status st = decode_dataset(in, d, file_bytes);

        if (st != GQA_OK)
            return st;
        if (!same_kind(d, &table->datasets[v->first]))
            return nonsense(in);
    }
    v->n_copies = (size_t)n_copies;
    return GQA_OK;
}

static enum gqa_status decode_head(struct gqa_h5_table *table,
                                   struct gqa_wire_reader *in,
                                   size_t *n_variables, size_t *n_datasets)
{
    uint64_t variables, datasets;

    table->naming = gqa_wire_u32(in);
    table->config = gqa_wire_text(in, GQA_H5_MAX_CONFIG_BYTES);
    table->notes = gqa_wire_text(in, MAX_NOTES_BYTES);
    variables = gqa_wire_u64(in);
    datasets = gqa_wire_u64(in);
    if (in->failed || table->naming > GQA_NAMES_KERAS_LEGACY ||
        datasets > GQA_H5_MAX_OBJECTS || variables > datasets ||
        datasets > in->left / MIN_DATASET_BYTES)
        return nonsense(in);
    if (table->config[0] == '\0') {
        free(table->config);
        table->config = NULL;
    }
    *n_variables = (size_t)variables;
    *n_datasets = (size_t)datasets;
    return GQA_OK;
}

enum gqa_status gqa_h5_table_decode(struct gqa_h5_table *table,
                                    const void *message, size_t length,
                                    uint64_t file_bytes)
{
    struct gqa_wire_reader in = {.at = message, .left = length};
    size_t n_variables = 0, n_datasets = 0;
    enum gqa_status st = decode_head(table, &in, &n_variables, &n_datasets);

    if (st != GQA_OK)
        return st;
    table->variables = calloc(n_variables + 1, sizeof *table->variables);
    table->datasets = calloc(n_datasets + 1, sizeof *table->datasets);
    if (!table->variables || !table->datasets)
        return gqa_fail_nomem();
    while (table->n_variables < n_variables) {
        st = decode_variable(table, &table->variables[table->n_variables++],
                             n_datasets, &in, file_bytes);
        if (st != GQA_OK)
            return st;
    }
    if (in.left > 0 || table->n_datasets != n_datasets)
        return nonsense(&in);
    return check_total(table, file_bytes);
}
