#include "formats/model/find_family.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/advice.h"
#include "common/log.h"
#include "common/strings.h"
#include "formats/families/description.h"
#include "formats/model/kind.h"
#include "formats/model/leftover.h"
#include "formats/model/more_layers.h"
#include "formats/model/params.h"
#include "formats/model/unhandled.h"

/* --- Which family ------------------------------------------------------- */

/* Whether the configuration names a class for answers to questions. */
static bool answers(const json_t *config)
{
    const json_t *list = json_object_get(config, "architectures");

    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));

        if (name && gqa_ends_with(name, "ForQuestionAnswering"))
            return true;
    }
    return false;
}

/* Of such a class names may begin otherwise; of others nothing finds them. */
static enum gqa_status take_answers_prefix(struct gqa_family *family,
                                           const json_t *config)
{
    struct gqa_family_names *names = &family->names;
    size_t n = 0;
    const char **list;

    if (!names->answers_prefix || !answers(config))
        return GQA_OK;
    while (names->prefixes[n])
        n++;
    list = gqa_description_allocate(family->description, n + 2, sizeof *list);
    if (!list)
        return gqa_fail_nomem();
    list[0] = names->answers_prefix;
    memcpy(list + 1, names->prefixes, n * sizeof *list);
    names->prefixes = list;
    return GQA_OK;
}

/* model_type may be lent by the family there is. */
static enum gqa_status take_family(struct gqa_model_builder *b, size_t number,
                                   const char *model_type)
{
    struct gqa_family *family = NULL;
    enum gqa_status st =
        gqa_family_load(&family, &b->choice, number, model_type);

    if (st == GQA_OK && b->nested)
        st = gqa_nested_names(family, b->nested);
    else if (st == GQA_OK)
        st = take_answers_prefix(family, gqa_checkpoint_config(b->checkpoint));
    if (st != GQA_OK) {
        gqa_family_free(family);
        return st;
    }
    gqa_family_free(b->family);
    b->family = family;
    b->number = number;
    return GQA_OK;
}

/* Does "pattern.projection." begin at some component of the name? */
static bool holds_projection(const char *name, const char *pattern,
                             const char *projection)
{
    const size_t n = strlen(projection);

    for (const char *at = name; at; at = strchr(at, '.')) {
        uint64_t layer;
        const char *leaf;

        at += *at == '.';
        if (gqa_pattern_match(pattern, at, &layer, &leaf) && *leaf == '.' &&
            strncmp(leaf + 1, projection, n) == 0 && leaf[n + 1] == '.')
            return true;
    }
    return false;
}

/* Whether it is the name of something in an attention of the family. */
static bool is_in_attention(const struct gqa_family *family, const char *name)
{
    for (gqa_texts prefix = family->names.prefixes; *prefix; prefix++) {
        const size_t n = strlen(*prefix);

        if (strncmp(name, *prefix, n) != 0)
            continue;
        for (size_t r = 0; r < family->n_attentions; r++) {
            uint64_t layer;
            const char *leaf;

            if (gqa_pattern_match(family->attentions[r]->pattern, name + n,
                                  &layer, &leaf) &&
                *leaf == '.')
                return true;
        }
    }
    return false;
}

/* Whether some name is of a projection of the family's attentions, whatever
 * stands before it: modules called "attn" are in many families. */
static bool has_projections(const struct gqa_model_builder *b)
{
    for (size_t i = 0; i < b->params.n; i++)
        for (size_t r = 0; r < b->family->n_attentions; r++) {
            const struct gqa_attention_rule *rule = b->family->attentions[r];

            for (int p = 0; p < 4; p++)
                if (holds_projection(b->params.items[i].name, rule->pattern,
                                     rule->names[p]))
                    return true;
        }
    return false;
}

/* Where in the name, behind a '.', such a name begins; 0: nowhere. */
static size_t find_inside(const struct gqa_family *family, const char *name)
{
    for (const char *dot = strchr(name, '.'); dot; dot = strchr(dot + 1, '.'))
        if (is_in_attention(family, dot + 1))
            return (size_t)(dot + 1 - name);
    return 0;
}

/* A wrapper of some modules puts its name in the middle of theirs, so that a
 * part of the attentions is not found, or not whole. */
static enum gqa_status refuse_wrapped(const struct gqa_model_builder *b)
{
    char bare[2 * GQA_MAX_NAME];

    for (size_t i = 0; i < b->params.n && !b->family->is_own; i++) {
        const char *name = b->params.items[i].name;
        const char *part;

        if (gqa_name_unwrap(bare, sizeof bare, name, &part) &&
            is_in_attention(b->family, bare))
            return gqa_fail(GQA_ERR_FORMAT,
                            "'%s' has '%.*s' in the name that it has in a "
                            "model of family %s: %s",
                            name, (int)strcspn(part, "."), part,
                            b->family->name, gqa_prefix_cause(part));
    }
    return GQA_OK;
}

/* Take it from all names that have it, and *out: whether that was done. Where
 * others are of attentions, too, it is not known which are meant. */
static enum gqa_status take_prefix(bool *out, struct gqa_model_builder *b,
                                   const char *prefix)
{
    const size_t n = strlen(prefix);
    struct gqa_params *params = &b->params;

    *out = false;
    for (size_t i = 0; i < params->n; i++) {
        const char *name = params->items[i].name;
        const bool has_it = strncmp(name, prefix, n) == 0;

        if (has_it ? name[n] == '\0' : find_inside(b->family, name) > 0)
            return GQA_OK;
    }
    for (size_t i = 0; i < params->n; i++) {
        char *name = params->items[i].name;

        if (strncmp(name, prefix, n) == 0)
            memmove(name, name + n, strlen(name + n) + 1);
    }
    *out = true;
    gqa_info("names are read without '%s' before them", prefix);
    return gqa_params_finish(params);
}

/* The family's attentions may be there behind something that a wrapper put
 * before all names, as the module of Lightning's that has the model. What is
 * the language model of a larger one may lack what was beside it. */
static enum gqa_status take_or_refuse_prefix(struct gqa_model_builder *b)
{
    char prefix[GQA_MAX_NAME];
    enum gqa_status st;
    bool is_taken = false;

    for (size_t i = 0; i < b->params.n; i++) {
        const char *name = b->params.items[i].name;
        const size_t n = find_inside(b->family, name);

        if (n == 0 || n >= sizeof prefix)
            continue;
        snprintf(prefix, sizeof prefix, "%.*s", (int)n, name);
        if (gqa_checkpoint_unwraps(b->checkpoint) && !b->keeps_names &&
            !b->family->is_own && !gqa_prefix_is_of_larger(prefix) &&
            (st = take_prefix(&is_taken, b, prefix)) != GQA_OK)
            return st;
        if (is_taken)
            return gqa_find_attentions(&b->found, &b->n_found, b->family,
                                       &b->params);
        return gqa_fail(GQA_ERR_FORMAT,
                        "'%s' has '%s' before the name that it has in a model "
                        "of family %s: %s",
                        name, prefix, b->family->name,
                        gqa_prefix_cause(prefix));
    }
    return GQA_OK;
}

static enum gqa_status find_attentions(struct gqa_model_builder *b)
{
    enum gqa_status st =
        gqa_find_attentions(&b->found, &b->n_found, b->family, &b->params);
    enum gqa_status wrapped;

    if (st == GQA_OK && b->n_found == 0 &&
        (st = take_or_refuse_prefix(b)) != GQA_OK)
        return st;
    if (st == GQA_ERR_NOMEM)
        return st;
    wrapped = refuse_wrapped(b);
    return wrapped == GQA_OK ? st : wrapped;
}

/* Families whose attentions the names may be; number: the first to look at,
 * and the one that was found; the number of families: none. */
static void find_by_sign(size_t *number, const struct gqa_model_builder *b)
{
    for (; *number < gqa_family_count(&b->choice); ++*number)
        for (size_t i = 0; i < b->params.n; i++)
            if (gqa_family_may_name(&b->choice, *number,
                                    b->params.items[i].name))
                return;
}

/* What the first tensor of the first attention is called: "h.%.attn.q.weight".
 */
static void name_first(char *out, size_t size, const struct gqa_family *family)
{
    snprintf(out, size, "%s%s.%s.weight", family->names.prefixes[0],
             family->attentions[0]->pattern, family->attentions[0]->names[0]);
}

/* Families that are like another, and that the names fit. */
struct heirs {
    size_t n, first;
    char names[256];
};

static void add_heir(struct heirs *heirs, const struct gqa_model_builder *b,
                     size_t number)
{
    const size_t n = strlen(heirs->names);

    if (heirs->n++ == 0)
        heirs->first = number;
    snprintf(heirs->names + n, sizeof heirs->names - n, "%s%s", n ? ", " : "",
             b->family->name);
}

static enum gqa_status choose_heir(struct gqa_model_builder *b,
                                   const struct heirs *heirs)
{
    enum gqa_status st;

    if (heirs->n > 1)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "the names of the tensors fit several families (%s), "
                        "and only a configuration tells which it is%s",
                        heirs->names, gqa_advice(GQA_ADVICE_CONFIG));
    st = take_family(b, heirs->first, NULL);
    return st == GQA_OK ? find_attentions(b) : st;
}

/* What looking through the families by names came to. */
struct search {
    struct heirs heirs;
    bool is_found;
    enum gqa_status first; /* mistake, and what was said of it */
    char message[1024];
    char own_name[GQA_MAX_NAME];
};

static enum gqa_status search_names(struct search *s,
                                    struct gqa_model_builder *b)
{
    const size_t n_families = gqa_family_count(&b->choice);
    size_t number = 0;

    for (find_by_sign(&number, b); number < n_families;
         number++, find_by_sign(&number, b)) {
        enum gqa_status st = take_family(b, number, NULL);

        if (st == GQA_OK && b->family->is_own)
            name_first(s->own_name, sizeof s->own_name, b->family);
        if (st == GQA_OK && !b->family->is_own && !has_projections(b))
            continue;
        if (st == GQA_OK)
            st = find_attentions(b);
        s->is_found =
            st == GQA_OK && b->n_found &&
            (b->family->is_own || !gqa_family_is_like_another(b->family));
        if (s->is_found || st == GQA_ERR_NOMEM)
            return st;
        if (st == GQA_OK && b->n_found)
            add_heir(&s->heirs, b, number);
        free(b->found);
        b->found = NULL;
        b->n_found = 0;
        if (st != GQA_OK && s->first == GQA_OK) {
            s->first = st;
            snprintf(s->message, sizeof s->message, "%s", gqa_error_message());
        }
    }
    return GQA_OK;
}

/* Several families may share a part of their names: the first whose attentions
 * are whole is it, and where none is, the first mistake is told. Of those that
 * are like another, whose names do not fit, one alone must be. Names are tried
 * as they are with all of them, before something is taken from them. */
static enum gqa_status find_by_names(struct gqa_model_builder *b)
{
    struct search s = {.first = GQA_OK};
    char own[2 * GQA_MAX_NAME] = "";
    enum gqa_status st;

    b->keeps_names = true;
    st = search_names(&s, b);
    b->keeps_names = false;
    if (st == GQA_OK && !s.is_found && s.heirs.n == 0 &&
        gqa_checkpoint_unwraps(b->checkpoint))
        st = search_names(&s, b);
    if (st != GQA_OK || s.is_found)
        return st;
    if (s.heirs.n > 0)
        return choose_heir(b, &s.heirs);
    if (s.first != GQA_OK)
        return gqa_fail(s.first, "%s", s.message);
    if (b->choice.own)
        snprintf(own, sizeof own,
                 "; %s takes names like '%s' ('names.prefixes', "
                 "'stacks.*.layers', 'module', 'q')",
                 gqa_family_source(&b->choice, 0), s.own_name);
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "the tensors are named like those of no family we know%s%s"
                    "%s%s",
                    b->params.n ? "; the first is '" : "",
                    b->params.n ? b->params.items[0].name : "",
                    b->params.n ? "'" : "",
                    b->choice.own ? own : gqa_advice(GQA_ADVICE_FAMILY));
}

static enum gqa_status fail_by_type(const struct gqa_model_builder *b,
                                    const char *model_type)
{
    const char *near;
    char known[512];

    if (b->choice.own) {
        gqa_family_list_types(known, sizeof known, &b->choice, 0, 1);
        return gqa_fail(GQA_ERR_USAGE,
                        "%s: model_type '%.80s' is not one that %s names (%s); "
                        "if that describes it, add it to 'model_types' there",
                        b->config_path, model_type,
                        gqa_family_source(&b->choice, 0), known);
    }
    if (gqa_why_unhandled(model_type))
        return gqa_fail(
            GQA_ERR_UNSUPPORTED, "%s: model_type '%.80s' is not handled: %s",
            b->config_path, model_type, gqa_why_unhandled(model_type));
    near = gqa_family_near_type(&b->choice, model_type);
    return gqa_fail(
        GQA_ERR_UNSUPPORTED, "%s: model_type '%.80s' is not known%s%s%s%s",
        b->config_path, model_type, near ? " (the nearest is '" : "",
        near ? near : "", near ? "')" : "", gqa_advice(GQA_ADVICE_FAMILY));
}

static enum gqa_status fail_by_names(const struct gqa_model_builder *b,
                                     const char *model_type)
{
    const char *first = b->params.n ? b->params.items[0].name : "";
    char name[GQA_MAX_NAME];

    name_first(name, sizeof name, b->family);
    if (b->family->is_own)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: no tensor is named like '%s', which "
                        "'names.prefixes', 'stacks.*.layers', 'module' and "
                        "'q' say there; the first is '%s'",
                        b->family->file, name, first);
    return gqa_fail(GQA_ERR_FORMAT,
                    "%s says model_type '%s', but no tensor is named like "
                    "'%s'; the first is '%s'",
                    b->config_path, model_type, name, first);
}

/* Another family behind number that has the type. */
static bool next_of_type(size_t *number, const struct gqa_model_builder *b,
                         const char *model_type)
{
    for (size_t i = *number + 1; i < gqa_family_count(&b->choice); i++)
        if (gqa_family_has_type(&b->choice, i, model_type)) {
            *number = i;
            return true;
        }
    return false;
}

/* Of the language model. */
static const json_t *inner_config(const struct gqa_model_builder *b)
{
    const json_t *whole = gqa_checkpoint_config(b->checkpoint);

    return b->nested ? json_object_get(whole, b->nested->config) : whole;
}

/* Whether the description is for models with this configuration. */
static bool is_for(const struct gqa_model_builder *b)
{
    const struct gqa_family *family = b->family;
    const json_t *config = inner_config(b);
    const json_t *value =
        family->only_key ? gqa_config_at(config, family->only_key) : NULL;

    if (!value)
        return true;
    return family->only_is ? json_equal(value, family->only_is)
                           : !json_equal(value, family->only_is_not);
}

/* Finds no attention where it is for others of its type. */
static enum gqa_status try_family(struct gqa_model_builder *b, size_t number,
                                  const char *model_type)
{
    const enum gqa_status st = take_family(b, number, model_type);

    if (st != GQA_OK || !is_for(b))
        return st;
    gqa_leave_more_layers(&b->params, b->family, inner_config(b));
    return find_attentions(b);
}

static enum gqa_status find_by_type(struct gqa_model_builder *b,
                                    const char *model_type)
{
    const size_t n = gqa_family_count(&b->choice);
    const char *why = gqa_why_layers_unhandled(inner_config(b), model_type);
    size_t number = 0;
    enum gqa_status st;

    while (number < n && !gqa_family_has_type(&b->choice, number, model_type))
        number++;
    if (number == n)
        return fail_by_type(b, model_type);
    if (why && !b->choice.own)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: layers of this '%.80s' are not handled: %s",
                        b->config_path, model_type, why);
    b->is_of_type = true;
    if (b->choice.own && number > 0)
        gqa_warn("%s is not used: %s says model_type '%s', which is built in "
                 "and which it does not name",
                 gqa_family_source(&b->choice, 0), b->config_path, model_type);
    st = try_family(b, number, model_type);
    /* Remote code has given one type to several architectures. */
    while (st == GQA_OK && b->n_found == 0) {
        if (!next_of_type(&number, b, model_type))
            return fail_by_names(b, model_type);
        st = try_family(b, number, model_type);
    }
    return st;
}

static enum gqa_status take_names(struct gqa_model_builder *b)
{
    switch (gqa_checkpoint_naming(b->checkpoint)) {
    case GQA_NAMES_TORCH:
        return gqa_params_from_torch(&b->params, b->checkpoint);
    case GQA_NAMES_TF:
        return gqa_params_from_tf(&b->params, b->checkpoint);
    default:
        return gqa_params_from_keras(&b->params, &b->number, &b->family,
                                     &b->backbone_type, &b->choice,
                                     b->checkpoint);
    }
}

/* --- Configuration ------------------------------------------------------ */

/* Whether the configuration ties it is told by whether it is there. */
static bool has_unembedding(const struct gqa_model_builder *b)
{
    char name[GQA_MAX_NAME];
    size_t index;

    for (gqa_texts u = b->family->names.unembedding; *u; u++) {
        snprintf(name, sizeof name, "%s.weight", *u);
        if (gqa_params_find(&b->params, name, &index))
            return true;
    }
    return false;
}

static enum gqa_status take_config(struct gqa_model_builder *b)
{
    const json_t *given = gqa_checkpoint_config(b->checkpoint);
    const json_t *backbone;
    size_t n_backbones;

    b->config_path = gqa_checkpoint_config_path(b->checkpoint);
    if (!given)
        return GQA_OK;
    backbone = gqa_config_backbone(given, &n_backbones);
    if (n_backbones > 1)
        return gqa_fail(
            GQA_ERR_UNSUPPORTED,
            "%s: describes %zu backbones; one alone can be "
            "converted: save it with model.backbone.save_to_preset(\"folder\")",
            b->config_path, n_backbones);
    if (backbone) {
        const enum gqa_status st = gqa_config_from_preset(
            &b->config, &b->outer, &b->backbone_type, b->family, backbone);

        if (st != GQA_OK)
            return gqa_fail_prefix(st, "%s", b->config_path);
        /* Some presets do not say so, but the variables do. Of a part and its
         * whole loaders read either. */
        json_object_set_new(b->config, "tie_word_embeddings",
                            json_boolean(!has_unembedding(b)));
        if (b->outer)
            json_object_set_new(b->outer, "tie_word_embeddings",
                                json_boolean(!has_unembedding(b)));
        return GQA_OK;
    }
    /* A Keras model of other layers describes those, not the architecture. */
    if (json_object_get(given, "class_name"))
        return GQA_OK;
    if (b->nested) {
        given = json_object_get(given, b->nested->config);
        if (!json_is_object(given))
            return gqa_fail(GQA_ERR_FORMAT,
                            "%s: there is no '%s', which describes the model "
                            "within a '%s'",
                            b->config_path, b->nested->config,
                            b->nested->model_type);
    }
    b->config = json_deep_copy(given);
    return b->config ? GQA_OK : gqa_fail_nomem();
}

/* The type of the language model, where the whole is of another. */
static enum gqa_status look_inside(const char **model_type,
                                   struct gqa_model_builder *b)
{
    const struct gqa_nested *nested =
        *model_type ? gqa_nested_find(*model_type) : NULL;
    const json_t *inner, *type;
    size_t number = 0;

    /* A description of the user's may be of the whole. */
    if (!nested ||
        (b->choice.own && gqa_family_has_type(&b->choice, 0, *model_type)))
        return GQA_OK;
    inner =
        json_object_get(gqa_checkpoint_config(b->checkpoint), nested->config);
    /* Older files of some say all of it beside what they say of the rest. */
    if (!json_is_object(inner) && next_of_type(&number, b, *model_type))
        return GQA_OK;
    if (!json_is_object(inner))
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: model_type '%s' holds a language model, but there "
                        "is no '%s' that describes it",
                        b->config_path, *model_type, nested->config);
    type = json_object_get(inner, "model_type");
    *model_type =
        json_is_string(type) ? json_string_value(type) : nested->inner_type;
    b->nested = nested;
    return GQA_OK;
}

/* BERT and its kin may be told to make a text, and keep a cache then. */
static enum gqa_status refuse_decoder(const struct gqa_model_builder *b)
{
    if (!json_is_true(json_object_get(b->config, "is_decoder")))
        return GQA_OK;
    for (size_t i = 0; i < b->family->n_attentions; i++)
        if (b->family->attentions[i]->stack == GQA_STACK_DECODER)
            return GQA_OK;
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "%s: is_decoder is true: layers of family %s that make a "
                    "text, with a cache of their own, are not handled",
                    b->config_path, b->family->name);
}

static enum gqa_status find_family(struct gqa_model_builder *b)
{
    const char *model_type;
    enum gqa_status st;

    if ((st = take_names(b)) != GQA_OK)
        return st;
    if (b->family) {
        if (b->family->keras.within)
            b->nested = gqa_nested_find(b->family->keras.within);
        /* The names told the family; the type, which those do not tell
         * everywhere, is needed for what differs by it. */
        if ((st = take_config(b)) != GQA_OK)
            return st;
        st = take_family(b, b->number, b->backbone_type);
        if (st == GQA_OK)
            st = find_attentions(b);
        if (st == GQA_OK && b->n_found == 0)
            return gqa_fail(GQA_ERR_FORMAT,
                            "a Keras model (%s) without an attention; of a "
                            "checkpoint in shards, give the folder or the "
                            "index",
                            b->family->name);
        return st;
    }
    model_type = json_string_value(
        json_object_get(gqa_checkpoint_config(b->checkpoint), "model_type"));
    if ((st = look_inside(&model_type, b)) != GQA_OK)
        return st;
    st = model_type ? find_by_type(b, model_type) : find_by_names(b);
    if (st == GQA_OK)
        st = take_config(b);
    return st == GQA_OK && b->family ? refuse_decoder(b) : st;
}

enum gqa_status gqa_find_family(struct gqa_model_builder *b)
{
    const enum gqa_status st = find_family(b);

    if ((st != GQA_ERR_FORMAT && st != GQA_ERR_UNSUPPORTED) || b->choice.own)
        return st;
    return gqa_kind_refuse(st, &b->params, b->checkpoint, b->is_of_type);
}
