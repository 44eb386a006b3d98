#include "formats/hdf5/library/private.h"

#include <inttypes.h>
#include <stdlib.h>

#include "formats/hdf5/filters.h"

enum {
    MAX_COMPACT_BYTES = 64 << 10, /* the format's own limit */
};

static const char *filter_name(H5Z_filter_t id)
{
    static const struct {
        H5Z_filter_t id;
        const char *name;
    } known[] = {
        {4, "szip"},      {5, "nbit"},       {6, "scale-offset"},
        {305, "LZO"},     {307, "bzip2"},    {32000, "LZF"},
        {32001, "Blosc"}, {32004, "LZ4"},    {32008, "bitshuffle"},
        {32013, "ZFP"},   {32017, "SZ"},     {32019, "JPEG"},
        {32024, "SZ3"},   {32026, "Blosc2"}, {32029, "JPEG XL"},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (id == known[i].id)
            return known[i].name;
    return "unknown";
}

/*
 * Those of the library itself every h5repack undoes. Of others it has only what
 * is installed, and leaves out, with a warning, the datasets that it cannot
 * read.
 */
static enum gqa_status refuse_filter(const char *path, H5Z_filter_t id)
{
    enum { LZF = 32000 };

    if (id < H5Z_FILTER_RESERVED)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: stored through filter %d (%s), which is not "
                        "supported; rewrite the file without it: h5repack -f "
                        "NONE in.h5 out.h5 (or -f GZIP=1)",
                        path, id, filter_name(id));
    return gqa_fail(
        GQA_ERR_UNSUPPORTED,
        "%s: stored through filter %d (%s), which is not supported; rewrite "
        "the file without it, with Python's h5py%s (h5repack may leave such "
        "datasets out): python3 -c 'import h5py%s; i = h5py.File(\"in.h5\"); "
        "o = h5py.File(\"out.h5\", \"w\"); o.attrs.update(i.attrs); "
        "i.visititems(lambda n, x: (o.require_group(n) if isinstance(x, "
        "h5py.Group) else o.create_dataset(n, data=x[()]))"
        ".attrs.update(x.attrs))'",
        path, id, filter_name(id), id == LZF ? "" : " and hdf5plugin",
        id == LZF ? "" : ", hdf5plugin");
}

static enum gqa_status describe_filters(struct gqa_h5_dataset *d, hid_t plist)
{
    const int n = H5Pget_nfilters(plist);

    if (n < 0)
        return gqa_h5_damaged(d->path, "the filters");
    if (n > GQA_H5_MAX_FILTERS)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: %d filters, more than the %d that are supported",
                        d->path, n, GQA_H5_MAX_FILTERS);
    for (int i = 0; i < n; i++) {
        unsigned values[8] = {0}, flags;
        size_t n_values = sizeof values / sizeof *values;
        const H5Z_filter_t id = H5Pget_filter2(
            plist, (unsigned)i, &flags, &n_values, values, 0, NULL, NULL);

        switch (id) {
        case H5Z_FILTER_DEFLATE:
        case H5Z_FILTER_FLETCHER32:
        case GQA_H5_ZSTD:
            break;
        case H5Z_FILTER_SHUFFLE:
            d->filters[i].element =
                values[0] > 0 ? values[0] : gqa_dtype_bits(d->dtype) / 8;
            break;
        default:
            if (id < 0)
                return gqa_h5_damaged(d->path, "the filters");
            return refuse_filter(d->path, id);
        }
        d->filters[i].id = (enum gqa_h5_filter_id)id;
    }
    d->n_filters = (unsigned)n;
    return GQA_OK;
}

static enum gqa_status describe_chunks(struct gqa_h5_dataset *d, hid_t dataset,
                                       hid_t plist)
{
    hsize_t chunk[H5S_MAX_RANK], n_written = 0;
    unsigned options;

    if (H5Pget_chunk(plist, H5S_MAX_RANK, chunk) != (int)d->rank ||
        H5Pget_chunk_opts(plist, &options) < 0)
        return gqa_h5_damaged(d->path, "the shape of the chunks");
    /* Without elements there is no index to ask. */
    if (d->n_bytes > 0 && !gqa_h5_count_chunks(dataset, &n_written))
        return gqa_h5_damaged(d->path, "the index of the chunks");
    d->n_written = n_written;
    for (unsigned i = 0; i < d->rank; i++)
        d->chunk[i] = chunk[i];
    d->raw_edges = (options & H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS) != 0;
    return describe_filters(d, plist);
}

static enum gqa_status describe_fill(struct gqa_h5_file *file,
                                     struct gqa_h5_dataset *d, hid_t plist,
                                     hid_t type)
{
    const unsigned size = gqa_dtype_bits(d->dtype) / 8;
    H5D_fill_value_t defined;

    if (H5Pfill_value_defined(plist, &defined) < 0)
        return gqa_h5_damaged(d->path, "the fill value");
    if (defined == H5D_FILL_VALUE_USER_DEFINED &&
        (H5Tget_size(type) != size ||
         H5Pget_fill_value(plist, type, d->fill) < 0))
        return gqa_h5_damaged(d->path, "the fill value");
    if (defined == H5D_FILL_VALUE_USER_DEFINED &&
        !gqa_h5_is_from_file(file, d->fill, size))
        return gqa_h5_not_in_file(d->path, "the fill value");
    if (d->big_endian)
        gqa_h5_swap(d->fill, sizeof d->fill, size);
    return GQA_OK;
}

/* What was never written has to have a value all the same. */
static enum gqa_status check_unwritten(const struct gqa_h5_dataset *d,
                                       hid_t plist)
{
    H5D_fill_value_t defined;
    H5D_fill_time_t when;

    if (gqa_h5_n_unwritten(d) == 0)
        return GQA_OK;
    if (H5Pfill_value_defined(plist, &defined) < 0 ||
        H5Pget_fill_time(plist, &when) < 0)
        return gqa_h5_damaged(d->path, "the fill value");
    if (defined != H5D_FILL_VALUE_UNDEFINED && when != H5D_FILL_TIME_NEVER)
        return GQA_OK;
    return gqa_fail(GQA_ERR_FORMAT,
                    "%s: not all of it was written, and there is no fill value "
                    "for the rest; write it whole",
                    d->path);
}

/*
 * The values lie in the description of the dataset itself. Where, the library
 * does not tell: they are looked for in what it has read.
 */
static enum gqa_status locate_compact(struct gqa_h5_file *file,
                                      struct gqa_h5_dataset *d, hid_t dataset,
                                      hid_t type)
{
    enum gqa_status st = GQA_OK;
    void *values;

    if (d->n_bytes > MAX_COMPACT_BYTES)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: compact storage of %" PRIu64 " bytes", d->path,
                        d->n_bytes);
    values = calloc(1, (size_t)d->n_bytes + 1);
    if (!values)
        return gqa_fail_nomem();
    /* The file's own type: nothing is converted. */
    if (H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
        st = gqa_h5_damaged(d->path, "the compact values");
    else if (!gqa_h5_find_in_file(file, values, (size_t)d->n_bytes, &d->offset))
        st = gqa_h5_not_in_file(d->path, "the compact values");
    free(values);
    return st;
}

/* All but chunks: values that lie in one piece. */
static enum gqa_status describe_place(struct gqa_h5_file *file,
                                      struct gqa_h5_dataset *d, hid_t dataset,
                                      hid_t type, H5D_layout_t layout)
{
    const hsize_t stored = H5Dget_storage_size(dataset);
    H5D_space_status_t space;
    haddr_t offset;

    if (H5Dget_space_status(dataset, &space) < 0)
        return gqa_h5_damaged(d->path, "the place of the values");
    /* Its offset would be nonsense behind a user block. */
    if (d->n_bytes == 0 ||
        (layout == H5D_CONTIGUOUS && space == H5D_SPACE_STATUS_NOT_ALLOCATED)) {
        d->layout = GQA_H5_ABSENT;
        return GQA_OK;
    }
    d->layout = GQA_H5_CONTIGUOUS;
    if (stored != d->n_bytes)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: the shape asks for %" PRIu64 " bytes, but "
                        "%" PRIu64 " are stored",
                        d->path, d->n_bytes, (uint64_t)stored);
    if (layout == H5D_COMPACT)
        return locate_compact(file, d, dataset, type);
    offset = H5Dget_offset(dataset);
    if (offset == HADDR_UNDEF)
        return gqa_h5_damaged(d->path, "the place of the values");
    d->offset = offset;
    return GQA_OK;
}

/* A small file must not stand for terabytes: the rule of Keras. */
static enum gqa_status check_bomb(const struct gqa_h5_dataset *d, hid_t dataset)
{
    uint64_t stored;

    if (d->n_bytes <= UINT64_C(4) << 30)
        return GQA_OK;
    stored = H5Dget_storage_size(dataset);
    if (d->n_bytes / 1000 > stored)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: declares %" PRIu64 " bytes, but the file holds "
                        "only %" PRIu64 " of them",
                        d->path, d->n_bytes, stored);
    return GQA_OK;
}

enum gqa_status gqa_h5_describe_layout(struct gqa_h5_file *file,
                                       struct gqa_h5_object *object,
                                       hid_t dataset, hid_t plist, hid_t type,
                                       H5D_layout_t layout)
{
    struct gqa_h5_dataset *d = &object->dataset;
    enum gqa_status st;

    if ((st = describe_fill(file, d, plist, type)) != GQA_OK ||
        (st = gqa_h5_dataset_measure(d)) != GQA_OK ||
        (st = check_bomb(d, dataset)) != GQA_OK)
        return st;
    switch (layout) {
    case H5D_COMPACT:
    case H5D_CONTIGUOUS:
        st = describe_place(file, d, dataset, type, layout);
        break;
    case H5D_CHUNKED:
        d->layout = GQA_H5_CHUNKED;
        st = describe_chunks(d, dataset, plist);
        break;
    default:
        st = gqa_h5_damaged(d->path, "the layout");
    }
    if (st == GQA_OK)
        st = gqa_h5_dataset_check(d, file->size);
    return st == GQA_OK ? check_unwritten(d, plist) : st;
}
