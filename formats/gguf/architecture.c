#include "formats/gguf/architecture.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "formats/gguf/architecture_table.h"
#include "formats/gguf/pattern.h"
#include "formats/gguf/scaling_read.h"

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

/* The one value of all layers; NULL where they differ. */
static const json_t *one_of(const json_t *value)
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

/* Layers of the model: behind them may be some that predict more tokens. */
static bool find_n_layers(uint64_t *n, const struct gqa_gguf_architecture *a,
                          const json_t *keys)
{
    uint64_t more = 0;
    const json_t *said = gqa_gguf_key_value(a, keys, "%.nextn_predict_layers");

    return gqa_json_u64(gqa_gguf_key_value(a, keys, "%.block_count"), n) &&
           (!said || gqa_json_u64(said, &more)) && more <= *n &&
           (*n -= more, true);
}

bool gqa_gguf_predicts_more(const struct gqa_gguf_architecture *a,
                            const struct gqa_gguf_header *h, const char *name)
{
    uint64_t n_layers;

    return a && gqa_gguf_key_value(a, h->keys, "%.nextn_predict_layers") &&
           strncmp(name, "blk.", 4) == 0 &&
           find_n_layers(&n_layers, a, h->keys) &&
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

/* --- The configuration ---------------------------------------------------- */

enum gqa_status gqa_gguf_refuse_key(const struct gqa_gguf_architecture *a,
                                    const char *key, const char *what)
{
    return gqa_fail(GQA_ERR_FORMAT, "the key %s%s %s",
                    *key == '%' ? a->name : "", *key == '%' ? key + 1 : key,
                    what);
}

static enum gqa_status refuse_unsaid(const struct gqa_gguf_architecture *a,
                                     const char *key)
{
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "by %s%s this is a model whose configuration the keys "
                    "do not say in full; give --config the original's "
                    "config.json",
                    a->name, key + 1);
}

/* Takes value. A key within another is put there. */
static enum gqa_status set_ours(json_t *config, const char *key, json_t *value)
{
    const char *dot = strchr(key, '.');
    char outer[GQA_GGUF_MAX_KEY];

    if (!dot)
        return json_object_set_new(config, key, value) == 0 ? GQA_OK
                                                            : gqa_fail_nomem();
    snprintf(outer, sizeof outer, "%.*s", (int)(dot - key), key);
    if (!json_object_get(config, outer))
        json_object_set_new(config, outer, json_object());
    return json_object_set_new(json_object_get(config, outer), dot + 1,
                               value) == 0
               ? GQA_OK
               : gqa_fail_nomem();
}

/* The kinds of layers; NULL where the value tells them not. A model has no more
 * layers than tensors. */
static json_t *layer_kinds(const json_t *value, uint64_t n_layers,
                           uint64_t n_tensors)
{
    uint64_t period = 0;
    json_t *kinds;

    if (n_layers == 0 || n_layers > n_tensors ||
        (json_is_array(value) ? json_array_size(value) != n_layers
                              : !gqa_json_u64(value, &period)))
        return NULL;
    kinds = json_array();
    for (uint64_t i = 0; i < n_layers; i++) {
        const json_t *said = json_array_get(value, (size_t)i);
        const bool slides =
            said ? json_is_true(said) || json_integer_value(said) != 0
                 : period == 0 || i % period < period - 1;

        json_array_append_new(kinds, json_string(slides ? "sliding_attention"
                                                        : "full_attention"));
    }
    return kinds;
}

static const unsigned of_layers =
    GQA_GGUF_SLIDES | GQA_GGUF_OF_EACH | GQA_GGUF_DENSE_FIRST;

/* Of each of n layers, of which the first are of another kind. */
static json_t *repeated(uint64_t n, uint64_t n_first, json_t *first,
                        json_t *then, uint64_t n_tensors)
{
    json_t *list = n_first <= n && n <= n_tensors ? json_array() : NULL;

    for (uint64_t i = 0; list && i < n; i++)
        json_array_append(list, i < n_first ? first : then);
    json_decref(first);
    json_decref(then);
    return list;
}

/* Of a value that concerns all layers, what is said of each; NULL: nothing. */
static json_t *by_layers(const struct gqa_gguf_architecture *a,
                         const struct gqa_gguf_header *h, unsigned flags,
                         const json_t *value)
{
    uint64_t n_layers, n;

    if (!find_n_layers(&n_layers, a, h->keys) || n_layers == 0)
        return NULL;
    if (flags & GQA_GGUF_SLIDES)
        return layer_kinds(value, n_layers, h->n);
    if (flags & GQA_GGUF_LAST_LAYER)
        return json_integer((json_int_t)n_layers - 1);
    if (!gqa_json_u64(value, &n))
        return NULL;
    return flags & GQA_GGUF_DENSE_FIRST
               ? repeated(n_layers, n, json_string("dense"),
                          json_string("sparse"), h->n)
               : repeated(n_layers, 0, NULL, json_integer((json_int_t)n), h->n);
}

json_t *gqa_gguf_rounded(double value)
{
    char text[32];

    snprintf(text, sizeof text, "%.7g", value);
    return json_real(strtod(text, NULL));
}

/* What the configuration says for the value; NULL where it says nothing so.
 * Owned. */
static json_t *translated(const struct gqa_gguf_architecture *a,
                          const struct gqa_gguf_header *h,
                          const struct gqa_gguf_key *k, const json_t *value)
{
    const double theirs = json_number_value(value);
    uint64_t n = 0;

    if (k->flags & (of_layers | GQA_GGUF_LAST_LAYER))
        return by_layers(a, h, k->flags, value);
    if (strcmp(k->theirs, "%.block_count") == 0)
        return find_n_layers(&n, a, h->keys) ? json_integer((json_int_t)n)
                                             : NULL;
    if (k->flags & GQA_GGUF_ONE_OR_ALL)
        return json_boolean(json_integer_value(value) == 1);
    if (k->flags & GQA_GGUF_OVER_ROOT_DEPTH)
        return json_is_number(value) && find_n_layers(&n, a, h->keys)
                   ? gqa_gguf_rounded(theirs * sqrt((double)n))
                   : NULL;
    if (k->flags & GQA_GGUF_WIDTH_OVER)
        return theirs > 0 && gqa_json_u64(gqa_gguf_key_value(
                                              a, h->keys, "%.embedding_length"),
                                          &n)
                   ? gqa_gguf_rounded((double)n / theirs)
                   : NULL;
    return json_is_number(value) || json_is_array(value) ||
                   (json_is_boolean(value) && !(k->flags & GQA_GGUF_REAL))
               ? json_deep_copy(value)
               : NULL;
}

/* Neither one KV head nor all of them, which a configuration cannot say. */
static bool is_between(const struct gqa_gguf_architecture *a,
                       const json_t *keys, const struct gqa_gguf_key *k)
{
    const json_t *value = gqa_gguf_key_value(a, keys, k->theirs);

    return (k->flags & GQA_GGUF_ONE_OR_ALL) && value &&
           json_integer_value(value) != 1 &&
           !json_equal(value,
                       gqa_gguf_key_value(a, keys, "%.attention.head_count"));
}

static enum gqa_status copy_key(json_t *config,
                                const struct gqa_gguf_architecture *a,
                                const struct gqa_gguf_header *h,
                                const struct gqa_gguf_key *k)
{
    const json_t *value = gqa_gguf_key_value(a, h->keys, k->theirs);
    json_t *copy;

    if (!value && (k->flags & GQA_GGUF_ELSE_NULL))
        return set_ours(config, k->ours, json_null());
    if (!value)
        return k->flags & GQA_GGUF_OPTIONAL
                   ? GQA_OK
                   : gqa_gguf_refuse_key(a, k->theirs, "is missing");
    if (json_is_null(value)) /* NaN, say: not as if it were not there */
        return gqa_gguf_refuse_key(a, k->theirs, GQA_GGUF_NO_NUMBER);
    if ((k->flags & GQA_GGUF_MUST_BE_ONE) && json_integer_value(value) != 1)
        return refuse_unsaid(a, k->theirs);
    if ((k->flags & GQA_GGUF_ZERO_IS_NONE) && json_is_integer(value) &&
        json_integer_value(value) == 0)
        return GQA_OK;
    if (is_between(a, h->keys, k))
        return GQA_OK;
    if (!(k->flags & GQA_GGUF_SLIDES) &&
        (!(k->flags & GQA_GGUF_BY_LAYER) || one_of(value)))
        value = one_of(value);
    if (!value)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "the key %s%s differs from layer to layer", a->name,
                        k->theirs + 1);
    copy = translated(a, h, k, value);
    return copy
               ? set_ours(config, k->ours, copy)
               : gqa_gguf_refuse_key(a, k->theirs,
                                     k->flags & of_layers ? "tells no layers"
                                                          : GQA_GGUF_NO_NUMBER);
}

/* What is always so must be so here, too. */
static enum gqa_status check_constants(const struct gqa_gguf_architecture *a,
                                       const json_t *keys)
{
    for (const struct gqa_gguf_constant *c = a->constants; c && c->theirs;
         c++) {
        const json_t *value = gqa_gguf_key_value(a, keys, c->theirs);

        if (value && !json_is_number(value) && !json_is_boolean(value))
            return gqa_gguf_refuse_key(a, c->theirs, GQA_GGUF_NO_NUMBER);
        if (!value || (float)json_number_value(value) == (float)c->value)
            continue;
        return c->otherwise ? gqa_fail(GQA_ERR_UNSUPPORTED, "%s%s is %g: %s",
                                       a->name, c->theirs + 1,
                                       json_number_value(value), c->otherwise)
                            : refuse_unsaid(a, c->theirs);
    }
    return GQA_OK;
}

/* Counts are what they are called, the same of all layers, or not there. */
static enum gqa_status check_count(const struct gqa_gguf_architecture *a,
                                   const json_t *keys, const char *key)
{
    const json_t *value = gqa_gguf_key_value(a, keys, key);
    uint64_t n;

    return !value || gqa_json_u64(one_of(value), &n)
               ? GQA_OK
               : gqa_gguf_refuse_key(a, key, GQA_GGUF_NO_NUMBER);
}

/* The share of a head that RoPE turns, where that is less than all of it. */
static enum gqa_status copy_share(json_t *config,
                                  const struct gqa_gguf_architecture *a,
                                  const json_t *keys)
{
    uint64_t width, heads, turned, dim;
    enum gqa_status st = check_count(a, keys, "%.rope.dimension_count");

    if (st == GQA_OK)
        st = check_count(a, keys, "%.attention.key_length");
    if (st != GQA_OK)
        return st;
    if (!gqa_json_u64(
            one_of(gqa_gguf_key_value(a, keys, "%.rope.dimension_count")),
            &turned) ||
        !gqa_json_u64(gqa_gguf_key_value(a, keys, "%.embedding_length"),
                      &width) ||
        !gqa_json_u64(
            one_of(gqa_gguf_key_value(a, keys, "%.attention.head_count")),
            &heads) ||
        heads == 0)
        return GQA_OK;
    if (!gqa_json_u64(
            one_of(gqa_gguf_key_value(a, keys, "%.attention.key_length")),
            &dim))
        dim = width / heads;
    if (!a->share)
        return turned == dim
                   ? GQA_OK
                   : gqa_fail(GQA_ERR_UNSUPPORTED,
                              "%s.rope.dimension_count is %" PRIu64
                              " of %" PRIu64
                              ": a part of each head, which models of the "
                              "type %s do not turn",
                              a->name, turned, dim, a->model_type);
    if (dim == 0)
        return GQA_OK;
    return json_object_set_new(config, a->share,
                               json_real((double)turned / (double)dim)) == 0
               ? GQA_OK
               : gqa_fail_nomem();
}

static enum gqa_status copy_shapes(json_t *config,
                                   const struct gqa_gguf_architecture *a,
                                   const struct gqa_gguf_header *h)
{
    for (size_t i = 0; i < h->n; i++)
        if (strcmp(h->tensors[i].name, "token_embd.weight") == 0 &&
            h->tensors[i].rank == 2)
            json_object_set_new(
                config, "vocab_size",
                json_integer((json_int_t)h->tensors[i].shape[0]));
    for (const struct gqa_gguf_sign *sign = a->signs; sign && sign->ours;
         sign++)
        json_object_set_new(config, sign->ours,
                            json_boolean(gqa_gguf_header_has(h, sign->tensor) ==
                                         sign->when_there));
    return json_object_set_new(
               config, "tie_word_embeddings",
               json_boolean(!gqa_gguf_header_has(h, "output.weight"))) == 0
               ? GQA_OK
               : gqa_fail_nomem();
}

bool gqa_gguf_known_value(json_int_t *out,
                          const struct gqa_gguf_architecture *a,
                          uint64_t n_layers)
{
    for (const struct gqa_gguf_known *k = a->known; k && k->n_layers; k++)
        if (k->n_layers == n_layers) {
            *out = k->value;
            return true;
        }
    return false;
}

enum gqa_status gqa_gguf_config_said(json_t **config,
                                     const struct gqa_gguf_architecture *a,
                                     const struct gqa_gguf_header *h)
{
    json_t *made = json_pack("{s:s, s:[s]}", "model_type", a->model_type,
                             "architectures", a->class);
    enum gqa_status st = made ? GQA_OK : gqa_fail_nomem();

    for (const struct gqa_gguf_key *k = a->keys; st == GQA_OK && k->ours; k++)
        st = copy_key(made, a, h, k);
    if (st == GQA_OK)
        st = check_constants(a, h->keys);
    if (st == GQA_OK && a->extra) {
        json_t *extra = gqa_json_own(a->extra);

        if (!extra || json_object_update(made, extra) != 0)
            st = gqa_fail_nomem();
        json_decref(extra);
    }
    if (st == GQA_OK)
        st = copy_share(made, a, h->keys);
    if (st == GQA_OK)
        st = gqa_gguf_scaling_read(made, a, h);
    if (st == GQA_OK)
        st = copy_shapes(made, a, h);
    if (st == GQA_OK)
        *config = made;
    else
        json_decref(made);
    return st;
}

enum gqa_status gqa_gguf_config_create(json_t **config,
                                       const struct gqa_gguf_architecture *a,
                                       const struct gqa_gguf_header *h)
{
    uint64_t n_layers = 0;
    json_int_t value = 0;
    enum gqa_status st;

    if (a->unsaid && (!find_n_layers(&n_layers, a, h->keys) ||
                      !gqa_gguf_known_value(&value, a, n_layers)))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "no key of the architecture %s says %s; give --config "
                        "the original's config.json",
                        a->name, a->unsaid);
    for (const struct gqa_gguf_key *k = a->keys; k->ours; k++)
        if (is_between(a, h->keys, k))
            return refuse_unsaid(a, k->theirs);
    st = gqa_gguf_config_said(config, a, h);
    if (st == GQA_OK && a->unsaid &&
        json_object_set_new(*config, a->unsaid, json_integer(value)) != 0) {
        json_decref(*config);
        *config = NULL;
        st = gqa_fail_nomem();
    }
    return st;
}
