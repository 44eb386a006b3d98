/*
 * All of HDF5's own types stay in this file. It runs in the parser's
 * process, so that its state is static: one process, one file.
 */
#include "formats/hdf5/walk.h"

#include <errno.h>
#include <hdf5.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/hdf5/filters.h"
#include "formats/hdf5/origin.h"

#if !H5_VERSION_GE(1, 10, 5)
#error "HDF5 1.10.5 or newer is needed (H5Dget_num_chunks)"
#endif

enum {
    MAX_DEPTH = 32, /* groups within groups */
    MAX_TEXTS = GQA_H5_MAX_OBJECTS,
    MAX_TEXT_BYTES = 16 << 20,    /* of one attribute */
    MAX_COMPACT_BYTES = 64 << 10, /* the format's own limit */
};

static struct {
    hid_t driver;
    hid_t id;
    int fd;
    uint64_t size;
    bool opened;
    struct gqa_h5_origin origin; /* of what was read, but for chunks */
    bool short_of_memory;        /* the library was, at some time */
    /*
     * While set, raw data is not read but its place noted: so H5Dread_chunk
     * tells where a chunk lies, without moving it. H5Dget_chunk_info would
     * scan all chunks for each one.
     */
    bool noting;
    unsigned n_noted;
    haddr_t noted_address;
    size_t noted_size;
} file = {.driver = -1, .id = -1, .fd = -1};

static herr_t find_no_memory(unsigned n, const H5E_error2_t *error, void *arg)
{
    (void)n;
    (void)arg;
    if (error->maj_num == H5E_RESOURCE && error->min_num == H5E_NOSPACE)
        file.short_of_memory = true;
    return 0;
}

/*
 * Called for each function of the library that fails. Short of memory, it
 * may say so, something else or nothing, and its callers may take it for the
 * answer "no"; but errno still has what malloc() put there.
 */
static herr_t note_failure(hid_t stack, void *arg)
{
    (void)arg;
    if (errno == ENOMEM)
        file.short_of_memory = true;
    /* Other calls may have changed errno since. */
    H5Ewalk2(stack, H5E_WALK_UPWARD, find_no_memory, NULL);
    return 0;
}

bool gqa_h5_short_of_memory(void)
{
    return file.short_of_memory;
}

/* What the library itself says of its last failure. */
static herr_t first_reason(unsigned n, const H5E_error2_t *error, void *text)
{
    if (n == 0 && error->desc)
        snprintf(text, 160, "%s", error->desc);
    return 0;
}

/* Addresses of the process are no business of the reader, nor twice the same:
 * "0x55d9a8e0" becomes "0x..". */
static void drop_addresses(char *text)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    char *to = text;

    while (*text) {
        const size_t n =
            strncmp(text, "0x", 2) == 0 ? strspn(text + 2, digits) : 0;

        if (n == 0) {
            *to++ = *text++;
            continue;
        }
        memcpy(to, n == 1 ? "0x." : "0x..", n == 1 ? 3 : 4);
        to += n == 1 ? 3 : 4;
        text += 2 + n;
    }
    *to = '\0';
}

static const char *reason(void)
{
    static char text[160];

    snprintf(text, sizeof text, "no reason given");
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, first_reason, text);
    drop_addresses(text);
    return text;
}

/* Whether the library has these bytes from the file, and nowhere else. */
static bool is_from_file(const void *bytes, size_t n)
{
    uint64_t address;

    return gqa_h5_origin_find(&file.origin, bytes, n, &address);
}

static enum gqa_status damaged(const char *path, const char *what)
{
    const char *why = reason();

    return gqa_fail(
        GQA_ERR_FORMAT, "%s: the HDF5 library cannot read %s (%s)%s", path,
        what, why,
        strstr(why, "version number") ? "; perhaps a newer HDF5 wrote it" : "");
}

/*
 * The file driver: reads the one descriptor that the process was given, and
 * cannot open, write or grow anything.
 */

static H5FD_t *driver_open(const char *name, unsigned flags, hid_t fapl,
                           haddr_t max_address)
{
    H5FD_t *handle;

    (void)name;
    (void)fapl;
    (void)max_address;
    if (file.opened || (flags & H5F_ACC_RDWR))
        return NULL;
    handle = calloc(1, sizeof *handle);
    file.opened = handle != NULL;
    return handle;
}

static herr_t driver_close(H5FD_t *handle)
{
    free(handle);
    return 0;
}

static herr_t driver_query(const H5FD_t *handle, unsigned long *flags)
{
    (void)handle;
    *flags = H5FD_FEAT_ACCUMULATE_METADATA_READ;
    return 0;
}

static haddr_t end_of_space = 0;

static haddr_t driver_get_eoa(const H5FD_t *handle, H5FD_mem_t type)
{
    (void)handle;
    (void)type;
    return end_of_space;
}

static herr_t driver_set_eoa(H5FD_t *handle, H5FD_mem_t type, haddr_t address)
{
    (void)handle;
    (void)type;
    end_of_space = address;
    return 0;
}

static haddr_t driver_get_eof(const H5FD_t *handle, H5FD_mem_t type)
{
    (void)handle;
    (void)type;
    return file.size;
}

static herr_t driver_read(H5FD_t *handle, H5FD_mem_t type, hid_t dxpl,
                          haddr_t address, size_t size, void *buffer)
{
    char *at = buffer;

    (void)handle;
    (void)dxpl;
    if (file.noting && type == H5FD_MEM_DRAW) {
        file.n_noted++;
        file.noted_address = address;
        file.noted_size = size;
        return 0;
    }
    if (address > file.size)
        return -1;
    while (size > 0) {
        const ssize_t got = pread(file.fd, at, size, (off_t)address);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0) {
            /* Beyond the end the library expects zeros. */
            memset(at, 0, size);
            break;
        }
        gqa_h5_origin_note(&file.origin, address, (uint64_t)got);
        at += got;
        size -= (size_t)got;
        address += (haddr_t)got;
    }
    return 0;
}

static herr_t driver_write(H5FD_t *handle, H5FD_mem_t type, hid_t dxpl,
                           haddr_t address, size_t size, const void *buffer)
{
    (void)handle;
    (void)type;
    (void)dxpl;
    (void)address;
    (void)size;
    (void)buffer;
    return -1;
}

static const H5FD_class_t driver_class = {
#if H5_VERSION_GE(1, 14, 0)
    .version = H5FD_CLASS_VERSION,
    .value = (H5FD_class_value_t)600, /* the range for private drivers */
#endif
    .name = "gqa",
    .maxaddr = HADDR_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .open = driver_open,
    .close = driver_close,
    .query = driver_query,
    .get_eoa = driver_get_eoa,
    .set_eoa = driver_set_eoa,
    .get_eof = driver_get_eof,
    .read = driver_read,
    .write = driver_write,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

enum gqa_status gqa_h5_library_start(void)
{
    errno = 0;
    /* The process ends without ceremony. Fails where it is too late. */
    (void)H5dont_atexit();
    if (H5open() < 0 || H5Eset_auto2(H5E_DEFAULT, note_failure, NULL) < 0 ||
        H5PLset_loading_state(0) < 0 || H5Lunregister(H5L_TYPE_EXTERNAL) < 0 ||
        (file.driver = H5FDregister(&driver_class)) < 0)
        return errno == ENOMEM
                   ? gqa_fail_nomem()
                   : gqa_fail(GQA_ERR_IO,
                              "the HDF5 library does not start (%s)", reason());
    return GQA_OK;
}

enum gqa_status gqa_h5_file_open(int fd, uint64_t size)
{
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);

    file.fd = fd;
    file.size = size;
    file.origin.fd = fd;
    if (access < 0 || H5Pset_driver(access, file.driver, NULL) < 0 ||
        (file.id = H5Fopen("gqa", H5F_ACC_RDONLY, access)) < 0)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the HDF5 library cannot open the file (%s)", reason());
    H5Pclose(access);
    return GQA_OK;
}

static enum gqa_status not_in_file(const char *path, const char *what)
{
    return gqa_fail(GQA_ERR_FORMAT,
                    "%s: damaged: the file does not hold %s that the library "
                    "read from it",
                    path, what);
}

bool gqa_h5_exists(const char *path)
{
    return H5Lexists(file.id, path, H5P_DEFAULT) > 0;
}

void gqa_h5_objects_clear(struct gqa_h5_objects *objects)
{
    for (size_t i = 0; i < objects->n; i++) {
        gqa_h5_dataset_clear(&objects->items[i].dataset);
        free(objects->items[i].why);
    }
    free(objects->items);
}

void gqa_h5_texts_clear(struct gqa_h5_texts *texts)
{
    for (size_t i = 0; i < texts->n; i++)
        free(texts->items[i]);
    free(texts->items);
}

/* Attributes */

static enum gqa_status make_room(struct gqa_h5_texts *texts, hssize_t n)
{
    char **larger;

    if (n < 0 || n > MAX_TEXTS || texts->n > (size_t)(MAX_TEXTS - n))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "an attribute lists more than %d names", MAX_TEXTS);
    larger = realloc(texts->items, (texts->n + (size_t)n + 1) * sizeof *larger);
    if (!larger)
        return gqa_fail_nomem();
    texts->items = larger;
    return GQA_OK;
}

static enum gqa_status append_text(struct gqa_h5_texts *texts, const char *text,
                                   size_t length)
{
    char *copy;

    if (!is_from_file(text, length))
        return gqa_fail(GQA_ERR_FORMAT,
                        "damaged: it has bytes that are not in the file");
    copy = strndup(text, length);
    if (!copy)
        return gqa_fail_nomem();
    texts->items[texts->n++] = copy;
    return GQA_OK;
}

static enum gqa_status read_fixed(struct gqa_h5_texts *texts, hid_t attribute,
                                  hid_t type, size_t n)
{
    const size_t size = H5Tget_size(type);
    const bool spaces = H5Tget_strpad(type) == H5T_STR_SPACEPAD;
    enum gqa_status st = GQA_OK;
    char *block;

    if (size == 0 || size > MAX_TEXT_BYTES / n)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "an attribute of more than %d bytes", MAX_TEXT_BYTES);
    if (H5Aget_storage_size(attribute) != n * size)
        return gqa_fail(GQA_ERR_FORMAT,
                        "an attribute of %zu bytes stores %" PRIu64, n * size,
                        (uint64_t)H5Aget_storage_size(attribute));
    block = calloc(n, size);
    if (!block)
        return gqa_fail_nomem();
    if (H5Aread(attribute, type, block) < 0)
        st = gqa_fail(GQA_ERR_FORMAT, "an attribute cannot be read (%s)",
                      reason());
    for (size_t i = 0; i < n && st == GQA_OK; i++) {
        const char *text = block + i * size;
        size_t length = strnlen(text, size);

        while (spaces && length > 0 && text[length - 1] == ' ')
            length--;
        st = append_text(texts, text, length);
    }
    free(block);
    return st;
}

static enum gqa_status read_variable(struct gqa_h5_texts *texts,
                                     hid_t attribute, hid_t type, hid_t space,
                                     size_t n)
{
    const hid_t memory = H5Tcopy(H5T_C_S1);
    char **strings = calloc(n, sizeof *strings);
    enum gqa_status st = GQA_OK;
    size_t total = 0;

    if (!strings)
        st = gqa_fail_nomem();
    else if (memory < 0 || H5Tset_size(memory, H5T_VARIABLE) < 0 ||
             H5Tset_cset(memory, H5Tget_cset(type)) < 0 ||
             H5Aread(attribute, memory, strings) < 0)
        st = gqa_fail(GQA_ERR_FORMAT, "an attribute cannot be read (%s)",
                      reason());
    for (size_t i = 0; i < n && st == GQA_OK; i++) {
        const char *text = strings[i] ? strings[i] : "";
        const size_t length = strlen(text);

        if (length > MAX_TEXT_BYTES - total)
            st = gqa_fail(GQA_ERR_UNSUPPORTED,
                          "an attribute of more than %d bytes", MAX_TEXT_BYTES);
        else
            st = append_text(texts, text, length);
        total += length;
    }
    if (strings && memory >= 0)
        H5Dvlen_reclaim(memory, space, H5P_DEFAULT, strings);
    free(strings);
    H5Tclose(memory);
    return st;
}

static enum gqa_status read_texts(struct gqa_h5_texts *texts, hid_t object,
                                  const char *name)
{
    const hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    const hid_t type = H5Aget_type(attribute);
    const hid_t space = H5Aget_space(attribute);
    const hssize_t n = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
    enum gqa_status st;

    if (attribute < 0 || type < 0 || n < 0)
        st = gqa_fail(GQA_ERR_FORMAT, "an attribute cannot be read (%s)",
                      reason());
    else if (n == 0) /* h5py writes an empty list as one of numbers */
        st = GQA_OK;
    else if (H5Tget_class(type) != H5T_STRING)
        st = gqa_fail(GQA_ERR_FORMAT, "an attribute is no text");
    else if ((st = make_room(texts, n)) != GQA_OK)
        ;
    else if (H5Tis_variable_str(type) > 0)
        st = read_variable(texts, attribute, type, space, (size_t)n);
    else
        st = read_fixed(texts, attribute, type, (size_t)n);
    H5Sclose(space);
    H5Tclose(type);
    H5Aclose(attribute);
    return st;
}

enum gqa_status gqa_h5_read_texts(struct gqa_h5_texts *texts, bool *found,
                                  const char *path, const char *attribute)
{
    const hid_t object = H5Oopen(file.id, path, H5P_DEFAULT);
    enum gqa_status st = GQA_OK;
    htri_t exists;

    if (object < 0)
        return damaged(path, "this object");
    exists = H5Aexists(object, attribute);
    *found = exists > 0;
    if (exists < 0)
        st = gqa_fail(GQA_ERR_FORMAT, "an attribute cannot be read (%s)",
                      reason());
    else if (*found)
        st = read_texts(texts, object, attribute);
    H5Oclose(object);
    return st == GQA_OK ? st : gqa_fail_prefix(st, "%s: %s", path, attribute);
}

/* Whether a text attribute has this value. */
static bool attribute_is(hid_t object, const char *name, const char *value)
{
    struct gqa_h5_texts texts = {0};
    enum gqa_status st;
    bool is = false;

    if (H5Aexists(object, name) > 0) {
        st = read_texts(&texts, object, name);
        is = st == GQA_OK && texts.n == 1 && strcmp(texts.items[0], value) == 0;
        if (st == GQA_ERR_NOMEM)
            file.short_of_memory = true;
    }
    gqa_h5_texts_clear(&texts);
    return is;
}

/* Whether an attribute is a number or truth value other than zero. */
static bool attribute_is_true(hid_t object, const char *name)
{
    static const unsigned char zeros[16];
    unsigned char value[sizeof zeros] = {0};
    bool is = false;
    hid_t attribute, type;

    if (H5Aexists(object, name) <= 0)
        return false;
    attribute = H5Aopen(object, name, H5P_DEFAULT);
    type = H5Aget_type(attribute);
    if ((H5Tget_class(type) == H5T_INTEGER || H5Tget_class(type) == H5T_ENUM) &&
        H5Aget_storage_size(attribute) <= sizeof value &&
        H5Aread(attribute, type, value) >= 0)
        is = memcmp(value, zeros, sizeof zeros) != 0;
    H5Tclose(type);
    H5Aclose(attribute);
    return is;
}

/* Element types */

static bool find_float(hid_t type, enum gqa_dtype *dtype)
{
    static const struct {
        enum gqa_dtype dtype;
        size_t sign, exponent, exponent_bits, mantissa_bits, bias;
    } known[] = {
        {GQA_F16, 15, 10, 5, 10, 15},
        {GQA_BF16, 15, 7, 8, 7, 127},
        {GQA_F32, 31, 23, 8, 23, 127},
        {GQA_F64, 63, 52, 11, 52, 1023},
    };
    size_t sign, exponent, exponent_bits, mantissa, mantissa_bits;

    if (H5Tget_fields(type, &sign, &exponent, &exponent_bits, &mantissa,
                      &mantissa_bits) < 0 ||
        H5Tget_norm(type) != H5T_NORM_IMPLIED || mantissa != 0 ||
        H5Tget_offset(type) != 0)
        return false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (sign == known[i].sign && exponent == known[i].exponent &&
            exponent_bits == known[i].exponent_bits &&
            mantissa_bits == known[i].mantissa_bits &&
            H5Tget_ebias(type) == known[i].bias &&
            8 * H5Tget_size(type) == known[i].sign + 1) {
            *dtype = known[i].dtype;
            return true;
        }
    return false;
}

static bool find_integer(hid_t type, enum gqa_dtype *dtype)
{
    static const struct {
        size_t size;
        enum gqa_dtype plain, with_sign;
    } known[] = {
        {1, GQA_U8, GQA_I8},
        {2, GQA_U16, GQA_I16},
        {4, GQA_U32, GQA_I32},
        {8, GQA_U64, GQA_I64},
    };
    const size_t size = H5Tget_size(type);
    const bool has_sign = H5Tget_sign(type) == H5T_SGN_2;

    if (H5Tget_precision(type) != 8 * size || H5Tget_offset(type) != 0)
        return false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (size == known[i].size) {
            *dtype = has_sign ? known[i].with_sign : known[i].plain;
            return true;
        }
    return false;
}

/* h5py writes truth values as a one-byte enumeration of FALSE and TRUE. */
static bool is_truth_value(hid_t type)
{
    unsigned char no = 1, yes = 0;

    return H5Tget_size(type) == 1 && H5Tget_nmembers(type) == 2 &&
           H5Tenum_valueof(type, "FALSE", &no) >= 0 && no == 0 &&
           H5Tenum_valueof(type, "TRUE", &yes) >= 0 && yes == 1;
}

static enum gqa_status is_other(struct gqa_h5_object *object, const char *what)
{
    object->kind = GQA_H5_OTHER;
    return gqa_fail(GQA_ERR_UNSUPPORTED, "%s: holds %s, not a tensor",
                    object->dataset.path, what);
}

static enum gqa_status describe_number(struct gqa_h5_object *object,
                                       hid_t dataset, hid_t type,
                                       H5T_class_t class)
{
    struct gqa_h5_dataset *d = &object->dataset;
    const H5T_order_t order = H5Tget_order(type);
    const bool known = class == H5T_FLOAT ? find_float(type, &d->dtype)
                                          : find_integer(type, &d->dtype);

    if (!known || (order != H5T_ORDER_LE && order != H5T_ORDER_BE &&
                   H5Tget_size(type) > 1))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: numbers of %zu bytes in a format that is not "
                        "supported",
                        d->path, H5Tget_size(type));
    d->big_endian = order == H5T_ORDER_BE && H5Tget_size(type) > 1;
    if ((d->dtype == GQA_U16 || d->dtype == GQA_I16) &&
        (attribute_is_true(dataset, "is_bfloat16") ||
         attribute_is(dataset, "dtype", "bfloat16")))
        d->dtype = GQA_BF16;
    return GQA_OK;
}

/* HDF5 has had no bfloat16: Keras and others write two opaque bytes. */
static enum gqa_status describe_opaque(struct gqa_h5_object *object,
                                       hid_t dataset, hid_t type)
{
    struct gqa_h5_dataset *d = &object->dataset;

    if (H5Tget_size(type) != 2)
        return gqa_fail(GQA_ERR_UNSUPPORTED, "%s: opaque elements of %zu bytes",
                        d->path, H5Tget_size(type));
    d->dtype = GQA_BF16;
    if (H5Aexists(dataset, "dtype") > 0) {
        if (!attribute_is(dataset, "dtype", "bfloat16"))
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "%s: opaque elements whose attribute dtype is "
                            "not bfloat16",
                            d->path);
    } else {
        object->kind = GQA_H5_BARE_OPAQUE;
    }
    return GQA_OK;
}

static enum gqa_status describe_type(struct gqa_h5_object *object,
                                     hid_t dataset, hid_t type)
{
    const H5T_class_t class = H5Tget_class(type);

    switch (class) {
    case H5T_FLOAT:
    case H5T_INTEGER:
        return describe_number(object, dataset, type, class);
    case H5T_ENUM:
        if (!is_truth_value(type))
            return is_other(object, "an enumeration");
        object->dataset.dtype = GQA_BOOL;
        return GQA_OK;
    case H5T_OPAQUE:
        return describe_opaque(object, dataset, type);
    case H5T_STRING:
        return is_other(object, "text");
    case H5T_COMPOUND:
        return is_other(object, "compound values");
    case H5T_REFERENCE:
        return is_other(object, "references");
    case H5T_VLEN:
        return is_other(object, "lists of varying length");
    case H5T_NO_CLASS:
        return damaged(object->dataset.path, "the element type");
    default:
        return is_other(object, "values of a type that weights do not have");
    }
}

/* Shape, filters, place */

static enum gqa_status describe_shape(struct gqa_h5_object *object, hid_t space)
{
    struct gqa_h5_dataset *d = &object->dataset;
    hsize_t shape[H5S_MAX_RANK];
    int rank;

    if (H5Sget_simple_extent_type(space) == H5S_NULL)
        return is_other(object, "nothing (a null dataspace)");
    rank = H5Sget_simple_extent_ndims(space);
    if (rank < 0)
        return damaged(d->path, "the shape");
    if (rank > GQA_MAX_RANK)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: %d dimensions, more than the %d that are "
                        "supported",
                        d->path, rank, GQA_MAX_RANK);
    if (H5Sget_simple_extent_dims(space, shape, NULL) < 0)
        return damaged(d->path, "the shape");
    d->rank = (unsigned)rank;
    for (unsigned i = 0; i < d->rank; i++)
        d->shape[i] = shape[i];
    return GQA_OK;
}

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

static enum gqa_status describe_filters(struct gqa_h5_dataset *d, hid_t plist)
{
    const int n = H5Pget_nfilters(plist);

    if (n < 0)
        return damaged(d->path, "the filters");
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
                return damaged(d->path, "the filters");
            return gqa_fail(
                GQA_ERR_UNSUPPORTED,
                "%s: stored through filter %d (%s), which is not supported; "
                "rewrite the file without it where the HDF5 tools can read "
                "it: h5repack -f NONE in.h5 out.h5 (or -f GZIP=1)",
                d->path, id, filter_name(id));
        }
        d->filters[i].id = (enum gqa_h5_filter_id)id;
    }
    d->n_filters = (unsigned)n;
    return GQA_OK;
}

static bool count_chunks(hid_t dataset, hsize_t *n)
{
    /* H5S_ALL fails here up to 1.10.8 at least. */
    const hid_t space = H5Dget_space(dataset);
    const bool counted = H5Dget_num_chunks(dataset, space, n) >= 0;

    H5Sclose(space);
    return counted;
}

static enum gqa_status describe_chunks(struct gqa_h5_dataset *d, hid_t dataset,
                                       hid_t plist)
{
    hsize_t chunk[H5S_MAX_RANK], n_written = 0;
    unsigned options;

    if (H5Pget_chunk(plist, H5S_MAX_RANK, chunk) != (int)d->rank ||
        H5Pget_chunk_opts(plist, &options) < 0)
        return damaged(d->path, "the shape of the chunks");
    /* Without elements there is no index to ask. */
    if (d->n_bytes > 0 && !count_chunks(dataset, &n_written))
        return damaged(d->path, "the index of the chunks");
    d->n_written = n_written;
    for (unsigned i = 0; i < d->rank; i++)
        d->chunk[i] = chunk[i];
    d->raw_edges = (options & H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS) != 0;
    return describe_filters(d, plist);
}

static enum gqa_status describe_fill(struct gqa_h5_dataset *d, hid_t plist,
                                     hid_t type)
{
    const unsigned size = gqa_dtype_bits(d->dtype) / 8;
    H5D_fill_value_t defined;

    if (H5Pfill_value_defined(plist, &defined) < 0)
        return damaged(d->path, "the fill value");
    if (defined == H5D_FILL_VALUE_USER_DEFINED &&
        (H5Tget_size(type) != size ||
         H5Pget_fill_value(plist, type, d->fill) < 0))
        return damaged(d->path, "the fill value");
    if (defined == H5D_FILL_VALUE_USER_DEFINED && !is_from_file(d->fill, size))
        return not_in_file(d->path, "the fill value");
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
        return damaged(d->path, "the fill value");
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
static enum gqa_status locate_compact(struct gqa_h5_dataset *d, hid_t dataset,
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
        st = damaged(d->path, "the compact values");
    else if (!gqa_h5_origin_find(&file.origin, values, (size_t)d->n_bytes,
                                 &d->offset))
        st = not_in_file(d->path, "the compact values");
    free(values);
    return st;
}

/* All but chunks: values that lie in one piece. */
static enum gqa_status describe_place(struct gqa_h5_dataset *d, hid_t dataset,
                                      hid_t type, H5D_layout_t layout)
{
    const hsize_t stored = H5Dget_storage_size(dataset);
    H5D_space_status_t space;
    haddr_t offset;

    if (H5Dget_space_status(dataset, &space) < 0)
        return damaged(d->path, "the place of the values");
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
        return locate_compact(d, dataset, type);
    offset = H5Dget_offset(dataset);
    if (offset == HADDR_UNDEF)
        return damaged(d->path, "the place of the values");
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

static enum gqa_status describe_layout(struct gqa_h5_object *object,
                                       hid_t dataset, hid_t plist, hid_t type,
                                       H5D_layout_t layout)
{
    struct gqa_h5_dataset *d = &object->dataset;
    enum gqa_status st;

    if ((st = describe_fill(d, plist, type)) != GQA_OK ||
        (st = gqa_h5_dataset_measure(d)) != GQA_OK ||
        (st = check_bomb(d, dataset)) != GQA_OK)
        return st;
    switch (layout) {
    case H5D_COMPACT:
    case H5D_CONTIGUOUS:
        st = describe_place(d, dataset, type, layout);
        break;
    case H5D_CHUNKED:
        d->layout = GQA_H5_CHUNKED;
        st = describe_chunks(d, dataset, plist);
        break;
    default:
        st = damaged(d->path, "the layout");
    }
    if (st == GQA_OK)
        st = gqa_h5_dataset_check(d, file.size);
    return st == GQA_OK ? check_unwritten(d, plist) : st;
}

static enum gqa_status describe(struct gqa_h5_object *object, hid_t dataset,
                                hid_t plist)
{
    const char *path = object->dataset.path;
    const H5D_layout_t layout = H5Pget_layout(plist);
    enum gqa_status st;
    hid_t type, space;

    /* Both before anything that makes the library look at other files. */
    if (layout == H5D_VIRTUAL)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: a virtual dataset, whose values lie in other "
                        "datasets; copy them into one file first",
                        path);
    if (H5Pget_external_count(plist) != 0)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: external storage, values in another file; copy "
                        "them into one file first",
                        path);
    type = H5Dget_type(dataset);
    space = H5Dget_space(dataset);
    if (type < 0 || space < 0)
        st = damaged(path, "the type or shape");
    else if ((st = describe_type(object, dataset, type)) == GQA_OK &&
             (st = describe_shape(object, space)) == GQA_OK)
        st = describe_layout(object, dataset, plist, type, layout);
    H5Sclose(space);
    H5Tclose(type);
    return st;
}

/* What cannot be read is a failure only if it turns out to be a weight. */
static enum gqa_status keep_reason(struct gqa_h5_object *object,
                                   enum gqa_status st)
{
    object->status = st;
    if (st == GQA_OK || st == GQA_ERR_NOMEM)
        return st;
    if (object->kind != GQA_H5_OTHER)
        object->kind = GQA_H5_REFUSED;
    object->why = strdup(gqa_error_message());
    return object->why ? GQA_OK : gqa_fail_nomem();
}

static enum gqa_status describe_dataset(struct gqa_h5_object *object,
                                        hid_t dataset)
{
    const hid_t plist = H5Dget_create_plist(dataset);
    const htri_t tagged = H5Aexists(dataset, "__H5_TYPE__");
    enum gqa_status st;

    object->kind = GQA_H5_TENSOR;
    object->has_type_tag = tagged > 0;
    if (plist < 0)
        st = damaged(object->dataset.path, "this dataset");
    else if (tagged < 0)
        st = damaged(object->dataset.path, "its attributes");
    else
        st = describe(object, dataset, plist);
    H5Pclose(plist);
    return keep_reason(object, st);
}

/* Neither a group nor a dataset */
static enum gqa_status describe_other(struct gqa_h5_object *object,
                                      const char *what)
{
    object->kind = GQA_H5_OTHER;
    return keep_reason(object,
                       gqa_fail(GQA_ERR_UNSUPPORTED, "%s: %s, not a tensor",
                                object->dataset.path, what));
}

/* Groups */

#if H5_VERSION_GE(1, 12, 0)
typedef H5L_info2_t link_info;
typedef H5O_token_t identity;
#define ITERATE H5Literate2
#else
typedef H5L_info_t link_info;
typedef haddr_t identity;
#define ITERATE H5Literate
#endif

static bool get_identity(hid_t object, identity *id)
{
#if H5_VERSION_GE(1, 12, 0)
    H5O_info2_t info;

    if (H5Oget_info3(object, &info, H5O_INFO_BASIC) < 0)
        return false;
    *id = info.token;
#else
    H5O_info_t info;

    if (H5Oget_info2(object, &info, H5O_INFO_BASIC) < 0)
        return false;
    *id = info.addr;
#endif
    return true;
}

struct link {
    char *name;
    H5L_type_t type;
};

struct links {
    struct link *items;
    size_t n;
    size_t room;
    enum gqa_status status;
};

/* The groups from the base to here, to find cycles. */
struct way {
    const struct way *up;
    identity id;
    const char *path;
    unsigned depth;
};

static herr_t add_link(hid_t group, const char *name, const link_info *info,
                       void *arg)
{
    struct links *links = arg;
    char *copy;

    (void)group;
    if (links->n == GQA_H5_MAX_OBJECTS) {
        links->status = gqa_fail(GQA_ERR_UNSUPPORTED, "more than %d links",
                                 GQA_H5_MAX_OBJECTS);
        return -1;
    }
    if (links->n == links->room) {
        const size_t room = 2 * links->room + 16;
        struct link *larger = realloc(links->items, room * sizeof *larger);

        if (!larger) {
            links->status = gqa_fail_nomem();
            return -1;
        }
        links->items = larger;
        links->room = room;
    }
    copy = strdup(name);
    if (!copy) {
        links->status = gqa_fail_nomem();
        return -1;
    }
    links->items[links->n].name = copy;
    links->items[links->n++].type = info->type;
    return 0;
}

static int compare_links(const void *a, const void *b)
{
    return strverscmp(((const struct link *)a)->name,
                      ((const struct link *)b)->name);
}

static void links_clear(struct links *links)
{
    for (size_t i = 0; i < links->n; i++)
        free(links->items[i].name);
    free(links->items);
}

static enum gqa_status list_links(struct links *links, hid_t group,
                                  const char *path)
{
    hsize_t at = 0;

    if (ITERATE(group, H5_INDEX_NAME, H5_ITER_NATIVE, &at, add_link, links) < 0)
        return links->status != GQA_OK
                   ? gqa_fail_prefix(links->status, "%s/", path)
                   : damaged(path[0] ? path : "/", "this group");
    if (links->n > 0)
        qsort(links->items, links->n, sizeof *links->items, compare_links);
    /* In order, since then each mostly lies near the one before. */
    for (size_t i = 0; i < links->n; i++)
        if (!is_from_file(links->items[i].name, strlen(links->items[i].name)))
            return gqa_fail(GQA_ERR_FORMAT,
                            "%s: damaged: a name in it has bytes that are not "
                            "in the file",
                            path[0] ? path : "/");
    return GQA_OK;
}

static enum gqa_status add_object(struct gqa_h5_objects *objects, char *path)
{
    if (objects->n == GQA_H5_MAX_OBJECTS) {
        free(path);
        return gqa_fail(GQA_ERR_UNSUPPORTED, "more than %d objects",
                        GQA_H5_MAX_OBJECTS);
    }
    if (objects->n == objects->room) {
        const size_t room = 2 * objects->room + 64;
        struct gqa_h5_object *larger =
            realloc(objects->items, room * sizeof *larger);

        if (!larger) {
            free(path);
            return gqa_fail_nomem();
        }
        objects->items = larger;
        objects->room = room;
    }
    objects->items[objects->n] =
        (struct gqa_h5_object){.dataset = {.path = path}};
    objects->n++;
    return GQA_OK;
}

static enum gqa_status walk_group(struct gqa_h5_objects *objects, hid_t group,
                                  const struct way *way);

static enum gqa_status enter_group(struct gqa_h5_objects *objects, hid_t group,
                                   const char *path, const struct way *up)
{
    struct way way = {.up = up, .path = path, .depth = up->depth + 1};

    if (way.depth > MAX_DEPTH)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: groups nested more than %d deep", path, MAX_DEPTH);
    if (!get_identity(group, &way.id))
        return damaged(path, "this group");
    for (const struct way *w = up; w; w = w->up)
        if (memcmp(&w->id, &way.id, sizeof way.id) == 0)
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "%s: leads back to the group %s that holds it (a "
                            "link cycle)",
                            path, w->path[0] ? w->path : "/");
    return walk_group(objects, group, &way);
}

static enum gqa_status check_link(const struct link *link, const char *path)
{
    if (link->type == H5L_TYPE_HARD || link->type == H5L_TYPE_SOFT)
        return GQA_OK;
    if (link->type == H5L_TYPE_EXTERNAL)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: an external link, to another file; copy what it "
                        "names into this file first",
                        path);
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "%s: a user-defined link, which cannot be followed", path);
}

static enum gqa_status visit(struct gqa_h5_objects *objects, hid_t group,
                             const struct link *link, const struct way *way)
{
    enum gqa_status st;
    hid_t object;
    char *path;

    if (strlen(way->path) + strlen(link->name) >= GQA_H5_MAX_PATH)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: a path of more than %d characters", way->path,
                        GQA_H5_MAX_PATH);
    if (asprintf(&path, "%s/%s", way->path, link->name) < 0)
        return gqa_fail_nomem();
    if ((st = check_link(link, path)) != GQA_OK) {
        free(path);
        return st;
    }
    if ((st = add_object(objects, path)) != GQA_OK)
        return st;
    object = H5Oopen(group, link->name, H5P_DEFAULT);
    if (object < 0)
        return link->type == H5L_TYPE_SOFT
                   ? gqa_fail(GQA_ERR_FORMAT,
                              "%s: a soft link that leads nowhere", path)
                   : damaged(path, "this object");
    switch (H5Iget_type(object)) {
    case H5I_GROUP:
        st = enter_group(objects, object, path, way);
        break;
    case H5I_DATASET:
        st = describe_dataset(&objects->items[objects->n - 1], object);
        break;
    case H5I_DATATYPE:
        st = describe_other(&objects->items[objects->n - 1], "a named type");
        break;
    default:
        st = describe_other(&objects->items[objects->n - 1],
                            "an object of a kind that weights do not have");
    }
    H5Oclose(object);
    return st;
}

static enum gqa_status walk_group(struct gqa_h5_objects *objects, hid_t group,
                                  const struct way *way)
{
    struct links links = {0};
    enum gqa_status st = list_links(&links, group, way->path);

    for (size_t i = 0; i < links.n && st == GQA_OK; i++)
        st = visit(objects, group, &links.items[i], way);
    links_clear(&links);
    return st;
}

enum gqa_status gqa_h5_walk(struct gqa_h5_objects *objects, const char *base)
{
    struct way way = {.path = strcmp(base, "/") == 0 ? "" : base};
    const hid_t group = H5Gopen2(file.id, base, H5P_DEFAULT);
    enum gqa_status st;

    if (group < 0 || !get_identity(group, &way.id))
        st = damaged(base, "this group");
    else
        st = walk_group(objects, group, &way);
    H5Gclose(group);
    return st;
}

/* Chunks */

/* Leaves the chunk as it is where the library knows no place for it. */
static void locate_chunk(struct gqa_h5_chunk *chunk, hid_t dataset,
                         const hsize_t *offset)
{
    uint32_t skipped = 0;
    char nothing[1];

    file.n_noted = 0;
    file.noting = true;
    /* The driver does not touch the buffer while it takes notes. */
#if H5_VERSION_GE(2, 0, 0)
    H5Dread_chunk1(dataset, H5P_DEFAULT, offset, &skipped, nothing);
#else
    H5Dread_chunk(dataset, H5P_DEFAULT, offset, &skipped, nothing);
#endif
    file.noting = false;
    if (file.n_noted != 1 || file.noted_size > UINT32_MAX)
        return;
    chunk->address = file.noted_address;
    chunk->size = (uint32_t)file.noted_size;
    chunk->skipped = skipped;
}

enum gqa_status gqa_h5_locate_chunks(struct gqa_h5_chunk *chunks,
                                     const struct gqa_h5_dataset *d)
{
    const hid_t dataset = H5Dopen2(file.id, d->path, H5P_DEFAULT);
    hsize_t offset[GQA_MAX_RANK] = {0};
    hsize_t n_there = 0, n_found = 0;
    enum gqa_status st = GQA_OK;

    memset(chunks, 0, (size_t)d->n_chunks * sizeof *chunks);
    if (dataset < 0 || !count_chunks(dataset, &n_there))
        st = gqa_fail(GQA_ERR_FORMAT,
                      "the HDF5 library cannot read the index of its chunks "
                      "(%s)",
                      reason());
    for (uint64_t i = 0; n_found < n_there && i < d->n_chunks; i++) {
        locate_chunk(&chunks[i], dataset, offset);
        n_found += chunks[i].size > 0;
        /* To the next one, the last dimension running fastest. */
        for (unsigned k = d->rank; k-- > 0;) {
            offset[k] += d->chunk[k];
            if (offset[k] < d->shape[k])
                break;
            offset[k] = 0;
        }
    }
    /* One that was never written and one that is lost look alike. */
    if (st == GQA_OK && n_found != n_there)
        st = gqa_fail(GQA_ERR_FORMAT,
                      "its index has %" PRIu64 " chunks, but only "
                      "%" PRIu64 " of them are found",
                      (uint64_t)n_there, (uint64_t)n_found);
    H5Dclose(dataset);
    return st;
}
