/* A merged description, into the fields of a gqa_family. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/nearest.h"
#include "formats/families/description.h"
#include "formats/families/schema.h"

/* More than any family needs. */
enum {
    MAX_TEXT = 200,
    MAX_TEXTS = 32,
    MAX_ITEMS = 256,
    MAX_MAP = 64,
    MAX_SETTINGS = 4, /* in each other */
    MAX_KEYS = 1024,  /* of an object that is no object of ours */
};

/* Words are stored by their place in a list. */
_Static_assert(sizeof(enum gqa_norm_kind) == sizeof(int),
               "an enum is as large as an int");

static enum gqa_status fill_object(struct gqa_description *d, void *out,
                                   const struct gqa_schema *schema,
                                   const json_t *json,
                                   const struct gqa_place *place);

/* --- Errors -------------------------------------------------------------- */

static enum gqa_status refuse(const struct gqa_description *d,
                              const struct gqa_place *place,
                              const json_t *value, const char *wanted)
{
    char text[41];

    gqa_value_text(text, sizeof text, value);
    return gqa_description_fail(d, place, "%s is not %s", text, wanted);
}

static const char *next_field(const void *ctx, size_t i)
{
    const struct gqa_schema *schema = ctx;

    return schema->fields[i].key;
}

static const char *next_word(const void *ctx, size_t i)
{
    const char *const *words = ctx;

    return words[i];
}

/* "; did you mean 'theta'?" where the word is close to a known one, else "".
 * next: the i-th known word, NULL at the end. */
static void suggest(char *out, size_t size, const char *word,
                    const char *(*next)(const void *ctx, size_t i),
                    const void *ctx)
{
    const char *best = NULL;
    size_t least = SIZE_MAX;

    for (size_t i = 0; next(ctx, i); i++) {
        const size_t distance = gqa_word_distance(word, next(ctx, i));

        if (distance < least) {
            least = distance;
            best = next(ctx, i);
        }
    }
    out[0] = '\0';
    if (best && *best && gqa_word_is_near(strlen(word), least))
        snprintf(out, size, "; did you mean '%s'?", best);
}

static enum gqa_status unknown_key(const struct gqa_description *d,
                                   const struct gqa_place *place,
                                   const struct gqa_schema *schema,
                                   const char *key)
{
    char hint[300];

    suggest(hint, sizeof hint, key, next_field, schema);
    return gqa_description_fail(d, place, "no such key is known%s", hint);
}

/* --- Plain values -------------------------------------------------------- */

static enum gqa_status check_text(const struct gqa_description *d,
                                  const json_t *json,
                                  const struct gqa_place *place,
                                  bool may_be_empty)
{
    const size_t n = json_string_length(json);

    if (!json_is_string(json) || (n == 0 && !may_be_empty))
        return refuse(d, place, json, "a text");
    if (n > MAX_TEXT)
        return gqa_description_fail(d, place,
                                    "a text of %zu bytes is longer "
                                    "than the %d that are allowed",
                                    n, (int)MAX_TEXT);
    return GQA_OK;
}

static enum gqa_status fill_text(const struct gqa_description *d, void *at,
                                 const json_t *json,
                                 const struct gqa_place *place)
{
    const char *text = json_string_value(json);
    const enum gqa_status st = check_text(d, json, place, false);

    if (st == GQA_OK)
        memcpy(at, &text, sizeof(char *));
    return st;
}

static enum gqa_status fill_pattern(const struct gqa_description *d, void *at,
                                    const json_t *json,
                                    const struct gqa_place *place)
{
    const char *text = json_string_value(json);
    const char *number = text ? strchr(text, '%') : NULL;
    enum gqa_status st = check_text(d, json, place, false);

    if (st == GQA_OK && (!number || strchr(number + 1, '%')))
        st = gqa_description_fail(d, place,
                                  "'%s' must have one '%%', which stands for "
                                  "the layer's number",
                                  text);
    if (st == GQA_OK)
        memcpy(at, &text, sizeof(char *));
    return st;
}

static enum gqa_status fill_texts(struct gqa_description *d, void *at,
                                  const json_t *json,
                                  const struct gqa_place *place,
                                  bool may_be_empty)
{
    const size_t n = json_is_array(json) ? json_array_size(json) : 1;
    const char **list;
    enum gqa_status st = GQA_OK;

    if (n == 0 || n > MAX_TEXTS)
        return gqa_description_fail(
            d, place, "a list of %zu; 1 to %d are allowed", n, (int)MAX_TEXTS);
    list = gqa_description_allocate(d, n + 1, sizeof *list);
    if (!list)
        return gqa_fail_nomem();
    for (size_t i = 0; i < n && st == GQA_OK; i++) {
        const struct gqa_place item = {place, NULL, i};
        const json_t *text =
            json_is_array(json) ? json_array_get(json, i) : json;

        st = check_text(d, text, json_is_array(json) ? &item : place,
                        may_be_empty);
        list[i] = json_string_value(text);
    }
    if (st == GQA_OK)
        memcpy(at, &list, sizeof list);
    return st;
}

static enum gqa_status fill_flag(const struct gqa_description *d, void *at,
                                 const json_t *json,
                                 const struct gqa_place *place)
{
    const bool flag = json_is_true(json);

    if (!json_is_boolean(json))
        return refuse(d, place, json, "true or false");
    memcpy(at, &flag, sizeof flag);
    return GQA_OK;
}

static enum gqa_status fill_count(const struct gqa_description *d, void *at,
                                  const json_t *json,
                                  const struct gqa_place *place)
{
    const json_int_t value = json_integer_value(json);
    const uint64_t count = (uint64_t)value;

    if (!json_is_integer(json) || value < 0 || value > 1000000)
        return refuse(d, place, json, "a count of at most 1000000");
    memcpy(at, &count, sizeof count);
    return GQA_OK;
}

static enum gqa_status fill_word(const struct gqa_description *d, void *at,
                                 const struct gqa_field *field,
                                 const json_t *json,
                                 const struct gqa_place *place)
{
    const char *const *words = gqa_field_words(field);
    const char *word = json_string_value(json);
    char hint[300];
    enum gqa_status st = check_text(d, json, place, false);

    if (st != GQA_OK)
        return st;
    for (int i = 0; words[i]; i++)
        if (strcmp(words[i], word) == 0) {
            memcpy(at, &i, sizeof i);
            return GQA_OK;
        }
    suggest(hint, sizeof hint, word, next_word, words);
    return gqa_description_fail(d, place, "'%s' is not known%s", word, hint);
}

static bool is_zero(const json_t *value)
{
    return json_is_integer(value) && json_integer_value(value) == 0;
}

/* A value that the description itself says. */
static enum gqa_status check_own(const struct gqa_description *d,
                                 const json_t *value, enum gqa_value_kind kind,
                                 const struct gqa_place *place)
{
    const bool none = kind == GQA_VALUE_WINDOW && is_zero(value);

    if (none || gqa_value_fits(value, kind))
        return json_is_string(value) ? check_text(d, value, place, true)
                                     : GQA_OK;
    return refuse(d, place, value, gqa_value_kind_text(kind));
}

static enum gqa_status check_setting(struct gqa_description *d,
                                     const json_t *json,
                                     enum gqa_value_kind kind,
                                     const struct gqa_place *place, int depth);

/* What a setting says for a value, which may be a setting again. */
static enum gqa_status check_meant(struct gqa_description *d,
                                   const json_t *value,
                                   enum gqa_value_kind kind,
                                   const struct gqa_place *place, int depth)
{
    return json_is_object(value)
               ? check_setting(d, value, kind, place, depth + 1)
               : check_own(d, value, kind, place);
}

static enum gqa_status check_map(struct gqa_description *d, const json_t *map,
                                 enum gqa_value_kind kind,
                                 const struct gqa_place *place, int depth)
{
    const char *key;
    json_t *value;
    enum gqa_status st;

    if (!json_is_object(map) || json_object_size(map) == 0 ||
        json_object_size(map) > MAX_MAP)
        return gqa_description_fail(
            d, place, "must be an object of 1 to %d values", (int)MAX_MAP);
    json_object_foreach((json_t *)(uintptr_t)map, key, value)
    {
        const struct gqa_place item = {place, key, 0};

        if (json_is_null(value) && kind == GQA_VALUE_MODULE)
            continue;
        if ((st = check_meant(d, value, kind, &item, depth)) != GQA_OK)
            return st;
    }
    return GQA_OK;
}

static const char *next_part(const void *ctx, size_t i)
{
    static const char *const parts[] = {"key", "default", "null", "map", NULL};

    (void)ctx;
    return parts[i];
}

static enum gqa_status check_setting(struct gqa_description *d,
                                     const json_t *json,
                                     enum gqa_value_kind kind,
                                     const struct gqa_place *place, int depth)
{
    const char *key;
    json_t *value;
    gqa_texts keys;
    enum gqa_status st = GQA_OK;
    char hint[300];

    if (!json_is_object(json))
        return check_own(d, json, kind, place);
    if (depth > MAX_SETTINGS)
        return gqa_description_fail(d, place,
                                    "more than %d settings lie in each other",
                                    (int)MAX_SETTINGS);
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        const struct gqa_place part = {place, key, 0};

        if (strcmp(key, "key") == 0) {
            st = fill_texts(d, &keys, value, &part, false);
        } else if (strcmp(key, "map") == 0) {
            st = check_map(d, value, kind, &part, depth);
        } else if (strcmp(key, "null") == 0 && kind == GQA_VALUE_POSITIVE &&
                   is_zero(value)) {
            continue; /* no number */
        } else if (strcmp(key, "default") == 0 || strcmp(key, "null") == 0) {
            st = check_meant(d, value, kind, &part, depth);
        } else {
            suggest(hint, sizeof hint, key, next_part, NULL);
            st = gqa_description_fail(d, &part,
                                      "no such part of a setting is "
                                      "known%s",
                                      hint);
        }
        if (st != GQA_OK)
            return st;
    }
    if (gqa_is_setting(json))
        return GQA_OK;
    return gqa_description_fail(d, place,
                                "the setting has no \"key\", which names what "
                                "decides in the configuration");
}

static enum gqa_status fill_setting(struct gqa_description *d, void *at,
                                    const struct gqa_field *field,
                                    const json_t *json,
                                    const struct gqa_place *place)
{
    const struct gqa_setting setting = {json, field->value};
    const enum gqa_status st = check_setting(d, json, field->value, place, 1);

    if (st == GQA_OK)
        memcpy(at, &setting, sizeof setting);
    return st;
}

/* "key" or "default" of an object that is a setting among other things. */
static enum gqa_status fill_deviation(struct gqa_description *d, void *at,
                                      const struct gqa_field *field,
                                      const json_t *object,
                                      const struct gqa_place *place)
{
    const json_t *json = json_object_get(object, field->key);
    const struct gqa_setting setting = {object, GQA_VALUE_POSITIVE};
    gqa_texts keys;

    memcpy(at, &setting, sizeof setting);
    return strcmp(field->key, "key") == 0
               ? fill_texts(d, &keys, json, place, false)
               : check_own(d, json, GQA_VALUE_POSITIVE, place);
}

static enum gqa_status fill_settings(struct gqa_description *d, void *at,
                                     const json_t *json,
                                     const struct gqa_place *place)
{
    const char *key;
    json_t *value;

    if (!json_is_object(json) || json_object_size(json) > MAX_KEYS)
        return refuse(d, place, json, "an object of settings");
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        const struct gqa_place item = {place, key, 0};
        const enum gqa_status st =
            check_setting(d, value, GQA_VALUE_ANY, &item, 1);

        if (st != GQA_OK)
            return st;
    }
    memcpy(at, &json, sizeof json);
    return GQA_OK;
}

/* --- Structures ---------------------------------------------------------- */

static enum gqa_status fill_list(struct gqa_description *d, void *out,
                                 const struct gqa_field *field,
                                 const json_t *json,
                                 const struct gqa_place *place)
{
    const struct gqa_schema *inner = gqa_field_inner(field);
    const size_t n = json_array_size(json);
    enum gqa_status st = GQA_OK;
    char *items;

    if (!json_is_array(json))
        return refuse(d, place, json, "a list");
    if (n > MAX_ITEMS)
        return gqa_description_fail(d, place,
                                    "a list of %zu; at most %d are allowed", n,
                                    (int)MAX_ITEMS);
    items = gqa_description_allocate(d, n, inner->size);
    if (!items)
        return gqa_fail_nomem();
    for (size_t i = 0; i < n && st == GQA_OK; i++) {
        const struct gqa_place item = {place, NULL, i};

        st = fill_object(d, items + i * inner->size, inner,
                         json_array_get(json, i), &item);
    }
    memcpy((char *)out + field->offset, &items, sizeof items);
    memcpy((char *)out + field->count_offset, &n, sizeof n);
    return st;
}

static enum gqa_status fill_inner(struct gqa_description *d, void *at,
                                  const struct gqa_schema *inner,
                                  const json_t *json,
                                  const struct gqa_place *place)
{
    const bool given = true;

    if (inner->has_given)
        memcpy(at, &given, sizeof given);
    return fill_object(d, at, inner, json, place);
}

static enum gqa_status fill_field(struct gqa_description *d, void *out,
                                  const struct gqa_field *field,
                                  const json_t *object, const json_t *json,
                                  const struct gqa_place *place)
{
    void *at = (char *)out + field->offset;

    switch (field->kind) {
    case GQA_FIELD_TEXT:
        return fill_text(d, at, json, place);
    case GQA_FIELD_PATTERN:
        return fill_pattern(d, at, json, place);
    case GQA_FIELD_TEXTS:
        return fill_texts(d, at, json, place, false);
    case GQA_FIELD_PREFIXES:
        return fill_texts(d, at, json, place, true);
    case GQA_FIELD_FLAG:
        return fill_flag(d, at, json, place);
    case GQA_FIELD_COUNT:
        return fill_count(d, at, json, place);
    case GQA_FIELD_WORD:
        return fill_word(d, at, field, json, place);
    case GQA_FIELD_SETTING:
        return fill_setting(d, at, field, json, place);
    case GQA_FIELD_DEVIATION:
        return fill_deviation(d, at, field, object, place);
    case GQA_FIELD_JSON:
        if (json_is_object(json))
            return refuse(d, place, json, "a plain value or a list");
        memcpy(at, &json, sizeof json);
        return GQA_OK;
    case GQA_FIELD_SETTINGS:
        return fill_settings(d, at, json, place);
    case GQA_FIELD_OBJECT:
        return fill_inner(d, at, gqa_field_inner(field), json, place);
    case GQA_FIELD_LIST:
        return fill_list(d, out, field, json, place);
    default: /* what merging has used up */
        return GQA_OK;
    }
}

static const struct gqa_field *find_field(const struct gqa_schema *schema,
                                          const char *key)
{
    for (const struct gqa_field *f = schema->fields; f->key; f++)
        if (strcmp(f->key, key) == 0)
            return f;
    return NULL;
}

static enum gqa_status fill_object(struct gqa_description *d, void *out,
                                   const struct gqa_schema *schema,
                                   const json_t *json,
                                   const struct gqa_place *place)
{
    const char *key;
    json_t *value;

    if (!json_is_object(json))
        return refuse(d, place, json, "an object");
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        const struct gqa_place member = {place, key, 0};
        const struct gqa_field *field = find_field(schema, key);
        enum gqa_status st;

        if (!field)
            return unknown_key(d, &member, schema, key);
        if ((st = fill_field(d, out, field, json, value, &member)) != GQA_OK)
            return st;
    }
    for (const struct gqa_field *f = schema->fields; f->key; f++) {
        const struct gqa_place member = {place, f->key, 0};

        if (f->required && !json_object_get(json, f->key))
            return gqa_description_fail(d, &member, "is missing");
    }
    return GQA_OK;
}

/* --- The family ---------------------------------------------------------- */

/* "layers.%" and "self_attn" as one pattern. */
static enum gqa_status join_pattern(struct gqa_description *d,
                                    const struct gqa_stack_rule *stack,
                                    struct gqa_attention_rule *rule)
{
    const size_t size = strlen(stack->layers) + strlen(rule->module) + 2;
    char *pattern = gqa_description_allocate(d, size, 1);

    if (!pattern)
        return gqa_fail_nomem();
    snprintf(pattern, size, "%s.%s", stack->layers, rule->module);
    rule->pattern = pattern;
    return GQA_OK;
}

static enum gqa_status list_attentions(struct gqa_family *family)
{
    enum gqa_status st = GQA_OK;

    for (int s = 0; s < 2; s++) {
        struct gqa_stack_rule *stack = &family->stacks[s];
        struct gqa_attention_rule *const rules[] = {&stack->self,
                                                    &stack->cross};

        for (int k = 0; k < 2 && st == GQA_OK; k++) {
            struct gqa_attention_rule *rule = rules[k];

            if (!stack->given || !rule->given)
                continue;
            rule->stack = (enum gqa_stack)s;
            rule->kind = (enum gqa_attention_kind)k;
            st = join_pattern(family->description, stack, rule);
            family->attentions[family->n_attentions++] = rule;
        }
    }
    return st;
}

/* What holds where a description says nothing, and is not 0. */
static void set_defaults(struct gqa_family *family)
{
    for (int s = 0; s < 2; s++)
        family->stacks[s].self.positions = true;
}

/* Norms of heads are the family's unless they are said to be others. */
static void finish_head_norms(struct gqa_family *family)
{
    for (int s = 0; s < 2; s++) {
        struct gqa_attention_rule *const rules[] = {&family->stacks[s].self,
                                                    &family->stacks[s].cross};

        for (int k = 0; k < 2; k++) {
            struct gqa_norm_rule *norm = &rules[k]->head_norms.norm;

            if (norm->kind == GQA_NORM_NONE)
                *norm = family->norm;
        }
    }
}

/* Stacks have what the family's embedding has, but where they say it. */
static void finish_embeddings(struct gqa_family *family)
{
    const struct gqa_embedding_rule *base = &family->embedding;

    for (int s = 0; s < 2; s++) {
        struct gqa_embedding_rule *own = &family->stacks[s].embedding;

        if (!own->scale.json)
            own->scale = base->scale;
        if (!own->norm.json)
            own->norm = base->norm;
        own->norm_first = own->norm_first || base->norm_first;
        if (!own->positions)
            own->positions = base->positions;
        if (!own->position_offset)
            own->position_offset = base->position_offset;
        if (!own->positions_behind.json)
            own->positions_behind = base->positions_behind;
        if (!own->zero_row.json)
            own->zero_row = base->zero_row;
        if (!own->places)
            own->places = base->places;
    }
}

/* Likewise, where it depends on what is said. */
static void finish_defaults(struct gqa_family *family)
{
    /* A list is lent for reading; this is where it is made. */
    struct gqa_keras_rule *rules =
        (struct gqa_keras_rule *)(uintptr_t)family->keras.rules;

    finish_head_norms(family);
    finish_embeddings(family);
    for (size_t i = 0; i < family->keras.n_rules; i++) {
        if (rules[i].convolution) {
            rules[i].turned = true;
            rules[i].input_axes = 2;
        }
        if (rules[i].input_axes == 0)
            rules[i].input_axes = 1;
        if (rules[i].parts == 0)
            rules[i].parts = 1;
        if (!rules[i].is)
            rules[i].is = "";
    }
}

enum gqa_status gqa_family_fill(struct gqa_family *family)
{
    enum gqa_status st;

    set_defaults(family);
    st = fill_object(family->description, family, &gqa_family_schema,
                     family->description->root, NULL);
    if (st != GQA_OK)
        return st;
    finish_defaults(family);
    st = list_attentions(family);
    return st == GQA_OK ? gqa_family_check(family) : st;
}
