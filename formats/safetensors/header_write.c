#include "formats/safetensors/header_write.h"

#include <stdlib.h>
#include <string.h>

#include "common/checked.h"
#include "common/json.h"
#include "common/strings.h"
#include "formats/safetensors/header.h"

static int compare_tensors(const void *a, const void *b, void *arg)
{
    const struct gqa_output_tensor *tensors = arg;
    const struct gqa_output_tensor *x = &tensors[*(const size_t *)a];
    const struct gqa_output_tensor *y = &tensors[*(const size_t *)b];

    /* enum gqa_dtype is in the order of the reference library's. */
    if (x->dtype != y->dtype)
        return x->dtype > y->dtype ? -1 : 1;
    return strcmp(x->name, y->name);
}

void gqa_st_sort(size_t *order, size_t n,
                 const struct gqa_output_tensor *tensors)
{
    if (n > 1)
        qsort_r(order, n, sizeof *order, compare_tensors, (void *)tensors);
}

/* A copy with sorted keys, so that the same input gives the same bytes. */
static json_t *sorted_copy(const json_t *object)
{
    const size_t n = json_object_size(object);
    const char **keys = malloc((n ? n : 1) * sizeof *keys);
    json_t *copy = json_object();
    size_t n_keys = 0;

    if (!keys || !copy)
        goto fail;
    /* jansson's iterators take no const, though they change nothing. */
    for (void *it = json_object_iter((json_t *)object); it;
         it = json_object_iter_next((json_t *)object, it))
        keys[n_keys++] = json_object_iter_key(it);
    qsort(keys, n_keys, sizeof *keys, gqa_compare_strings);
    for (size_t i = 0; i < n_keys; i++)
        if (json_object_set(copy, keys[i], json_object_get(object, keys[i])) !=
            0)
            goto fail;
    free(keys);
    return copy;
fail:
    free(keys);
    json_decref(copy);
    return NULL;
}

static json_t *describe_tensor(const struct gqa_output_tensor *t,
                               uint64_t begin, uint64_t end)
{
    json_t *shape = json_array();

    for (unsigned i = 0; i < t->rank; i++)
        if (json_array_append_new(shape,
                                  json_integer((json_int_t)t->shape[i])) != 0) {
            json_decref(shape);
            return NULL;
        }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", gqa_dtype_name(t->dtype),
                     "shape", shape, "data_offsets", (json_int_t)begin,
                     (json_int_t)end);
}

static enum gqa_status add_tensors(json_t *root, uint64_t *data_bytes,
                                   const struct gqa_output_tensor *tensors,
                                   const size_t *order, size_t n)
{
    uint64_t begin = 0;
    uint64_t end;

    for (size_t i = 0; i < n; i++) {
        const struct gqa_output_tensor *t = &tensors[order[i]];
        enum gqa_status st = gqa_tensor_name_check(t->name);
        json_t *entry;

        if (st != GQA_OK)
            return st;
        if (!gqa_add_u64(begin, t->n_bytes, &end) || end > INT64_MAX)
            return gqa_fail(GQA_ERR_FORMAT,
                            "the tensors are larger than a file can be");
        if (strcmp(t->name, "__metadata__") == 0)
            return gqa_fail(GQA_ERR_FORMAT,
                            "no tensor may be named __metadata__");
        if (json_object_get(root, t->name))
            return gqa_fail(GQA_ERR_FORMAT, "two tensors are named %s",
                            t->name);
        entry = describe_tensor(t, begin, end);
        if (!entry)
            return gqa_fail_nomem();
        /* Its other reason to fail is memory for one entry. */
        if (json_object_set_new(root, t->name, entry) != 0)
            return gqa_json_check() != GQA_OK
                       ? GQA_ERR_NOMEM
                       : gqa_fail(GQA_ERR_FORMAT,
                                  "the name of tensor %s is not UTF-8",
                                  t->name);
        begin = end;
    }
    *data_bytes = begin;
    return GQA_OK;
}

static enum gqa_status render(struct gqa_st_text *out, const json_t *root)
{
    const size_t n = json_dumpb(root, NULL, 0, JSON_COMPACT);
    const size_t padded = (n + 7) / 8 * 8;
    uint64_t length = padded;
    enum gqa_status st;
    char *bytes;

    if (n == 0)
        return gqa_fail_nomem();
    /* No more than what is read again, which is less than loaders read. */
    if ((st = gqa_json_check_bytes(padded, "header")) != GQA_OK)
        return st;
    bytes = malloc(GQA_ST_PREFIX_BYTES + padded);
    if (!bytes)
        return gqa_fail_nomem();
    for (unsigned i = 0; i < GQA_ST_PREFIX_BYTES; i++, length >>= 8)
        bytes[i] = (char)(length & 0xff);
    if (json_dumpb(root, bytes + GQA_ST_PREFIX_BYTES, n, JSON_COMPACT) != n) {
        free(bytes);
        return gqa_fail_nomem();
    }
    memset(bytes + GQA_ST_PREFIX_BYTES + n, ' ', padded - n);
    if (gqa_json_n_values(bytes + GQA_ST_PREFIX_BYTES, n) >
        GQA_JSON_MAX_VALUES) {
        free(bytes);
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "more tensors than one file may have that is to be "
                        "read again (about %zu); choose a folder, in shards",
                        GQA_JSON_MAX_VALUES / 8);
    }
    out->bytes = bytes;
    out->n_bytes = GQA_ST_PREFIX_BYTES + padded;
    return GQA_OK;
}

enum gqa_status gqa_st_text_create(struct gqa_st_text *out,
                                   const struct gqa_output_tensor *tensors,
                                   const size_t *order, size_t n,
                                   const json_t *metadata)
{
    enum gqa_status st;
    json_t *root = json_object();
    json_t *sorted = metadata ? sorted_copy(metadata) : NULL;

    if (!root || (metadata && !sorted) ||
        (sorted && json_object_set(root, "__metadata__", sorted) != 0)) {
        st = gqa_fail_nomem();
        goto done;
    }
    st = add_tensors(root, &out->data_bytes, tensors, order, n);
    if (st == GQA_OK)
        st = render(out, root);
done:
    json_decref(sorted);
    json_decref(root);
    return st;
}

void gqa_st_text_free(struct gqa_st_text *header)
{
    free(header->bytes);
}
