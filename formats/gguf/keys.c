#include "formats/gguf/keys.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/strings.h"
#include "common/ull.h"
#include "formats/families/description.h"
#include "formats/families/family.h"
#include "formats/gguf/scaling.h"

#define EMBEDDING "token_embd.weight"

/* What the keys are made of. */
struct telling {
    struct gqa_gguf_draft *d;
    const struct gqa_output *output;
    const struct gqa_model *model;
    const json_t *config;
};

void gqa_gguf_key_set(struct gqa_gguf_draft *d, const char *key, json_t *value)
{
    char name[GQA_GGUF_MAX_KEY];

    gqa_gguf_key_name(name, d->architecture, key);
    json_object_set_new(d->header.keys, name, value);
}

static bool is_set(const struct gqa_gguf_draft *d, const char *key)
{
    char name[GQA_GGUF_MAX_KEY];

    gqa_gguf_key_name(name, d->architecture, key);
    return json_object_get(d->header.keys, name) != NULL;
}

static json_t *integer(uint64_t value)
{
    return json_integer((json_int_t)value);
}

/* Of a matrix that is there; 0: it is not. */
static uint64_t rows_of(const struct gqa_gguf_draft *d, const char *name)
{
    for (size_t i = 0; i < d->header.n; i++)
        if (strcmp(d->header.tensors[i].name, name) == 0)
            return d->header.tensors[i].shape[0];
    return 0;
}

/* --- From the configuration ----------------------------------------------- */

/* "rope_parameters.rope_theta" is one for "rope_theta". */
static bool is_called(const json_t *said, const char *key)
{
    const char *text = json_string_value(said);
    const char *dot = text && !strchr(key, '.') ? strrchr(text, '.') : NULL;

    return text && strcmp(dot ? dot + 1 : text, key) == 0;
}

static bool is_setting_of(const json_t *part, const char *key)
{
    const json_t *keys = json_object_get(part, "key");

    for (size_t i = 0; i < json_array_size(keys); i++)
        if (is_called(json_array_get(keys, i), key))
            return true;
    return is_called(keys, key);
}

/* The setting of a description that a key is of; NULL: there is none. */
static const json_t *find_setting(const json_t *part, const char *key)
{
    const json_t *found = NULL;
    const char *name;
    json_t *value;

    if (gqa_is_setting(part) && is_setting_of(part, key))
        return part;
    json_object_foreach((json_t *)(uintptr_t)part, name, value)
    {
        if (!found)
            found = find_setting(value, key);
    }
    return found;
}

/* The word of the configuration that stands for a description's. */
static json_t *unmapped(const json_t *setting, const json_t *value)
{
    const char *word;
    json_t *meant;

    json_object_foreach(json_object_get(setting, "map"), word, meant)
    {
        if (json_equal(meant, value))
            return strcmp(word, "true") == 0    ? json_true()
                   : strcmp(word, "false") == 0 ? json_false()
                                                : json_string(word);
    }
    return json_deep_copy(value);
}

/* What loaders take where the key is not there; NULL: nothing. Owned. */
static json_t *value_of_silence(const struct telling *t, const char *key)
{
    const struct gqa_family *family = t->model->family;
    const json_t *found = json_object_get(family->keys.defaults, key);
    const json_t *value = NULL;

    for (const char *const *part = gqa_computing_parts; *part && !found; part++)
        found = find_setting(json_object_get(family->description->root, *part),
                             key);
    if (!found ||
        gqa_setting_get(&value, NULL,
                        &(const struct gqa_setting){found, GQA_VALUE_ANY},
                        t->config) != GQA_OK ||
        !value)
        return NULL;
    return unmapped(found, value);
}

/* NULL: nothing. Owned. */
static json_t *said(const struct telling *t, const char *key)
{
    const json_t *value = gqa_config_at(t->config, key);

    if (!value)
        return value_of_silence(t, key);
    return json_is_null(value) ? NULL : json_deep_copy(value);
}

/* Of several tokens, the first; of one that there is not, nothing. Takes
 * value. */
static json_t *token_of(const struct telling *t, json_t *value)
{
    json_t *first =
        json_incref(json_is_array(value) ? json_array_get(value, 0) : value);
    uint64_t token;

    json_decref(value);
    if (gqa_json_u64(first, &token) && token < rows_of(t->d, EMBEDDING))
        return first;
    json_decref(first);
    return NULL;
}

/* --- From what is known besides ------------------------------------------- */

/* Of the first with a name that ends so */
static json_t *columns_of(const struct gqa_gguf_draft *d, const char *end)
{
    for (size_t i = 0; i < d->header.n; i++) {
        const struct gqa_gguf_tensor *t = &d->header.tensors[i];

        if (gqa_ends_with(t->name, end) && t->rank > 0)
            return integer(t->shape[t->rank - 1]);
    }
    return NULL;
}

/* One number, or one for each layer. */
static json_t *kv_heads(const struct telling *t)
{
    const char *key =
        gqa_config_key(t->config, t->model->family->keys.n_kv_heads);
    const json_t *list = key ? json_object_get(t->config, key) : NULL;

    if (t->output->options->n_kv_heads > 0)
        return integer(t->output->options->n_kv_heads);
    return json_array_size(list) == t->model->n_layers ? json_deep_copy(list)
                                                       : NULL;
}

static enum gqa_status find_context(uint64_t *n, const struct telling *t)
{
    gqa_texts keys = t->model->family->keys.max_positions;
    const char *key = keys ? gqa_config_key(t->config, keys) : NULL;
    json_t *value = key ? said(t, key) : NULL;
    char text[41];
    enum gqa_status st = GQA_OK;

    *n = t->d->architecture->context;
    if (value && !gqa_json_u64(value, n)) {
        gqa_value_text(text, sizeof text, value);
        st = gqa_fail(GQA_ERR_FORMAT,
                      "configuration: %s is %s, not a whole number", key, text);
    }
    json_decref(value);
    return st;
}

enum gqa_status gqa_gguf_keys_window(uint64_t *out,
                                     const struct gqa_output *output)
{
    const struct gqa_model *model = output->options->model;
    const json_t *config = output->options->config;
    const struct gqa_family *family = model->family;
    const struct gqa_setting *window =
        &family->stacks[GQA_STACK_DECODER].self.window;
    bool slides = false;
    enum gqa_status st = GQA_OK;

    *out = 0;
    for (size_t i = 0;
         window->json && i < model->n_layers && st == GQA_OK && !slides; i++)
        st = gqa_layer_slides(&slides, &family->behaviours, config, i);
    return st == GQA_OK && slides ? gqa_setting_count(out, window, config) : st;
}

/* Within a window all of it is seen. */
static enum gqa_status tell_context(const struct telling *t)
{
    uint64_t n, window = 0;
    enum gqa_status st = find_context(&n, t);

    if (st == GQA_OK && !t->d->architecture->has_windows)
        st = gqa_gguf_keys_window(&window, t->output);

    if (st == GQA_OK && window > 0 && window < n)
        n = t->d->window = window;
    if (st == GQA_OK && n > 0)
        gqa_gguf_key_set(t->d, "%.context_length", integer(n));
    return st;
}

/* Which layers slide; NULL where the configuration says it not. */
static json_t *sliding_layers(const struct telling *t)
{
    json_t *list = json_array();

    for (size_t i = 0; i < t->model->n_layers; i++) {
        bool slides = false;

        if (gqa_layer_slides(&slides, &t->model->family->behaviours, t->config,
                             i) != GQA_OK) {
            json_decref(list);
            return NULL;
        }
        json_array_append_new(list, json_boolean(slides));
    }
    return list;
}

static bool has_key(const struct telling *t, const char *key)
{
    for (const struct gqa_gguf_key *k = t->d->architecture->keys; k->ours; k++)
        if (strcmp(k->theirs, key) == 0)
            return true;
    return false;
}

/* What is known without a look into the configuration; NULL: nothing is. */
static json_t *known(const struct telling *t, const char *key)
{
    const struct gqa_model *m = t->model;
    json_t *width = NULL;

    if (strcmp(key, "%.embedding_length") == 0)
        return columns_of(t->d, EMBEDDING);
    if (strcmp(key, "%.block_count") == 0)
        return has_key(t, "%.decoder_block_count") ? NULL
                                                   : integer(m->n_layers);
    if (strcmp(key, "%.attention.head_count") == 0)
        return integer(gqa_model_n_heads(m));
    if (strcmp(key, "%.attention.head_count_kv") == 0)
        return kv_heads(t);
    if (strcmp(key, "%.attention.sliding_window_pattern") == 0)
        return sliding_layers(t);
    if (strcmp(key, "%.feed_forward_length") != 0)
        return NULL;
    width = columns_of(t->d, "blk.0.ffn_down.weight");
    return width || has_key(t, "%.expert_feed_forward_length")
               ? width
               : columns_of(t->d, "blk.0.ffn_down_exps.weight");
}

/* What a key says of the tensors alone; NULL: they are not there. */
static json_t *size_said(const struct gqa_gguf_draft *d, const char *key)
{
    return columns_of(d, strcmp(key, "%.expert_feed_forward_length") == 0
                             ? "ffn_down_exps.weight"
                             : "ffn_down_shexp.weight");
}

/* --- The keys ------------------------------------------------------------- */

/* As it is there, where that is computed of it. Takes value. */
static json_t *computed(const struct telling *t, json_t *value,
                        const struct gqa_gguf_key *k)
{
    const double ours = json_number_value(value);
    const double root = sqrt((double)t->model->n_layers);

    if (!(k->flags & (GQA_GGUF_OVER_ROOT_DEPTH | GQA_GGUF_WIDTH_OVER)))
        return value;
    json_decref(value);
    if (!(ours > 0))
        return NULL;
    return json_real(k->flags & GQA_GGUF_OVER_ROOT_DEPTH
                         ? ours / root
                         : (double)t->model->d_model / ours);
}

/* Of a list whose items are the same, one. Takes value. */
static json_t *one_of(json_t *value)
{
    json_t *first = json_incref(json_array_get(value, 0));

    for (size_t i = 1; i < json_array_size(value); i++)
        if (!json_equal(json_array_get(value, i), first)) {
            json_decref(first);
            return value;
        }
    if (!first)
        return value;
    json_decref(value);
    return first;
}

/* Of a type that such a key has. Takes value. */
static json_t *fitted(json_t *value, const struct gqa_gguf_key *k)
{
    const bool is_real = (k->flags & GQA_GGUF_REAL) && json_is_number(value);
    json_t *real = is_real ? json_real(json_number_value(value)) : NULL;
    uint64_t count;

    if (!is_real && (json_is_boolean(value) || gqa_json_u64(value, &count) ||
                     ((k->flags & (GQA_GGUF_BY_LAYER | GQA_GGUF_SLIDES)) &&
                      json_is_array(value))))
        return value;
    json_decref(value);
    return real;
}

static enum gqa_status tell_row(const struct telling *t,
                                const struct gqa_gguf_key *k)
{
    json_t *value = known(t, k->theirs);

    if (is_set(t->d, k->theirs)) {
        json_decref(value);
        return GQA_OK;
    }
    if (!value)
        value = said(t, k->ours);
    if (gqa_ends_with(k->theirs, "_token_id"))
        value = token_of(t, value);
    if (!(k->flags & (GQA_GGUF_BY_LAYER | GQA_GGUF_SLIDES)))
        value = one_of(value);
    value = fitted(computed(t, value, k), k);
    if (!value && (k->flags & GQA_GGUF_ZERO_IS_NONE))
        value = json_integer(0);
    if ((k->flags & GQA_GGUF_RUN_WITH_ONE) && json_integer_value(value) != 1) {
        json_decref(value);
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "llama.cpp runs models of the architecture %s with a "
                        "%s of 1 alone",
                        t->d->architecture->name, k->ours);
    }
    if (value)
        gqa_gguf_key_set(t->d, k->theirs, value);
    else if (!(k->flags & GQA_GGUF_OPTIONAL))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "the configuration says no %s that a GGUF file of the "
                        "architecture %s can have",
                        k->ours, t->d->architecture->name);
    return GQA_OK;
}

static json_t *constant(const struct gqa_gguf_constant *c)
{
    return c->kind == GQA_GGUF_COUNT   ? json_integer((json_int_t)c->value)
           : c->kind == GQA_GGUF_TRUTH ? json_boolean(c->value != 0)
                                       : json_real(c->value);
}

/* What all of them have, whether a configuration has a key for it or not. */
static void tell_shapes(const struct telling *t)
{
    static const char *const rows[] = {"%.feed_forward_length",
                                       "%.attention.head_count_kv"};
    const struct gqa_model *m = t->model;
    json_t *value;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!is_set(t->d, rows[i]) && (value = known(t, rows[i])))
            gqa_gguf_key_set(t->d, rows[i], value);
    gqa_gguf_key_set(t->d, "%.vocab_size", integer(rows_of(t->d, EMBEDDING)));
    for (size_t i = 0; i < m->n_attentions; i++)
        if (m->attentions[i].position.scheme == GQA_POSITION_ROPE)
            gqa_gguf_key_set(t->d, "%.rope.dimension_count",
                             integer(m->attentions[i].position.rotary_dim));
    for (const struct gqa_gguf_constant *c = t->d->architecture->constants;
         c && c->theirs; c++)
        gqa_gguf_key_set(t->d, c->theirs, constant(c));
    for (const char *const *key = t->d->architecture->sizes; key && *key; key++)
        if ((value = size_said(t->d, *key)))
            gqa_gguf_key_set(t->d, *key, value);
    if (is_set(t->d, "%.attention.key_length"))
        gqa_gguf_key_set(t->d, "%.attention.value_length",
                         integer(m->attentions[0].head_dim));
}

/* llama.cpp's number for the type that most of the bytes have. */
static json_t *file_type(const struct gqa_gguf_draft *d)
{
    enum { ALL_F32 = 0, MOSTLY_F16 = 1, MOSTLY_BF16 = 32 };
    uint64_t f16 = 0, bf16 = 0;

    for (size_t i = 0; i < d->header.n; i++) {
        const struct gqa_gguf_tensor *t = &d->header.tensors[i];

        f16 += t->type->dtype == GQA_F16 ? t->n_bytes : 0;
        bf16 += t->type->dtype == GQA_BF16 ? t->n_bytes : 0;
    }
    return json_integer(f16 + bf16 == 0 ? ALL_F32
                        : f16 > bf16    ? MOSTLY_F16
                                        : MOSTLY_BF16);
}

/* What files of ours record of their making (docs/gqa-format.md). */
static void tell_recorded(const struct telling *t)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)t->output->options->metadata, key,
                        value)
    {
        if (strncmp(key, "gqa.", 4) == 0)
            json_object_set(t->d->header.keys, key, value);
    }
}

/* llama.cpp's are of 32 bits, and those of lists have a sign. */
static bool is_too_large(const json_t *value, json_int_t most)
{
    for (size_t i = 0; i < json_array_size(value); i++)
        if (is_too_large(json_array_get(value, i), INT32_MAX))
            return true;
    return json_is_integer(value) &&
           (json_integer_value(value) < 0 || json_integer_value(value) > most);
}

static enum gqa_status check_sizes(const struct gqa_gguf_draft *d)
{
    const char *key;
    json_t *value;

    json_object_foreach(d->header.keys, key, value)
    {
        char text[41];

        if (!is_too_large(value, UINT32_MAX))
            continue;
        gqa_value_text(text, sizeof text, value);
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s would be %s, more than a GGUF file for llama.cpp "
                        "can say",
                        key, text);
    }
    return GQA_OK;
}

static uint64_t count_said(const struct gqa_gguf_draft *d, const char *key)
{
    uint64_t n = 0;

    (void)gqa_json_u64(gqa_gguf_key_value(d->architecture, d->header.keys, key),
                       &n);
    return n;
}

/* llama.cpp ends where it is told of groups of one, and where it is to choose
 * all of them. */
static enum gqa_status check_groups(const struct gqa_gguf_draft *d)
{
    const uint64_t n = count_said(d, "%.expert_count");
    const uint64_t groups = count_said(d, "%.expert_group_count");
    const uint64_t used = count_said(d, "%.expert_group_used_count");

    if (groups == 0 ||
        (groups < n && (groups == 1 || (used > 0 && used < groups))))
        return GQA_OK;
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "%llu of %llu groups of %llu experts: llama.cpp chooses "
                    "fewer groups than there are, of several experts each",
                    ULL(used), ULL(groups), ULL(n));
}

static enum gqa_status tell_all(const struct telling *t)
{
    struct gqa_gguf_draft *d = t->d;
    enum gqa_status st;

    gqa_gguf_key_set(d, "general.architecture",
                     json_string(d->architecture->name));
    gqa_gguf_key_set(d, "general.file_type", file_type(d));
    st = tell_context(t);
    for (const struct gqa_gguf_key *k = d->architecture->keys;
         k->ours && st == GQA_OK; k++)
        st = tell_row(t, k);
    if (st != GQA_OK)
        return st;
    tell_shapes(t);
    st = gqa_gguf_scaling_keys(d, t->output);
    if (st == GQA_OK)
        st = check_groups(d);
    if (st == GQA_OK)
        st = check_sizes(d);
    if (st == GQA_OK)
        tell_recorded(t);
    return st;
}

enum gqa_status gqa_gguf_keys_create(struct gqa_gguf_draft *d,
                                     const struct gqa_output *output)
{
    const struct gqa_model *model = output->options->model;
    json_t *config = gqa_gguf_scaling_folded(model, output->options->config);
    const struct telling t = {
        .d = d, .output = output, .model = model, .config = config};
    enum gqa_status st = config ? GQA_OK : gqa_fail_nomem();

    d->header.keys = json_object();
    if (!d->header.keys)
        st = gqa_fail_nomem();
    if (st == GQA_OK)
        st = tell_all(&t);
    json_decref(config);
    return st == GQA_OK ? gqa_json_check() : st;
}
