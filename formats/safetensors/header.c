#include "formats/safetensors/header.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/checked.h"
#include "common/dtype.h"
#include "common/json.h"
#include "formats/recorded.h"

#define METADATA "__metadata__"

/* What one entry of the JSON says, before its place in the data is checked. */
struct entry {
    struct gqa_tensor tensor; /* name still lent by the JSON */
    uint64_t begin, end;
    size_t position; /* in the header, to sort the same way everywhere */
};

uint64_t gqa_st_header_length(const unsigned char *prefix)
{
    uint64_t length = 0;

    for (size_t i = GQA_ST_PREFIX_BYTES; i > 0; i--)
        length = length << 8 | prefix[i - 1];
    return length;
}

static enum gqa_status check_name(const char *name)
{
    const enum gqa_status st = gqa_tensor_name_check(name);

    return st == GQA_OK ? st : gqa_fail_prefix(st, "header");
}

static enum gqa_status parse_shape(struct gqa_tensor *tensor,
                                   const json_t *shape)
{
    const size_t rank = json_array_size(shape);

    if (!json_is_array(shape))
        return gqa_fail(GQA_ERR_FORMAT, "tensor %s: no shape in the header",
                        tensor->name);
    if (rank > GQA_MAX_RANK)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "tensor %s: %zu dimensions; at most %d are supported",
                        tensor->name, rank, GQA_MAX_RANK);
    tensor->rank = (unsigned)rank;
    tensor->n_elements = 1;
    for (size_t i = 0; i < rank; i++) {
        if (!gqa_json_u64(json_array_get(shape, i), &tensor->shape[i]))
            return gqa_fail(GQA_ERR_FORMAT,
                            "tensor %s: dimension %zu of the shape is not a "
                            "non-negative integer",
                            tensor->name, i);
        if (!gqa_mul_u64(tensor->n_elements, tensor->shape[i],
                         &tensor->n_elements))
            return gqa_fail(GQA_ERR_FORMAT,
                            "tensor %s: the product of the shape overflows "
                            "64 bits at dimension %zu (%" PRIu64 ")",
                            tensor->name, i, tensor->shape[i]);
    }
    return GQA_OK;
}

static enum gqa_status parse_size(struct gqa_tensor *tensor,
                                  const char *dtype_name)
{
    uint64_t bits;

    if (!gqa_dtype_parse(dtype_name, &tensor->dtype))
        return gqa_fail(GQA_ERR_UNSUPPORTED, "tensor %s: unknown dtype \"%s\"",
                        tensor->name, dtype_name);
    if (gqa_dtype_bytes(tensor->dtype, tensor->n_elements, &tensor->n_bytes))
        return GQA_OK;
    if (gqa_mul_u64(tensor->n_elements, gqa_dtype_bits(tensor->dtype), &bits))
        return gqa_fail(GQA_ERR_FORMAT,
                        "tensor %s: %" PRIu64 " elements of %u bits (%s) do "
                        "not fill whole bytes",
                        tensor->name, tensor->n_elements,
                        gqa_dtype_bits(tensor->dtype), dtype_name);
    return gqa_fail(GQA_ERR_FORMAT,
                    "tensor %s: the size of %" PRIu64
                    " elements of %s overflows 64 bits",
                    tensor->name, tensor->n_elements, dtype_name);
}

static enum gqa_status parse_entry(struct entry *entry, const char *name,
                                   const json_t *info)
{
    const json_t *dtype = json_object_get(info, "dtype");
    const json_t *offsets = json_object_get(info, "data_offsets");
    struct gqa_tensor *tensor = &entry->tensor;
    enum gqa_status st;

    if ((st = check_name(name)) != GQA_OK)
        return st;
    tensor->name = (char *)name;
    if (!json_is_object(info))
        return gqa_fail(GQA_ERR_FORMAT,
                        "tensor %s: its header entry is not an object", name);
    if (!json_is_string(dtype))
        return gqa_fail(GQA_ERR_FORMAT, "tensor %s: no dtype in the header",
                        name);
    if ((st = parse_shape(tensor, json_object_get(info, "shape"))) != GQA_OK)
        return st;
    if ((st = parse_size(tensor, json_string_value(dtype))) != GQA_OK)
        return st;
    if (json_array_size(offsets) != 2 ||
        !gqa_json_u64(json_array_get(offsets, 0), &entry->begin) ||
        !gqa_json_u64(json_array_get(offsets, 1), &entry->end))
        return gqa_fail(GQA_ERR_FORMAT,
                        "tensor %s: data_offsets is not a pair of "
                        "non-negative integers",
                        name);
    if (entry->end < entry->begin)
        return gqa_fail(GQA_ERR_FORMAT,
                        "tensor %s: data_offsets [%" PRIu64 ", %" PRIu64
                        "] end before they begin",
                        name, entry->begin, entry->end);
    if (entry->end - entry->begin != tensor->n_bytes)
        return gqa_fail(GQA_ERR_FORMAT,
                        "tensor %s: data_offsets [%" PRIu64 ", %" PRIu64
                        "] hold %" PRIu64 " bytes, but shape and dtype %s "
                        "need %" PRIu64,
                        name, entry->begin, entry->end,
                        entry->end - entry->begin, json_string_value(dtype),
                        tensor->n_bytes);
    return GQA_OK;
}

/* By place in the data; empty tensors before the one that begins there. */
static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return x->position < y->position ? -1 : x->position > y->position;
}

/* Sorted entries must follow one another without a gap or an overlap. */
static enum gqa_status check_tiling(const struct entry *entries, size_t n)
{
    uint64_t end = 0;

    for (size_t i = 0; i < n; i++) {
        const struct entry *e = &entries[i];

        if (e->begin < end)
            return gqa_fail(GQA_ERR_FORMAT,
                            "tensors %s and %s overlap: the second begins at "
                            "byte %" PRIu64 " of the data, the first ends at "
                            "%" PRIu64,
                            entries[i - 1].tensor.name, e->tensor.name,
                            e->begin, end);
        if (e->begin > end)
            return gqa_fail(GQA_ERR_FORMAT,
                            "tensor %s begins at byte %" PRIu64
                            " of the data, but bytes %" PRIu64 " to %" PRIu64
                            " belong to no tensor",
                            e->tensor.name, e->begin, end, e->begin - 1);
        end = e->end;
    }
    return GQA_OK;
}

static enum gqa_status check_metadata(json_t *metadata)
{
    const char *key;
    json_t *value;

    if (!json_is_object(metadata))
        return gqa_fail(GQA_ERR_FORMAT,
                        "header: " METADATA " is not an object");
    json_object_foreach(metadata, key, value)
    {
        if (!json_is_string(value))
            return gqa_fail(GQA_ERR_FORMAT,
                            "header: " METADATA " entry \"%.100s\" is not a "
                            "string",
                            key);
    }
    return GQA_OK;
}

/* Copy the sorted entries, whose names the JSON still owns. */
static enum gqa_status store_entries(struct gqa_st_header *header,
                                     const struct entry *entries, size_t n)
{
    if (n == 0)
        return GQA_OK;
    header->tensors = calloc(n, sizeof *header->tensors);
    header->offsets = calloc(n, sizeof *header->offsets);
    if (!header->tensors || !header->offsets)
        return gqa_fail_nomem();
    for (size_t i = 0; i < n; i++) {
        header->tensors[i] = entries[i].tensor;
        header->tensors[i].name = strdup(entries[i].tensor.name);
        header->n_tensors = i + 1;
        if (!header->tensors[i].name)
            return gqa_fail_nomem();
        header->offsets[i] = entries[i].begin;
    }
    header->data_bytes = entries[n - 1].end;
    return GQA_OK;
}

enum gqa_status gqa_st_header_parse(struct gqa_st_header *header,
                                    const char *text, size_t length)
{
    enum gqa_status st;
    struct entry *entries = NULL;
    json_t *root = NULL, *info;
    const char *name;
    size_t n = 0;

    if (length == 0 || text[0] != '{')
        return gqa_fail(GQA_ERR_FORMAT,
                        "header: does not begin with '{' after its length");
    if ((st = gqa_json_parse_list(&root, text, length, "header")) != GQA_OK)
        return st;
    /* Before the tensors, which a later format may spell differently. */
    info = json_object_get(root, METADATA);
    /* The safetensors library takes null for none, and writes it. */
    if (json_is_null(info))
        info = NULL;
    if (info && (st = check_metadata(info)) != GQA_OK)
        goto done;
    header->metadata = json_incref(info);
    entries = calloc(json_object_size(root) + 1, sizeof *entries);
    if (!entries) {
        st = gqa_fail_nomem();
        goto done;
    }
    json_object_foreach(root, name, info)
    {
        if (strcmp(name, METADATA) == 0)
            continue;
        if ((st = parse_entry(&entries[n], name, info)) != GQA_OK)
            goto done;
        entries[n].position = n;
        n++;
    }
    qsort(entries, n, sizeof *entries, compare_entries);
    if ((st = check_tiling(entries, n)) != GQA_OK)
        goto done;
    st = store_entries(header, entries, n);
done:
    free(entries);
    json_decref(root);
    return st;
}

void gqa_st_header_clear(struct gqa_st_header *header)
{
    for (size_t i = 0; i < header->n_tensors; i++)
        free(header->tensors[i].name);
    free(header->tensors);
    free(header->offsets);
    json_decref(header->metadata);
    memset(header, 0, sizeof *header);
}

enum gqa_status gqa_st_header_move(struct gqa_source *source,
                                   struct gqa_st_header *header)
{
    const char *format =
        json_string_value(json_object_get(header->metadata, "format"));
    const enum gqa_status st =
        gqa_recorded_take(source, header->metadata, METADATA);

    if (st != GQA_OK)
        return st;
    source->naming =
        format && strcmp(format, "tf") == 0 ? GQA_NAMES_TF : GQA_NAMES_TORCH;
    source->tensors = header->tensors;
    source->n_tensors = header->n_tensors;
    header->tensors = NULL;
    header->n_tensors = 0;
    return GQA_OK;
}
