#include "formats/families/description.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"

/* --- Errors -------------------------------------------------------------- */

/* The layer that says something of a place, and the line. */
struct found {
    const struct gqa_description_layer *layer;
    size_t line;
    char key[512];
};

/* A place within what a layer says of one model type lies deeper in its
 * text. */
static size_t locate_in(struct found *out,
                        const struct gqa_description_layer *layer,
                        const struct gqa_place *place)
{
    enum { MAX_DEPTH = 64 };
    struct gqa_place copy[MAX_DEPTH + 2];
    const struct gqa_place *up[MAX_DEPTH];
    const struct gqa_place *whole = NULL;
    size_t n = 0;

    if (layer->model_type) {
        copy[0] = (struct gqa_place){NULL, "model_types", 0};
        copy[1] = (struct gqa_place){&copy[0], layer->model_type, 0};
        whole = &copy[1];
    }
    for (; place && n < MAX_DEPTH; place = place->up)
        up[n++] = place;
    for (size_t i = 0; i < n; i++) {
        copy[2 + i] =
            (struct gqa_place){whole, up[n - 1 - i]->key, up[n - 1 - i]->index};
        whole = &copy[2 + i];
    }
    gqa_place_text(out->key, sizeof out->key, whole);
    out->layer = layer;
    out->line = gqa_locate(layer->text, layer->length, whole);
    return out->line;
}

static void find_line(struct found *out, const struct gqa_description *d,
                      const struct gqa_place *place)
{
    struct found above;

    for (size_t i = 0; i < d->n_layers; i++)
        if (locate_in(out, &d->layers[i], place))
            return;
    /* Nobody says anything there: the line of what it would be part of. */
    find_line(&above, d, place->up);
    out->layer = above.layer;
    out->line = above.line;
    gqa_place_text(out->key, sizeof out->key, place);
}

/* What the whole inherits is told at the nearest place above it that the whole
 * says itself, which is what can be mended. */
static void find_heir(struct found *out, const struct gqa_description *d,
                      const struct gqa_place *place)
{
    for (;; place = place->up)
        for (size_t i = 0; i < d->n_layers; i++)
            if (d->layers[i].text == d->layers[0].text &&
                locate_in(out, &d->layers[i], place))
                return;
}

static enum gqa_status fail_inherited(const struct gqa_description *d,
                                      const struct gqa_place *place,
                                      const struct found *base,
                                      const char *what)
{
    char key[sizeof base->key];
    struct found heir;

    find_heir(&heir, d, place);
    gqa_place_text(key, sizeof key, place);
    return gqa_fail(
        GQA_ERR_FORMAT, "%s:%zu: key '%s', inherited from %s:%zu: %s",
        heir.layer->file, heir.line, key, base->layer->file, base->line, what);
}

enum gqa_status gqa_description_fail(const struct gqa_description *d,
                                     const struct gqa_place *place,
                                     const char *fmt, ...)
{
    struct found at;
    char what[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    find_line(&at, d, place);
    if (!place)
        return gqa_fail(GQA_ERR_FORMAT, "%s:%zu: %s", at.layer->file, at.line,
                        what);
    if (at.layer->text != d->layers[0].text)
        return fail_inherited(d, place, &at, what);
    return gqa_fail(GQA_ERR_FORMAT, "%s:%zu: key '%s': %s", at.layer->file,
                    at.line, at.key, what);
}

/* --- Memory -------------------------------------------------------------- */

void *gqa_description_allocate(struct gqa_description *d, size_t n, size_t size)
{
    void **grown = reallocarray(d->owned, d->n_owned + 1, sizeof *grown);

    if (!grown)
        return NULL;
    d->owned = grown;
    grown[d->n_owned] = calloc(n ? n : 1, size);
    if (!grown[d->n_owned])
        return NULL;
    return grown[d->n_owned++];
}

void gqa_family_free(struct gqa_family *family)
{
    struct gqa_description *d = family ? family->description : NULL;

    if (d) {
        for (size_t i = 0; i < d->n_owned; i++)
            free(d->owned[i]);
        free(d->owned);
        json_decref(d->root);
        json_decref(d->parsed);
        free(d);
    }
    free(family);
}

/* --- Merging ------------------------------------------------------------- */

/* What it says, without the members that are null, which stand for none; in a
 * map they are values. NULL: memory is short. */
static json_t *copy_without_null(const json_t *json, bool in_map)
{
    const char *key;
    json_t *value, *out;

    /* Lists and plain values are never changed: they can be shared. */
    if (!json_is_object(json))
        return json_incref((json_t *)(uintptr_t)json);
    out = json_object();
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        if (json_is_null(value) && !in_map)
            continue;
        if (json_object_set_new(
                out, key, copy_without_null(value, strcmp(key, "map") == 0)) !=
            0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

/* Lay `over` over `base`: objects member by member, all else replaces. Takes
 * neither; 0, or -1 when memory is short. */
static int lay_over(json_t *base, const json_t *over, bool in_map)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)over, key, value)
    {
        json_t *below = json_object_get(base, key);
        const bool is_map = strcmp(key, "map") == 0;

        if (json_is_null(value) && !in_map) {
            json_object_del(base, key);
        } else if (json_is_object(below) && json_is_object(value)) {
            if (lay_over(below, value, is_map) != 0)
                return -1;
        } else if (strcmp(key, "keras") == 0) {
            /* It is not inherited, so that no null removes anything: each is
             * what a setting stands for. */
            if (json_object_set_new(base, key, json_deep_copy(value)) != 0)
                return -1;
        } else if (json_object_set_new(base, key,
                                       copy_without_null(value, is_map)) != 0) {
            return -1;
        }
    }
    return 0;
}

/* The positions that an embedding adds belong to their scheme. */
static void forget_positions(json_t *embedding)
{
    json_object_del(embedding, "positions");
    json_object_del(embedding, "position_offset");
    json_object_del(embedding, "zero_row");
}

/* Lay what a text says over what it inherits. With another scheme of positions
 * goes all that belongs to the one before. */
static int inherit_keys(json_t *base, const json_t *over)
{
    json_t *positions = json_object_get(base, "positions");
    const json_t *was = json_object_get(positions, "scheme");
    const json_t *is =
        json_object_get(json_object_get(over, "positions"), "scheme");

    if (was && is && !json_equal(was, is)) {
        const char *key;
        json_t *stack;

        json_object_clear(positions);
        forget_positions(json_object_get(base, "embedding"));
        json_object_foreach(json_object_get(base, "stacks"), key, stack)
        {
            forget_positions(json_object_get(stack, "embedding"));
        }
    }
    return lay_over(base, over, false);
}

/* --- Reading and inheriting ---------------------------------------------- */

/* A text in the chain of those that inherit from each other. */
struct text {
    const char *file, *text;
    size_t length;
    const struct text *heir;
};

static enum gqa_status collect(json_t **out, struct gqa_description *d,
                               const struct gqa_library *library,
                               const struct text *text, const char *model_type);

static const struct gqa_builtin_family *find_like(
    const char **model_type, const struct gqa_library *library,
    const char *name)
{
    *model_type = NULL;
    for (size_t i = 0; i < library->n; i++)
        if (strcmp(library->items[i].name, name) == 0)
            return &library->items[i];
    for (size_t i = 0; i < library->n; i++)
        for (gqa_texts t = library->items[i].model_types; *t; t++)
            if (strcmp(*t, name) == 0) {
                *model_type = *t;
                return &library->items[i];
            }
    return NULL;
}

/* The text that was added last alone, to tell of what it says itself. */
static struct gqa_description last_of(const struct gqa_description *d)
{
    return (struct gqa_description){.layers = {d->layers[d->n_layers - 1]},
                                    .n_layers = 1};
}

static enum gqa_status inherit(json_t **out, struct gqa_description *d,
                               const struct gqa_library *library,
                               const struct text *heir, const json_t *like)
{
    const struct gqa_place place = {NULL, "like", 0};
    const struct gqa_description own = last_of(d);
    const char *name = json_string_value(like);
    const struct gqa_builtin_family *base;
    const char *model_type;
    struct text text = {.heir = heir};

    if (!name)
        return gqa_description_fail(&own, &place,
                                    "must be the name of a family or of a "
                                    "model type");
    base = find_like(&model_type, library, name);
    if (!base)
        return gqa_description_fail(&own, &place,
                                    "'%.80s' is neither a family nor a model "
                                    "type that is built in",
                                    name);
    for (const struct text *t = heir; t; t = t->heir)
        if (t->text == base->text)
            return gqa_description_fail(&own, &place,
                                        "'%.80s' inherits from itself in the "
                                        "end",
                                        name);
    text.file = base->file;
    text.text = base->text;
    text.length = base->length;
    return collect(out, d, library, &text, model_type);
}

static enum gqa_status add_layer(struct gqa_description *d,
                                 const struct text *text,
                                 const char *model_type)
{
    if (d->n_layers == GQA_MAX_LAYERS)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: more than %d descriptions inherit from each other",
                        text->file, GQA_MAX_LAYERS / 2);
    d->layers[d->n_layers++] = (struct gqa_description_layer){
        text->file, text->text, text->length, model_type};
    return GQA_OK;
}

/* Keys of the whole file alone: of one model type they say nothing, and who
 * inherits does not have them. */
static const char *const own_keys[] = {"family", "like", "model_types",
                                       "keras"};
enum { N_OWN_KEYS = 4 };

static enum gqa_status check_model_types(const struct gqa_description *whole,
                                         const json_t *types)
{
    const struct gqa_description own = last_of(whole);
    const struct gqa_description *d = &own;
    const struct gqa_place place = {NULL, "model_types", 0};
    const char *key;
    json_t *value;

    if (!json_is_object(types) || json_object_size(types) == 0 ||
        json_object_size(types) > 64)
        return gqa_description_fail(
            d, &place,
            types ? "must be an object of 1 to 64 model types" : "is missing");
    json_object_foreach((json_t *)(uintptr_t)types, key, value)
    {
        const struct gqa_place type = {&place, key, 0};

        if (!json_is_object(value))
            return gqa_description_fail(d, &type,
                                        "must be an object of what differs, "
                                        "{} for nothing");
        if (!*key || strlen(key) > 80)
            return gqa_description_fail(d, &type,
                                        "is no name of 1 to 80 bytes");
        for (int i = 0; i < N_OWN_KEYS; i++) {
            const struct gqa_place of_file = {&type, own_keys[i], 0};

            if (json_object_get(value, own_keys[i]))
                return gqa_description_fail(d, &of_file,
                                            "belongs to the whole file, not to "
                                            "one model type");
        }
    }
    return GQA_OK;
}

/* The merged whole of a text; its layers are added as they hold. */
static enum gqa_status collect(json_t **out, struct gqa_description *d,
                               const struct gqa_library *library,
                               const struct text *text, const char *model_type)
{
    const bool is_heir = text->heir == NULL;
    json_t *parsed = NULL;
    json_t *root = NULL;
    const json_t *types, *like;
    enum gqa_status st;

    st = gqa_json_parse(&parsed, text->text, text->length, text->file);
    if (st == GQA_OK && model_type)
        st = add_layer(d, text, model_type);
    if (st == GQA_OK)
        st = add_layer(d, text, NULL);
    if (st == GQA_OK && !json_is_object(parsed))
        st = gqa_description_fail(d, NULL, "a family is an object: {...}");
    if (st != GQA_OK)
        goto done;
    types = json_object_get(parsed, "model_types");
    like = json_object_get(parsed, "like");
    if ((st = check_model_types(d, types)) != GQA_OK)
        goto done;
    if (like) {
        if ((st = inherit(&root, d, library, text, like)) != GQA_OK)
            goto done;
        for (int i = 0; i < N_OWN_KEYS; i++)
            json_object_del(root, own_keys[i]);
        /* Nor does a class read what another does. */
        json_object_del(json_object_get(root, "stock"), "longrope");
    } else if (!(root = json_object())) {
        st = gqa_fail_nomem();
        goto done;
    }
    if (inherit_keys(root, parsed) != 0 ||
        (model_type &&
         inherit_keys(root, json_object_get(types, model_type)) != 0))
        st = gqa_fail_nomem();
    if (is_heir) {
        d->parsed = parsed;
        parsed = NULL;
    }
done:
    json_decref(parsed);
    if (st != GQA_OK) {
        json_decref(root);
        root = NULL;
    }
    *out = root;
    return st;
}

static enum gqa_status list_types(struct gqa_family *family)
{
    struct gqa_description *d = family->description;
    json_t *types = json_object_get(d->parsed, "model_types");
    const char **list =
        gqa_description_allocate(d, json_object_size(types) + 1, sizeof *list);
    const char *key;
    json_t *value;
    size_t n = 0;

    if (!list)
        return gqa_fail_nomem();
    json_object_foreach(types, key, value) list[n++] = key;
    family->model_types = list;
    return GQA_OK;
}

static const char *find_type(const struct gqa_family *family,
                             const char *model_type)
{
    for (gqa_texts t = family->model_types; *t; t++)
        if (strcmp(*t, model_type) == 0)
            return *t;
    return NULL;
}

/* Where the list of what is not run stands, as messages say it. */
static enum gqa_status note_refusals(struct gqa_family *family)
{
    struct gqa_description *d = family->description;
    const struct gqa_place place = {NULL, "refuse", 0};
    const size_t room = 512;
    struct found at;
    char *text;
    size_t i = 0;

    while (i < d->n_layers && !locate_in(&at, &d->layers[i], &place))
        i++;
    if (i == d->n_layers)
        return GQA_OK;
    if (!(text = gqa_description_allocate(d, room, 1)))
        return gqa_fail_nomem();
    snprintf(text, room, "%s:%zu", at.layer->file, at.line);
    family->refused_at = text;
    family->refusals_inherited = at.layer->text != d->layers[0].text;
    return GQA_OK;
}

static const char *keep_text(struct gqa_description *d, const char *text)
{
    const size_t n = strlen(text) + 1;
    char *copy = gqa_description_allocate(d, n, 1);

    return copy ? memcpy(copy, text, n) : NULL;
}

enum gqa_status gqa_family_parse(struct gqa_family **out,
                                 const struct gqa_library *library,
                                 const char *file, const char *text,
                                 size_t length, const char *model_type)
{
    const struct text whole = {file, text, length, NULL};
    struct gqa_family *family = calloc(1, sizeof *family);
    enum gqa_status st;

    *out = NULL;
    if (!family ||
        !(family->description = calloc(1, sizeof *family->description))) {
        free(family);
        return gqa_fail_nomem();
    }
    st = collect(&family->description->root, family->description, library,
                 &whole, model_type);
    if (st == GQA_OK)
        st = gqa_json_check();
    if (st == GQA_OK)
        st = note_refusals(family);
    if (st == GQA_OK && family->refusals_inherited)
        st = gqa_lift_refusals(family->description, model_type);
    if (st == GQA_OK)
        st = list_types(family);
    if (st == GQA_OK)
        st = gqa_family_fill(family);
    if (st == GQA_OK && model_type)
        family->model_type = find_type(family, model_type);
    /* Nothing is to be told of the texts any more, which may go. */
    family->description->n_layers = 0;
    if (st == GQA_OK && !(family->file = keep_text(family->description, file)))
        st = gqa_fail_nomem();
    if (st == GQA_OK)
        *out = family;
    else
        gqa_family_free(family);
    return st;
}
