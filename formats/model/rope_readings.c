/* Source: modeling_rope_utils of transformers 4.57 and 5. */
#include "formats/model/rope_readings.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "formats/families/family.h"
#include "formats/model/rope_said.h"

enum { MAX_TEXT = 512 };

/* --- RoPE that is scaled -------------------------------------------------- */

struct scaled_rope {
    const json_t *config, *said; /* said: rope_scaling */
    const char *kind;
    double longest;       /* max_position_embeddings */
    double within, above; /* original_max_position_embeddings in rope_scaling,
                             and beside it */
    double own;           /* what the family goes by in its place */
    double magnitude;     /* that the family goes by, in place of a factor */
};

/* 0: it says no number. */
static double number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static enum gqa_status find_scaled(struct scaled_rope *r,
                                   const struct gqa_model *model)
{
    static const char original[] = "original_max_position_embeddings";
    const struct gqa_position_rule *rule = &model->family->positions;
    enum gqa_status st;

    *r = (struct scaled_rope){.config = model->config, .kind = ""};
    r->said = json_object_get(r->config, "rope_scaling");
    if (!json_is_object(r->said))
        return GQA_OK;
    r->kind = gqa_rope_known_kind(rule, r->said);
    r->longest = number(r->config, "max_position_embeddings");
    r->within = number(r->said, original);
    r->above = number(r->config, original);
    st = gqa_setting_number(&r->own, &rule->original_context, r->config);
    return st == GQA_OK
               ? gqa_setting_number(&r->magnitude, &rule->magnitude, r->config)
               : st;
}

static double first_of(double a, double b, double c)
{
    return a > 0 ? a : b > 0 ? b : c;
}

/* The one that is read by 5 and by the runtime. */
static double newer_context(const struct scaled_rope *r)
{
    return r->own > 0 ? r->own : first_of(r->above, r->within, r->longest);
}

static double older_context(const struct scaled_rope *r)
{
    return strcmp(r->kind, "longrope") == 0
               ? first_of(r->own, r->above, r->longest)
               : first_of(r->within, r->longest, 0);
}

/* What is multiplied with sines and cosines follows from a factor. */
static bool takes_factor(const struct scaled_rope *r)
{
    return !json_object_get(r->said, "attention_factor") && !(r->magnitude > 0);
}

/* The older version needs what is not there, and says so. */
static bool is_refused_by_older(const struct scaled_rope *r)
{
    if (strcmp(r->kind, "longrope") == 0)
        return takes_factor(r) && !(r->own > 0) && !(r->above > 0) &&
               !(number(r->said, "factor") > 0);
    if (strcmp(r->kind, "llama3") == 0)
        return !(r->within > 0);
    return !(number(r->said, "factor") > 0);
}

/* Whether the length before scaling makes any difference. */
static bool is_context_used(const struct scaled_rope *r)
{
    return strcmp(r->kind, "longrope") != 0 || takes_factor(r) ||
           !json_equal(json_object_get(r->said, "short_factor"),
                       json_object_get(r->said, "long_factor"));
}

static void tell_context(json_t *list, const struct scaled_rope *r)
{
    const bool is_long = strcmp(r->kind, "longrope") == 0;
    const double older = older_context(r), newer = newer_context(r);
    char text[MAX_TEXT];

    if (older == newer || !is_context_used(r))
        return;
    snprintf(text, sizeof text,
             "rope_scaling of kind '%s' begins with a context of %g for "
             "transformers 4, which reads original_max_position_embeddings %s "
             "it alone, and of %g for transformers 5 and these tools",
             r->kind, older, is_long ? "beside" : "within", newer);
    json_array_append_new(list, json_string(text));
}

/* Where a length before scaling is beside rope_scaling, the older version
 * divides by that whatever the factor says. */
static void tell_factor(json_t *list, const struct scaled_rope *r)
{
    const double context = first_of(r->own, r->above, 0);
    const double said = number(r->said, "factor");
    const double ratio = context > 0 ? r->longest / context : 0;
    char text[MAX_TEXT];

    if (strcmp(r->kind, "longrope") != 0 || !takes_factor(r) || !(said > 0) ||
        !(ratio > 0) || fabs(said - ratio) <= 1e-6 * ratio)
        return;
    snprintf(text, sizeof text,
             "rope_scaling's factor is %g, which transformers 5 and these "
             "tools go by, and transformers 4 by %g, "
             "max_position_embeddings over "
             "original_max_position_embeddings",
             said, ratio);
    json_array_append_new(list, json_string(text));
}

static enum gqa_status tell_scaled(json_t *list, const struct gqa_model *model)
{
    struct scaled_rope r;
    const enum gqa_status st = find_scaled(&r, model);

    if (st != GQA_OK ||
        (strcmp(r.kind, "longrope") != 0 && strcmp(r.kind, "yarn") != 0 &&
         strcmp(r.kind, "llama3") != 0) ||
        is_refused_by_older(&r))
        return st;
    tell_context(list, &r);
    tell_factor(list, &r);
    return GQA_OK;
}

/* --- What each version looks at ------------------------------------------- */

static void append(json_t *list, const char *text)
{
    json_array_append_new(list, json_string(text));
}

/* A number by both: what the newer has in an object of its own, the older
 * takes from beside it, by the setting's last key. */
static void tell_number(json_t *list, const struct gqa_model *model,
                        const json_t *older, const struct gqa_setting *setting)
{
    const char *key = gqa_setting_last_key(setting);
    const json_t *before, *now;
    const char *by;
    char text[MAX_TEXT];

    if (!key || gqa_setting_get(&now, &by, setting, model->config) != GQA_OK ||
        gqa_setting_get(&before, NULL, setting, older) != GQA_OK || !by ||
        json_number_value(before) == json_number_value(now))
        return;
    snprintf(text, sizeof text,
             "%s is %g%s for transformers 4, and %g, as %s says, for "
             "transformers 5 and these tools",
             key, json_number_value(before),
             json_object_get(older, key) ? "" : ", its default,",
             json_number_value(now), by);
    append(list, text);
}

/* Of rope_parameters, or of a kind of layers of them. */
static void tell_unscaled(json_t *list, const json_t *said)
{
    const char *kind = gqa_rope_said_kind(said);
    char text[MAX_TEXT];

    if (strcmp(kind, "default") == 0)
        return;
    snprintf(text, sizeof text,
             "rope_parameters say RoPE of kind '%.40s', which transformers 5 "
             "and these tools go by; transformers 4 does not read them, and "
             "scales nothing",
             kind);
    append(list, text);
}

/* What counts in place of a key of rope_parameters; NULL: nothing. */
static const json_t *find_counting(const struct gqa_model *model,
                                   const char *key)
{
    const struct gqa_position_rule *rule = &model->family->positions;
    const json_t *said = json_object_get(model->config, "rope_scaling");
    const json_t *value = NULL;

    if (strcmp(key, "rope_theta") == 0)
        return gqa_setting_get(&value, NULL, &rule->theta, model->config) ==
                       GQA_OK
                   ? value
                   : NULL;
    if (strcmp(key, "partial_rotary_factor") == 0)
        return gqa_setting_get(&value, NULL, &rule->share, model->config) ==
                       GQA_OK
                   ? value
                   : NULL;
    if (strcmp(key, "rope_type") == 0 && !json_object_get(said, key))
        key = "type";
    return json_object_get(said, key);
}

/* A key of rope_parameters beside a rope_scaling that says something. Whether
 * there was anything to tell. */
static bool tell_hidden(json_t *list, const struct gqa_model *model,
                        const char *key, const json_t *value)
{
    const json_t *counts = find_counting(model, key);
    char text[MAX_TEXT], shown[2][41];

    if (json_is_object(value) || json_equal(counts, value) ||
        (json_is_number(counts) && json_is_number(value) &&
         json_number_value(counts) == json_number_value(value)))
        return false;
    gqa_value_text(shown[0], sizeof shown[0], value);
    gqa_value_text(shown[1], sizeof shown[1], counts);
    snprintf(text, sizeof text,
             "rope_parameters.%.40s is %s, and is not read: rope_scaling "
             "counts in place of rope_parameters%s%s",
             key, shown[0], counts ? ", and with it " : "",
             counts ? shown[1] : "");
    append(list, text);
    return true;
}

/* Which of rope_scaling and rope_parameters is looked at. */
static void tell_object(json_t *list, const struct gqa_model *model,
                        bool by_layer)
{
    const json_t *config = model->config;
    const json_t *scaling = json_object_get(config, "rope_scaling");
    const json_t *said = json_object_get(config, "rope_parameters");
    const char *key;
    json_t *value;
    bool is_told = false;

    if (by_layer) {
        if (json_object_size(scaling) == 0)
            tell_unscaled(list, json_object_get(said, "full_attention"));
        if (json_object_size(said) > 0 && !gqa_rope_said_is_nested(said))
            append(list,
                   "rope_parameters are not by kind of layer, and so are read "
                   "by nothing in models of this type");
        return;
    }
    if (json_object_size(scaling) == 0) {
        tell_unscaled(list, said);
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)said, key, value)
    {
        is_told = is_told || tell_hidden(list, model, key, value);
    }
}

/* How rope_scaling names its kind. */
static void tell_names(json_t *list, const struct gqa_model *model,
                       bool by_layer)
{
    const json_t *said = json_object_get(model->config, "rope_scaling");
    const json_t *newer = json_object_get(said, "rope_type");
    const json_t *older = json_object_get(said, "type");
    char text[MAX_TEXT], shown[2][41];

    if (!json_is_object(said))
        return;
    gqa_value_text(shown[0], sizeof shown[0], older);
    gqa_value_text(shown[1], sizeof shown[1], newer);
    if (!newer && !older)
        append(list, "rope_scaling has no rope_type: transformers 4 refuses "
                     "it, and transformers 5 and these tools scale nothing by "
                     "it");
    else if (!newer && by_layer && strcmp(shown[0], "\"default\"") != 0)
        append(list, "rope_scaling has a type and no rope_type: transformers "
                     "4 refuses it for models of this type, and transformers "
                     "5 and these tools scale nothing by it");
    else if (newer && older && !json_equal(newer, older)) {
        snprintf(text, sizeof text,
                 "rope_scaling's type is %s and its rope_type %s: "
                 "transformers 4 takes the former for most models, and "
                 "transformers 5 and these tools take the latter",
                 shown[0], shown[1]);
        append(list, text);
    }
}

/* A kind that no class of transformers computes by itself. */
static void tell_kind(json_t *list, const struct gqa_model *model)
{
    static const char *const known[] = {"default",      "linear", "dynamic",
                                        "proportional", "yarn",   "llama3",
                                        "longrope"};
    const json_t *said = gqa_rope_said(model->config);
    const char *kind = gqa_rope_said_kind(said);
    char text[MAX_TEXT];

    if (model->family->positions.kinds || gqa_rope_said_is_nested(said))
        return;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(kind, known[i]) == 0)
            return;
    snprintf(text, sizeof text,
             "RoPE is of kind '%.40s', which transformers does not know: it "
             "does not load the model, but by code of its own",
             kind);
    append(list, text);
}

enum gqa_status gqa_rope_readings_add(json_t *list,
                                      const struct gqa_model *model)
{
    const struct gqa_position_rule *rule = &model->family->positions;
    const bool by_layer = rule->local_theta.json != NULL;
    json_t *older;

    if (rule->scheme != GQA_POSITION_ROPE)
        return GQA_OK;
    if (!(older = gqa_rope_older(model->config)))
        return gqa_fail_nomem();
    tell_number(list, model, older, &rule->theta);
    tell_number(list, model, older, &rule->local_theta);
    tell_number(list, model, older, &rule->share);
    json_decref(older);
    tell_object(list, model, by_layer);
    tell_names(list, model, by_layer);
    tell_kind(list, model);
    return tell_scaled(list, model);
}
