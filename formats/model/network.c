#include "formats/model/network.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/advice.h"
#include "common/bounds.h"
#include "common/json.h"
#include "common/ull.h"
#include "formats/model/inventory_taking.h"
#include "formats/model/network_config.h"
#include "formats/model/network_frames.h"
#include "formats/model/network_params.h"
#include "formats/model/network_refused.h"
#include "formats/model/network_rope.h"
#include "formats/model/numbers.h"

/* Rows of the largest table of positions that is computed: no model has a
 * context so long. */
#define MAX_COMPUTED_POSITIONS ((uint64_t)1 << 20)

/* --- Attention ----------------------------------------------------------- */

/* The norms of a sublayer of layer `layer`. */
static enum gqa_status take_norms(struct gqa_norm *before,
                                  struct gqa_norm *output,
                                  struct gqa_norm *after,
                                  const struct gqa_network_builder *b,
                                  const char *layers, size_t layer,
                                  const struct gqa_sublayer_norms *rule)
{
    enum gqa_status st;

    if ((st = gqa_take_norm(before, b, layers, layer, &rule->norm)) != GQA_OK ||
        (st = gqa_take_norm(output, b, layers, layer, &rule->output_norm)) !=
            GQA_OK)
        return st;
    return gqa_take_norm(after, b, layers, layer, &rule->after_norm);
}

/* The projection that a slice of heads lies in; inputs: of one that is not the
 * output's. */
static enum gqa_status take_projection(struct gqa_linear *out,
                                       const struct gqa_network_builder *b,
                                       const struct gqa_slice *slice,
                                       const struct gqa_setting *bias,
                                       bool is_output, uint64_t inputs)
{
    static const char end[] = ".weight";
    const struct gqa_param *p = &b->model->params[slice->weight];
    const size_t length = strlen(p->name);
    char stem[GQA_MAX_NAME];
    enum gqa_status st;

    if (length < sizeof end || length >= sizeof stem ||
        strcmp(p->name + length - (sizeof end - 1), end) != 0)
        return gqa_fail(GQA_ERR_FORMAT, "'%s' is no name of a weight", p->name);
    memcpy(stem, p->name, length - (sizeof end - 1));
    stem[length - (sizeof end - 1)] = '\0';
    if ((st = gqa_take_linear(out, b, stem, bias)) != GQA_OK)
        return st;
    return is_output
               ? gqa_check_linear(b, out, out->input_major ? p->rows : p->cols,
                                  b->network->d_model)
               : gqa_check_linear(b, out, inputs, gqa_linear_outputs(b, out));
}

/* What scores are multiplied with, whatever the layer. */
static enum gqa_status choose_even_scale(double *out,
                                         const struct gqa_network_builder *b,
                                         const struct gqa_attention_rule *rule,
                                         const struct gqa_attention *heads)
{
    double under_root = (double)heads->head_dim;
    const json_t *value;
    enum gqa_status st;

    st = gqa_setting_get(&value, NULL, &rule->scale, b->model->config);
    if (st == GQA_OK)
        st = gqa_setting_number(&under_root, &rule->scale_rsqrt,
                                b->model->config);
    if (json_is_number(value))
        *out = json_number_value(value);
    else if (json_is_string(value) && json_string_value(value)[0] == 'r')
        *out = 1 / (double)heads->head_dim;
    else
        *out = 1 / sqrt(under_root);
    return st;
}

static enum gqa_status choose_scale(double *out,
                                    const struct gqa_network_builder *b,
                                    const struct gqa_attention_rule *rule,
                                    const struct gqa_attention *heads)
{
    const enum gqa_status st = choose_even_scale(out, b, rule, heads);

    if (st != GQA_OK)
        return st;
    return gqa_scale_scores(out, b->family->behaviours.score_scale,
                            b->model->config, (size_t)heads->layer);
}

static enum gqa_status choose_window(uint64_t *out, bool *slides,
                                     const struct gqa_network_builder *b,
                                     const struct gqa_attention_rule *rule,
                                     size_t layer)
{
    uint64_t window = 0;
    enum gqa_status st;

    *out = 0;
    *slides = false;
    if (!rule->window.json)
        return gqa_check_layer_type(b, rule, layer, 0);
    st = gqa_layer_slides(slides, &b->family->behaviours, b->model->config,
                          layer);
    /* Where none slides, it may be anything: transformers 5 writes 0. */
    if (st == GQA_OK && *slides)
        st = gqa_setting_count(&window, &rule->window, b->model->config);
    if (st != GQA_OK)
        return st;
    *out = window;
    return gqa_check_layer_type(b, rule, layer, *out);
}

/* One that has a name of its own. */
static enum gqa_status take_output_bias(struct gqa_attention_block *out,
                                        const struct gqa_network_builder *b,
                                        const struct gqa_attention_rule *rule)
{
    struct gqa_stem stem = {""};
    enum gqa_status st;

    if (!rule->output_bias || out->o.bias != GQA_NO_PARAM)
        return GQA_OK;
    gqa_stem_in(&stem, b, rule->pattern, (size_t)out->heads->layer,
                rule->output_bias);
    st = gqa_take_param(&out->o.bias, b, stem.text, true);
    return st == GQA_OK ? gqa_check_vector(b, out->o.bias, b->network->d_model)
                        : st;
}

static enum gqa_status take_attention(struct gqa_attention_block *out,
                                      const struct gqa_network_builder *b,
                                      const struct gqa_attention_rule *rule,
                                      const struct gqa_attention *heads)
{
    const char *layers = b->family->stacks[heads->stack].layers;
    const size_t layer = (size_t)heads->layer;
    const enum gqa_position_scheme scheme = heads->position.scheme;
    const uint64_t d_model = b->network->d_model;
    const uint64_t looked_at =
        heads->kind == GQA_ATTENTION_CROSS ? b->network->memory_width : d_model;
    bool slides = false;
    enum gqa_status st;

    *out = (struct gqa_attention_block){
        .heads = heads,
        .causal = heads->stack == GQA_STACK_DECODER &&
                  heads->kind == GQA_ATTENTION_SELF,
        .rope = scheme == GQA_POSITION_ROPE ? &b->network->rope : NULL,
        .bias = {.table = GQA_NO_PARAM},
        .slopes = scheme == GQA_POSITION_ALIBI ? b->network->slopes : NULL,
        .norms_turned = rule->head_norms.turned,
    };
    if ((st = take_norms(&out->norm, &out->output_norm, &out->after_norm, b,
                         layers, layer, &rule->norms)) != GQA_OK ||
        (st = gqa_take_head_norm(&out->q_norm, b, rule, heads,
                                 &rule->head_norms.module[0])) != GQA_OK ||
        (st = gqa_take_head_norm(&out->k_norm, b, rule, heads,
                                 &rule->head_norms.module[1])) != GQA_OK ||
        (st = choose_scale(&out->scale, b, rule, heads)) != GQA_OK ||
        (st = choose_window(&out->window, &slides, b, rule, layer)) != GQA_OK ||
        (st = gqa_setting_number(&out->soft_cap, &rule->soft_cap,
                                 b->model->config)) != GQA_OK ||
        (st = gqa_setting_number(&out->clip, &rule->clip, b->model->config)) !=
            GQA_OK ||
        (st = gqa_setting_count(&out->within, &rule->within,
                                b->model->config)) != GQA_OK ||
        (st = take_projection(&out->q, b, &heads->q, &rule->bias[0], false,
                              d_model)) != GQA_OK ||
        (st = take_projection(&out->k, b, &heads->k, &rule->bias[1], false,
                              looked_at)) != GQA_OK ||
        (st = take_projection(&out->v, b, &heads->v, &rule->bias[2], false,
                              looked_at)) != GQA_OK)
        return st;
    if (out->rope && slides && b->network->local_rope.n_pairs)
        out->rope = &b->network->local_rope;
    st = take_projection(&out->o, b, &heads->o, &rule->bias[3], true, 0);
    return st == GQA_OK ? take_output_bias(out, b, rule) : st;
}

/* --- Relative bias
 * ------------------------------------------------------------ */

/* The table of a layer, or that of the layer before it where layers share
 * one. */
static enum gqa_status take_bias(struct gqa_relative_bias *out,
                                 const struct gqa_network_builder *b,
                                 const struct gqa_attention_rule *rule,
                                 const struct gqa_attention *heads,
                                 const struct gqa_relative_bias *before)
{
    const struct gqa_position_rule *said = &b->family->positions;
    struct gqa_relative_bias bias = {
        .max_distance = 128,
        .bidirectional = heads->stack == GQA_STACK_ENCODER,
    };
    char name[4 * GQA_MAX_NAME];
    struct gqa_stem stem = {""};
    uint64_t n_buckets = 0;
    enum gqa_status st;

    if (before && !said->per_layer) {
        *out = *before;
        return GQA_OK;
    }
    snprintf(name, sizeof name, "%s.%s.weight",
             gqa_stem_in(&stem, b, b->family->stacks[heads->stack].layers,
                         (size_t)heads->layer, rule->module),
             said->table);
    if ((st = gqa_take_param(&bias.table, b, name, false)) != GQA_OK)
        return st;
    bias.n_buckets = b->model->params[bias.table].rows;
    if ((st = gqa_setting_count(&bias.max_distance, &said->max_distance,
                                b->model->config)) != GQA_OK ||
        (st = gqa_setting_count(&n_buckets, &said->buckets,
                                b->model->config)) != GQA_OK ||
        (st = gqa_check_matrix(b, bias.table,
                               n_buckets ? n_buckets : bias.n_buckets,
                               heads->n_heads)) != GQA_OK)
        return st;
    if (bias.n_buckets < (bias.bidirectional ? 4 : 2) ||
        bias.n_buckets > INT32_MAX || bias.max_distance > INT32_MAX ||
        bias.max_distance <= bias.n_buckets / (bias.bidirectional ? 4 : 2))
        return gqa_fail(GQA_ERR_FORMAT,
                        "'%s': %llu buckets cannot share distances up to %llu",
                        name, ULL(bias.n_buckets), ULL(bias.max_distance));
    *out = bias;
    return GQA_OK;
}

/* --- Feed-forward
 * ---------------------------------------------------------------- */

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
    const struct gqa_param *p;
    enum gqa_status st;

    if (rule->each)
        snprintf(name, sizeof name, "%.*s%llu%s.%s", (int)at, rule->each,
                 ULL(expert), rule->each + at + 1, module);
    else
        snprintf(name, sizeof name, "%s", module);
    gqa_stem_in(&stem, b, stack->layers, layer, name);
    st = gqa_take_linear(out, b, stem.text, &no_bias);
    if (st != GQA_OK || rule->each)
        return st;
    p = &b->model->params[out->weight];
    if (p->rank != 3 || expert >= p->shape[0])
        return gqa_fail(GQA_ERR_FORMAT,
                        "'%s' does not hold a matrix for each of more than "
                        "%llu experts",
                        p->name, ULL(expert));
    out->rows = p->shape[1];
    out->cols = p->shape[2];
    out->offset = expert * out->rows * out->cols;
    return GQA_OK;
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
    return GQA_OK;
}

static enum gqa_status check_expert(const struct gqa_network_builder *b,
                                    const struct gqa_expert *x)
{
    const uint64_t d_model = b->network->d_model;
    const uint64_t width = gqa_linear_outputs(b, &x->up);
    enum gqa_status st;

    if ((st = gqa_check_linear(b, &x->up, d_model, width)) != GQA_OK ||
        (st = gqa_check_linear(b, &x->down, width, d_model)) != GQA_OK)
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
    if (rule->gate)
        st =
            take_expert_linear(&out->gate, b, stack, layer, rule->gate, expert);
    if (st == GQA_OK && out->gate.weight == out->up.weight)
        st = split_expert(out, b);
    return st == GQA_OK ? check_expert(b, out) : st;
}

static enum gqa_status take_module(struct gqa_linear *out,
                                   const struct gqa_network_builder *b,
                                   const struct gqa_stack_rule *stack,
                                   size_t layer, const char *module,
                                   const char *within)
{
    static const struct gqa_setting no_bias = {.json = NULL};
    char name[2 * GQA_MAX_NAME];
    struct gqa_stem stem = {""};

    *out = no_linear;
    if (!module || !within)
        return GQA_OK;
    snprintf(name, sizeof name, "%s%s%s", within, *within ? "." : "", module);
    return gqa_take_linear(
        out, b, gqa_stem_in(&stem, b, stack->layers, layer, name), &no_bias);
}

static enum gqa_status take_shared(struct gqa_experts *out,
                                   const struct gqa_network_builder *b,
                                   const struct gqa_stack_rule *stack,
                                   size_t layer)
{
    const struct gqa_experts_rule *rule = &stack->feed_forward.experts;
    enum gqa_status st;

    if ((st = take_module(&out->shared.up, b, stack, layer, rule->up,
                          rule->shared)) != GQA_OK ||
        (st = take_module(&out->shared.down, b, stack, layer, rule->down,
                          rule->shared)) != GQA_OK ||
        (st = take_module(&out->shared.gate, b, stack, layer, rule->gate,
                          rule->shared)) != GQA_OK ||
        (st = take_module(&out->shared_gate, b, stack, layer, rule->shared_gate,
                          "")) != GQA_OK ||
        !rule->shared)
        return st;
    if ((st = check_expert(b, &out->shared)) != GQA_OK ||
        out->shared_gate.weight == GQA_NO_PARAM)
        return st;
    return gqa_check_linear(b, &out->shared_gate, b->network->d_model, 1);
}

static enum gqa_status take_experts(struct gqa_feed_forward *ff,
                                    const struct gqa_network_builder *b,
                                    const struct gqa_stack_rule *stack,
                                    size_t layer)
{
    const struct gqa_experts_rule *rule = &stack->feed_forward.experts;
    const json_t *config = b->model->config;
    struct gqa_experts *x = calloc(1, sizeof *x);
    enum gqa_status st;

    if (!x)
        return gqa_fail_nomem();
    ff->experts = x;
    ff->gate = ff->up = ff->down = no_linear;
    x->choice = rule->choice;
    x->jitter = 0.01;
    if ((st = gqa_setting_count(&x->n, &rule->n, config)) != GQA_OK ||
        (st = gqa_setting_count(&x->n_chosen, &rule->chosen, config)) !=
            GQA_OK ||
        (st = gqa_setting_flag(&x->normalised, &rule->normalised, config)) !=
            GQA_OK ||
        (st = gqa_setting_number(&x->jitter, &rule->jitter, config)) !=
            GQA_OK ||
        (st = take_module(&x->router, b, stack, layer, rule->router, "")) !=
            GQA_OK)
        return st;
    if (x->choice == GQA_EXPERTS_SPARSEMIXER && x->n_chosen != 2)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "configuration: a sparse mixer of %llu experts cannot "
                        "be run: it chooses 2",
                        ULL(x->n_chosen));
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
static enum gqa_status choose_residual_scale(
    double *out, const struct gqa_network_builder *b,
    const struct gqa_stack_rule *stack, bool is_normed)
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

static enum gqa_status take_feed_forward(struct gqa_feed_forward *out,
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
    if ((st = take_norms(&out->norm, &out->output_norm, &out->after_norm, b,
                         stack->layers, layer, &rule->norms)) != GQA_OK ||
        (st = gqa_setting_flag(&gated, &rule->gated, b->model->config)) !=
            GQA_OK ||
        (st = choose_residual_scale(&out->residual_scale, b, stack,
                                    out->output_norm.kind != GQA_NORM_NONE)) !=
            GQA_OK)
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

/* --- Blocks
 * ---------------------------------------------------------------------- */

static const struct gqa_attention *attention_of(const struct gqa_model *model,
                                                enum gqa_stack stack,
                                                enum gqa_attention_kind kind,
                                                uint64_t layer)
{
    for (size_t i = 0; i < model->n_attentions; i++) {
        const struct gqa_attention *a = &model->attentions[i];

        if (a->stack == stack && a->kind == kind && a->layer == layer)
            return a;
    }
    return NULL;
}

/* Of the stream that a sublayer's output is added to, where that is what was
 * normed for it. */
static enum gqa_status choose_normed_scale(struct gqa_block *block,
                                           const struct gqa_network_builder *b,
                                           const struct gqa_stack_rule *rule)
{
    const json_t *value = NULL;
    const enum gqa_status st =
        gqa_setting_get(&value, NULL, &rule->residual_normed, b->model->config);

    block->normed_scale = json_is_string(value)
                              ? sqrt(2 * (double)b->model->n_layers)
                              : json_number_value(value);
    if (st != GQA_OK || block->normed_scale == 0 ||
        (!block->has_cross && block->self.norm.kind != GQA_NORM_NONE &&
         block->ff.norm.kind != GQA_NORM_NONE))
        return st;
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "family %s: a residual stream of what is normed needs a "
                    "norm before attention and feed-forward, and no "
                    "cross-attention",
                    b->family->name);
}

/* In sequence or side by side. */
static enum gqa_status choose_order(struct gqa_block *block,
                                    const struct gqa_network_builder *b,
                                    const struct gqa_stack_rule *rule)
{
    const char *residual = "sequential";
    enum gqa_status st;

    if ((st = gqa_setting_text(&residual, &rule->residual, b->model->config)) !=
            GQA_OK ||
        (st = gqa_setting_flag(&block->shared_norm, &rule->shared_norm,
                               b->model->config)) != GQA_OK ||
        (st = choose_normed_scale(block, b, rule)) != GQA_OK)
        return st;
    block->parallel = residual[0] == 'p';
    if (block->shared_norm && !block->parallel)
        return gqa_fail(GQA_ERR_FORMAT,
                        "family %s: attention and feed-forward share a norm, "
                        "but are not parallel",
                        b->family->name);
    if (block->shared_norm && block->ff.norm.kind != GQA_NORM_NONE)
        return gqa_fail(GQA_ERR_FORMAT,
                        "family %s: attention and feed-forward share a norm, "
                        "but the feed-forward has one of its own",
                        b->family->name);
    if (block->parallel && block->normed_scale != 0)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "family %s: a parallel residual of what is normed "
                        "cannot be run",
                        b->family->name);
    if (block->parallel &&
        (block->has_cross || block->self.after_norm.kind != GQA_NORM_NONE))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "family %s: a parallel residual with %s cannot be run",
                        b->family->name,
                        block->has_cross ? "cross-attention"
                                         : "a norm after its attention");
    return GQA_OK;
}

static enum gqa_status take_block(const struct gqa_network_builder *b,
                                  const struct gqa_stack_rule *rule,
                                  struct gqa_network_stack *stack, size_t layer)
{
    struct gqa_block *block = &stack->blocks[layer];
    const struct gqa_attention *self =
        attention_of(b->model, stack->stack, GQA_ATTENTION_SELF, layer);
    const struct gqa_attention *cross =
        attention_of(b->model, stack->stack, GQA_ATTENTION_CROSS, layer);
    bool looks_back = rule->cross.given;
    enum gqa_status st;

    st = gqa_setting_flag(&looks_back, &rule->cross.when, b->model->config);
    if (st != GQA_OK)
        return st;
    if (!self || (looks_back && !cross))
        return gqa_fail(GQA_ERR_FORMAT, "layer %zu of the %s has no %s", layer,
                        gqa_stack_name(stack->stack),
                        self ? "cross-attention" : "attention");
    st = take_attention(&block->self, b, &rule->self, self);
    if (st == GQA_OK)
        st = choose_residual_scale(&block->self.residual_scale, b, rule,
                                   block->self.output_norm.kind !=
                                       GQA_NORM_NONE);
    if (st == GQA_OK && self->position.scheme == GQA_POSITION_RELATIVE_BIAS)
        st = take_bias(&block->self.bias, b, &rule->self, self,
                       layer ? &stack->blocks[layer - 1].self.bias : NULL);
    block->has_cross = cross != NULL;
    if (st == GQA_OK && cross)
        st = take_attention(&block->cross, b, &rule->cross, cross);
    if (cross)
        block->cross.residual_scale = block->self.residual_scale;
    if (st == GQA_OK)
        st = take_feed_forward(&block->ff, b, stack->stack, layer);
    return st == GQA_OK ? choose_order(block, b, rule) : st;
}

/* --- Stacks
 * ------------------------------------------------------------------------ */

/* The width's root where the word says so, else a number. */
static enum gqa_status choose_width(double *out,
                                    const struct gqa_network_builder *b,
                                    const struct gqa_setting *setting)
{
    const json_t *value;
    const enum gqa_status st =
        gqa_setting_get(&value, NULL, setting, b->model->config);
    const double root = sqrt((double)b->network->d_model);

    *out = 1;
    if (st == GQA_OK && json_is_number(value))
        *out = json_number_value(value);
    else if (st == GQA_OK && value)
        *out = setting->kind == GQA_VALUE_RWIDTH ? 1 / root : root;
    return st;
}

/* Rows of positions that no tensor has: as many as the configuration says, or
 * means where it does not. */
static enum gqa_status compute_positions(struct gqa_network_stack *stack,
                                         const struct gqa_network_builder *b,
                                         const struct gqa_embedding_rule *rule)
{
    const gqa_texts keys = b->family->keys.max_positions;
    const json_t *by_default =
        json_object_get(b->family->keys.defaults, keys[0]);
    uint64_t n = (uint64_t)json_integer_value(by_default);
    const enum gqa_status st =
        gqa_config_count(&n, b->model->config, keys, b->model->config_path);

    if (st != GQA_OK)
        return st;
    if (n == 0 || n > MAX_COMPUTED_POSITIONS)
        return gqa_fail(GQA_ERR_FORMAT,
                        "configuration: %s is %llu: 1 to %llu positions can "
                        "be computed",
                        keys[0], ULL(n), ULL(MAX_COMPUTED_POSITIONS));
    if (b->network->d_model % 2 != 0 || b->network->d_model < 4)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "sinusoidal positions of width %llu cannot be run: it "
                        "is odd, or below 4",
                        ULL(b->network->d_model));
    stack->sinusoids = b->family->positions.sinusoids;
    stack->n_positions = n;
    stack->zero_row = UINT64_MAX;
    return gqa_setting_count(&stack->zero_row, &rule->zero_row,
                             b->model->config);
}

static enum gqa_status read_positions(struct gqa_network_stack *stack,
                                      const struct gqa_network_builder *b,
                                      const struct gqa_embedding_rule *rule)
{
    const bool may_lack = b->family->positions.scheme != GQA_POSITION_LEARNED;
    const struct gqa_param *p;
    char name[2 * GQA_MAX_NAME + 8];
    struct gqa_stem stem = {""};
    enum gqa_status st;

    snprintf(name, sizeof name, "%s.weight",
             gqa_stem_of(&stem, b, rule->positions));
    if ((st = gqa_take_param(&stack->positions, b, name, may_lack)) != GQA_OK ||
        stack->positions == GQA_NO_PARAM)
        return st;
    p = &b->model->params[stack->positions];
    if (p->rows <= stack->position_offset)
        return gqa_fail(GQA_ERR_FORMAT,
                        "'%s' has %llu rows, which is no more than the offset "
                        "of positions",
                        name, ULL(p->rows));
    stack->n_positions = p->rows - stack->position_offset;
    return gqa_check_matrix(b, stack->positions, p->rows, b->network->d_model);
}

static enum gqa_status take_positions(struct gqa_network_stack *stack,
                                      const struct gqa_network_builder *b,
                                      const struct gqa_embedding_rule *rule)
{
    uint64_t *most = &b->network->max_positions;
    enum gqa_status st =
        gqa_position_offset(&stack->position_offset, rule, b->model->config);

    stack->positions = GQA_NO_PARAM;
    stack->norm_first = rule->norm_first;
    if (st == GQA_OK && rule->positions)
        st = read_positions(stack, b, rule);
    if (st == GQA_OK && stack->positions == GQA_NO_PARAM &&
        b->family->positions.scheme == GQA_POSITION_SINUSOIDAL)
        st = compute_positions(stack, b, rule);
    if (stack->n_positions && (*most == 0 || stack->n_positions < *most))
        *most = stack->n_positions;
    return st;
}

/* Between the stream and rows of the embedding, where their widths differ
 * (OPT-350m); *width: 0 where they do not. */
static enum gqa_status take_between(struct gqa_linear *out, uint64_t *width,
                                    const struct gqa_network_builder *b,
                                    const char *module, bool widens)
{
    static const struct gqa_setting no_bias = {.json = NULL};
    const uint64_t d_model = b->network->d_model;
    uint64_t said = d_model;
    struct gqa_stem stem = {""};
    enum gqa_status st =
        gqa_setting_count(&said, &b->family->embedding.width, b->model->config);

    *width = 0;
    if (st != GQA_OK || said == d_model)
        return st;
    st = gqa_take_linear(out, b, gqa_stem_of(&stem, b, module), &no_bias);
    if (st != GQA_OK)
        return st;
    *width = said;
    return gqa_check_linear(b, out, widens ? said : d_model,
                            widens ? d_model : said);
}

static enum gqa_status take_table(struct gqa_network_stack *stack,
                                  const struct gqa_network_builder *b)
{
    const struct gqa_network *n = b->network;
    char name[2 * GQA_MAX_NAME + 8];
    struct gqa_stem stem = {""};
    enum gqa_status st;

    snprintf(name, sizeof name, "%s.weight",
             gqa_stem_of(&stem, b, b->family->names.embedding));
    if ((st = gqa_take_param(&stack->embedding, b, name, false)) != GQA_OK ||
        (st = take_between(&stack->widened, &stack->embedding_width, b,
                           b->family->embedding.widened, true)) != GQA_OK)
        return st;
    return gqa_check_matrix(b, stack->embedding, n->table_size,
                            stack->embedding_width ? stack->embedding_width
                                                   : n->d_model);
}

/* Tables of places, of which all tokens have the first. */
static enum gqa_status take_places(struct gqa_network_stack *stack,
                                   const struct gqa_network_builder *b,
                                   gqa_texts modules)
{
    char name[2 * GQA_MAX_NAME + 8];
    struct gqa_stem stem = {""};
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; modules && modules[i] && st == GQA_OK; i++) {
        size_t *table = &stack->places[stack->n_places++];

        snprintf(name, sizeof name, "%s.weight",
                 gqa_stem_of(&stem, b, modules[i]));
        st = gqa_take_param(table, b, name, false);
        if (st == GQA_OK)
            st = gqa_check_matrix(b, *table, b->model->params[*table].rows,
                                  b->network->d_model);
    }
    return st;
}

/* No model has as many. */
enum { MAX_CODES = 64 };

/* The tables of codes behind the first. */
static enum gqa_status take_codes(struct gqa_network_stack *stack,
                                  const struct gqa_network_builder *b,
                                  const struct gqa_codes_rule *rule)
{
    const struct gqa_network *n = b->network;
    const size_t at = rule->each ? strcspn(rule->each, "%") : 0;
    char name[2 * GQA_MAX_NAME + 8];
    uint64_t all = 1;
    enum gqa_status st = gqa_setting_count(&all, &rule->n, b->model->config);

    if (st != GQA_OK || !rule->each)
        return st;
    if (all == 0 || all > MAX_CODES)
        return gqa_fail(GQA_ERR_FORMAT,
                        "configuration: %llu codes of a position are not 1 to "
                        "%d",
                        ULL(all), MAX_CODES);
    if (!(stack->codes = calloc((size_t)all, sizeof *stack->codes)))
        return gqa_fail_nomem();
    for (uint64_t i = 1; i < all && st == GQA_OK; i++) {
        size_t *table = &stack->codes[stack->n_codes++];

        snprintf(name, sizeof name, "%s%.*s%llu%s.weight", b->prefix, (int)at,
                 rule->each, ULL(i), rule->each + at + 1);
        st = gqa_take_param(table, b, name, false);
        if (st == GQA_OK)
            st = gqa_check_matrix(b, *table, n->table_size, n->d_model);
    }
    return st;
}

static enum gqa_status take_embedding(struct gqa_network_stack *stack,
                                      const struct gqa_network_builder *b)
{
    const struct gqa_stack_rule *of_stack = &b->family->stacks[stack->stack];
    const struct gqa_embedding_rule *rule = &of_stack->embedding;
    enum gqa_status st;

    stack->embedding = GQA_NO_PARAM;
    if (of_stack->input == GQA_INPUT_FRAMES)
        st = gqa_take_frames(&stack->frames, b, &of_stack->frames);
    else if ((st = take_table(stack, b)) == GQA_OK)
        st = take_codes(stack, b, &of_stack->codes);
    if (st != GQA_OK || (st = take_places(stack, b, rule->places)) != GQA_OK ||
        (st = take_positions(stack, b, rule)) != GQA_OK ||
        (st = choose_width(&stack->embedding_scale, b, &rule->scale)) != GQA_OK)
        return st;
    return gqa_take_norm(&stack->embedding_norm, b, NULL, 0, &rule->norm);
}

static enum gqa_status take_stack(const struct gqa_network_builder *b,
                                  enum gqa_stack which)
{
    const struct gqa_model *m = b->model;
    const struct gqa_stack_rule *rule = &b->family->stacks[which];
    struct gqa_network *n = b->network;
    struct gqa_network_stack *stack = &n->stacks[n->n_stacks++];
    const uint64_t n_blocks =
        which == GQA_STACK_DECODER && gqa_model_is_encoder_decoder(m)
            ? m->n_decoder_layers
            : m->n_layers;
    enum gqa_status st;

    stack->stack = which;
    if ((st = take_embedding(stack, b)) != GQA_OK)
        return st;
    if (n_blocks == 0)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "there are no layers of the %s: a model without them "
                        "cannot be run",
                        gqa_stack_name(which));
    stack->blocks = calloc(n_blocks, sizeof *stack->blocks);
    if (!stack->blocks)
        return gqa_fail_nomem();
    stack->n_blocks = (size_t)n_blocks;
    for (size_t i = 0; i < stack->n_blocks && st == GQA_OK; i++)
        st = take_block(b, rule, stack, i);
    return st == GQA_OK ? gqa_take_norm(&stack->final_norm, b, NULL, 0,
                                        &rule->final_norm)
                        : st;
}

/* --- Logits
 * -------------------------------------------------------------------------- */

static enum gqa_status choose_logit_scale(const struct gqa_network_builder *b)
{
    const struct gqa_logits_rule *rule = &b->family->logits;
    struct gqa_network *n = b->network;
    double divisor = 1, factor = 1, base = 0;
    enum gqa_status st;

    if ((st = choose_width(&n->logit_scale, b, &rule->scale)) != GQA_OK ||
        (st = gqa_setting_number(&divisor, &rule->divisor, b->model->config)) !=
            GQA_OK ||
        (st = gqa_setting_number(&factor, &rule->factor, b->model->config)) !=
            GQA_OK ||
        (st = gqa_setting_number(&base, &rule->scale_base, b->model->config)) !=
            GQA_OK)
        return st;
    n->logit_scale *= factor / divisor;
    if (base > 0)
        n->logit_scale *= base / (double)n->d_model;
    return GQA_OK;
}

/* What is added to the logits, stored as one row, is as good as a bias. */
static enum gqa_status take_addend(const struct gqa_network_builder *b)
{
    const char *name = b->family->logits.addend;
    struct gqa_network *n = b->network;
    size_t index;
    enum gqa_status st;

    if (!name || !gqa_find_param(b, name, &index))
        return GQA_OK;
    if (n->unembedding.bias != GQA_NO_PARAM)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "'%s' and '%s' are both added to the logits, which "
                        "cannot be run",
                        name, b->model->params[n->unembedding.bias].name);
    st = gqa_take_param(&n->unembedding.bias, b, name, false);
    return st == GQA_OK ? gqa_check_matrix(b, index, 1, n->vocab_size) : st;
}

/*
 * One that is there is used even where the configuration ties it: transformers
 * 5 writes that T5 v1.1 is tied beside a matrix of its own, and then reads
 * both.
 */
static enum gqa_status take_unembedding(const struct gqa_network_builder *b)
{
    const struct gqa_logits_rule *rule = &b->family->logits;
    struct gqa_network *n = b->network;
    char name[GQA_MAX_NAME];
    gqa_texts stem = b->family->names.unembedding;
    const char *class;
    bool tied = false;
    size_t index;
    enum gqa_status st;

    if ((st = gqa_setting_flag(&tied, &rule->tied, b->model->config)) != GQA_OK)
        return st;
    for (; *stem; stem++) {
        snprintf(name, sizeof name, "%s.weight", *stem);
        if (gqa_find_param(b, name, &index))
            break;
    }
    if (*stem) {
        st = gqa_take_linear(&n->unembedding, b, *stem, &rule->bias);
        n->unembedding.input_major = false;
    } else if (tied) {
        n->unembedding =
            (struct gqa_linear){.weight = n->stacks[n->n_stacks - 1].embedding,
                                .bias = GQA_NO_PARAM};
        snprintf(name, sizeof name, "%s.bias", b->family->names.unembedding[0]);
        if (rule->bias.json)
            st = gqa_take_param(&n->unembedding.bias, b, name, true);
    } else if ((class = gqa_class_named(b->model->config, GQA_CLASS_TASK))) {
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "'%s.weight' is missing: a %.80s has a head of its own "
                        "and makes no logits of tokens, so it cannot be run",
                        b->family->names.unembedding[0], class);
    } else {
        return gqa_fail(GQA_ERR_FORMAT,
                        "'%s.weight' is missing, and the configuration does "
                        "not tie it to the embedding (tie_word_embeddings)",
                        b->family->names.unembedding[0]);
    }
    if (st != GQA_OK ||
        (st = take_between(&n->narrowed, &n->logit_width, b,
                           b->family->logits.narrowed, false)) != GQA_OK ||
        (st = gqa_check_linear(b, &n->unembedding,
                               n->logit_width ? n->logit_width : n->d_model,
                               n->vocab_size)) != GQA_OK ||
        (st = take_addend(b)) != GQA_OK ||
        (st = choose_logit_scale(b)) != GQA_OK)
        return st;
    return gqa_setting_number(&n->logit_soft_cap, &rule->soft_cap,
                              b->model->config);
}

/* What the key says, or the class where it is not there. */
static enum gqa_status token_at(int64_t *out,
                                const struct gqa_network_builder *b,
                                const char *key)
{
    const json_t *config = b->model->config;

    if (!json_object_get(config, key) && b->model->config_is_complete)
        config = b->family->keys.defaults;
    return gqa_config_token(out, config, key, b->network->table_size);
}

static enum gqa_status take_token(int64_t *out,
                                  const struct gqa_network_builder *b,
                                  gqa_texts keys, uint64_t n_tokens)
{
    const char *key = gqa_config_key(b->model->config, keys);

    *out = -1;
    return key ? gqa_config_token(out, b->model->config, key, n_tokens)
               : GQA_OK;
}

static enum gqa_status take_tokens(const struct gqa_network_builder *b)
{
    const struct gqa_config_keys *keys = &b->family->keys;
    struct gqa_network *n = b->network;
    const char *first;
    enum gqa_status st;

    if ((st = take_token(&n->end_token, b, keys->end_token, n->vocab_size)) !=
            GQA_OK ||
        (st = take_token(&n->pad_token, b, keys->pad_token, n->vocab_size)) !=
            GQA_OK ||
        (st = take_token(&n->start_token, b, keys->start_token,
                         n->table_size)) != GQA_OK)
        return st;
    first = gqa_config_key(b->model->config, keys->start_token);
    if (n->start_token < 0 && first &&
        (st = token_at(&n->start_token, b, first)) != GQA_OK)
        return st;
    /* As generation begins where no token is for that. */
    if (n->start_token < 0 &&
        (st = token_at(&n->start_token, b, "bos_token_id")) != GQA_OK)
        return st;
    if (n->start_token < 0)
        n->start_token = n->pad_token >= 0   ? n->pad_token
                         : n->end_token >= 0 ? n->end_token
                                             : 0;
    return GQA_OK;
}

/* --- Putting it together
 * ---------------------------------------------------------------- */

static enum gqa_status check_runnable(const struct gqa_network_builder *b)
{
    const struct gqa_family *family = b->family;
    const enum gqa_status st = gqa_check_numbers(b->model);

    if (st != GQA_OK)
        return st;
    if (family->needs_config &&
        (!b->model->config_is_complete || !b->model->model_type))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a model of family %s cannot be run without its "
                        "configuration%s",
                        family->name, gqa_advice(GQA_ADVICE_CONFIG));
    if (!family->stacks[GQA_STACK_DECODER].given)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a model of family %s has no decoder, and cannot be "
                        "run",
                        family->name);
    if (family->stacks[GQA_STACK_DECODER].input == GQA_INPUT_CODES &&
        !family->stacks[GQA_STACK_DECODER].codes.each)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "the decoder of a %s reads several codes at a time, "
                        "and the description of family %s does not say of "
                        "which tables: such a model can be converted and "
                        "inspected, but not run",
                        b->model->model_type ? b->model->model_type
                                             : family->name,
                        family->name);
    return gqa_check_refused(b);
}

/* What the decoder looks back at: its own encoder's rows, or those of another
 * model's, which are as wide as its projections say. */
static void find_memory(const struct gqa_network_builder *b)
{
    const struct gqa_model *m = b->model;
    struct gqa_network *n = b->network;

    if (gqa_model_is_encoder_decoder(m))
        n->memory_width = n->d_model;
    for (size_t i = 0; i < m->n_attentions && n->memory_width == 0; i++) {
        const struct gqa_attention *a = &m->attentions[i];
        const struct gqa_param *p = &m->params[a->k.weight];

        if (a->kind == GQA_ATTENTION_CROSS)
            n->memory_width =
                b->family->weights == GQA_WEIGHTS_IN_OUT ? p->rows : p->cols;
    }
    if (n->memory_width && !gqa_model_is_encoder_decoder(m))
        n->stacks[n->n_stacks++] = (struct gqa_network_stack){
            .stack = GQA_STACK_ENCODER,
            .frames = {.width = n->memory_width, .per_position = 1},
            .embedding = GQA_NO_PARAM,
            .positions = GQA_NO_PARAM,
            .embedding_scale = 1,
        };
}

static enum gqa_status find_prefix(struct gqa_network_builder *b)
{
    const struct gqa_family_names *names = &b->family->names;
    const uint64_t unwritten = b->family->logits.unwritten;
    char name[2 * GQA_MAX_NAME];
    size_t index;

    for (gqa_texts prefix = names->prefixes; *prefix; prefix++) {
        b->prefix = *prefix;
        snprintf(name, sizeof name, "%s%s.weight", *prefix, names->embedding);
        if (gqa_find_param(b, name, &index)) {
            b->network->table_size = b->model->params[index].rows;
            break;
        }
    }
    if (b->network->table_size <= unwritten ||
        b->network->table_size > INT32_MAX)
        return gqa_fail(GQA_ERR_FORMAT,
                        "'%s%s.weight' is missing, or is no embedding of 1 to "
                        "%d tokens: the model cannot be run",
                        names->prefixes[0], names->embedding, INT32_MAX);
    b->network->vocab_size = b->network->table_size - unwritten;
    return GQA_OK;
}

/* What all attentions share: angles or slopes. */
static enum gqa_status make_positions(const struct gqa_network_builder *b)
{
    const struct gqa_position_rule *rule = &b->family->positions;
    const struct gqa_attention *first = &b->model->attentions[0];
    const struct gqa_attention_rule *self =
        &b->family->stacks[first->stack].self;
    struct gqa_network *n = b->network;
    double scale = 1;
    enum gqa_status st;

    if (first->position.scheme != GQA_POSITION_ALIBI)
        return gqa_ropes_create(&n->rope, &n->local_rope, b->model);
    if (rule->slopes_scaled &&
        (st = choose_even_scale(&scale, b, self, first)) != GQA_OK)
        return st;
    n->slopes = calloc(first->n_heads, sizeof *n->slopes);
    if (!n->slopes)
        return gqa_fail_nomem();
    gqa_make_slopes(n->slopes, rule->slopes, first->n_heads);
    for (uint64_t h = 0; h < first->n_heads; h++)
        n->slopes[h] *= scale;
    return GQA_OK;
}

static enum gqa_status build(struct gqa_network_builder *b)
{
    enum gqa_status st;

    if ((st = check_runnable(b)) != GQA_OK || (st = find_prefix(b)) != GQA_OK ||
        (st = make_positions(b)) != GQA_OK)
        return st;
    find_memory(b);
    for (int s = 0; s < 2; s++)
        if (b->family->stacks[s].given &&
            (st = take_stack(b, (enum gqa_stack)s)) != GQA_OK)
            return st;
    if ((st = take_unembedding(b)) != GQA_OK)
        return st;
    return take_tokens(b);
}

enum gqa_status gqa_network_create(struct gqa_network **out,
                                   const struct gqa_model *model)
{
    struct gqa_network *n = calloc(1, sizeof *n);
    struct gqa_network_builder b = {
        .family = model->family, .model = model, .network = n};
    enum gqa_status st;

    if (!n)
        return gqa_fail_nomem();
    n->model = model;
    n->d_model = model->d_model;
    n->logit_scale = 1;
    st = build(&b);
    if (st == GQA_OK)
        *out = n;
    else
        gqa_network_free(n);
    return st;
}

static void free_experts(struct gqa_experts *experts)
{
    if (experts)
        free(experts->each);
    free(experts);
}

void gqa_network_free(struct gqa_network *network)
{
    if (!network)
        return;
    for (size_t i = 0; i < network->n_stacks; i++) {
        for (size_t j = 0; j < network->stacks[i].n_blocks; j++)
            free_experts(network->stacks[i].blocks[j].ff.experts);
        free(network->stacks[i].blocks);
        free(network->stacks[i].codes);
    }
    gqa_rope_free(&network->rope);
    gqa_rope_free(&network->local_rope);
    free(network->slopes);
    free(network);
}

uint64_t gqa_network_row_width(const struct gqa_network *n)
{
    uint64_t width = gqa_max_u64(n->d_model, n->memory_width);

    for (size_t i = 0; i < n->n_stacks; i++)
        width = gqa_max_u64(width, n->stacks[i].embedding_width);
    return gqa_max_u64(width, n->logit_width);
}
