/* Source: modeling_rope_utils of transformers 4.57 and 5. */
#include "formats/model/readings.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "formats/families/family.h"

enum { MAX_TEXT = 512 };

/* --- RoPE that is scaled ---------------------------------------------------
 */

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
    if (rule->scheme != GQA_POSITION_ROPE || !json_is_object(r->said))
        return GQA_OK;
    r->kind = json_string_value(json_object_get(r->said, "rope_type"));
    if (!r->kind)
        r->kind = json_string_value(json_object_get(r->said, "type"));
    if (!r->kind)
        r->kind = "";
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

static enum gqa_status tell_rope(json_t *list, const struct gqa_model *model)
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

/* transformers 4 reads what stands beside rope_parameters alone. */
static void tell_parameters(json_t *list, const struct gqa_model *model)
{
    static const char *const keys[][2] = {
        {"rope_theta", "rope_parameters.rope_theta"},
        {"partial_rotary_factor", "rope_parameters.partial_rotary_factor"}};

    if (model->family->positions.scheme != GQA_POSITION_ROPE)
        return;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *newer = gqa_config_at(model->config, keys[i][1]);
        const json_t *older = json_object_get(model->config, keys[i][0]);
        char text[MAX_TEXT];

        if (!json_is_number(newer) || !json_is_number(older) ||
            json_number_value(newer) == json_number_value(older))
            continue;
        snprintf(text, sizeof text,
                 "%s is %g for transformers 4, and %g, as rope_parameters say, "
                 "for transformers 5 and these tools",
                 keys[i][0], json_number_value(older),
                 json_number_value(newer));
        json_array_append_new(list, json_string(text));
    }
}

/* --- What descriptions tell of ---------------------------------------------
 */

static void tell_described(json_t *list, const struct gqa_model *model)
{
    for (size_t i = 0; i < model->family->n_readings; i++) {
        const struct gqa_refusal *r = &model->family->readings[i];

        for (gqa_texts key = r->keys; *key; key++) {
            const json_t *value = gqa_config_at(model->config, *key);
            char said[41], text[MAX_TEXT];

            if (!value || !gqa_refusal_holds(r, value))
                continue;
            gqa_value_text(said, sizeof said, value);
            snprintf(text, sizeof text, "%s is %s: %s", *key, said, r->because);
            json_array_append_new(list, json_string(text));
        }
    }
}

/* --- All -------------------------------------------------------------------
 */

enum gqa_status gqa_readings_create(json_t **out,
                                    struct gqa_checkpoint *checkpoint,
                                    const struct gqa_model *model,
                                    enum gqa_tied_rows rows)
{
    json_t *list = json_array();
    char *text = NULL;
    enum gqa_status st = GQA_OK;

    if (model->config_is_complete) {
        st = gqa_tied_text(&text, checkpoint, model, rows);
        if (text)
            json_array_append_new(list, json_string(text));
        free(text);
        if (st == GQA_OK)
            st = tell_rope(list, model);
        tell_parameters(list, model);
        tell_described(list, model);
    }
    if (st == GQA_OK)
        st = gqa_json_check();
    if (st == GQA_OK)
        *out = list;
    else
        json_decref(list);
    return st;
}
