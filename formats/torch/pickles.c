/*
 * The form from before PyTorch 1.6: five pickles (a magic number, the version
 * of the form, the machine, the value, the keys of its storages), and then for
 * each key the number of elements and these.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/checked.h"
#include "common/file.h"
#include "formats/torch/content.h"
#include "formats/torch/unpickle.h"

#define MAGIC "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"

enum { VERSION = 1001 };

/* A storage and its key, to be found by that. */
struct keyed {
    const char *key;
    struct gqa_pickle_storage *storage;
};

static enum gqa_status read_start(struct gqa_torch_content *c,
                                  struct gqa_input *in)
{
    const struct gqa_pickle_values *v = &c->values;
    uint32_t magic, version;
    uint64_t number;
    enum gqa_status st = gqa_unpickle(&magic, &c->values, in);

    if (st == GQA_OK)
        st = gqa_unpickle(&version, &c->values, in);
    if (st != GQA_OK)
        return st;
    if (gqa_pickle_kind_of(v, magic) != GQA_PICKLE_LONG ||
        v->values[magic].n != sizeof MAGIC - 1 ||
        memcmp(gqa_pickle_text(v, magic), MAGIC, sizeof MAGIC - 1) != 0 ||
        !gqa_pickle_u64(v, version, &number) || number != VERSION)
        return gqa_fail(GQA_ERR_FORMAT,
                        "not what PyTorch's files of pickles begin with");
    return GQA_OK;
}

static enum gqa_status read_machine(struct gqa_torch_content *c,
                                    struct gqa_input *in)
{
    const struct gqa_pickle_values *v = &c->values;
    uint32_t machine, item, value;
    const enum gqa_status st = gqa_unpickle(&machine, &c->values, in);

    if (st != GQA_OK)
        return st;
    item = gqa_pickle_kind_of(v, machine) == GQA_PICKLE_DICT &&
                   v->values[machine].n > 0
               ? v->values[machine].is.items.first
               : 0;
    while (item != 0) {
        const uint32_t key = v->items[item].value;

        item = v->items[item].next;
        value = v->items[item].value;
        item = v->items[item].next;
        if (gqa_pickle_says(v, key, "little_endian") &&
            gqa_pickle_kind_of(v, value) == GQA_PICKLE_BOOL &&
            v->values[value].is.integer == 1)
            return GQA_OK;
    }
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "numbers are not little-endian; load and save it on a "
                    "machine where they are");
}

static int compare_keys(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;

    return strcmp(x->key, y->key);
}

static struct keyed *list_keys(struct gqa_pickle_values *v)
{
    struct keyed *keys = calloc(v->n_storages + 1, sizeof *keys);

    if (!keys)
        return NULL;
    for (size_t i = 0; i < v->n_storages; i++) {
        keys[i].storage = &v->storages[i];
        keys[i].key = gqa_pickle_text(v, v->storages[i].key);
    }
    qsort(keys, v->n_storages, sizeof *keys, compare_keys);
    return keys;
}

/* The first of those that have this key, or NULL. */
static struct keyed *find_key(struct keyed *keys, size_t n, const char *key)
{
    size_t low = 0, high = n;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (strcmp(keys[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && strcmp(keys[low].key, key) == 0 ? &keys[low] : NULL;
}

/* All that refer to the array at *at; it is moved behind that. */
static enum gqa_status place(struct keyed *first, const struct keyed *end,
                             int fd, uint64_t *at, uint64_t size)
{
    const struct gqa_pickle_storage *root = first->storage;
    unsigned char bytes[8];
    uint64_t n = 0, n_bytes;
    enum gqa_status st;

    if (root->is_found)
        return gqa_fail(GQA_ERR_FORMAT, "storage %s is there twice",
                        first->key);
    if (size - *at < sizeof bytes)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the file ends before storage %s: it is cut off",
                        first->key);
    if ((st = gqa_file_read(fd, bytes, sizeof bytes, *at)) != GQA_OK)
        return st;
    *at += sizeof bytes;
    for (size_t i = sizeof bytes; i-- > 0;)
        n = n << 8 | bytes[i];
    if (n != root->n_root)
        return gqa_fail(GQA_ERR_FORMAT,
                        "storage %s has %" PRIu64 " elements, and %" PRIu64
                        " where it is referred to",
                        first->key, n, root->n_root);
    if (!gqa_mul_u64(n, root->element_bytes, &n_bytes) || n_bytes > size - *at)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the file ends within storage %s, %" PRIu64
                        " elements from byte %" PRIu64 " on: it is cut off",
                        first->key, n, *at);
    for (struct keyed *k = first; k < end && strcmp(k->key, first->key) == 0;
         k++) {
        struct gqa_pickle_storage *s = k->storage;

        if (s->n_root != n || s->element_bytes != root->element_bytes)
            return gqa_fail(GQA_ERR_FORMAT,
                            "storage %s is referred to as two arrays",
                            first->key);
        s->is_found = true;
        s->offset = *at + s->first * s->element_bytes;
    }
    *at += n_bytes;
    return GQA_OK;
}

static enum gqa_status find_storages(struct gqa_pickle_values *v, uint32_t list,
                                     int fd, uint64_t at, uint64_t size)
{
    struct keyed *keys;
    enum gqa_status st = GQA_OK;
    uint32_t item;

    if (gqa_pickle_kind_of(v, list) != GQA_PICKLE_LIST)
        return gqa_fail(GQA_ERR_FORMAT, "no list of storages");
    keys = list_keys(v);
    if (!keys)
        return gqa_fail_nomem();
    item = v->values[list].n > 0 ? v->values[list].is.items.first : 0;
    for (; item != 0 && st == GQA_OK; item = v->items[item].next) {
        const uint32_t key = v->items[item].value;
        struct keyed *first = NULL;

        if (gqa_pickle_kind_of(v, key) == GQA_PICKLE_TEXT)
            first = find_key(keys, v->n_storages, gqa_pickle_text(v, key));
        st = first ? place(first, keys + v->n_storages, fd, &at, size)
                   : gqa_fail(GQA_ERR_FORMAT,
                              "a storage that nothing refers to, so that its "
                              "size is unknown");
    }
    free(keys);
    if (st == GQA_OK && at != size)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%" PRIu64 " bytes after the last storage belong to "
                        "nothing",
                        size - at);
    return st;
}

enum gqa_status gqa_torch_read_pickles(struct gqa_torch_content *c, int fd,
                                       uint64_t size)
{
    struct gqa_input *in = malloc(sizeof *in);
    enum gqa_status st;
    uint64_t at = 0;
    uint32_t list = 0;

    if (!in)
        return gqa_fail_nomem();
    gqa_input_begin(in, "the pickle", fd, 0, size);
    st = read_start(c, in);
    if (st == GQA_OK)
        st = read_machine(c, in);
    if (st == GQA_OK)
        st = gqa_unpickle(&c->root, &c->values, in);
    if (st == GQA_OK)
        st = gqa_unpickle(&list, &c->values, in);
    at = gqa_input_at(in);
    free(in);
    return st == GQA_OK ? find_storages(&c->values, list, fd, at, size) : st;
}
