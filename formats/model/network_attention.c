#include "formats/model/network_attention.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/ull.h"
#include "formats/model/network_config.h"
#include "formats/model/network_refused.h"

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

enum gqa_status gqa_choose_even_scale(double *out,
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
    const enum gqa_status st = gqa_choose_even_scale(out, b, rule, heads);

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

/* How far away a key may be, on either side; 0: any is seen. A span is that of
 * both sides, of all layers or of each. */
static enum gqa_status choose_reach(struct gqa_attention_block *out,
                                    bool *slides,
                                    const struct gqa_network_builder *b,
                                    const struct gqa_attention_rule *rule,
                                    size_t layer)
{
    const json_t *span = NULL;
    enum gqa_status st =
        gqa_setting_count(&out->within, &rule->within, b->model->config);

    if (st != GQA_OK || !rule->span.json)
        return st;
    if ((st = gqa_layer_slides(slides, &b->family->behaviours, b->model->config,
                               layer)) != GQA_OK ||
        !*slides ||
        (st = gqa_setting_get(&span, NULL, &rule->span, b->model->config)) !=
            GQA_OK)
        return st;
    if (json_is_array(span))
        span = json_array_get(span, layer);
    if (!json_is_integer(span) || json_integer_value(span) < 2 ||
        json_integer_value(span) > INT32_MAX)
        return gqa_fail(GQA_ERR_FORMAT,
                        "configuration: the span of what a token of layer %zu "
                        "sees is no whole number from 2 on",
                        layer);
    out->within = (uint64_t)json_integer_value(span) / 2;
    return GQA_OK;
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

/* The table of a layer, or that of the layer before it where layers share
 * one. */
static enum gqa_status take_bias(struct gqa_relative_bias *out,
                                 const struct gqa_network_builder *b,
                                 const struct gqa_attention_rule *rule,
                                 const struct gqa_attention *heads,
                                 const char *table,
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
             table);
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

static enum gqa_status take_summaries(struct gqa_summaries *out,
                                      const struct gqa_network_builder *b,
                                      const struct gqa_attention_rule *rule,
                                      const struct gqa_attention *heads,
                                      const struct gqa_summaries *before)
{
    const struct gqa_summaries_rule *said = &rule->summaries;
    enum gqa_status st;

    if (!said->given)
        return GQA_OK;
    if ((st = gqa_setting_count(&out->size, &said->of, b->model->config)) !=
            GQA_OK ||
        (st = gqa_take_norm(&out->norm, b, rule->pattern, (size_t)heads->layer,
                            &said->norm, b->network->d_model)) != GQA_OK)
        return st;
    if (out->size == 0)
        return gqa_fail(GQA_ERR_FORMAT,
                        "family %s: a summary of no tokens ('of' is 0)",
                        b->family->name);
    return take_bias(&out->bias, b, rule, heads, said->table,
                     before ? &before->bias : NULL);
}

enum gqa_status gqa_take_attention(struct gqa_attention_block *out,
                                   const struct gqa_network_builder *b,
                                   const struct gqa_attention_rule *rule,
                                   const struct gqa_attention *heads,
                                   const struct gqa_attention_block *before)
{
    const char *layers = b->family->stacks[heads->stack].layers;
    const size_t layer = (size_t)heads->layer;
    const enum gqa_position_scheme scheme = heads->position.scheme;
    const uint64_t d_model = b->network->d_model;
    const uint64_t looked_at =
        heads->kind == GQA_ATTENTION_CROSS ? b->network->memory_width : d_model;
    struct gqa_sublayer_norms norms = rule->norms;
    bool slides = false;
    enum gqa_status st;

    if (rule->first_unnormed && layer == 0)
        norms.norm.json = NULL;
    *out = (struct gqa_attention_block){
        .heads = heads,
        .causal = rule->causal || (heads->stack == GQA_STACK_DECODER &&
                                   heads->kind == GQA_ATTENTION_SELF),
        .rope = scheme == GQA_POSITION_ROPE ? &b->network->rope : NULL,
        .bias = {.table = GQA_NO_PARAM},
        .sinks = GQA_NO_PARAM,
        .slopes = scheme == GQA_POSITION_ALIBI ? b->network->slopes : NULL,
        .norms_turned = rule->head_norms.turned,
    };
    if ((st = gqa_take_sublayer_norms(&out->norm, &out->output_norm,
                                      &out->after_norm, b, layers, layer,
                                      &norms)) != GQA_OK ||
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
        (st = choose_reach(out, &slides, b, rule, layer)) != GQA_OK ||
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
    if (st == GQA_OK)
        st = take_output_bias(out, b, rule);
    if (st == GQA_OK && heads->sinks != GQA_NO_PARAM)
        st = gqa_take_param(&out->sinks, b, b->model->params[heads->sinks].name,
                            false);
    if (st == GQA_OK && scheme == GQA_POSITION_RELATIVE_BIAS)
        st = take_bias(&out->bias, b, rule, heads, b->family->positions.table,
                       before ? &before->bias : NULL);
    return st == GQA_OK ? take_summaries(&out->summaries, b, rule, heads,
                                         before ? &before->summaries : NULL)
                        : st;
}
