#include "formats/gguf/architecture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "formats/gguf/architecture_table.h"
#include "formats/gguf/pattern.h"

static const char *text_of(const json_t *keys, const char *key)
{
    return json_string_value(json_object_get(keys, key));
}

/* Some are what they are written from where the file records that alone. */
static bool may_be(const struct gqa_gguf_architecture *a,
                   const struct gqa_gguf_header *h, const json_t *recorded)
{
    const char *type = text_of(recorded, "model_type");

    if (a->is_recorded && (!type || strcmp(type, a->model_type) != 0))
        return false;
    if (a->said &&
        !(json_number_value(gqa_gguf_key_value(a, h->keys, a->said)) > 0))
        return false;
    return !a->marked || gqa_gguf_header_has(h, a->marked);
}

const struct gqa_gguf_architecture *gqa_gguf_architecture_find(
    const struct gqa_gguf_header *h, const json_t *recorded)
{
    const char *name = text_of(h->keys, "general.architecture");

    for (const struct gqa_gguf_architecture *a = gqa_gguf_architectures;
         name && a->name; a++)
        if (strcmp(a->name, name) == 0 && may_be(a, h, recorded))
            return a;
    return NULL;
}

void gqa_gguf_key_name(char out[GQA_GGUF_MAX_KEY],
                       const struct gqa_gguf_architecture *a, const char *key)
{
    if (*key == '%')
        snprintf(out, GQA_GGUF_MAX_KEY, "%s%s", a->name, key + 1);
    else
        snprintf(out, GQA_GGUF_MAX_KEY, "%s", key);
}

const json_t *gqa_gguf_key_value(const struct gqa_gguf_architecture *a,
                                 const json_t *keys, const char *key)
{
    char whole[GQA_GGUF_MAX_KEY];

    gqa_gguf_key_name(whole, a, key);
    return json_object_get(keys, whole);
}

const json_t *gqa_gguf_one_of(const json_t *value)
{
    const json_t *item, *first = json_array_get(value, 0);
    size_t i;

    if (!json_is_array(value))
        return value;
    json_array_foreach(value, i, item)
    {
        if (!json_equal(item, first))
            return NULL;
    }
    return first;
}

/* Of a layer, where the value is a list of them. */
static bool number_of_layer(const json_t *value, size_t layer, uint64_t *out)
{
    return gqa_json_u64(
        json_is_array(value) ? json_array_get(value, layer) : value, out);
}

/* --- Tensors -------------------------------------------------------------- */

static enum gqa_status find_heads(struct gqa_gguf_place *p,
                                  const struct gqa_gguf_architecture *a,
                                  const json_t *keys, size_t layer)
{
    const json_t *kv = gqa_gguf_key_value(a, keys, "%.attention.head_count_kv");

    if (!number_of_layer(gqa_gguf_key_value(a, keys, "%.attention.head_count"),
                         layer, &p->n_heads) ||
        p->n_heads == 0)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s.attention.head_count says no number of heads",
                        a->name);
    if (!kv)
        p->n_kv_heads = p->n_heads;
    else if (!number_of_layer(kv, layer, &p->n_kv_heads) ||
             p->n_kv_heads == 0 || p->n_heads % p->n_kv_heads != 0)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s.attention.head_count_kv says no number of heads "
                        "that divides those of queries, %" PRIu64,
                        a->name, p->n_heads);
    return GQA_OK;
}

bool gqa_gguf_n_layers(uint64_t *n, const struct gqa_gguf_architecture *a,
                       const json_t *keys)
{
    const json_t *said = gqa_gguf_key_value(a, keys, "%.nextn_predict_layers");
    uint64_t all, more = 0;

    if (!gqa_json_u64(gqa_gguf_key_value(a, keys, "%.block_count"), &all) ||
        (said && !gqa_json_u64(said, &more)) || more > all)
        return false;
    *n = all - more;
    return true;
}

bool gqa_gguf_predicts_more(const struct gqa_gguf_architecture *a,
                            const struct gqa_gguf_header *h, const char *name)
{
    uint64_t n_layers;

    return a && gqa_gguf_key_value(a, h->keys, "%.nextn_predict_layers") &&
           strncmp(name, "blk.", 4) == 0 &&
           gqa_gguf_n_layers(&n_layers, a, h->keys) &&
           strtoull(name + 4, NULL, 10) >= n_layers;
}

bool gqa_gguf_is_half(enum gqa_gguf_order order)
{
    return order == GQA_GGUF_FIRST_HALVES || order == GQA_GGUF_SECOND_HALVES;
}

/* One of queries, keys and values */
static bool is_third(enum gqa_gguf_order order)
{
    return order >= GQA_GGUF_QUERIES && order <= GQA_GGUF_GROUPED_VALUES;
}

unsigned gqa_gguf_n_slices(enum gqa_gguf_order order)
{
    return is_third(order) ? 3 : gqa_gguf_is_half(order) ? 2 : 1;
}

unsigned gqa_gguf_slice(enum gqa_gguf_order order)
{
    return is_third(order)           ? (order - GQA_GGUF_QUERIES) % 3
           : gqa_gguf_is_half(order) ? order - GQA_GGUF_FIRST_HALVES
                                     : 0;
}

static bool is_paired(enum gqa_gguf_order order)
{
    return order == GQA_GGUF_PAIRED || order == GQA_GGUF_PAIRED_KEYS;
}

static uint64_t count_heads(const struct gqa_gguf_place *p)
{
    if (is_third(p->order))
        return gqa_gguf_slice(p->order) == 0 ? p->n_heads : p->n_kv_heads;
    return is_paired(p->order) ? p->n_heads : p->n_heads + 2 * p->n_kv_heads;
}

/* The heads whose rows the tensor has. */
static enum gqa_status place_heads(struct gqa_gguf_place *p,
                                   const struct gqa_gguf_tensor *t)
{
    const uint64_t rows = t->rank > 0 ? t->shape[0] : 0;
    uint64_t n;

    if (p->order == GQA_GGUF_PAIRED_KEYS)
        p->n_heads = p->n_kv_heads;
    n = count_heads(p);
    p->head_dim = rows / n;
    if (rows % n != 0 ||
        (p->order != GQA_GGUF_BY_GROUPS && p->head_dim % 2 != 0))
        return gqa_fail(GQA_ERR_FORMAT,
                        "tensor %s: %" PRIu64 " rows do not make %" PRIu64
                        " heads",
                        t->name, rows, n);
    return GQA_OK;
}

static bool is_by_heads(enum gqa_gguf_order order)
{
    return is_paired(order) || is_third(order) || order == GQA_GGUF_BY_GROUPS;
}

/* A bias whose rows are to be put in order is read number by number, of
 * integers one is not taken off, and halves are of experts. */
static enum gqa_status check_type(const struct gqa_gguf_place *p,
                                  const struct gqa_gguf_tensor *t)
{
    if ((is_by_heads(p->order) && t->rank == 1 && t->type->is_quantised) ||
        (p->order == GQA_GGUF_ONE_MORE && !gqa_dtype_is_float(t->type->dtype)))
        return gqa_fail(GQA_ERR_FORMAT,
                        "tensor %s is of the type %s, which it cannot be",
                        t->name, t->type->name);
    if (gqa_gguf_is_half(p->order) && t->rank != 2 && t->rank != 3)
        return gqa_fail(GQA_ERR_FORMAT,
                        "tensor %s has %u dimensions, and matrices have 2, or "
                        "3 of experts",
                        t->name, t->rank);
    if (is_third(p->order) && t->rank != 2)
        return gqa_fail(GQA_ERR_FORMAT,
                        "tensor %s has %u dimensions, and a matrix has 2",
                        t->name, t->rank);
    return GQA_OK;
}

enum gqa_status gqa_gguf_tensor_place(char **name, struct gqa_gguf_place *p,
                                      const struct gqa_gguf_architecture *a,
                                      const struct gqa_gguf_header *h,
                                      const struct gqa_gguf_tensor *t)
{
    const struct gqa_gguf_name *n = a ? a->names : NULL;
    enum gqa_status st;
    struct gqa_gguf_numbers found = {{"", ""}, {0, 0}, 0};

    memset(p, 0, sizeof *p);
    if (gqa_gguf_predicts_more(a, h, t->name)) {
        *name = NULL;
        return GQA_OK;
    }
    while (n && n->theirs && !gqa_gguf_fits(t->name, n->theirs, &found))
        n++;
    if (!n || !n->theirs) {
        *name = strdup(t->name);
        return *name ? GQA_OK : gqa_fail_nomem();
    }
    *name = NULL;
    if (!n->ours)
        return GQA_OK;
    p->order = n->order;
    if (p->order == GQA_GGUF_TURNED && t->rank != 2)
        p->order = GQA_GGUF_AS_IT_IS; /* its bias */
    if (p->order == GQA_GGUF_ROW && t->rank != 1)
        p->order = GQA_GGUF_AS_IT_IS; /* a matrix there, too */
    st = check_type(p, t);
    if (st != GQA_OK)
        return st;
    if (is_by_heads(p->order)) {
        st = find_heads(p, a, h->keys, gqa_gguf_layer(&found));
        if (st == GQA_OK)
            st = place_heads(p, t);
        if (st != GQA_OK)
            return st;
    }
    *name = gqa_gguf_make_name(n->ours, &found);
    return *name ? GQA_OK : gqa_fail_nomem();
}

static uint64_t paired_row(const struct gqa_gguf_place *p, uint64_t row)
{
    const uint64_t head = row / p->head_dim, i = row % p->head_dim;
    const uint64_t half = p->head_dim / 2;

    return head * p->head_dim + i % half * 2 + i / half;
}

static uint64_t grouped_row(const struct gqa_gguf_place *p, uint64_t row)
{
    const uint64_t size = p->n_heads / p->n_kv_heads;
    const uint64_t block = row / p->head_dim, i = row % p->head_dim;
    const uint64_t group = block / (size + 2), within = block % (size + 2);
    const uint64_t head = within < size    ? group * size + within
                          : within == size ? p->n_heads + group
                                           : p->n_heads + p->n_kv_heads + group;

    return head * p->head_dim + i;
}

/* Row of theirs as one of ours: what paired_row() and grouped_row() undo. */
static uint64_t unpaired_row(const struct gqa_gguf_place *p, uint64_t row)
{
    const uint64_t head = row / p->head_dim, i = row % p->head_dim;

    return head * p->head_dim + i % 2 * (p->head_dim / 2) + i / 2;
}

static uint64_t ungrouped_row(const struct gqa_gguf_place *p, uint64_t row)
{
    const uint64_t size = p->n_heads / p->n_kv_heads;
    const uint64_t head = row / p->head_dim, i = row % p->head_dim;
    const uint64_t kv = head - p->n_heads; /* of a head behind the queries' */
    const uint64_t block =
        head < p->n_heads
            ? head / size * (size + 2) + head % size
            : kv % p->n_kv_heads * (size + 2) + size + kv / p->n_kv_heads;

    return block * p->head_dim + i;
}

static bool is_grouped_third(enum gqa_gguf_order order)
{
    return is_third(order) && order >= GQA_GGUF_GROUPED_QUERIES;
}

/* A row of all three, and a row of one of them as one of ours */
static uint64_t third_row(const struct gqa_gguf_place *p, uint64_t row)
{
    const uint64_t theirs =
        is_grouped_third(p->order) ? grouped_row(p, row) : row;

    return theirs / p->head_dim < p->n_heads + p->n_kv_heads
               ? paired_row(p, theirs)
               : theirs;
}

static uint64_t row_of_third(const struct gqa_gguf_place *p, uint64_t row)
{
    const unsigned slice = gqa_gguf_slice(p->order);
    const uint64_t before = slice == 0   ? 0
                            : slice == 1 ? p->n_heads
                                         : p->n_heads + p->n_kv_heads;
    const uint64_t theirs = before * p->head_dim + row;
    const uint64_t apart = slice < 2 ? unpaired_row(p, theirs) : theirs;

    return is_grouped_third(p->order) ? ungrouped_row(p, apart) : apart;
}

uint64_t gqa_gguf_original_row(const struct gqa_gguf_place *p, uint64_t row)
{
    return is_paired(p->order)              ? unpaired_row(p, row)
           : is_third(p->order)             ? row_of_third(p, row)
           : p->order == GQA_GGUF_BY_GROUPS ? ungrouped_row(p, row)
                                            : row;
}

uint64_t gqa_gguf_row(const struct gqa_gguf_place *p, uint64_t row)
{
    return is_paired(p->order)              ? paired_row(p, row)
           : is_third(p->order)             ? third_row(p, row)
           : p->order == GQA_GGUF_BY_GROUPS ? grouped_row(p, row)
                                            : row;
}
