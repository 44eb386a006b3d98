#include "formats/model/network_feed_forward.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/ull.h"
#include "formats/model/experts_config.h"
#include "formats/model/network_config.h"

/* The constants of xIELU, of which each is one number. */
static enum gqa_status take_xielu(struct gqa_feed_forward *out,
                                  const struct gqa_network_builder *b,
                                  const struct gqa_stack_rule *stack,
                                  size_t layer)
{
    gqa_texts name = stack->feed_forward.constants;
    struct gqa_stem stem = {""};
    size_t n = 0;
    enum gqa_status st = GQA_OK;

    out->has_xielu = true;
    for (; name && name[n] && n < 4 && st == GQA_OK; n++) {
        gqa_stem_in(&stem, b, stack->layers, layer, name[n]);
        st = gqa_take_param(&out->xielu[n], b, stem.text, false);
        if (st == GQA_OK && b->model->params[out->xielu[n]].n_elements != 1)
            st = gqa_fail(GQA_ERR_FORMAT, "'%s' is more than one number",
                          stem.text);
    }
    return st == GQA_OK && n < 4
               ? gqa_fail(GQA_ERR_FORMAT,
                          "family %s: 'constants' do not name the four of "
                          "xielu",
                          b->family->name)
               : st;
}

/* Of experts whose gate and up are pairs, as the description says. */
static enum gqa_status take_pairs(struct gqa_feed_forward *out,
                                  const struct gqa_network_builder *b,
                                  const struct gqa_feed_forward_rule *rule)
{
    const enum gqa_status st =
        gqa_setting_number(&out->pairs.alpha, &rule->alpha, b->model->config);

    out->has_pairs = true;
    return st == GQA_OK ? gqa_setting_number(&out->pairs.limit, &rule->limit,
                                             b->model->config)
                        : st;
}

static enum gqa_status take_activation(struct gqa_feed_forward *out,
                                       const struct gqa_network_builder *b,
                                       const struct gqa_stack_rule *stack,
                                       size_t layer, bool is_plain)
{
    const char *name = NULL;
    enum gqa_status st = gqa_setting_text(
        &name, &stack->feed_forward.activation, b->model->config);

    if (st == GQA_OK && !name)
        return gqa_fail(GQA_ERR_FORMAT,
                        "configuration: no activation of the feed-forward");
    if (st == GQA_OK && stack->feed_forward.experts.interleaved)
        return take_pairs(out, b, &stack->feed_forward);
    if (st == GQA_OK && is_plain && strcmp(name, "xielu") == 0)
        return take_xielu(out, b, stack, layer);
    return st == GQA_OK ? gqa_activation_parse(&out->activation, name) : st;
}

/* Stock loaders make room for what the configuration says. */
static enum gqa_status check_width(const struct gqa_network_builder *b,
                                   enum gqa_stack stack,
                                   const struct gqa_linear *up, uint64_t width)
{
    const char *key = gqa_config_key(b->model->config,
                                     gqa_d_ff_keys(&b->family->keys, stack));
    const json_t *value = key ? json_object_get(b->model->config, key) : NULL;
    uint64_t said;

    /* null: a multiple of the residual stream's; a list: each layer's. */
    if (!gqa_json_u64(value, &said) || said == width)
        return GQA_OK;
    return gqa_fail(GQA_ERR_FORMAT,
                    "configuration: %s is %llu, but '%s' has %llu outputs", key,
                    ULL(said), b->model->params[up->weight].name, ULL(width));
}

/* A matrix of one that holds those of all experts, and its bias likewise. */
static enum gqa_status take_stacked(struct gqa_linear *out,
                                    const struct gqa_network_builder *b,
                                    const struct gqa_feed_forward_rule *ff,
                                    const char *module, const char *stem,
                                    uint64_t expert)
{
    const struct gqa_experts_rule *rule = &ff->experts;
    const int part = strcmp(module, rule->down) == 0 ? GQA_FF_DOWN : GQA_FF_UP;
    const bool needed = gqa_bias_said(&ff->bias[part]) == GQA_PART_PRESENT;
    char name[2 * GQA_MAX_NAME + 8];
    const struct gqa_param *p, *bias;
    uint64_t outputs;
    enum gqa_status st;

    st = gqa_take_param(&out->weight, b,
                        gqa_stacked_name(name, sizeof name, rule, stem, false),
                        false);
    if (st == GQA_OK)
        st = gqa_take_param(
            &out->bias, b,
            gqa_stacked_name(name, sizeof name, rule, stem, true), !needed);
    if (st != GQA_OK)
        return st;
    p = &b->model->params[out->weight];
    if (p->rank != 3 || expert >= p->shape[0])
        return gqa_fail(GQA_ERR_FORMAT,
                        "'%s' does not hold a matrix for each of more than "
                        "%llu experts",
                        p->name, ULL(expert));
    out->input_major = rule->input_major;
    out->rows = p->shape[1];
    out->cols = p->shape[2];
    out->offset = expert * out->rows * out->cols;
    if (out->bias == GQA_NO_PARAM)
        return GQA_OK;
    outputs = gqa_linear_outputs(b, out);
    out->bias_offset = expert * outputs;
    bias = &b->model->params[out->bias];
    return bias->rank == 2 && bias->rows == p->shape[0] && bias->cols == outputs
               ? GQA_OK
               : gqa_fail(GQA_ERR_FORMAT,
                          "'%s' has shape [%llu, %llu], not the [%llu, %llu] "
                          "that belongs there",
                          bias->name, ULL(bias->rows), ULL(bias->cols),
                          ULL(p->shape[0]), ULL(outputs));
}

/* One projection of an expert: a matrix of its own, or a part of one that
 * holds those of all. */
static enum gqa_status take_expert_linear(struct gqa_linear *out,
                                          const struct gqa_network_builder *b,
                                          const struct gqa_stack_rule *stack,
                                          size_t layer, const char *module,
                                          uint64_t expert)
{
    static const struct gqa_setting no_bias = {.json = NULL};
    const struct gqa_experts_rule *rule = &stack->feed_forward.experts;
    const size_t at = rule->each ? strcspn(rule->each, "%") : 0;
    char name[3 * GQA_MAX_NAME];
    struct gqa_stem stem = {""};

    if (rule->each)
        snprintf(name, sizeof name, "%.*s%llu%s.%s", (int)at, rule->each,
                 ULL(expert), rule->each + at + 1, module);
    else
        snprintf(name, sizeof name, "%s", module);
    gqa_stem_in(&stem, b, stack->layers, layer, name);
    return rule->each ? gqa_take_linear(out, b, stem.text, &no_bias)
                      : take_stacked(out, b, &stack->feed_forward, module,
                                     stem.text, expert);
}

/* [gate | up] of an expert. */
static enum gqa_status split_expert(struct gqa_expert *x,
                                    const struct gqa_network_builder *b)
{
    if (!x->up.rows)
        return gqa_linear_halves(&x->gate, &x->up, b);
    if (x->up.rows % 2 != 0)
        return gqa_fail(GQA_ERR_FORMAT,
                        "'%s' has %llu rows for each expert, which are not two "
                        "projections of the same length",
                        b->model->params[x->up.weight].name, ULL(x->up.rows));
    x->gate.rows = x->up.rows /= 2;
    x->up.offset += x->up.rows * x->up.cols;
    x->up.bias_offset += x->up.rows;
    return GQA_OK;
}

/* per_hidden: outputs of up that make one of what down reads. */
static enum gqa_status check_expert(const struct gqa_network_builder *b,
                                    const struct gqa_expert *x,
                                    uint64_t per_hidden)
{
    const uint64_t d_model = b->network->d_model;
    const uint64_t width = gqa_linear_outputs(b, &x->up);
    enum gqa_status st;

    if (width % per_hidden != 0)
        return gqa_fail(GQA_ERR_FORMAT,
                        "'%s' makes %llu outputs, which are not pairs",
                        b->model->params[x->up.weight].name, ULL(width));
    if ((st = gqa_check_linear(b, &x->up, d_model, width)) != GQA_OK ||
        (st = gqa_check_linear(b, &x->down, width / per_hidden, d_model)) !=
            GQA_OK)
        return st;
    return x->gate.weight == GQA_NO_PARAM
               ? GQA_OK
               : gqa_check_linear(b, &x->gate, d_model, width);
}

static const struct gqa_linear no_linear = {.weight = GQA_NO_PARAM,
                                            .bias = GQA_NO_PARAM};

static enum gqa_status take_expert(struct gqa_expert *out,
                                   const struct gqa_network_builder *b,
                                   const struct gqa_stack_rule *stack,
                                   size_t layer, uint64_t expert)
{
    const struct gqa_experts_rule *rule = &stack->feed_forward.experts;
    enum gqa_status st;

    out->gate = no_linear;
    if ((st = take_expert_linear(&out->up, b, stack, layer, rule->up,
                                 expert)) != GQA_OK ||
        (st = take_expert_linear(&out->down, b, stack, layer, rule->down,
                                 expert)) != GQA_OK)
        return st;
    if (rule->interleaved)
        return check_expert(b, out, 2);
    if (rule->gate)
        st =
            take_expert_linear(&out->gate, b, stack, layer, rule->gate, expert);
    if (st == GQA_OK && out->gate.weight == out->up.weight)
        st = split_expert(out, b);
    return st == GQA_OK ? check_expert(b, out, 1) : st;
}

/* As it is found. */
static const struct gqa_setting any_bias = {.json = NULL};

static enum gqa_status take_module(struct gqa_linear *out,
                                   const struct gqa_network_builder *b,
                                   const struct gqa_stack_rule *stack,
                                   size_t layer, const char *module,
                                   const char *within,
                                   const struct gqa_setting *bias)
{
    char name[2 * GQA_MAX_NAME];
    struct gqa_stem stem = {""};

    *out = no_linear;
    if (!module || !within)
        return GQA_OK;
    snprintf(name, sizeof name, "%s%s%s", within, *within ? "." : "", module);
    return gqa_take_linear(
        out, b, gqa_stem_in(&stem, b, stack->layers, layer, name), bias);
}

static enum gqa_status take_shared(struct gqa_experts *out,
                                   const struct gqa_network_builder *b,
                                   const struct gqa_stack_rule *stack,
                                   size_t layer)
{
    const struct gqa_experts_rule *rule = &stack->feed_forward.experts;
    const char *names[3], *within;
    struct gqa_expert *x = &out->shared;
    enum gqa_status st;

    x->gate = x->up = x->down = out->shared_gate = no_linear;
    st = gqa_shared_expert(&within, names, rule, b->model->config);
    if (st != GQA_OK || !within)
        return st;
    if ((st = take_module(&x->up, b, stack, layer, names[GQA_FF_UP], within,
                          &any_bias)) != GQA_OK ||
        (st = take_module(&x->down, b, stack, layer, names[GQA_FF_DOWN], within,
                          &any_bias)) != GQA_OK ||
        (st = take_module(&x->gate, b, stack, layer, names[GQA_FF_GATE], within,
                          &any_bias)) != GQA_OK ||
        (st = take_module(&out->shared_gate, b, stack, layer, rule->shared_gate,
                          "", &any_bias)) != GQA_OK)
        return st;
    if (x->gate.weight != GQA_NO_PARAM && x->gate.weight == x->up.weight)
        st = split_expert(x, b);
    if (st != GQA_OK || (st = check_expert(b, x, 1)) != GQA_OK ||
        out->shared_gate.weight == GQA_NO_PARAM)
        return st;
    return gqa_check_linear(b, &out->shared_gate, b->network->d_model, 1);
}

/* What is added where experts are chosen, whatever shape its numbers lie in. */
static enum gqa_status take_correction(struct gqa_experts *out,
                                       const struct gqa_network_builder *b,
                                       const struct gqa_stack_rule *stack,
                                       size_t layer)
{
    const char *name = stack->feed_forward.experts.correction;
    struct gqa_stem stem = {""};
    enum gqa_status st;

    out->correction = GQA_NO_PARAM;
    if (!name)
        return GQA_OK;
    gqa_stem_in(&stem, b, stack->layers, layer, name);
    st = gqa_take_param(&out->correction, b, stem.text, false);
    return st == GQA_OK &&
                   b->model->params[out->correction].n_elements != out->n
               ? gqa_fail(GQA_ERR_FORMAT,
                          "'%s' has %llu numbers, for %llu experts", stem.text,
                          ULL(b->model->params[out->correction].n_elements),
                          ULL(out->n))
               : st;
}

/* How many there are, and how those are chosen and weighed. */
static enum gqa_status read_choice(struct gqa_experts *x,
                                   const struct gqa_experts_rule *rule,
                                   const json_t *config)
{
    double dropout = 0, factor = 1;
    enum gqa_status st;

    x->choice = rule->choice;
    x->jitter = 0.01;
    if ((st = gqa_experts_numbers(&x->n, &x->n_chosen, rule, config)) !=
            GQA_OK ||
        (st = gqa_experts_groups(&x->n_groups, &x->n_best, rule, config)) !=
            GQA_OK ||
        (st = gqa_setting_count(&x->capacity, &rule->capacity, config)) !=
            GQA_OK ||
        (st = gqa_setting_flag(&x->normalised, &rule->normalised, config)) !=
            GQA_OK ||
        (st = gqa_setting_number(&x->jitter, &rule->jitter, config)) !=
            GQA_OK ||
        (st = gqa_setting_number(&dropout, &rule->dropout, config)) != GQA_OK ||
        (st = gqa_setting_number(&factor, &rule->factor, config)) != GQA_OK)
        return st;
    x->scale = (1 - dropout) * factor;
    return x->choice == GQA_EXPERTS_SPARSEMIXER && x->n_chosen != 2
               ? gqa_fail(GQA_ERR_UNSUPPORTED,
                          "configuration: a sparse mixer of %llu experts "
                          "cannot be run: it chooses 2",
                          ULL(x->n_chosen))
               : GQA_OK;
}

static enum gqa_status take_experts(struct gqa_feed_forward *ff,
                                    const struct gqa_network_builder *b,
                                    const struct gqa_stack_rule *stack,
                                    size_t layer)
{
    const struct gqa_experts_rule *rule = &stack->feed_forward.experts;
    struct gqa_experts *x = calloc(1, sizeof *x);
    enum gqa_status st;

    if (!x)
        return gqa_fail_nomem();
    ff->experts = x;
    ff->gate = ff->up = ff->down = no_linear;
    if ((st = read_choice(x, rule, b->model->config)) != GQA_OK ||
        (st = take_module(&x->router, b, stack, layer, rule->router, "",
                          &rule->router_bias)) != GQA_OK ||
        (st = take_correction(x, b, stack, layer)) != GQA_OK)
        return st;
    if ((ff->norm.kind == GQA_NORM_NONE) ||
        ff->output_norm.kind != GQA_NORM_NONE ||
        ff->after_norm.kind != GQA_NORM_NONE)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "family %s: experts are run with a norm before them, "
                        "and none behind",
                        b->family->name);
    st = gqa_check_linear(b, &x->router, b->network->d_model, x->n);
    if (st == GQA_OK && !(x->each = calloc((size_t)x->n, sizeof *x->each)))
        st = gqa_fail_nomem();
    for (uint64_t e = 0; e < x->n && st == GQA_OK; e++)
        st = take_expert(&x->each[e], b, stack, layer, e);
    return st == GQA_OK ? take_shared(x, b, stack, layer) : st;
}

/* What a sublayer adds to the stream is times this. */
enum gqa_status gqa_choose_residual_scale(double *out,
                                          const struct gqa_network_builder *b,
                                          const struct gqa_stack_rule *stack,
                                          bool is_normed)
{
    double scale = 1, depth = 0;
    enum gqa_status st;

    *out = 0;
    if ((st = gqa_setting_number(&scale, &stack->residual_scale,
                                 b->model->config)) != GQA_OK ||
        (st = gqa_setting_number(&depth, &stack->residual_scale_depth,
                                 b->model->config)) != GQA_OK)
        return st;
    if (depth > 0)
        scale = depth / sqrt((double)b->model->n_layers);
    if (scale == 1)
        return GQA_OK;
    *out = scale;
    return is_normed ? gqa_fail(GQA_ERR_UNSUPPORTED,
                                "family %s: what a norm has made cannot be "
                                "scaled before it is added",
                                b->family->name)
                     : GQA_OK;
}

enum gqa_status gqa_take_feed_forward(struct gqa_feed_forward *out,
                                      const struct gqa_network_builder *b,
                                      enum gqa_stack which, size_t layer)
{
    const struct gqa_stack_rule *stack = &b->family->stacks[which];
    const struct gqa_feed_forward_rule *rule = &stack->feed_forward;
    const uint64_t d_model = b->network->d_model;
    bool gated = false, has_experts = false;
    struct gqa_stem stem = {""};
    uint64_t width;
    enum gqa_status st;

    *out = (struct gqa_feed_forward){.gate = no_linear};
    if ((st = gqa_take_sublayer_norms(&out->norm, &out->output_norm,
                                      &out->after_norm, b, stack->layers, layer,
                                      &rule->norms)) != GQA_OK ||
        (st = gqa_setting_flag(&gated, &rule->gated, b->model->config)) !=
            GQA_OK ||
        (st = gqa_choose_residual_scale(&out->residual_scale, b, stack,
                                        out->output_norm.kind !=
                                            GQA_NORM_NONE)) != GQA_OK)
        return st;
    if (rule->experts.given)
        st = gqa_layer_has_experts(&has_experts, &b->family->behaviours,
                                   b->model->config, which == GQA_STACK_ENCODER,
                                   layer);
    if (st == GQA_OK)
        st = take_activation(out, b, stack, layer, !gated && !has_experts);
    if (st != GQA_OK || has_experts)
        return st == GQA_OK ? take_experts(out, b, stack, layer) : st;
    gqa_stem_in(&stem, b, stack->layers, layer, gated ? rule->up : rule->plain);
    st = gqa_take_linear(&out->up, b, stem.text, &rule->bias[GQA_FF_UP]);
    if (st == GQA_OK) {
        gqa_stem_in(&stem, b, stack->layers, layer, rule->down);
        st =
            gqa_take_linear(&out->down, b, stem.text, &rule->bias[GQA_FF_DOWN]);
    }
    if (st == GQA_OK && gated) {
        gqa_stem_in(&stem, b, stack->layers, layer, rule->gate);
        st =
            gqa_take_linear(&out->gate, b, stem.text, &rule->bias[GQA_FF_GATE]);
    }
    if (st == GQA_OK && gated && out->gate.weight == out->up.weight)
        st = gqa_linear_halves(&out->gate, &out->up, b);
    if (st != GQA_OK)
        return st;
    width = gqa_linear_outputs(b, &out->up);
    if ((st = gqa_check_linear(b, &out->up, d_model, width)) != GQA_OK ||
        (st = gqa_check_linear(b, &out->down, width, d_model)) != GQA_OK)
        return st;
    if (gated &&
        (st = gqa_check_linear(b, &out->gate, d_model, width)) != GQA_OK)
        return st;
    return check_width(b, which, &out->up, width);
}
