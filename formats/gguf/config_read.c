/* The configuration that the keys of a GGUF file stand for. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "formats/gguf/architecture_table.h"
#include "formats/gguf/scaling_read.h"

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

    if (!gqa_gguf_n_layers(&n_layers, a, h->keys) || n_layers == 0)
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
        return gqa_gguf_n_layers(&n, a, h->keys) ? json_integer((json_int_t)n)
                                                 : NULL;
    if (k->flags & GQA_GGUF_ONE_OR_ALL)
        return json_boolean(json_integer_value(value) == 1);
    if (k->flags & GQA_GGUF_OVER_ROOT_DEPTH)
        return json_is_number(value) && gqa_gguf_n_layers(&n, a, h->keys)
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
        (!(k->flags & GQA_GGUF_BY_LAYER) || gqa_gguf_one_of(value)))
        value = gqa_gguf_one_of(value);
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

    return !value || gqa_json_u64(gqa_gguf_one_of(value), &n)
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
    if (!gqa_json_u64(gqa_gguf_one_of(gqa_gguf_key_value(
                          a, keys, "%.rope.dimension_count")),
                      &turned) ||
        !gqa_json_u64(gqa_gguf_key_value(a, keys, "%.embedding_length"),
                      &width) ||
        !gqa_json_u64(gqa_gguf_one_of(gqa_gguf_key_value(
                          a, keys, "%.attention.head_count")),
                      &heads) ||
        heads == 0)
        return GQA_OK;
    if (!gqa_json_u64(gqa_gguf_one_of(gqa_gguf_key_value(
                          a, keys, "%.attention.key_length")),
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

    if (a->unsaid && (!gqa_gguf_n_layers(&n_layers, a, h->keys) ||
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
