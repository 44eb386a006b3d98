#include "formats/model/numbers.h"

#include <math.h>
#include <string.h>

#include "common/ull.h"
#include "formats/families/family.h"
#include "formats/families/schema.h"
#include "formats/model/experts_config.h"
#include "formats/model/network_rope.h"

struct checked {
    const struct gqa_model *model;
    enum gqa_stack stack; /* that settings are of */
};

/* --- What belongs to layers ------------------------------------------------
 */

static uint64_t n_layers(const struct checked *c)
{
    return c->stack == GQA_STACK_DECODER &&
                   gqa_model_is_encoder_decoder(c->model)
               ? c->model->n_decoder_layers
               : c->model->n_layers;
}

/* What is not known here may still be known to others. */
static enum gqa_status forgive(enum gqa_status st)
{
    return st == GQA_ERR_UNSUPPORTED ? GQA_OK : st;
}

/* Whether any layer slides: where none does, a window may be anything. */
static enum gqa_status find_sliding(bool *any, const struct checked *c)
{
    enum gqa_status st = GQA_OK;

    *any = false;
    for (uint64_t i = 0; i < n_layers(c) && !*any && st == GQA_OK; i++)
        st = gqa_layer_slides(any, &c->model->family->behaviours,
                              c->model->config, (size_t)i);
    if (st == GQA_ERR_UNSUPPORTED)
        *any = false;
    return forgive(st);
}

static enum gqa_status find_experts(bool *any, const struct checked *c)
{
    enum gqa_status st = GQA_OK;

    *any = false;
    for (uint64_t i = 0; i < n_layers(c) && !*any && st == GQA_OK; i++)
        st = gqa_layer_has_experts(any, &c->model->family->behaviours,
                                   c->model->config,
                                   c->stack == GQA_STACK_ENCODER, (size_t)i);
    return st;
}

static enum gqa_status check_window(const struct checked *c,
                                    const struct gqa_setting *setting)
{
    uint64_t window;
    bool slides;
    enum gqa_status st = find_sliding(&slides, c);

    if (st == GQA_OK && slides)
        st = gqa_setting_count(&window, setting, c->model->config);
    return st;
}

/* --- Settings of the description ------------------------------------------ */

/* Flags and words are of their type alone: which there are is for who runs
 * them to know. */
static bool is_checked(enum gqa_value_kind kind)
{
    switch (kind) {
    case GQA_VALUE_FLAG:
    case GQA_VALUE_TEXT:
    case GQA_VALUE_POSITIVE:
    case GQA_VALUE_FROM_ZERO:
    case GQA_VALUE_WHOLE:
    case GQA_VALUE_ALIKE:
    case GQA_VALUE_TOKEN:
    case GQA_VALUE_SHARE:
    case GQA_VALUE_DROPOUT:
    case GQA_VALUE_STREAM:
    case GQA_VALUE_SCORES:
    case GQA_VALUE_WIDTH:
    case GQA_VALUE_RWIDTH:
        return true;
    default:
        return false;
    }
}

static enum gqa_status check_setting(const struct checked *c,
                                     const struct gqa_setting *setting)
{
    const json_t *value;

    if (!setting->json)
        return GQA_OK;
    if (setting->kind == GQA_VALUE_WINDOW)
        return check_window(c, setting);
    return is_checked(setting->kind)
               ? gqa_setting_get(&value, NULL, setting, c->model->config)
               : GQA_OK;
}

static enum gqa_status check_experts(const struct checked *c,
                                     const struct gqa_experts_rule *rule)
{
    uint64_t n, chosen, n_groups, n_best;
    const enum gqa_status st =
        gqa_experts_numbers(&n, &chosen, rule, c->model->config);

    return st == GQA_OK
               ? gqa_experts_groups(&n_groups, &n_best, rule, c->model->config)
               : st;
}

/* Whether what an object of the description says is of any use in the model. */
static enum gqa_status holds(bool *out, const struct checked *c,
                             const struct gqa_field *field, const char *at)
{
    const struct gqa_schema *inner = gqa_field_inner(field);
    const struct gqa_stack_rule *stack = &c->model->family->stacks[c->stack];

    *out = true;
    if (inner->has_given)
        memcpy(out, at, sizeof *out);
    if (!*out)
        return GQA_OK;
    if (at == (const char *)&stack->cross)
        return gqa_setting_flag(out, &stack->cross.when, c->model->config);
    return at == (const char *)&stack->feed_forward.experts
               ? find_experts(out, c)
               : GQA_OK;
}

/* All settings of a part of the description. */
static enum gqa_status check_part(const struct checked *c,
                                  const struct gqa_field *part, const char *at)
{
    const struct gqa_schema *schema = gqa_field_inner(part);
    bool is_used;
    enum gqa_status st = holds(&is_used, c, part, at);

    if (st != GQA_OK || !is_used)
        return st;
    for (const struct gqa_field *f = schema->fields; f->key && st == GQA_OK;
         f++) {
        struct gqa_setting setting;

        if (f->kind == GQA_FIELD_OBJECT) {
            st = check_part(c, f, at + f->offset);
        } else if (f->kind == GQA_FIELD_SETTING) {
            memcpy(&setting, at + f->offset, sizeof setting);
            st = check_setting(c, &setting);
        }
    }
    return st;
}

/* Those of both stacks; the description's own names of them are in the order
 * of gqa_stack. */
static enum gqa_status check_stacks(struct checked *c,
                                    const struct gqa_field *stacks)
{
    const struct gqa_family *family = c->model->family;
    const struct gqa_schema *schema = gqa_field_inner(stacks);
    enum gqa_status st = GQA_OK;

    for (int s = 0; s < 2 && st == GQA_OK; s++) {
        const struct gqa_stack_rule *rule = &family->stacks[s];
        bool has_experts = false;

        c->stack = (enum gqa_stack)s;
        if (!rule->given)
            continue;
        st = check_part(c, &schema->fields[s], (const char *)rule);
        if (st == GQA_OK && rule->feed_forward.experts.given)
            st = find_experts(&has_experts, c);
        if (st == GQA_OK && has_experts)
            st = check_experts(c, &rule->feed_forward.experts);
    }
    return st;
}

/* How far a head is turned, where any is; else what there is in its place. */
static enum gqa_status check_positions(const struct checked *c,
                                       const struct gqa_field *positions)
{
    const struct gqa_family *family = c->model->family;
    struct gqa_rope rope = {.n_pairs = 0}, local = {.n_pairs = 0};
    enum gqa_status st;

    if (family->positions.scheme != GQA_POSITION_ROPE)
        return check_part(c, positions, (const char *)&family->positions);
    st = gqa_ropes_create(&rope, &local, c->model);
    gqa_rope_free(&rope);
    gqa_rope_free(&local);
    return forgive(st);
}

/* --- Sizes -----------------------------------------------------------------
 */

/* A number that counts something, as 24 and 24.0 do. */
static bool is_count(const json_t *value)
{
    const double number = json_number_value(value);

    return number >= 1 && number <= GQA_MAX_CONFIG_COUNT &&
           number == floor(number);
}

/* Loaders make room by them. What is of another type is written anew, but for
 * positions, which no tensor need tell. */
static enum gqa_status check_sizes(const struct gqa_model *model)
{
    const struct gqa_config_keys *k = &model->family->keys;
    const gqa_texts sizes[] = {
        k->d_model,         k->d_ff,     k->expert_d_ff,
        k->decoder_d_ff,    k->n_layers, k->n_decoder_layers,
        k->n_decoder_heads, k->n_heads,  k->vocab_size,
        k->max_positions,
    };

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const char *key = gqa_config_key(model->config, sizes[i]);
        const json_t *value = key ? json_object_get(model->config, key) : NULL;
        char text[41];

        /* Of other sizes classes know what null stands for, or say so. */
        if ((!json_is_number(value) &&
             !(json_is_null(value) && sizes[i] == k->vocab_size) &&
             !(value && !json_is_null(value) &&
               sizes[i] == k->max_positions)) ||
            is_count(value))
            continue;
        gqa_value_text(text, sizeof text, value);
        return gqa_fail(GQA_ERR_FORMAT, "configuration: %s is %s, not a count",
                        key, text);
    }
    return GQA_OK;
}

/* --- All -------------------------------------------------------------------
 */

enum gqa_status gqa_check_numbers(const struct gqa_model *model)
{
    struct checked c = {.model = model};
    const char *family = (const char *)model->family;
    enum gqa_status st;

    if (!model->config_is_complete)
        return GQA_OK;
    st = check_sizes(model);
    for (const struct gqa_field *f = gqa_family_schema.fields;
         f->key && st == GQA_OK; f++)
        if (strcmp(f->key, "stacks") == 0)
            st = check_stacks(&c, f);
        else if (strcmp(f->key, "positions") == 0)
            st = check_positions(&c, f);
        else if (strcmp(f->key, "norm") == 0 || strcmp(f->key, "logits") == 0)
            st = check_part(&c, f, family + f->offset);
    return st;
}
