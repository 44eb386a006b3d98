#include "formats/hdf5/library/private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_TEXTS = GQA_H5_MAX_OBJECTS,
    MAX_TEXT_BYTES = 16 << 20, /* of one attribute */
};

void gqa_h5_texts_clear(struct gqa_h5_texts *texts)
{
    for (size_t i = 0; i < texts->n; i++)
        free(texts->items[i]);
    free(texts->items);
}

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

static enum gqa_status append_text(struct gqa_h5_file *file,
                                   struct gqa_h5_texts *texts, const char *text,
                                   size_t length)
{
    char *copy;

    if (!gqa_h5_is_from_file(file, text, length))
        return gqa_fail(GQA_ERR_FORMAT,
                        "damaged: it has bytes that are not in the file");
    copy = strndup(text, length);
    if (!copy)
        return gqa_fail_nomem();
    texts->items[texts->n++] = copy;
    return GQA_OK;
}

static enum gqa_status read_fixed(struct gqa_h5_file *file,
                                  struct gqa_h5_texts *texts, hid_t attribute,
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
                      gqa_h5_reason());
    for (size_t i = 0; i < n && st == GQA_OK; i++) {
        const char *text = block + i * size;
        size_t length = strnlen(text, size);

        while (spaces && length > 0 && text[length - 1] == ' ')
            length--;
        st = append_text(file, texts, text, length);
    }
    free(block);
    return st;
}

static enum gqa_status read_variable(struct gqa_h5_file *file,
                                     struct gqa_h5_texts *texts,
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
                      gqa_h5_reason());
    for (size_t i = 0; i < n && st == GQA_OK; i++) {
        const char *text = strings[i] ? strings[i] : "";
        const size_t length = strlen(text);

        if (length > MAX_TEXT_BYTES - total)
            st = gqa_fail(GQA_ERR_UNSUPPORTED,
                          "an attribute of more than %d bytes", MAX_TEXT_BYTES);
        else
            st = append_text(file, texts, text, length);
        total += length;
    }
    if (strings && memory >= 0)
        H5Dvlen_reclaim(memory, space, H5P_DEFAULT, strings);
    free(strings);
    H5Tclose(memory);
    return st;
}

static enum gqa_status read_texts(struct gqa_h5_file *file,
                                  struct gqa_h5_texts *texts, hid_t object,
                                  const char *name)
{
    const hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    const hid_t type = H5Aget_type(attribute);
    const hid_t space = H5Aget_space(attribute);
    const hssize_t n = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
    enum gqa_status st;

    if (attribute < 0 || type < 0 || n < 0)
        st = gqa_fail(GQA_ERR_FORMAT, "an attribute cannot be read (%s)",
                      gqa_h5_reason());
    else if (n == 0) /* h5py writes an empty list as one of numbers */
        st = GQA_OK;
    else if (H5Tget_class(type) != H5T_STRING)
        st = gqa_fail(GQA_ERR_FORMAT, "an attribute is no text");
    else if ((st = make_room(texts, n)) != GQA_OK)
        ;
    else if (H5Tis_variable_str(type) > 0)
        st = read_variable(file, texts, attribute, type, space, (size_t)n);
    else
        st = read_fixed(file, texts, attribute, type, (size_t)n);
    H5Sclose(space);
    H5Tclose(type);
    H5Aclose(attribute);
    return st;
}

enum gqa_status gqa_h5_read_texts(struct gqa_h5_file *file,
                                  struct gqa_h5_texts *texts, bool *found,
                                  const char *path, const char *attribute)
{
    const hid_t object = H5Oopen(file->id, path, H5P_DEFAULT);
    enum gqa_status st = GQA_OK;
    htri_t exists;

    if (object < 0)
        return gqa_h5_damaged(path, "this object");
    exists = H5Aexists(object, attribute);
    *found = exists > 0;
    if (exists < 0)
        st = gqa_fail(GQA_ERR_FORMAT, "an attribute cannot be read (%s)",
                      gqa_h5_reason());
    else if (*found)
        st = read_texts(file, texts, object, attribute);
    H5Oclose(object);
    return st == GQA_OK ? st : gqa_fail_prefix(st, "%s: %s", path, attribute);
}

bool gqa_h5_attribute_is(struct gqa_h5_file *file, hid_t object,
                         const char *name, const char *value)
{
    struct gqa_h5_texts texts = {0};
    enum gqa_status st;
    bool is = false;

    if (H5Aexists(object, name) > 0) {
        st = read_texts(file, &texts, object, name);
        is = st == GQA_OK && texts.n == 1 && strcmp(texts.items[0], value) == 0;
        if (st == GQA_ERR_NOMEM)
            gqa_h5_note_no_memory();
    }
    gqa_h5_texts_clear(&texts);
    return is;
}

bool gqa_h5_attribute_is_true(hid_t object, const char *name)
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
