/* What there must and may be. */
#include <stdio.h>
#include <string.h>

#include "common/ull.h"
#include "formats/model/experts_config.h"
#include "formats/model/inventory_taking.h"
#include "formats/model/regroup.h"
#include "formats/model/tied.h"

static bool has(const struct gqa_taking *t, const char *name)
{
    size_t index;

    return gqa_taking_find(t, name, &index);
}

/* "[any, 24]": a length of 0 is not known. */
static const char *wanted_text(struct gqa_shape_text *out, unsigned rank,
                               uint64_t rows, uint64_t cols)
{
    char lengths[2][24] = {"any", "any"};

    if (rows)
        snprintf(lengths[0], sizeof lengths[0], "%llu", ULL(rows));
    if (cols)
        snprintf(lengths[1], sizeof lengths[1], "%llu", ULL(cols));
    if (rank == 1)
        snprintf(out->text, sizeof out->text, "[%s]", lengths[0]);
    else if (rank == 3)
        snprintf(out->text, sizeof out->text, "[%s, %s, any]", lengths[0],
                 lengths[1]);
    else
        snprintf(out->text, sizeof out->text, "[%s, %s]", lengths[0],
                 lengths[1]);
    return out->text;
}

/* A vector (cols 0, rank 1), a matrix or a convolution; a length of 0 is any.
 * One that is absent by the description stays a left-over. */
static enum gqa_status expect(struct gqa_taking *t, const char *name,
                              enum gqa_part_presence presence, unsigned rank,
                              uint64_t rows, uint64_t cols)
{
    struct gqa_shape_text found = {""}, expected = {""};
    size_t index;

    if (presence == GQA_PART_ABSENT)
        return GQA_OK;
    wanted_text(&expected, rank, rows, cols);
    if (!gqa_taking_find(t, name, &index))
        return presence == GQA_PART_PRESENT
                   ? gqa_taking_fault(t, GQA_FAULT_MISSING, name, "'%s' %s",
                                      name, expected.text)
                   : GQA_OK;
    t->out->roles[index] = GQA_ROLE_NETWORK;
    if (gqa_shape_fits(&t->model->params[index], rank, rows, cols))
        return GQA_OK;
    t->n_turned +=
        rank == 2 && gqa_shape_fits(&t->model->params[index], 2, cols, rows);
    return gqa_taking_fault(t, GQA_FAULT_SHAPE, name, "'%s' is %s, not %s",
                            name,
                            gqa_shape_text(&found, t->model->params[index].rank,
                                           t->model->params[index].shape),
                            expected.text);
}

/* "stem.what" */
static enum gqa_status expect_part(struct gqa_taking *t, const char *stem,
                                   const char *what,
                                   enum gqa_part_presence presence,
                                   unsigned rank, uint64_t rows, uint64_t cols)
{
    char name[2 * GQA_MAX_NAME + 8];

    snprintf(name, sizeof name, "%s.%s", stem, what);
    return expect(t, name, presence, rank, rows, cols);
}

/* What a setting of biases says with this configuration. */
static enum gqa_status presence_of(enum gqa_part_presence *out,
                                   const struct gqa_taking *t,
                                   const struct gqa_setting *setting)
{
    const json_t *value = NULL;
    enum gqa_status st = GQA_OK;

    if (t->is_known || !gqa_is_setting(setting->json))
        st = gqa_setting_get(&value, NULL, setting, t->model->config);
    *out = !json_is_boolean(value) ? GQA_PART_OPTIONAL
           : json_is_true(value)   ? GQA_PART_PRESENT
                                   : GQA_PART_ABSENT;
    return st;
}

/* --- Modules -------------------------------------------------------------- */
static enum gqa_status expect_weight(struct gqa_taking *t, const char *stem,
                                     uint64_t outputs, uint64_t inputs)
{
    const bool turned = t->family->weights == GQA_WEIGHTS_IN_OUT;

    return expect_part(t, stem, "weight", GQA_PART_PRESENT, 2,
                       turned ? inputs : outputs, turned ? outputs : inputs);
}

/* A module of a stack's layers. */
struct layer_module {
    enum gqa_stack stack;
    const char *name;
    const struct gqa_setting *bias;
};

static const char *stem_in(struct gqa_stem *stem, const struct gqa_taking *t,
                           const struct layer_module *module, uint64_t layer)
{
    return gqa_stem_in(stem, &t->names, t->family->stacks[module->stack].layers,
                       (size_t)layer, module->name);
}

/* A bias that nobody decides is there in all layers or in none. */
static enum gqa_status bias_of(enum gqa_part_presence *out,
                               const struct gqa_taking *t,
                               const struct layer_module *module)
{
    struct gqa_stem stem = {""};
    char name[2 * GQA_MAX_NAME + 8];
    const enum gqa_status st = presence_of(out, t, module->bias);

    if (st != GQA_OK || *out != GQA_PART_OPTIONAL)
        return st;
    for (uint64_t i = 0; i < gqa_taking_layers(t, module->stack); i++) {
        snprintf(name, sizeof name, "%s.bias", stem_in(&stem, t, module, i));
        if (has(t, name)) {
            *out = GQA_PART_PRESENT;
            break;
        }
    }
    return GQA_OK;
}

/* The module's weight and bias in one layer. */
static enum gqa_status expect_linear(struct gqa_taking *t,
                                     const struct layer_module *module,
                                     uint64_t layer, uint64_t outputs,
                                     uint64_t inputs,
                                     enum gqa_part_presence bias)
{
    struct gqa_stem stem = {""};
    const char *name = stem_in(&stem, t, module, layer);
    const enum gqa_status st = expect_weight(t, name, outputs, inputs);

    return st == GQA_OK ? expect_part(t, name, "bias", bias, 1, outputs, 0)
                        : st;
}

static enum gqa_status expect_norm_parts(struct gqa_taking *t, const char *stem,
                                         const struct gqa_norm_rule *rule,
                                         uint64_t width)
{
    enum gqa_part_presence weight, bias;
    enum gqa_status st = gqa_norm_parts(&weight, &bias, rule,
                                        t->is_known ? t->model->config : NULL);

    if (st == GQA_OK)
        st = expect_part(t, stem, "weight", weight, 1, width, 0);
    return st == GQA_OK ? expect_part(t, stem, "bias", bias, 1, width, 0) : st;
}

/* layers NULL: not in a layer. */
static enum gqa_status expect_norm(struct gqa_taking *t, const char *layers,
                                   uint64_t layer,
                                   const struct gqa_setting *module,
                                   uint64_t width)
{
    struct gqa_stem stem = {""};
    const char *name = NULL;
    enum gqa_status st = gqa_setting_text(&name, module, t->model->config);

    if (st != GQA_OK || !name)
        return st;
    if (layers)
        gqa_stem_in(&stem, &t->names, layers, (size_t)layer, name);
    else
        gqa_stem_of(&stem, &t->names, name);
    return expect_norm_parts(t, stem.text, &t->family->norm, width);
}

static enum gqa_status expect_norms(struct gqa_taking *t, enum gqa_stack stack,
                                    uint64_t layer,
                                    const struct gqa_sublayer_norms *norms)
{
    const char *layers = t->family->stacks[stack].layers;
    enum gqa_status st;

    const uint64_t width = t->model->d_model;

    if ((st = expect_norm(t, layers, layer, &norms->norm, width)) != GQA_OK ||
        (st = expect_norm(t, layers, layer, &norms->output_norm, width)) !=
            GQA_OK)
        return st;
    return expect_norm(t, layers, layer, &norms->after_norm, width);
}

/* Projection i of q, k, v and o, in all layers. */
static enum gqa_status expect_projection(struct gqa_taking *t,
                                         const struct gqa_attention_rule *rule,
                                         int i)
{
    const uint64_t d_model = t->model->d_model;
    /* What another model's encoder makes may be of any width. */
    const bool any = rule->kind == GQA_ATTENTION_CROSS && (i == 1 || i == 2) &&
                     !gqa_family_is_encoder_decoder(t->family);
    char name[2 * GQA_MAX_NAME];
    const struct layer_module module = {rule->stack, name, &rule->bias[i]};
    enum gqa_part_presence bias;
    enum gqa_status st;

    snprintf(name, sizeof name, "%s.%s", rule->module, rule->names[i]);
    st = bias_of(&bias, t, &module);
    for (size_t k = 0; k < t->model->n_attentions && st == GQA_OK; k++) {
        const struct gqa_attention *a = &t->model->attentions[k];
        const struct gqa_slice *const slices[] = {&a->q, &a->k, &a->v};
        const uint64_t heads = i == 3 ? a->n_heads * a->head_dim
                                      : gqa_attention_length(a, slices[i]);

        if (a->stack != rule->stack || a->kind != rule->kind)
            continue;
        st = expect_linear(t, &module, a->layer, i == 3 ? d_model : heads,
                           i == 3 ? heads
                           : any  ? 0
                                  : d_model,
                           bias);
    }
    return st;
}

static enum gqa_status expect_projections(struct gqa_taking *t,
                                          const struct gqa_attention_rule *rule)
{
    enum gqa_status st = GQA_OK;

    for (size_t k = 0;
         rule->output_bias && k < t->model->n_attentions && st == GQA_OK; k++) {
        const struct gqa_attention *a = &t->model->attentions[k];
        struct gqa_stem stem = {""};

        if (a->stack != rule->stack || a->kind != rule->kind)
            continue;
        gqa_stem_in(&stem, &t->names, rule->pattern, (size_t)a->layer,
                    rule->output_bias);
        st = expect(t, stem.text, GQA_PART_OPTIONAL, 1, t->model->d_model, 0);
    }
    /* What is fused is one. */
    for (int i = 0; i < 4 && st == GQA_OK; i++)
        if (i == 0 || strcmp(rule->names[i], rule->names[i - 1]) != 0)
            st = expect_projection(t, rule, i);
    return st;
}

/* Norms of queries and keys: one that all heads share, or one of all. */
static enum gqa_status expect_head_norms(struct gqa_taking *t,
                                         const struct gqa_attention_rule *rule,
                                         const struct gqa_attention *a)
{
    const struct gqa_norm_rule *norm = &rule->head_norms.norm;
    enum gqa_status st = GQA_OK;

    for (int which = 0; which < 2 && st == GQA_OK; which++) {
        const struct gqa_setting *module = &rule->head_norms.module[which];
        const uint64_t n_heads = which ? a->n_kv_heads : a->n_heads;
        const uint64_t width = a->head_dim * (a->full_norms ? n_heads : 1);
        struct gqa_stem stem = {""};
        const char *name = NULL;

        st = gqa_setting_text(&name, module, t->model->config);
        if (st != GQA_OK || !name)
            continue;
        gqa_stem_in(&stem, &t->names, rule->pattern, (size_t)a->layer, name);
        st = expect_norm_parts(t, stem.text, norm, width);
    }
    return st;
}

/* T5's table of biases by distance, in a layer or in the first for all. */
static enum gqa_status expect_table(struct gqa_taking *t,
                                    const struct gqa_attention_rule *rule,
                                    const struct gqa_attention *a,
                                    const char *table)
{
    const struct gqa_position_rule *said = &t->family->positions;
    struct gqa_stem stem = {""};
    char name[2 * GQA_MAX_NAME];
    uint64_t n_buckets = 0;
    enum gqa_status st;

    if (a->position.scheme != GQA_POSITION_RELATIVE_BIAS)
        return GQA_OK;
    snprintf(name, sizeof name, "%s.%s", rule->module, table);
    gqa_stem_in(&stem, &t->names, t->family->stacks[a->stack].layers,
                (size_t)a->layer, name);
    st = gqa_setting_count(&n_buckets, &said->buckets, t->model->config);
    if (st != GQA_OK)
        return st;
    /* Without a type nobody knows whether other layers have one. */
    if (a->layer > 0 && !said->per_layer)
        return t->family->model_type
                   ? GQA_OK
                   : expect_part(t, stem.text, "weight", GQA_PART_OPTIONAL, 2,
                                 n_buckets, a->n_heads);
    return expect_part(t, stem.text, "weight", GQA_PART_PRESENT, 2, n_buckets,
                       a->n_heads);
}

/* What an encoder's summaries are normed and weighed with. */
static enum gqa_status expect_summaries(struct gqa_taking *t,
                                        const struct gqa_attention_rule *rule,
                                        const struct gqa_attention *a)
{
    enum gqa_status st;

    if (!rule->summaries.given)
        return GQA_OK;
    st = expect_norm(t, rule->pattern, a->layer, &rule->summaries.norm,
                     t->model->d_model);
    return st == GQA_OK ? expect_table(t, rule, a, rule->summaries.table) : st;
}

/* Faults that are worth listing, of experts of which there are none. */
enum { MAX_MISSING = 4096 };

/* Width of an expert is nowhere else: any is right. bias: where the
 * description says that there is one; NULL: there is none. */
static enum gqa_status expect_in_expert(struct gqa_taking *t,
                                        enum gqa_stack stack, uint64_t layer,
                                        const char *within, const char *module,
                                        const struct gqa_setting *bias)
{
    enum gqa_part_presence presence = GQA_PART_ABSENT;
    char name[3 * GQA_MAX_NAME];
    struct gqa_stem stem = {""};
    enum gqa_status st;

    if (!module)
        return GQA_OK;
    snprintf(name, sizeof name, "%s%s%s", within, *within ? "." : "", module);
    gqa_stem_in(&stem, &t->names, t->family->stacks[stack].layers,
                (size_t)layer, name);
    st = expect_part(t, stem.text, "weight", GQA_PART_PRESENT, 2, 0, 0);
    if (st == GQA_OK && bias)
        st = presence_of(&presence, t, bias);
    return st == GQA_OK && presence == GQA_PART_PRESENT
               ? expect_part(t, stem.text, "bias", presence, 1, 0, 0)
               : st;
}

/* names: as `bias`; the gate may be none, or what is up as well. */
static enum gqa_status expect_expert(struct gqa_taking *t, enum gqa_stack stack,
                                     uint64_t layer, const char *within,
                                     const char *const names[3])
{
    const struct gqa_feed_forward_rule *ff =
        &t->family->stacks[stack].feed_forward;
    enum gqa_status st = GQA_OK;

    for (int i = 0; i < 3 && st == GQA_OK; i++)
        if (i != GQA_FF_GATE || !names[i] ||
            strcmp(names[i], names[GQA_FF_UP]) != 0)
            st = expect_in_expert(t, stack, layer, within, names[i],
                                  &ff->bias[i]);
    return st;
}

/* As many numbers as there are experts, whatever shape they lie in. */
static enum gqa_status expect_correction(struct gqa_taking *t,
                                         enum gqa_stack stack, uint64_t layer,
                                         uint64_t n)
{
    const struct gqa_stack_rule *rule = &t->family->stacks[stack];
    const char *name = rule->feed_forward.experts.correction;
    struct gqa_stem stem = {""};
    struct gqa_shape_text found = {""};
    const struct gqa_param *p;
    size_t index;

    if (!name)
        return GQA_OK;
    gqa_stem_in(&stem, &t->names, rule->layers, (size_t)layer, name);
    if (!gqa_taking_find(t, stem.text, &index))
        return gqa_taking_fault(t, GQA_FAULT_MISSING, stem.text, "'%s' [%llu]",
                                stem.text, ULL(n));
    t->out->roles[index] = GQA_ROLE_CHOICE;
    p = &t->model->params[index];
    return p->n_elements == n
               ? GQA_OK
               : gqa_taking_fault(t, GQA_FAULT_SHAPE, stem.text,
                                  "'%s' is %s, not [%llu]", stem.text,
                                  gqa_shape_text(&found, p->rank, p->shape),
                                  ULL(n));
}

static enum gqa_status expect_shared(struct gqa_taking *t, enum gqa_stack stack,
                                     uint64_t layer)
{
    const struct gqa_experts_rule *rule =
        &t->family->stacks[stack].feed_forward.experts;
    const char *names[3], *within;
    enum gqa_status st =
        gqa_shared_expert(&within, names, rule, t->model->config);

    if (st != GQA_OK || !within)
        return st;
    st = expect_expert(t, stack, layer, within, names);
    return st == GQA_OK
               ? expect_in_expert(t, stack, layer, "", rule->shared_gate, NULL)
               : st;
}

/* [experts, outputs, inputs] or [experts, inputs, outputs], and of biases
 * [experts, outputs]. */
static enum gqa_status expect_stacked(struct gqa_taking *t,
                                      enum gqa_stack stack, uint64_t layer,
                                      uint64_t n)
{
    const struct gqa_experts_rule *rule =
        &t->family->stacks[stack].feed_forward.experts;
    const struct gqa_setting *biases =
        t->family->stacks[stack].feed_forward.bias;
    const char *const modules[] = {rule->gate, rule->up, rule->down};
    char name[2 * GQA_MAX_NAME + 8];
    struct gqa_stem stem = {""};
    enum gqa_status st = GQA_OK;

    for (int i = 0; i < 3 && st == GQA_OK; i++) {
        if (!modules[i] ||
            (i == 1 && rule->gate && strcmp(rule->gate, rule->up) == 0))
            continue;
        gqa_stem_in(&stem, &t->names, t->family->stacks[stack].layers,
                    (size_t)layer, modules[i]);
        st = expect(t,
                    gqa_stacked_name(name, sizeof name, rule, stem.text, false),
                    GQA_PART_PRESENT, 3, n, 0);
        if (st == GQA_OK && gqa_bias_said(&biases[i]) == GQA_PART_PRESENT)
            st = expect(
                t, gqa_stacked_name(name, sizeof name, rule, stem.text, true),
                GQA_PART_PRESENT, 2, n, 0);
    }
    return st;
}

static enum gqa_status expect_experts(struct gqa_taking *t,
                                      enum gqa_stack stack, uint64_t layer)
{
    const struct gqa_experts_rule *rule =
        &t->family->stacks[stack].feed_forward.experts;
    const char *const names[] = {rule->gate, rule->up, rule->down};
    char within[GQA_MAX_NAME + 32];
    uint64_t n = 0;
    enum gqa_status st = gqa_setting_count(&n, &rule->n, t->model->config);

    if (st == GQA_OK)
        st = expect_in_expert(t, stack, layer, "", rule->router,
                              &rule->router_bias);
    if (st == GQA_OK)
        st = expect_correction(t, stack, layer, n);
    if (st == GQA_OK)
        st = expect_shared(t, stack, layer);
    if (!rule->each)
        return st == GQA_OK ? expect_stacked(t, stack, layer, n) : st;
    for (uint64_t e = 0; e < n && st == GQA_OK; e++) {
        const size_t at = strcspn(rule->each, "%");

        /* A number from a file is not worked through where nothing is. */
        snprintf(within, sizeof within, "%.*s%llu%s", (int)at, rule->each,
                 ULL(e), rule->each + at + 1);
        st = expect_expert(t, stack, layer, within, names);
        if (t->out->n_of[GQA_FAULT_MISSING] > MAX_MISSING)
            break;
    }
    return st;
}

/* Numbers that an activation has, which are there or not. */
static void take_constants(struct gqa_taking *t, enum gqa_stack stack,
                           uint64_t layer)
{
    const struct gqa_stack_rule *rule = &t->family->stacks[stack];

    for (gqa_texts name = rule->feed_forward.constants; name && *name; name++) {
        struct gqa_stem stem = {""};
        size_t index;

        if (gqa_taking_find(t,
                            gqa_stem_in(&stem, &t->names, rule->layers,
                                        (size_t)layer, *name),
                            &index))
            t->out->roles[index] = GQA_ROLE_NETWORK;
    }
}

/* Whether a layer has experts in place of one feed-forward. */
static enum gqa_status has_experts(bool *out, const struct gqa_taking *t,
                                   enum gqa_stack stack, uint64_t layer)
{
    *out = false;
    return t->family->stacks[stack].feed_forward.experts.given
               ? gqa_layer_has_experts(
                     out, &t->family->behaviours, t->model->config,
                     stack == GQA_STACK_ENCODER, (size_t)layer)
               : GQA_OK;
}

static enum gqa_status expect_feed_forward(struct gqa_taking *t,
                                           enum gqa_stack stack)
{
    const struct gqa_feed_forward_rule *rule =
        &t->family->stacks[stack].feed_forward;
    bool gated = false;
    enum gqa_status st = gqa_taking_gated(&gated, t, stack);
    const uint64_t n_up = gated && gqa_gate_is_fused(rule) ? 2 : 1;
    const struct layer_module modules[] = {
        {stack, gated ? rule->up : rule->plain, &rule->bias[GQA_FF_UP]},
        {stack, gated && n_up == 1 ? rule->gate : NULL,
         &rule->bias[GQA_FF_GATE]},
        {stack, rule->down, &rule->bias[GQA_FF_DOWN]},
    };

    for (size_t i = 0; i < 3 && st == GQA_OK; i++) {
        const uint64_t outputs =
            i == 2 ? t->model->d_model : n_up * t->d_ff[stack];
        const uint64_t inputs = i == 2 ? t->d_ff[stack] : t->model->d_model;
        enum gqa_part_presence bias;

        if (!modules[i].name)
            continue;
        st = bias_of(&bias, t, &modules[i]);
        for (uint64_t k = 0; k < gqa_taking_layers(t, stack) && st == GQA_OK;
             k++) {
            bool experts;

            st = has_experts(&experts, t, stack, k);
            if (st == GQA_OK && !experts)
                st = expect_linear(t, &modules[i], k, outputs, inputs, bias);
        }
    }
    for (uint64_t k = 0; k < gqa_taking_layers(t, stack) && st == GQA_OK; k++) {
        bool experts;

        take_constants(t, stack, k);
        st = has_experts(&experts, t, stack, k);
        if (st == GQA_OK && experts)
            st = expect_experts(t, stack, k);
    }
    return st;
}

/* --- The whole ------------------------------------------------------------ */

static enum gqa_status expect_layers(struct gqa_taking *t, enum gqa_stack stack)
{
    const struct gqa_stack_rule *rule = &t->family->stacks[stack];
    enum gqa_status st = expect_feed_forward(t, stack);

    for (uint64_t i = 0; i < gqa_taking_layers(t, stack) && st == GQA_OK; i++)
        st = expect_norms(t, stack, i, &rule->feed_forward.norms);
    return st == GQA_OK
               ? expect_norm(t, NULL, 0, &rule->final_norm, t->model->d_model)
               : st;
}

/* A stack of an encoder-decoder that is not there at all. */
static enum gqa_status expect_no_stack(struct gqa_taking *t,
                                       enum gqa_stack stack)
{
    const struct gqa_stack_rule *rule = &t->family->stacks[stack];
    char module[2 * GQA_MAX_NAME];
    struct gqa_stem stem = {""};
    const bool may_lack = stack == GQA_STACK_DECODER &&
                          (gqa_class_named(t->model, GQA_CLASS_ENCODER) ||
                           gqa_class_named(t->model, GQA_CLASS_TASK));

    if (!t->is_known || may_lack)
        return GQA_OK;
    snprintf(module, sizeof module, "%s.%s.weight", rule->self.module,
             rule->self.names[0]);
    gqa_stem_in(&stem, &t->names, rule->layers, 0, module);
    return gqa_taking_fault(t, GQA_FAULT_MISSING, stem.text,
                            "'%s' and all of the %s", stem.text,
                            gqa_stack_name(stack));
}

/* An attention that a model of the family need not have, and none of whose
 * parts is there. */
static enum gqa_status expect_optional(struct gqa_taking *t,
                                       const struct gqa_attention_rule *rule)
{
    char module[2 * GQA_MAX_NAME];
    struct gqa_stem stem = {""};
    bool is_said = false;
    enum gqa_status st;

    if (!t->is_known || !rule->when.json)
        return GQA_OK;
    for (size_t i = 0; i < t->model->n_attentions; i++)
        if (t->model->attentions[i].stack == rule->stack &&
            t->model->attentions[i].kind == rule->kind)
            return GQA_OK;
    st = gqa_setting_flag(&is_said, &rule->when, t->model->config);
    if (st != GQA_OK || !is_said)
        return st;
    snprintf(module, sizeof module, "%s.%s.weight", rule->module,
             rule->names[0]);
    gqa_stem_in(&stem, &t->names, t->family->stacks[rule->stack].layers, 0,
                module);
    return gqa_taking_fault(t, GQA_FAULT_MISSING, stem.text,
                            "'%s' and all of the %s-attention", stem.text,
                            gqa_attention_kind_name(rule->kind));
}

/* Their number was held against the heads where these were found. */
static void take_sinks(struct gqa_taking *t, const struct gqa_attention *a)
{
    if (a->sinks != GQA_NO_PARAM)
        t->out->roles[a->sinks] = GQA_ROLE_NETWORK;
}

static enum gqa_status expect_stacks(struct gqa_taking *t)
{
    enum gqa_status st = GQA_OK;

    for (size_t r = 0; r < t->family->n_attentions && st == GQA_OK; r++) {
        st = expect_projections(t, t->family->attentions[r]);
        if (st == GQA_OK)
            st = expect_optional(t, t->family->attentions[r]);
    }
    for (size_t i = 0; i < t->model->n_attentions && st == GQA_OK; i++) {
        const struct gqa_attention *a = &t->model->attentions[i];
        const struct gqa_stack_rule *rule = &t->family->stacks[a->stack];
        const struct gqa_attention_rule *attention =
            a->kind == GQA_ATTENTION_SELF ? &rule->self : &rule->cross;
        struct gqa_sublayer_norms norms = attention->norms;

        if (attention->first_unnormed && a->layer == 0)
            norms.norm.json = NULL;
        take_sinks(t, a);
        st = expect_norms(t, a->stack, a->layer, &norms);
        if (st == GQA_OK)
            st = expect_head_norms(t, attention, a);
        if (st == GQA_OK)
            st = expect_table(t, attention, a, t->family->positions.table);
        if (st == GQA_OK)
            st = expect_summaries(t, attention, a);
    }
    for (int s = 0; s < 2 && st == GQA_OK; s++) {
        if (!t->family->stacks[s].given)
            continue;
        st = gqa_taking_layers(t, (enum gqa_stack)s) > 0
                 ? expect_layers(t, (enum gqa_stack)s)
                 : expect_no_stack(t, (enum gqa_stack)s);
    }
    return st;
}

/* Whether there is a decoder that reads and writes a token at a time. */
static bool reads_tokens(const struct gqa_taking *t)
{
    const struct gqa_stack_rule *decoder =
        &t->family->stacks[GQA_STACK_DECODER];

    return decoder->given && decoder->input == GQA_INPUT_TOKENS;
}

/* What a stack adds to the embedding, and the norm of the sum. */
static enum gqa_status expect_added(struct gqa_taking *t, enum gqa_stack stack)
{
    const struct gqa_embedding_rule *rule = &t->family->stacks[stack].embedding;
    /* Sinusoids are computed where they are not stored. */
    const enum gqa_part_presence presence =
        t->family->positions.scheme == GQA_POSITION_LEARNED ? GQA_PART_PRESENT
                                                            : GQA_PART_OPTIONAL;
    struct gqa_stem stem = {""};
    enum gqa_status st = GQA_OK;

    if (gqa_taking_layers(t, stack) == 0)
        return GQA_OK;
    if (rule->positions) {
        gqa_stem_of(&stem, &t->names, rule->positions);
        st = expect_part(t, stem.text, "weight", presence, 2, 0,
                         t->model->d_model);
    }
    for (gqa_texts place = rule->places; place && *place && st == GQA_OK;
         place++) {
        gqa_stem_of(&stem, &t->names, *place);
        st = expect_part(t, stem.text, "weight", GQA_PART_PRESENT, 2, 0,
                         t->model->d_model);
    }
    return st == GQA_OK
               ? expect_norm(t, NULL, 0, &rule->norm, t->model->d_model)
               : st;
}

/* Convolutions, as many as the configuration says. */
static enum gqa_status expect_frames(struct gqa_taking *t, enum gqa_stack stack)
{
    const struct gqa_frames_rule *rule = &t->family->stacks[stack].frames;
    uint64_t n = rule->n_convolutions;
    struct gqa_stem stem = {""};
    enum gqa_status st = gqa_setting_count(&n, &rule->n, t->model->config);

    for (size_t i = 0; i < rule->n_convolutions && i < n && st == GQA_OK; i++) {
        gqa_stem_of(&stem, &t->names, rule->convolutions[i].module);
        st = expect_part(t, stem.text, "weight", GQA_PART_PRESENT, 3, 0, 0);
        if (st == GQA_OK)
            st = expect_part(t, stem.text, "bias", GQA_PART_OPTIONAL, 1, 0, 0);
    }
    return st;
}

/* Columns of the embedding, and of the matrix that makes logits. */
static enum gqa_status embedding_width(uint64_t *out,
                                       const struct gqa_taking *t)
{
    *out = t->model->d_model;
    return gqa_setting_count(out, &t->family->embedding.width,
                             t->model->config);
}

/* The module that makes the stream of another width, or the other way. */
static enum gqa_status expect_between(struct gqa_taking *t, const char *module,
                                      uint64_t outputs, uint64_t inputs)
{
    struct gqa_stem stem = {""};

    if (!module || outputs == inputs)
        return GQA_OK;
    gqa_stem_of(&stem, &t->names, module);
    return expect_part(t, stem.text, "weight", GQA_PART_PRESENT, 2, outputs,
                       inputs);
}

/* Of an encoder-decoder an encoder of frames alone, which reads no tokens. */
static bool reads_frames_alone(const struct gqa_taking *t)
{
    return t->family->stacks[GQA_STACK_ENCODER].input == GQA_INPUT_FRAMES &&
           gqa_taking_layers(t, GQA_STACK_DECODER) == 0;
}

/* Of a stack; n_tokens 0: of any number. */
static enum gqa_status expect_embedding_of(struct gqa_taking *t,
                                           enum gqa_stack stack,
                                           uint64_t n_tokens, uint64_t width)
{
    struct gqa_stem stem = {""};

    gqa_stem_of(&stem, &t->names,
                gqa_embedding_of(t->family, stack, t->model->config));
    return expect_part(t, stem.text, "weight",
                       reads_frames_alone(t) ? GQA_PART_OPTIONAL
                                             : GQA_PART_PRESENT,
                       2, n_tokens, width);
}

static enum gqa_status expect_embedding(struct gqa_taking *t)
{
    uint64_t width = 0;
    enum gqa_status st;

    /* What an encoder alone reads, and how, is nobody's who runs decoders. */
    if (!reads_tokens(t))
        return GQA_OK;
    st = embedding_width(&width, t);
    if (st == GQA_OK)
        st = expect_embedding_of(t, GQA_STACK_DECODER, t->vocab_size, width);
    if (st == GQA_OK &&
        t->family->stacks[GQA_STACK_ENCODER].embedding.table.json)
        st = expect_embedding_of(t, GQA_STACK_ENCODER, 0, width);
    if (st == GQA_OK)
        st = expect_between(t, t->family->embedding.widened, t->model->d_model,
                            width);
    for (int s = 0; s < 2 && st == GQA_OK; s++) {
        if (!t->family->stacks[s].given)
            continue;
        st = expect_frames(t, (enum gqa_stack)s);
        if (st == GQA_OK)
            st = expect_added(t, (enum gqa_stack)s);
    }
    return st;
}

/* Whether logits must have a matrix of their own. */
static enum gqa_status needs_unembedding(bool *out, const struct gqa_taking *t)
{
    const char *first = t->family->names.prefixes[0];
    struct gqa_tied tied;
    const enum gqa_status st = gqa_model_tied(&tied, t->model);
    /* A model without its head is written without its prefix. */
    const bool is_base = *first && !*t->names.prefix;

    *out = t->is_known && !tied.in_4 && !tied.in_5 &&
           (gqa_has_classes(t->model)
                ? gqa_class_named(t->model, GQA_CLASS_LM) != NULL
                : !is_base);
    return st;
}

/* What is beside the matrix that makes logits, where any of it is, or a class
 * has logits. */
static enum gqa_status expect_transform(struct gqa_taking *t)
{
    const struct gqa_transform_rule *rule = &t->family->logits.transform;
    const uint64_t d_model = t->model->d_model;
    gqa_texts stem = t->family->names.unembedding;
    char name[2 * GQA_MAX_NAME], weight[2 * GQA_MAX_NAME + 8];
    enum gqa_status st;

    for (; *stem; stem++) {
        snprintf(weight, sizeof weight, "%s.weight",
                 gqa_name_beside(name, sizeof name, *stem, rule->module));
        if (has(t, weight))
            break;
    }
    if (!*stem && !gqa_class_named(t->model, GQA_CLASS_LM))
        return GQA_OK;
    if (!*stem)
        stem = t->family->names.unembedding;
    gqa_name_beside(name, sizeof name, *stem, rule->module);
    st = expect_part(t, name, "weight", GQA_PART_PRESENT, 2, d_model, d_model);
    if (st == GQA_OK)
        st = expect_part(t, name, "bias", GQA_PART_PRESENT, 1, d_model, 0);
    gqa_name_beside(name, sizeof name, *stem, rule->norm);
    if (st == GQA_OK)
        st = expect_norm_parts(t, name, &t->family->norm, d_model);
    gqa_name_beside(name, sizeof name, *stem, rule->bias);
    return st == GQA_OK
               ? expect(t, name, GQA_PART_OPTIONAL, 1, t->vocab_size, 0)
               : st;
}

static enum gqa_status expect_logits(struct gqa_taking *t)
{
    const char *addend = t->family->logits.addend;
    const gqa_texts stems = t->family->names.unembedding;
    enum gqa_part_presence bias = GQA_PART_OPTIONAL;
    gqa_texts stem = stems;
    bool is_needed = false;
    const uint64_t unwritten = t->family->logits.unwritten;
    const uint64_t vocab_size =
        t->vocab_size > unwritten ? t->vocab_size - unwritten : 0;
    uint64_t width = 0;
    char name[GQA_MAX_NAME];
    enum gqa_status st = needs_unembedding(&is_needed, t);

    if (st == GQA_OK)
        st = presence_of(&bias, t, &t->family->logits.bias);
    /* No logits. */
    if (!reads_tokens(t))
        return st;
    if (st == GQA_OK)
        st = embedding_width(&width, t);
    if (st == GQA_OK)
        st = expect_between(t, t->family->logits.narrowed, width,
                            t->model->d_model);
    if (st == GQA_OK && t->family->logits.transform.given)
        st = expect_transform(t);
    if (st == GQA_OK && addend)
        st = expect(t, addend, GQA_PART_OPTIONAL, 2, 1, vocab_size);
    if (st != GQA_OK)
        return st;
    for (; *stem; stem++) {
        snprintf(name, sizeof name, "%s.weight", *stem);
        if (has(t, name))
            break;
    }
    /* One that is tied may have a bias all the same (CTRL). */
    if (!*stem && !is_needed)
        return t->family->logits.bias.json && bias != GQA_PART_ABSENT
                   ? expect_part(t, *stems, "bias", GQA_PART_OPTIONAL, 1,
                                 vocab_size, 0)
                   : GQA_OK;
    if (!*stem)
        stem = stems;
    st =
        expect_part(t, *stem, "weight", GQA_PART_PRESENT, 2, vocab_size, width);
    return st == GQA_OK ? expect_part(t, *stem, "bias", bias, 1, vocab_size, 0)
                        : st;
}

enum gqa_status gqa_take_network(struct gqa_taking *t)
{
    enum gqa_status st;

    if ((st = expect_embedding(t)) != GQA_OK ||
        (st = expect_stacks(t)) != GQA_OK)
        return st;
    return expect_logits(t);
}
