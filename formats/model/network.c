#include "formats/model/network.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/advice.h"
#include "common/bounds.h"
#include "common/ull.h"
#include "formats/model/inventory_taking.h"
#include "formats/model/network_attention.h"
#include "formats/model/network_config.h"
#include "formats/model/network_feed_forward.h"
#include "formats/model/network_frames.h"
#include "formats/model/network_params.h"
#include "formats/model/network_refused.h"
#include "formats/model/network_rope.h"
#include "formats/model/numbers.h"
#include "formats/model/tied.h"

/* Rows of the largest table of positions that is computed: no model has a
 * context so long. */
#define MAX_COMPUTED_POSITIONS ((uint64_t)1 << 20)

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

/* The next of the stack's blocks, which has the weights of a layer. */
static enum gqa_status take_block(const struct gqa_network_builder *b,
                                  const struct gqa_stack_rule *rule,
                                  struct gqa_network_stack *stack, size_t next,
                                  size_t layer)
{
    struct gqa_block *block = &stack->blocks[next];
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
    st = gqa_take_attention(&block->self, b, &rule->self, self,
                            next ? &stack->blocks[next - 1].self : NULL);
    if (st == GQA_OK)
        st = gqa_choose_residual_scale(&block->self.residual_scale, b, rule,
                                       block->self.output_norm.kind !=
                                           GQA_NORM_NONE);
    block->has_cross = cross != NULL;
    if (st == GQA_OK && cross)
        st = gqa_take_attention(&block->cross, b, &rule->cross, cross, NULL);
    if (cross)
        block->cross.residual_scale = block->self.residual_scale;
    if (st == GQA_OK)
        st = gqa_take_feed_forward(&block->ff, b, stack->stack, layer);
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

/* Of what is added to the embedding, and of its norm. */
static uint64_t added_width(const struct gqa_network_stack *stack,
                            const struct gqa_network_builder *b)
{
    return stack->widened_behind ? stack->embedding_width : b->network->d_model;
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
    return gqa_check_matrix(b, stack->positions, p->rows,
                            added_width(stack, b));
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
    if (!module)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "an embedding of width %llu before a stream of %llu "
                        "cannot be run in models of family %s",
                        ULL(said), ULL(d_model), b->family->name);
    st = gqa_take_linear(out, b, gqa_stem_of(&stem, b, module), &no_bias);
    if (st != GQA_OK)
        return st;
    *width = said;
    return gqa_check_linear(b, out, widens ? said : d_model,
                            widens ? d_model : said);
}

/* The same of what is embedded and normed (ALBERT's, whose module is there
 * where the widths are the same, too). */
static enum gqa_status take_widened_behind(struct gqa_network_stack *stack,
                                           const struct gqa_network_builder *b,
                                           const char *module)
{
    static const struct gqa_setting any_bias = {.json = NULL};
    const uint64_t d_model = b->network->d_model;
    uint64_t width = d_model;
    struct gqa_stem stem = {""};
    char name[2 * GQA_MAX_NAME + 8];
    size_t index;
    enum gqa_status st = gqa_setting_count(&width, &b->family->embedding.width,
                                           b->model->config);

    gqa_stem_of(&stem, b, module);
    snprintf(name, sizeof name, "%s.weight", stem.text);
    if (st != GQA_OK || (width == d_model && !gqa_find_param(b, name, &index)))
        return st;
    if (width > d_model)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "an embedding of width %llu, normed before a stream of "
                        "%llu, cannot be run",
                        ULL(width), ULL(d_model));
    stack->embedding_width = width;
    stack->widened_behind = true;
    st = gqa_take_linear(&stack->widened, b, stem.text, &any_bias);
    return st == GQA_OK ? gqa_check_linear(b, &stack->widened, width, d_model)
                        : st;
}

static enum gqa_status take_table(struct gqa_network_stack *stack,
                                  const struct gqa_network_builder *b)
{
    const struct gqa_network *n = b->network;
    const struct gqa_embedding_rule *rule = &b->family->embedding;
    char name[2 * GQA_MAX_NAME + 8];
    struct gqa_stem stem = {""};
    uint64_t rows;
    enum gqa_status st;

    snprintf(name, sizeof name, "%s.weight",
             gqa_stem_of(
                 &stem, b,
                 gqa_embedding_of(b->family, stack->stack, b->model->config)));
    if ((st = gqa_take_param(&stack->embedding, b, name, false)) != GQA_OK)
        return st;
    st = rule->widened_behind
             ? take_widened_behind(stack, b, rule->widened_behind)
             : take_between(&stack->widened, &stack->embedding_width, b,
                            rule->widened, true);
    if (st != GQA_OK)
        return st;
    rows = b->model->params[stack->embedding].rows;
    /* The same tokens go into both stacks. */
    if (stack->stack == GQA_STACK_ENCODER && rows < n->table_size)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "'%s' has %llu tokens, and the decoder's table %llu: "
                        "an encoder of fewer cannot be run",
                        name, ULL(rows), ULL(n->table_size));
    return gqa_check_matrix(
        b, stack->embedding,
        stack->stack == GQA_STACK_ENCODER ? rows : n->table_size,
        stack->embedding_width ? stack->embedding_width : n->d_model);
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
                                  added_width(stack, b));
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
    return gqa_take_norm(&stack->embedding_norm, b, NULL, 0, &rule->norm,
                         added_width(stack, b));
}

static uint64_t count_layers(const struct gqa_model *m, enum gqa_stack which)
{
    return which == GQA_STACK_DECODER && gqa_model_is_encoder_decoder(m)
               ? m->n_decoder_layers
               : m->n_layers;
}

/* An input is no longer than what is attended to as a whole. */
static enum gqa_status limit_input(struct gqa_network_stack *stack,
                                   const struct gqa_network_builder *b)
{
    struct gqa_network *n = b->network;
    uint64_t most = 0;
    const enum gqa_status st = gqa_longest_whole(
        &most, b->family->behaviours.whole_attention, b->model->config);

    if (st != GQA_OK || most == 0)
        return st;
    if (stack->n_positions == 0 || most < stack->n_positions)
        stack->n_positions = most;
    if (n->max_positions == 0 || most < n->max_positions)
        n->max_positions = most;
    return GQA_OK;
}

/* No model runs its layers as often. */
enum { MAX_ROUNDS = 4096 };

static enum gqa_status take_stack(const struct gqa_network_builder *b,
                                  enum gqa_stack which)
{
    const struct gqa_model *m = b->model;
    const struct gqa_stack_rule *rule = &b->family->stacks[which];
    struct gqa_network *n = b->network;
    struct gqa_network_stack *stack = &n->stacks[n->n_stacks++];
    const uint64_t n_layers = count_layers(m, which);
    uint64_t times = 1;
    enum gqa_status st = gqa_setting_count(&times, &rule->times, m->config);

    stack->stack = which;
    if (st != GQA_OK || (st = take_embedding(stack, b)) != GQA_OK ||
        (which == GQA_STACK_ENCODER && (st = limit_input(stack, b)) != GQA_OK))
        return st;
    if (n_layers == 0)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "there are no layers of the %s: a model without them "
                        "cannot be run",
                        gqa_stack_name(which));
    if (times == 0 || times > MAX_ROUNDS)
        return gqa_fail(GQA_ERR_FORMAT,
                        "configuration: layers that run %llu times: 1 to %d "
                        "can be run",
                        ULL(times), MAX_ROUNDS);
    stack->blocks = calloc(times, n_layers * sizeof *stack->blocks);
    if (!stack->blocks)
        return gqa_fail_nomem();
    stack->n_blocks = (size_t)(times * n_layers);
    for (size_t i = 0; i < stack->n_blocks && st == GQA_OK; i++)
        st = take_block(b, rule, stack, i, i % (size_t)n_layers);
    return st == GQA_OK ? gqa_take_norm(&stack->final_norm, b, NULL, 0,
                                        &rule->final_norm, n->d_model)
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

/* Which of the names of the matrix that makes logits has the transform beside
 * it; NULL: none has. */
static const char *stem_of_transform(const struct gqa_network_builder *b)
{
    char name[2 * GQA_MAX_NAME], weight[2 * GQA_MAX_NAME + 8];
    size_t index;

    for (gqa_texts stem = b->family->names.unembedding; *stem; stem++) {
        snprintf(weight, sizeof weight, "%s.weight",
                 gqa_name_beside(name, sizeof name, *stem,
                                 b->family->logits.transform.module));
        if (gqa_find_param(b, weight, &index))
            return *stem;
    }
    return NULL;
}

static enum gqa_status take_transform(const struct gqa_network_builder *b,
                                      const char *stem)
{
    static const struct gqa_setting any_bias = {.json = NULL};
    const struct gqa_transform_rule *rule = &b->family->logits.transform;
    struct gqa_network *n = b->network;
    const char *activation = NULL;
    char name[2 * GQA_MAX_NAME];
    enum gqa_status st;

    n->transforms = true;
    gqa_name_beside(name, sizeof name, stem, rule->module);
    if ((st = gqa_take_linear(&n->transform, b, name, &any_bias)) != GQA_OK ||
        (st = gqa_check_linear(b, &n->transform, n->d_model, n->d_model)) !=
            GQA_OK ||
        (st = gqa_setting_text(&activation, &rule->activation,
                               b->model->config)) != GQA_OK ||
        (st = gqa_activation_parse(&n->transform_activation, activation)) !=
            GQA_OK)
        return st;
    gqa_name_beside(name, sizeof name, stem, rule->norm);
    if ((st = gqa_take_norm_at(&n->transform_norm, b, name, n->d_model)) !=
        GQA_OK)
        return st;
    if (n->unembedding.bias != GQA_NO_PARAM)
        return GQA_OK;
    gqa_name_beside(name, sizeof name, stem, rule->bias);
    st = gqa_take_param(&n->unembedding.bias, b, name, true);
    return st == GQA_OK
               ? gqa_check_vector(b, n->unembedding.bias, n->vocab_size)
               : st;
}

/* Of a class that makes no logits of tokens, but what others make of rows. */
static bool may_lack_logits(const struct gqa_model *m)
{
    return gqa_has_classes(m) && !gqa_class_named(m, GQA_CLASS_LM);
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
    const char *transform = NULL;
    struct gqa_tied tied;
    size_t index;
    enum gqa_status st;

    n->unembedding =
        (struct gqa_linear){.weight = GQA_NO_PARAM, .bias = GQA_NO_PARAM};
    n->n_outputs = n->d_model;
    if (gqa_network_is_encoder(n))
        return GQA_OK;
    if (b->family->logits.transform.given &&
        !(transform = stem_of_transform(b)))
        return may_lack_logits(b->model)
                   ? GQA_OK
                   : gqa_fail(GQA_ERR_FORMAT,
                              "there is no '%s' beside '%s': a model of family "
                              "%s cannot be run without it",
                              b->family->logits.transform.module,
                              b->family->names.unembedding[0], b->family->name);
    if ((st = gqa_model_tied(&tied, b->model)) != GQA_OK)
        return st;
    for (; *stem; stem++) {
        snprintf(name, sizeof name, "%s.weight", *stem);
        if (gqa_find_param(b, name, &index))
            break;
    }
    if (*stem) {
        st = gqa_take_linear(&n->unembedding, b, *stem, &rule->bias);
        n->unembedding.input_major = false;
    } else if (tied.in_4 || tied.in_5) {
        n->unembedding =
            (struct gqa_linear){.weight = n->stacks[n->n_stacks - 1].embedding,
                                .bias = GQA_NO_PARAM};
        snprintf(name, sizeof name, "%s.bias", b->family->names.unembedding[0]);
        if (rule->bias.json)
            st = gqa_take_param(&n->unembedding.bias, b, name, true);
    } else if (may_lack_logits(b->model)) {
        return GQA_OK;
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
        (transform && (st = take_transform(b, transform)) != GQA_OK) ||
        (st = choose_logit_scale(b)) != GQA_OK)
        return st;
    n->has_logits = true;
    n->n_outputs = n->vocab_size;
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
    const struct gqa_stack_rule *encoder = &family->stacks[GQA_STACK_ENCODER];
    enum gqa_status st = gqa_check_numbers(b->model);

    if (st != GQA_OK)
        return st;
    if (family->needs_config &&
        (!b->model->config_is_complete || !b->model->model_type))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a model of family %s cannot be run without its "
                        "configuration%s",
                        family->name, gqa_advice(GQA_ADVICE_CONFIG));
    /* Of these there is no table of tokens to be looked for. */
    if (encoder->input == GQA_INPUT_FRAMES &&
        (st = gqa_check_frames(b, &encoder->frames)) != GQA_OK)
        return st;
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

/* Of an encoder-decoder the encoder may be alone, where no class says that
 * there must be more. */
static bool has_stack(const struct gqa_network_builder *b, enum gqa_stack which)
{
    const struct gqa_model *m = b->model;

    return b->family->stacks[which].given &&
           (which == GQA_STACK_ENCODER || count_layers(m, which) > 0 ||
            gqa_class_named(m, GQA_CLASS_LM));
}

/* What the decoder looks back at: its own encoder's rows, or those of another
 * model's, which are as wide as its projections say. */
static void find_memory(const struct gqa_network_builder *b)
{
    const struct gqa_model *m = b->model;
    struct gqa_network *n = b->network;

    if (gqa_model_is_encoder_decoder(m) && has_stack(b, GQA_STACK_DECODER))
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

/* Whether frames are all that is read: what tokens stand for, which are as many
 * as the configuration says, and no table has. */
static bool reads_frames_alone(const struct gqa_network_builder *b)
{
    return b->family->stacks[GQA_STACK_ENCODER].input == GQA_INPUT_FRAMES &&
           !has_stack(b, GQA_STACK_DECODER);
}

static enum gqa_status count_tokens(struct gqa_network_builder *b)
{
    const struct gqa_config_keys *keys = &b->family->keys;
    const char *first = gqa_config_key(NULL, keys->vocab_size);
    uint64_t n = (uint64_t)json_integer_value(
        first ? json_object_get(keys->defaults, first) : NULL);
    const enum gqa_status st = gqa_config_count(
        &n, b->model->config, keys->vocab_size, b->model->config_path);

    b->prefix = gqa_prefix_of(b->model);
    b->network->table_size = n;
    return st;
}

static enum gqa_status find_prefix(struct gqa_network_builder *b)
{
    const struct gqa_family_names *names = &b->family->names;
    const uint64_t unwritten = b->family->logits.unwritten;
    const char *module = gqa_embedding_of(
        b->family,
        has_stack(b, GQA_STACK_DECODER) ? GQA_STACK_DECODER : GQA_STACK_ENCODER,
        b->model->config);
    char name[2 * GQA_MAX_NAME];
    size_t index;

    if (reads_frames_alone(b)) {
        const enum gqa_status st = count_tokens(b);

        if (st != GQA_OK)
            return st;
    }
    for (gqa_texts prefix = names->prefixes; *prefix && !b->network->table_size;
         prefix++) {
        b->prefix = *prefix;
        snprintf(name, sizeof name, "%s%s.weight", *prefix, module);
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
                        names->prefixes[0], module, INT32_MAX);
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
        (st = gqa_choose_even_scale(&scale, b, self, first)) != GQA_OK)
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
        if (has_stack(b, (enum gqa_stack)s) &&
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

bool gqa_network_is_encoder(const struct gqa_network *n)
{
    return n->n_stacks == 1 && n->stacks[0].stack == GQA_STACK_ENCODER;
}

bool gqa_network_repeats(const struct gqa_network *n)
{
    for (size_t i = 0; i < n->n_stacks; i++)
        if (n->stacks[i].n_blocks > count_layers(n->model, n->stacks[i].stack))
            return true;
    return false;
}

bool gqa_network_is_input(const struct gqa_network *n,
                          const struct gqa_network_stack *stack)
{
    return stack->stack == GQA_STACK_ENCODER && n->n_stacks > 1;
}

uint64_t gqa_network_row_width(const struct gqa_network *n)
{
    uint64_t width = gqa_max_u64(n->d_model, n->memory_width);

    for (size_t i = 0; i < n->n_stacks; i++)
        width = gqa_max_u64(width, n->stacks[i].embedding_width);
    return gqa_max_u64(width, n->logit_width);
}
