#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/checked.h"
#include "formats/hdf5/table.h"

enum {
    MAX_NOTES_BYTES = 1 << 20,
    MIN_DATASET_BYTES = 32, /* no dataset takes less in a message */
};

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
