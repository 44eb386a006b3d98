/* A configuration against the tensors. */
#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "common/ull.h"
#include "formats/families/kv_said.h"
#include "formats/families/kv_words.h"
#include "formats/families/meaning.h"
#include "formats/model/experts_config.h"
#include "formats/model/inventory_taking.h"
#include "formats/model/numbers.h"

/* The width that a projection up or down of a layer has; 0: it has none. */
static uint64_t width_of(const struct gqa_taking *t, enum gqa_stack stack,
                         uint64_t layer, const char *module, bool is_down)
{
    struct gqa_stem stem = {""};
    char name[2 * GQA_MAX_NAME + 8];
    const struct gqa_param *p;
    size_t index;

    if (!module)
        return 0;
    snprintf(name, sizeof name, "%s.weight",
             gqa_stem_in(&stem, &t->names, t->family->stacks[stack].layers,
                         (size_t)layer, module));
    if (!gqa_taking_find(t, name, &index))
        return 0;
    p = &t->model->params[index];
    return (t->family->weights == GQA_WEIGHTS_IN_OUT) == is_down ? p->rows
                                                                 : p->cols;
}

/* What the configuration says, where that is a number; 0: nothing. */
static uint64_t said_by(const struct gqa_taking *t, gqa_texts keys)
{
    const char *key =
        t->is_known ? gqa_config_key(t->model->config, keys) : NULL;
    const json_t *value = key ? json_object_get(t->model->config, key) : NULL;

    return json_is_integer(value) && json_integer_value(value) > 0
               ? (uint64_t)json_integer_value(value)
               : 0;
}

const char *gqa_taking_config_path(const struct gqa_taking *t)
{
    const char *path = gqa_checkpoint_config_path(t->checkpoint);

    return path ? path : "the configuration";
}

static enum gqa_status hold_against(struct gqa_taking *t, gqa_texts keys,
                                    uint64_t said, uint64_t found)
{
    const char *key;

    if (!said || !found || said == found)
        return GQA_OK;
    key = gqa_config_key(t->model->config, keys);
    return gqa_taking_fault(t, GQA_FAULT_CONFIG, key,
                            "%s is %llu in %s, the tensors have %llu", key,
                            ULL(said), gqa_taking_config_path(t), ULL(found));
}

/* Rows of a matrix behind the family's prefix, or without; 0: none. */
static uint64_t rows_of(const struct gqa_taking *t, const char *module,
                        bool has_prefix)
{
    struct gqa_stem stem = {""};
    char name[2 * GQA_MAX_NAME + 8];
    size_t index;

    snprintf(name, sizeof name, "%s.weight",
             has_prefix ? gqa_stem_of(&stem, &t->names, module) : module);
    return gqa_taking_find(t, name, &index) ? t->model->params[index].rows : 0;
}

/* The vocabulary is what the configuration says where one of the two matrices
 * is so large: the other is at fault then. */
static enum gqa_status choose_vocabulary(struct gqa_taking *t)
{
    const gqa_texts keys = t->family->keys.vocab_size;
    const uint64_t said = said_by(t, keys);
    const uint64_t rows =
        rows_of(t, gqa_written_embedding(t->family, t->model->config), true);
    gqa_texts stem = t->family->names.unembedding;
    uint64_t logits = 0;

    for (; *stem && !logits; stem++)
        logits = rows_of(t, *stem, false);
    t->vocab_size = rows ? rows : logits;
    if (said && (said == rows || said == logits))
        t->vocab_size = said;
    return hold_against(t, keys, said, t->vocab_size);
}

/* The width of a stack's feed-forward: `said` where any layer is so wide. */
static enum gqa_status find_width(uint64_t *out, const struct gqa_taking *t,
                                  enum gqa_stack stack, uint64_t said)
{
    const struct gqa_feed_forward_rule *rule =
        &t->family->stacks[stack].feed_forward;
    bool gated = false;
    const enum gqa_status st = gqa_taking_gated(&gated, t, stack);
    const char *const modules[] = {gated ? rule->up : rule->plain,
                                   gated ? rule->gate : NULL, rule->down};

    *out = 0;
    for (uint64_t i = 0; i < gqa_taking_layers(t, stack) && st == GQA_OK; i++)
        for (int k = 0; k < 3; k++) {
            const bool is_half = gated && k < 2 && gqa_gate_is_fused(rule);
            const uint64_t width =
                width_of(t, stack, i, modules[k], k == 2) / (is_half ? 2 : 1);

            if (width && (!*out || width == said))
                *out = width;
        }
    return st;
}

/* What a key says that the width is times the stream's, or its class without
 * it; 0: nothing. */
static uint64_t said_times(const struct gqa_taking *t, const char *key)
{
    const json_t *value =
        key && t->is_known ? json_object_get(t->model->config, key) : NULL;
    uint64_t n;

    if (!key || !t->is_known)
        return 0;
    if (!value)
        return gqa_family_default(t->family, t->model->config, key);
    return gqa_json_u64(value, &n) && n <= GQA_MAX_CONFIG_COUNT ? n : 0;
}

/* The same of a stack's feed-forward, where that key says it. What classes of
 * transformers make of it, whatever it says, is right as well. */
static enum gqa_status choose_by_times(struct gqa_taking *t,
                                       enum gqa_stack stack)
{
    const char *key = t->family->keys.d_ff_times;
    const uint64_t times = said_times(t, key);
    const uint64_t said = times * t->model->d_model;
    uint64_t *width = &t->d_ff[stack];
    const enum gqa_status st = find_width(width, t, stack, said);

    if (st != GQA_OK || !times || !*width || said == *width ||
        *width == t->family->keys.d_ff_times_stock * t->model->d_model)
        return st;
    return gqa_taking_fault(t, GQA_FAULT_CONFIG, key,
                            "%s is %llu in %s, which makes the feed-forward "
                            "%llu wide; the tensors have %llu",
                            key, ULL(times), gqa_taking_config_path(t),
                            ULL(said), ULL(*width));
}

/* The same of a stack's feed-forward. */
static enum gqa_status choose_d_ff(struct gqa_taking *t, enum gqa_stack stack)
{
    const struct gqa_config_keys *keys = &t->family->keys;
    const gqa_texts names = gqa_d_ff_keys(keys, stack);
    uint64_t said = said_by(t, names);
    bool is_default = false;
    uint64_t *width = &t->d_ff[stack];
    enum gqa_status st;

    if (!t->family->stacks[stack].given)
        return GQA_OK;
    if (keys->d_ff_times)
        return choose_by_times(t, stack);
    if (!said && t->is_known && keys->d_ff_per_d_model) {
        is_default = true;
        said = keys->d_ff_per_d_model * t->model->d_model;
    }
    if ((st = find_width(width, t, stack, said)) != GQA_OK)
        return st;
    if (is_default && *width && said != *width)
        return gqa_taking_fault(t, GQA_FAULT_CONFIG, names[0],
                                "%s says no %s, which makes it %llu; the "
                                "tensors have %llu",
                                gqa_taking_config_path(t), names[0], ULL(said),
                                ULL(*width));
    return hold_against(t, names, said, *width);
}

/* The width within the decoder's first expert that there is. */
static uint64_t find_expert_width(const struct gqa_taking *t)
{
    const struct gqa_stack_rule *stack = &t->family->stacks[GQA_STACK_DECODER];
    const struct gqa_experts_rule *rule = &stack->feed_forward.experts;
    const size_t at = rule->each ? strcspn(rule->each, "%") : 0;
    char module[3 * GQA_MAX_NAME];
    struct gqa_stem stem = {""};
    size_t index;

    if (!stack->given || !rule->given)
        return 0;
    if (rule->each)
        snprintf(module, sizeof module, "%.*s0%s.%s.weight", (int)at,
                 rule->each, rule->each + at + 1, rule->down);
    else
        gqa_stacked_name(module, sizeof module, rule, rule->down, false);
    for (uint64_t i = 0; i < gqa_taking_layers(t, GQA_STACK_DECODER); i++) {
        gqa_stem_in(&stem, &t->names, stack->layers, (size_t)i, module);
        if (gqa_taking_find(t, stem.text, &index)) {
            const struct gqa_param *p = &t->model->params[index];

            if (rule->input_major)
                return p->rank == 3 ? p->shape[1] : 0;
            return p->rank > 0 ? p->shape[p->rank - 1] : 0;
        }
    }
    return 0;
}

/* Experts have the key of feed-forwards, or one of their own. */
static enum gqa_status choose_expert_d_ff(struct gqa_taking *t)
{
    const struct gqa_config_keys *keys = &t->family->keys;
    const gqa_texts names = keys->expert_d_ff
                                ? keys->expert_d_ff
                                : gqa_d_ff_keys(keys, GQA_STACK_DECODER);

    t->out->expert_d_ff = find_expert_width(t);
    return hold_against(t, names, said_by(t, names), t->out->expert_d_ff);
}

/* Where it is not said, loaders take the share of each head. */
static enum gqa_status check_head_dim(struct gqa_taking *t)
{
    const struct gqa_config_keys *keys = &t->family->keys;
    const struct gqa_attention *a = &t->model->attentions[0];
    const uint64_t d_model = said_by(t, keys->d_model);
    const uint64_t n_heads = said_by(t, keys->n_heads);

    if (said_by(t, keys->head_dim) || d_model != t->model->d_model ||
        !n_heads || n_heads != a->n_heads || d_model / n_heads == a->head_dim)
        return GQA_OK;
    return gqa_taking_fault(
        t, GQA_FAULT_CONFIG,
        keys->head_dim ? keys->head_dim[0] : keys->n_heads[0],
        "%s says no %s, and %s / %s is %llu; the tensors have "
        "heads of %llu",
        gqa_taking_config_path(t),
        keys->head_dim ? keys->head_dim[0] : "size of a head",
        gqa_config_key(t->model->config, keys->d_model),
        gqa_config_key(t->model->config, keys->n_heads), ULL(d_model / n_heads),
        ULL(a->head_dim));
}

/* Whether lists for each block tell it, and rightly, of all that are grouped.
 */
static bool blocks_tell_kv_heads(const struct gqa_taking *t)
{
    const struct gqa_model *m = t->model;
    const uint64_t n_layers =
        gqa_model_is_encoder_decoder(m) ? m->n_decoder_layers : m->n_layers;

    for (size_t i = 0; i < m->n_attentions; i++) {
        const struct gqa_attention *a = &m->attentions[i];

        if (a->stack == GQA_STACK_DECODER && a->n_kv_heads != a->n_heads &&
            gqa_kv_words_of_layer(m->config, a->layer, n_layers, a->n_heads) !=
                a->n_kv_heads)
            return false;
    }
    return true;
}

/* Loaders take as many as query heads where it is not said, or a number of
 * their own. That it says another number was an error of making the model. */
static enum gqa_status check_kv_heads(struct gqa_taking *t)
{
    const gqa_texts keys = t->family->keys.n_kv_heads;
    const char *key = gqa_config_key(t->model->config, keys);
    const json_t *value = key ? json_object_get(t->model->config, key) : NULL;
    const struct gqa_attention *grouped;

    if (!keys || !t->is_known || (value && !json_is_null(value)))
        return GQA_OK;
    grouped = gqa_grouped_by_key(t->model);
    if (!grouped || blocks_tell_kv_heads(t) ||
        (!value && gqa_family_default(t->family, t->model->config, key) ==
                       grouped->n_kv_heads))
        return GQA_OK;
    return gqa_taking_fault(
        t, GQA_FAULT_CONFIG, keys[0],
        "%s is %s in %s, which makes it %llu; the tensors have "
        "%llu",
        key, value ? "null" : "missing", gqa_taking_config_path(t),
        ULL(grouped->n_heads), ULL(grouped->n_kv_heads));
}

/* The same where words say how many there are. A number that none can say is
 * only in files that no stock loader takes. */
static enum gqa_status check_kv_words(struct gqa_taking *t)
{
    const struct gqa_model *m = t->model;
    const uint64_t n_heads = gqa_model_n_heads(m), n = gqa_model_kv_heads(m);
    const char *key;
    uint64_t said;

    if (!t->is_known || !gqa_kv_said(t->family) ||
        !gqa_kv_said_can(t->family, m->config, n_heads, n) ||
        (said = gqa_kv_said_count(t->family, m->config, n_heads)) == n)
        return GQA_OK;
    key = gqa_kv_said_key(t->family, m->config);
    return said ? gqa_taking_fault(t, GQA_FAULT_CONFIG, key,
                                   "%s in %s makes it %llu KV heads; the "
                                   "tensors have %llu",
                                   key, gqa_taking_config_path(t), ULL(said),
                                   ULL(n))
                : gqa_taking_fault(t, GQA_FAULT_CONFIG, key,
                                   "%s in %s says no number of KV heads; the "
                                   "tensors have %llu",
                                   key, gqa_taking_config_path(t), ULL(n));
}

/* Shapes of projections tell all heads together; RoPE's frequencies, which old
 * checkpoints hold, tell the size of one. */
static enum gqa_status check_frequencies(struct gqa_taking *t)
{
    const struct gqa_attention *a = &t->model->attentions[0];
    const struct gqa_stack_rule *rule = &t->family->stacks[a->stack];
    const gqa_texts keys = t->family->keys.n_heads;
    struct gqa_stem stem = {""};
    char name[2 * GQA_MAX_NAME];
    const struct gqa_param *p;
    size_t index;

    snprintf(name, sizeof name, "%s.rotary_emb.inv_freq", rule->self.module);
    if (!t->is_known || a->position.scheme != GQA_POSITION_ROPE ||
        !gqa_taking_find(
            t,
            gqa_stem_in(&stem, &t->names, rule->layers, (size_t)a->layer, name),
            &index))
        return GQA_OK;
    p = &t->model->params[index];
    if (p->rank != 1 || p->rows == (a->position.rotary_dim + 1) / 2)
        return GQA_OK;
    return gqa_taking_fault(
        t, GQA_FAULT_CONFIG, gqa_config_key(t->model->config, keys),
        "%s is %llu in %s, which makes %llu frequencies of RoPE; the tensors "
        "have %llu",
        gqa_config_key(t->model->config, keys), ULL(a->n_heads),
        gqa_taking_config_path(t), ULL((a->position.rotary_dim + 1) / 2),
        ULL(p->rows));
}

/* Loaders stop at a null where they need a value. */
static enum gqa_status check_nulls(struct gqa_taking *t)
{
    char key[GQA_MAX_NAME];
    const enum gqa_status st =
        t->is_known
            ? gqa_config_null(key, sizeof key, t->family, t->model->config)
            : GQA_OK;

    if (st != GQA_OK || !t->is_known || !*key)
        return st;
    return gqa_taking_fault(t, GQA_FAULT_CONFIG, key,
                            "%s is null in %s, which loaders do not take", key,
                            gqa_taking_config_path(t));
}

/* Rows of the table of positions that a stack adds, from that of position 0
 * on; *out stays as it is where it reads none, or frames, whose positions the
 * configuration counts apart. */
static enum gqa_status count_positions(uint64_t *out,
                                       const struct gqa_taking *t,
                                       enum gqa_stack stack)
{
    const struct gqa_stack_rule *of_stack = &t->family->stacks[stack];
    const struct gqa_embedding_rule *rule = &of_stack->embedding;
    const uint64_t rows = of_stack->given && rule->positions &&
                                  of_stack->input != GQA_INPUT_FRAMES
                              ? rows_of(t, rule->positions, true)
                              : 0;
    uint64_t offset = 0;
    const enum gqa_status st =
        gqa_position_offset(&offset, rule, t->model->config);

    if (rows)
        *out = rows >= offset ? rows - offset : rows;
    return st;
}

/* Nor where a number is none that a model has. */
static enum gqa_status check_numbers(struct gqa_taking *t)
{
    const enum gqa_status st =
        t->is_known ? gqa_check_numbers(t->model) : GQA_OK;

    return st == GQA_ERR_FORMAT
               ? gqa_taking_fault(t, GQA_FAULT_NUMBER, "configuration", "%s",
                                  gqa_error_message())
               : st;
}

enum gqa_status gqa_take_config(struct gqa_taking *t)
{
    const struct gqa_config_keys *keys = &t->family->keys;
    uint64_t rows = 0;
    enum gqa_status st;

    if ((st = check_numbers(t)) != GQA_OK ||
        (st = count_positions(&rows, t, GQA_STACK_ENCODER)) != GQA_OK ||
        (st = count_positions(&rows, t, GQA_STACK_DECODER)) != GQA_OK)
        return st;
    if ((st = hold_against(t, keys->d_model, said_by(t, keys->d_model),
                           t->model->d_model)) != GQA_OK ||
        (st = check_nulls(t)) != GQA_OK || (st = check_head_dim(t)) != GQA_OK ||
        (st = check_frequencies(t)) != GQA_OK ||
        (st = check_kv_heads(t)) != GQA_OK ||
        (st = check_kv_words(t)) != GQA_OK ||
        (st = choose_d_ff(t, GQA_STACK_ENCODER)) != GQA_OK ||
        (st = choose_d_ff(t, GQA_STACK_DECODER)) != GQA_OK ||
        (st = choose_expert_d_ff(t)) != GQA_OK ||
        (st = choose_vocabulary(t)) != GQA_OK)
        return st;
    memcpy(t->out->d_ff, t->d_ff, sizeof t->d_ff);
    t->out->vocab_size = t->vocab_size;
    t->out->n_positions = rows;
    return hold_against(t, keys->max_positions, said_by(t, keys->max_positions),
                        rows);
}
