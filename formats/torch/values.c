#include "formats/torch/values.h"

#include <stdlib.h>
#include <string.h>

/* Room for n more of what there are `used` of; NULL: no memory. */
static void *grow(void *array, size_t *room, size_t used, size_t n, size_t size)
{
    size_t wanted = *room;
    void *grown;

    if (used + n <= wanted)
        return array;
    while (wanted < used + n)
        wanted = wanted < 64 ? 64 : wanted * 2;
    grown = reallocarray(array, wanted, size);
    if (grown)
        *room = wanted;
    return grown;
}

static enum gqa_status refuse_many(const char *what, size_t most)
{
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "more than %zu %s: no checkpoint has as many", most, what);
}

void gqa_pickle_values_clear(struct gqa_pickle_values *v)
{
    free(v->values);
    free(v->items);
    free(v->texts);
    free(v->storages);
    free(v->tensors);
    memset(v, 0, sizeof *v);
}

enum gqa_status gqa_pickle_make(uint32_t *out, struct gqa_pickle_values *v,
                                enum gqa_pickle_kind kind)
{
    struct gqa_pickle_value *grown;

    if (v->n_values == GQA_PICKLE_MAX_VALUES)
        return refuse_many("values", GQA_PICKLE_MAX_VALUES);
    grown = grow(v->values, &v->room_values, v->n_values, 1, sizeof *v->values);
    if (!grown)
        return gqa_fail_nomem();
    v->values = grown;
    v->values[v->n_values] = (struct gqa_pickle_value){.kind = kind};
    *out = (uint32_t)v->n_values++;
    return GQA_OK;
}

enum gqa_status gqa_pickle_make_int(uint32_t *out, struct gqa_pickle_values *v,
                                    enum gqa_pickle_kind kind, int64_t integer)
{
    const enum gqa_status st = gqa_pickle_make(out, v, kind);

    if (st == GQA_OK)
        v->values[*out].is.integer = integer;
    return st;
}

enum gqa_status gqa_pickle_make_text(uint32_t *out, char **text,
                                     struct gqa_pickle_values *v,
                                     enum gqa_pickle_kind kind, size_t n)
{
    const enum gqa_status st = gqa_pickle_make(out, v, kind);
    char *grown;

    if (st != GQA_OK)
        return st;
    grown = grow(v->texts, &v->room_texts, v->n_texts, n + 1, 1);
    if (!grown)
        return gqa_fail_nomem();
    v->texts = grown;
    v->values[*out].n = (uint32_t)n;
    v->values[*out].is.at = v->n_texts;
    *text = v->texts + v->n_texts;
    (*text)[n] = '\0';
    v->n_texts += n + 1;
    return GQA_OK;
}

enum gqa_status gqa_pickle_make_storage(
    uint32_t *out, struct gqa_pickle_values *v,
    const struct gqa_pickle_storage *storage)
{
    const enum gqa_status st = gqa_pickle_make(out, v, GQA_PICKLE_STORAGE);
    struct gqa_pickle_storage *grown;

    if (st != GQA_OK)
        return st;
    if (v->n_storages == GQA_PICKLE_MAX_TENSORS)
        return refuse_many("storages", GQA_PICKLE_MAX_TENSORS);
    grown = grow(v->storages, &v->room_storages, v->n_storages, 1,
                 sizeof *v->storages);
    if (!grown)
        return gqa_fail_nomem();
    v->storages = grown;
    v->storages[v->n_storages] = *storage;
    v->values[*out].is.at = v->n_storages++;
    return GQA_OK;
}

enum gqa_status gqa_pickle_make_tensor(uint32_t *out,
                                       struct gqa_pickle_values *v,
                                       const struct gqa_pickle_tensor *tensor)
{
    const enum gqa_status st = gqa_pickle_make(out, v, GQA_PICKLE_TENSOR);
    struct gqa_pickle_tensor *grown;

    if (st != GQA_OK)
        return st;
    if (v->n_tensors == GQA_PICKLE_MAX_TENSORS)
        return refuse_many("tensors", GQA_PICKLE_MAX_TENSORS);
    grown =
        grow(v->tensors, &v->room_tensors, v->n_tensors, 1, sizeof *v->tensors);
    if (!grown)
        return gqa_fail_nomem();
    v->tensors = grown;
    v->tensors[v->n_tensors] = *tensor;
    v->values[*out].is.at = v->n_tensors++;
    return GQA_OK;
}

enum gqa_status gqa_pickle_append(struct gqa_pickle_values *v, uint32_t list,
                                  uint32_t value)
{
    struct gqa_pickle_value *of = &v->values[list];
    struct gqa_pickle_item *grown;

    if (v->n_items == 0)
        v->n_items = 1; /* 0 is none */
    grown = grow(v->items, &v->room_items, v->n_items, 2, sizeof *v->items);
    if (!grown)
        return gqa_fail_nomem();
    v->items = grown;
    v->items[v->n_items] = (struct gqa_pickle_item){value, 0};
    if (of->n++ == 0)
        of->is.items.first = (uint32_t)v->n_items;
    else
        v->items[of->is.items.last].next = (uint32_t)v->n_items;
    of->is.items.last = (uint32_t)v->n_items++;
    return GQA_OK;
}

bool gqa_pickle_items(const struct gqa_pickle_values *v, uint32_t list,
                      uint32_t *items, size_t n)
{
    const struct gqa_pickle_value *of = &v->values[list];
    uint32_t at = of->is.items.first;

    if ((of->kind != GQA_PICKLE_LIST && of->kind != GQA_PICKLE_TUPLE) ||
        of->n < n)
        return false;
    for (size_t i = 0; i < n; i++, at = v->items[at].next)
        items[i] = v->items[at].value;
    return true;
}

bool gqa_pickle_u64(const struct gqa_pickle_values *v, uint32_t value,
                    uint64_t *out)
{
    const struct gqa_pickle_value *of = &v->values[value];

    if (of->kind != GQA_PICKLE_INT || of->is.integer < 0)
        return false;
    *out = (uint64_t)of->is.integer;
    return true;
}

bool gqa_pickle_says(const struct gqa_pickle_values *v, uint32_t value,
                     const char *text)
{
    return gqa_pickle_kind_of(v, value) == GQA_PICKLE_TEXT &&
           strcmp(gqa_pickle_text(v, value), text) == 0;
}
