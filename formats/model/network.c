#include "formats/model/network.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/ull.h"
#include "formats/families/family.h"
#include "formats/model/network_config.h"
#include "formats/model/network_rope.h"
#include "formats/model/network_rules.h"
#include "formats/model/params.h"

enum gqa_status gqa_activation_parse(enum gqa_activation *out, const char *name)
{
    static const struct {
        const char *name;
        enum gqa_activation activation;
    } known[] = {
        {"relu", GQA_ACTIVATION_RELU},
        {"gelu", GQA_ACTIVATION_GELU},
        {"gelu_python", GQA_ACTIVATION_GELU},
        {"gelu_new", GQA_ACTIVATION_GELU_TANH},
        {"gelu_fast", GQA_ACTIVATION_GELU_TANH}, /* its 2 / pi has 10 digits */
        {"gelu_accurate", GQA_ACTIVATION_GELU_TANH},
        {"gelu_pytorch_tanh", GQA_ACTIVATION_GELU_TANH},
        {"gelu_python_tanh", GQA_ACTIVATION_GELU_TANH},
        {"silu", GQA_ACTIVATION_SILU},
        {"swish", GQA_ACTIVATION_SILU},
        {"quick_gelu", GQA_ACTIVATION_QUICK_GELU},
        {"relu2", GQA_ACTIVATION_RELU2},
        {"gelu_bloom", GQA_ACTIVATION_GELU_BLOOM},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i].name) == 0) {
            *out = known[i].activation;
            return GQA_OK;
        }
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "configuration: activation '%.40s' cannot be run; known "
                    "are relu, relu2, silu, gelu, gelu_new, gelu_bloom, "
                    "quick_gelu, and other names of these",
                    name);
}

/* --- Parameters by name ------------------------------------------------- */

static bool find(const struct gqa_network_builder *b, const char *name,
                 size_t *index)
{
    return gqa_model_find(b->model, name, index);
}

/* A parameter of floats; optional ones that are missing are GQA_NO_PARAM. */
static enum gqa_status take(size_t *out, const struct gqa_network_builder *b,
                            const char *name, bool optional)
{
    *out = GQA_NO_PARAM;
    if (!find(b, name, out))
        return optional ? GQA_OK
                        : gqa_fail(GQA_ERR_FORMAT,
                                   "'%s' is missing: a model of family %s "
                                   "cannot be run without it",
                                   name, b->rule->family);
    if (b->model->params[*out].n_elements == 0)
        return gqa_fail(GQA_ERR_FORMAT, "'%s' is empty", name);
    if (!gqa_dtype_is_float(b->model->params[*out].dtype))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "'%s' is of type %s; only floats can be run", name,
                        gqa_dtype_name(b->model->params[*out].dtype));
    return GQA_OK;
}

static enum gqa_status check_vector(const struct gqa_network_builder *b,
                                    size_t index, uint64_t length)
{
    const struct gqa_param *p;

    if (index == GQA_NO_PARAM)
        return GQA_OK;
    p = &b->model->params[index];
    if (p->rank == 1 && p->rows == length)
        return GQA_OK;
    return gqa_fail(GQA_ERR_FORMAT,
                    "'%s' is no vector of the %llu elements that belong there",
                    p->name, ULL(length));
}

static enum gqa_status check_matrix(const struct gqa_network_builder *b,
                                    size_t index, uint64_t rows, uint64_t cols)
{
    const struct gqa_param *p = &b->model->params[index];

    if (p->rank == 2 && p->rows == rows && p->cols == cols)
        return GQA_OK;
    return gqa_fail(GQA_ERR_FORMAT,
                    "'%s' has shape [%llu, %llu], not the [%llu, %llu] that "
                    "belongs there",
                    p->name, ULL(p->rows), ULL(p->cols), ULL(rows), ULL(cols));
}

static uint64_t outputs_of(const struct gqa_network_builder *b,
                           const struct gqa_linear *l)
{
    const struct gqa_param *p = &b->model->params[l->weight];

    return l->input_major ? p->cols : p->rows;
}

static enum gqa_status check_linear(const struct gqa_network_builder *b,
                                    const struct gqa_linear *l, uint64_t inputs,
                                    uint64_t outputs)
{
    const enum gqa_status st =
        l->input_major ? check_matrix(b, l->weight, inputs, outputs)
                       : check_matrix(b, l->weight, outputs, inputs);

    return st == GQA_OK ? check_vector(b, l->bias, outputs) : st;
}

/* The weight `stem`.weight and the bias it may have. */
static enum gqa_status take_linear(struct gqa_linear *out,
                                   const struct gqa_network_builder *b,
                                   const char *stem)
{
    char name[2 * GQA_MAX_NAME];
    enum gqa_status st;

    out->input_major = b->rule->input_major;
    snprintf(name, sizeof name, "%s.weight", stem);
    if ((st = take(&out->weight, b, name, false)) != GQA_OK)
        return st;
    snprintf(name, sizeof name, "%s.bias", stem);
    return take(&out->bias, b, name, true);
}

static enum gqa_status take_norm(struct gqa_norm *out,
                                 const struct gqa_network_builder *b,
                                 const char *stem)
{
    char name[2 * GQA_MAX_NAME];
    enum gqa_status st;

    *out = (struct gqa_norm){.kind = b->rule->norm,
                             .weight = GQA_NO_PARAM,
                             .bias = GQA_NO_PARAM,
                             .eps = b->eps};
    snprintf(name, sizeof name, "%s.weight", stem);
    if ((st = take(&out->weight, b, name, false)) != GQA_OK ||
        (st = check_vector(b, out->weight, b->network->d_model)) != GQA_OK ||
        b->rule->norm == GQA_NORM_RMS)
        return st;
    snprintf(name, sizeof name, "%s.bias", stem);
    st = take(&out->bias, b, name, false);
    return st == GQA_OK ? check_vector(b, out->bias, b->network->d_model) : st;
}

/* --- Blocks ------------------------------------------------------------- */

/* A module of a layer, by its whole name; lent until the next call. */
struct stem {
    char text[GQA_MAX_NAME];
};

static const char *stem_in(struct stem *out,
                           const struct gqa_network_builder *b,
                           const char *layer_pattern, size_t layer,
                           const char *module)
{
    const char *number = strchr(layer_pattern, '%');

    snprintf(out->text, sizeof out->text, "%s%.*s%zu%s.%s", b->prefix,
             (int)(number - layer_pattern), layer_pattern, layer, number + 1,
             module);
    return out->text;
}

/* The projection that a slice of heads lies in; inputs are known. */
static enum gqa_status take_projection(struct gqa_linear *out,
                                       const struct gqa_network_builder *b,
                                       const struct gqa_slice *slice,
                                       bool is_output)
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
    if ((st = take_linear(out, b, stem)) != GQA_OK)
        return st;
    return is_output
               ? check_linear(b, out, out->input_major ? p->rows : p->cols,
                              b->network->d_model)
               : check_linear(b, out, b->network->d_model, outputs_of(b, out));
}

static enum gqa_status take_attention(struct gqa_attention_block *out,
                                      const struct gqa_network_builder *b,
                                      const struct gqa_attention *heads,
                                      const char *norm)
{
    enum gqa_status st;

    *out = (struct gqa_attention_block){
        .heads = heads,
        .scale = b->rule->scores_scaled ? 1 / sqrt((double)heads->head_dim) : 1,
        .causal = heads->stack == GQA_STACK_DECODER &&
                  heads->kind == GQA_ATTENTION_SELF,
        .rope = heads->position.scheme == GQA_POSITION_ROPE ? &b->network->rope
                                                            : NULL,
        .bias = {.table = GQA_NO_PARAM},
    };
    if ((st = take_norm(&out->norm, b, norm)) != GQA_OK ||
        (st = take_projection(&out->q, b, &heads->q, false)) != GQA_OK ||
        (st = take_projection(&out->k, b, &heads->k, false)) != GQA_OK ||
        (st = take_projection(&out->v, b, &heads->v, false)) != GQA_OK)
        return st;
    return take_projection(&out->o, b, &heads->o, true);
}

/* The table of a layer, or that of the layer before it where layers share
 * one. */
static enum gqa_status take_bias(struct gqa_relative_bias *out,
                                 const struct gqa_network_builder *b,
                                 const struct gqa_attention *heads,
                                 const char *name,
                                 const struct gqa_relative_bias *before)
{
    const json_t *config = b->model->config;
    struct gqa_relative_bias bias = {
        .max_distance = 128,
        .bidirectional = heads->stack == GQA_STACK_ENCODER,
    };
    uint64_t said = 0;
    enum gqa_status st;

    if (before && !b->bias_by_layer) {
        *out = *before;
        return GQA_OK;
    }
    if ((st = take(&bias.table, b, name, false)) != GQA_OK)
        return st;
    bias.n_buckets = b->model->params[bias.table].rows;
    if ((st = gqa_config_whole(&bias.max_distance, config,
                               "relative_attention_max_distance")) != GQA_OK ||
        (st = gqa_config_whole(&said, config,
                               "relative_attention_num_buckets")) != GQA_OK ||
        (st = check_matrix(b, bias.table, said ? said : bias.n_buckets,
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

static enum gqa_status take_feed_forward(struct gqa_feed_forward *out,
                                         const struct gqa_network_builder *b,
                                         const struct gqa_stack_rule *rule,
                                         size_t layer)
{
    const uint64_t d_model = b->network->d_model;
    struct stem stem = {""};
    uint64_t width;
    enum gqa_status st;

    *out = (struct gqa_feed_forward){
        .gate = {.weight = GQA_NO_PARAM, .bias = GQA_NO_PARAM},
        .activation = b->activation};
    st = take_norm(&out->norm, b,
                   stem_in(&stem, b, rule->layer, layer, rule->ff_norm));
    if (st == GQA_OK)
        st = take_linear(&out->up, b,
                         stem_in(&stem, b, rule->layer, layer,
                                 b->gated ? rule->up : rule->plain));
    if (st == GQA_OK)
        st = take_linear(&out->down, b,
                         stem_in(&stem, b, rule->layer, layer, rule->down));
    if (st == GQA_OK && b->gated)
        st = take_linear(&out->gate, b,
                         stem_in(&stem, b, rule->layer, layer, rule->gate));
    if (st != GQA_OK)
        return st;
    width = outputs_of(b, &out->up);
    if ((st = check_linear(b, &out->up, d_model, width)) != GQA_OK ||
        (st = check_linear(b, &out->down, width, d_model)) != GQA_OK)
        return st;
    return b->gated ? check_linear(b, &out->gate, d_model, width) : GQA_OK;
}

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

static enum gqa_status take_block(const struct gqa_network_builder *b,
                                  const struct gqa_stack_rule *rule,
                                  struct gqa_network_stack *stack, size_t layer)
{
    struct gqa_block *block = &stack->blocks[layer];
    const struct gqa_attention *self =
        attention_of(b->model, stack->stack, GQA_ATTENTION_SELF, layer);
    const struct gqa_attention *cross =
        attention_of(b->model, stack->stack, GQA_ATTENTION_CROSS, layer);
    char table[2 * GQA_MAX_NAME];
    struct stem stem = {""};
    enum gqa_status st;

    if (!self || (rule->cross_norm && !cross))
        return gqa_fail(GQA_ERR_FORMAT, "layer %zu of the %s has no attention",
                        layer, gqa_stack_name(stack->stack));
    st = take_attention(&block->self, b, self,
                        stem_in(&stem, b, rule->layer, layer, rule->self_norm));
    if (st == GQA_OK && self->position.scheme == GQA_POSITION_RELATIVE_BIAS) {
        snprintf(
            table, sizeof table, "%s.relative_attention_bias.weight",
            stem_in(&stem, b, rule->layer, layer, "layer.0.SelfAttention"));
        st = take_bias(&block->self.bias, b, self, table,
                       layer ? &stack->blocks[layer - 1].self.bias : NULL);
    }
    block->has_cross = cross != NULL;
    if (st == GQA_OK && cross)
        st = take_attention(
            &block->cross, b, cross,
            stem_in(&stem, b, rule->layer, layer, rule->cross_norm));
    return st == GQA_OK ? take_feed_forward(&block->ff, b, rule, layer) : st;
}

/* --- Stacks ------------------------------------------------------------- */

static enum gqa_status take_stack(const struct gqa_network_builder *b,
                                  enum gqa_stack which)
{
    const struct gqa_model *m = b->model;
    const struct gqa_stack_rule *rule = &b->rule->stacks[which];
    struct gqa_network *n = b->network;
    struct gqa_network_stack *stack = &n->stacks[n->n_stacks++];
    const uint64_t n_blocks =
        which == GQA_STACK_DECODER && gqa_model_is_encoder_decoder(m)
            ? m->n_decoder_layers
            : m->n_layers;
    char name[2 * GQA_MAX_NAME];
    enum gqa_status st = GQA_OK;

    stack->stack = which;
    stack->positions = GQA_NO_PARAM;
    stack->embedding_scale = 1;
    snprintf(name, sizeof name, "%s%s", b->prefix, m->family->embedding);
    if ((st = take(&stack->embedding, b, name, false)) != GQA_OK ||
        (st = check_matrix(b, stack->embedding, n->vocab_size, n->d_model)) !=
            GQA_OK)
        return st;
    if (rule->positions) {
        snprintf(name, sizeof name, "%s%s.weight", b->prefix, rule->positions);
        if ((st = take(&stack->positions, b, name, false)) != GQA_OK)
            return st;
        n->max_positions = m->params[stack->positions].rows;
        if ((st = check_matrix(b, stack->positions, n->max_positions,
                               n->d_model)) != GQA_OK)
            return st;
    }
    stack->blocks = calloc(n_blocks, sizeof *stack->blocks);
    if (!stack->blocks)
        return gqa_fail_nomem();
    stack->n_blocks = (size_t)n_blocks;
    for (size_t i = 0; i < stack->n_blocks && st == GQA_OK; i++)
        st = take_block(b, rule, stack, i);
    snprintf(name, sizeof name, "%s%s", b->prefix, rule->final_norm);
    return st == GQA_OK ? take_norm(&stack->final_norm, b, name) : st;
}

/*
 * One that is there is used even where the configuration ties it: transformers
 * 5 writes that T5 v1.1 is tied beside a matrix of its own, and then reads
 * both.
 */
static enum gqa_status take_unembedding(const struct gqa_network_builder *b)
{
    struct gqa_network *n = b->network;
    const char *name = b->model->family->unembedding;
    size_t index;
    enum gqa_status st;

    n->unembedding.bias = GQA_NO_PARAM;
    if (b->rule->other_unembedding && !find(b, name, &index))
        name = b->rule->other_unembedding;
    if ((st = take(&n->unembedding.weight, b, name, true)) != GQA_OK)
        return st;
    if (n->unembedding.weight == GQA_NO_PARAM && b->tied)
        n->unembedding.weight = n->stacks[0].embedding;
    if (n->unembedding.weight == GQA_NO_PARAM)
        return gqa_fail(GQA_ERR_FORMAT,
                        "'%s' is missing, and the configuration does not tie "
                        "it to the embedding (tie_word_embeddings)",
                        b->model->family->unembedding);
    return check_linear(b, &n->unembedding, n->d_model, n->vocab_size);
}

static enum gqa_status take_tokens(const struct gqa_network_builder *b)
{
    const json_t *config = b->model->config;
    struct gqa_network *n = b->network;
    enum gqa_status st;

    n->start_token = n->end_token = n->pad_token = -1;
    if ((st = gqa_config_token(&n->end_token, config, "eos_token_id",
                               n->vocab_size)) != GQA_OK ||
        (st = gqa_config_token(&n->pad_token, config, "pad_token_id",
                               n->vocab_size)) != GQA_OK ||
        (st = gqa_config_token(&n->start_token, config, b->rule->start_key,
                               n->vocab_size)) != GQA_OK)
        return st;
    if (n->start_token < 0)
        n->start_token = n->pad_token >= 0   ? n->pad_token
                         : n->end_token >= 0 ? n->end_token
                                             : 0;
    return GQA_OK;
}

/* --- Putting it together ------------------------------------------------ */

static enum gqa_status find_rule(struct gqa_network_builder *b)
{
    const char *family = gqa_family_name(b->model->family);

    for (b->rule = gqa_network_rules; b->rule->family; b->rule++)
        if (strcmp(b->rule->family, family) == 0)
            break;
    if (!b->rule->family)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a model of family %s cannot be run yet", family);
    if (b->rule->needs_config &&
        (!b->model->config_is_complete || !b->model->model_type))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a model of family %s cannot be run without its "
                        "configuration; give it with --config",
                        family);
    return GQA_OK;
}

static enum gqa_status find_prefix(struct gqa_network_builder *b)
{
    const struct gqa_family *family = b->model->family;
    char name[2 * GQA_MAX_NAME];
    size_t index;

    for (size_t i = 0; family->prefixes[i]; i++) {
        b->prefix = family->prefixes[i];
        snprintf(name, sizeof name, "%s%s", b->prefix, family->embedding);
        if (find(b, name, &index)) {
            b->network->vocab_size = b->model->params[index].rows;
            break;
        }
    }
    if (b->network->vocab_size == 0 || b->network->vocab_size > INT32_MAX)
        return gqa_fail(GQA_ERR_FORMAT,
                        "'%s%s' is missing, or is no embedding of 1 to %d "
                        "tokens: the model cannot be run",
                        family->prefixes[0], family->embedding, INT32_MAX);
    return GQA_OK;
}

static enum gqa_status choose(struct gqa_network_builder *b)
{
    const json_t *config = b->model->config;
    const char *activation = b->rule->activation;
    enum gqa_status st;

    b->eps = b->rule->eps;
    b->tied = b->rule->tied;
    b->gated = b->rule->stacks[GQA_STACK_DECODER].plain == NULL;
    if ((st = gqa_config_positive(&b->eps, config, b->rule->eps_key)) !=
            GQA_OK ||
        (st = gqa_config_flag(&b->tied, config, "tie_word_embeddings")) !=
            GQA_OK)
        return st;
    if (!activation)
        return GQA_OK;
    st = gqa_config_text(&activation, config, b->rule->activation_key);
    return st == GQA_OK ? gqa_activation_parse(&b->activation, activation) : st;
}

static enum gqa_status call(
    enum gqa_status (*hook)(struct gqa_network_builder *),
    struct gqa_network_builder *b)
{
    return hook ? hook(b) : GQA_OK;
}

static enum gqa_status take_rope(const struct gqa_network_builder *b)
{
    const struct gqa_position *position = &b->model->attentions[0].position;

    if (position->scheme != GQA_POSITION_ROPE)
        return GQA_OK;
    return gqa_rope_create(&b->network->rope, b->model->config,
                           b->rule->theta_key ? b->rule->theta_key
                                              : "rope_theta",
                           b->rule->theta, position);
}

static enum gqa_status build(struct gqa_network_builder *b)
{
    enum gqa_status st;

    if ((st = find_rule(b)) != GQA_OK || (st = find_prefix(b)) != GQA_OK ||
        (st = choose(b)) != GQA_OK || (st = take_rope(b)) != GQA_OK ||
        (st = call(b->rule->begin, b)) != GQA_OK)
        return st;
    if (b->rule->stacks[GQA_STACK_ENCODER].layer &&
        (st = take_stack(b, GQA_STACK_ENCODER)) != GQA_OK)
        return st;
    if ((st = take_stack(b, GQA_STACK_DECODER)) != GQA_OK ||
        (st = take_unembedding(b)) != GQA_OK || (st = take_tokens(b)) != GQA_OK)
        return st;
    return call(b->rule->finish, b);
}

enum gqa_status gqa_network_create(struct gqa_network **out,
                                   const struct gqa_model *model)
{
    struct gqa_network *n = calloc(1, sizeof *n);
    struct gqa_network_builder b = {.model = model, .network = n};
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

void gqa_network_free(struct gqa_network *network)
{
    if (!network)
        return;
    for (size_t i = 0; i < network->n_stacks; i++)
        free(network->stacks[i].blocks);
    free(network->rope.frequency);
    free(network);
}
