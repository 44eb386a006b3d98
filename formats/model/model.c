#include "formats/model/model.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/advice.h"
#include "common/log.h"
#include "common/ull.h"
#include "formats/families/family.h"
#include "formats/families/nested.h"
#include "formats/model/attentions.h"
#include "formats/model/find_family.h"
#include "formats/model/params.h"
#include "formats/model/say.h"

const char *gqa_family_name(const struct gqa_family *family)
{
    return family->name;
}

bool gqa_model_is_encoder_decoder(const struct gqa_model *model)
{
    return gqa_family_is_encoder_decoder(model->family);
}

const char *gqa_stack_name(enum gqa_stack stack)
{
    return stack == GQA_STACK_ENCODER ? "encoder" : "decoder";
}

const char *gqa_attention_kind_name(enum gqa_attention_kind kind)
{
    return kind == GQA_ATTENTION_SELF ? "self" : "cross";
}

const char *gqa_head_layout_name(enum gqa_head_layout layout)
{
    static const char *const names[] = {
        [GQA_HEADS_SEPARATE] = "separate",
        [GQA_HEADS_FUSED_QKV] = "fused [q|k|v]",
        [GQA_HEADS_FUSED_GROUP] = "fused per KV head",
        [GQA_HEADS_FUSED_KV] = "fused [k|v]",
        [GQA_HEADS_FUSED_BLOCKS] = "fused 4 x [q|v|k]",
    };

    return names[layout];
}

const char *gqa_position_name(const struct gqa_position *position)
{
    static const char *const names[] = {
        [GQA_POSITION_NONE] = "none",
        [GQA_POSITION_ROPE] = "rope",
        [GQA_POSITION_RELATIVE_BIAS] = "relative bias",
        [GQA_POSITION_ALIBI] = "alibi",
        [GQA_POSITION_LEARNED] = "learned",
        [GQA_POSITION_SINUSOIDAL] = "sinusoidal",
    };

    return names[position->scheme];
}

/* --- Heads -------------------------------------------------------------- */

/* A count and who said it. */
struct said {
    uint64_t value; /* 0: nobody */
    const char *by;
};

/* Another voice on the same count. */
static enum gqa_status agree(struct said *said, const char *what,
                             uint64_t value, const char *by)
{
    if (value == 0)
        return GQA_OK;
    if (said->value && said->value != value)
        return gqa_fail(GQA_ERR_FORMAT, "%s is %llu by %s, but %llu by %s",
                        what, ULL(said->value), said->by, ULL(value), by);
    said->value = value;
    said->by = by;
    return GQA_OK;
}

/*
 * What shapes prove: KerasHub's kernels have an axis of heads, and T5's
 * table of relative biases a column for each.
 */
static enum gqa_status ask_shapes(struct said *n_heads, struct said *head_dim,
                                  const struct gqa_model_builder *b)
{
    const enum gqa_naming naming = gqa_checkpoint_naming(b->checkpoint);
    const struct gqa_found_attention *first = &b->found[0];
    enum gqa_status st;

    for (size_t i = 0; i < b->n_found; i++)
        if (b->found[i].proof != GQA_NO_PARAM &&
            (st = agree(n_heads, "the number of heads",
                        b->params.items[b->found[i].proof].cols,
                        b->params.items[b->found[i].proof].name)) != GQA_OK)
            return st;
    if (naming == GQA_NAMES_KERAS || naming == GQA_NAMES_KERAS_LEGACY) {
        const struct gqa_param *q = &b->params.items[first->weight[0]];
        const struct gqa_tensor *t =
            gqa_checkpoint_tensor(b->checkpoint, q->parts[0].tensor);
        const struct gqa_view *part = &q->parts[0];
        const bool is_one = q->n_parts == 1;
        /* (d_model, heads, head_dim), or a matrix for each head, which is
         * a part (Gemma); GPT-NeoX has q, k and v in the last. */
        const uint64_t fused =
            is_one && first->rule->layout == GQA_HEADS_FUSED_GROUP ? 3 : 1;

        if (t->rank != 3)
            return GQA_OK;
        if ((st = agree(n_heads, "the number of heads",
                        part->cols == t->shape[1] && part->rows == t->shape[2]
                            ? t->shape[0]
                            : t->shape[1],
                        t->name)) != GQA_OK)
            return st;
        return agree(head_dim, "head_dim", t->shape[2] / fused, t->name);
    }
    return GQA_OK;
}

/* Two names of one size, of which loaders take the one that is read last. */
static enum gqa_status check_names(const struct gqa_model_builder *b,
                                   gqa_texts keys)
{
    const char *first = gqa_config_key(b->config, keys);
    const json_t *said = first ? json_object_get(b->config, first) : NULL;

    for (gqa_texts key = keys; said && *key; key++) {
        const json_t *other = json_object_get(b->config, *key);
        char text[2][41];

        if (!other || json_equal(said, other))
            continue;
        gqa_value_text(text[0], sizeof text[0], said);
        gqa_value_text(text[1], sizeof text[1], other);
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: %s is %s, and %s, another name of it, %s",
                        b->config_path, first, text[0], *key, text[1]);
    }
    return GQA_OK;
}

static enum gqa_status check_all_names(const struct gqa_model_builder *b)
{
    const struct gqa_config_keys *keys = &b->family->keys;
    const gqa_texts sizes[] = {keys->n_heads, keys->head_dim, keys->d_model,
                               keys->n_layers};
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && st == GQA_OK; i++)
        st = check_names(b, sizes[i]);
    return st;
}

static enum gqa_status ask_config(struct said *n_heads, struct said *head_dim,
                                  const struct gqa_model_builder *b)
{
    const struct gqa_config_keys *keys = &b->family->keys;
    uint64_t heads = 0;
    uint64_t dim = 0;
    enum gqa_status st;

    if ((st = check_all_names(b)) != GQA_OK ||
        (st = gqa_config_count(&heads, b->config, keys->n_heads,
                               b->config_path)) != GQA_OK ||
        (st = gqa_config_count(&dim, b->config, keys->head_dim,
                               b->config_path)) != GQA_OK ||
        (st = agree(n_heads, "the number of heads", heads, b->config_path)) !=
            GQA_OK)
        return st;
    return agree(head_dim, "head_dim", dim, b->config_path);
}

/* What classes take for a configuration that does not say it, as those of text
 * models within others leave out what is usual. */
static uint64_t usual_heads(const struct gqa_model_builder *b)
{
    const char *key = gqa_config_key(b->config, b->family->keys.n_heads);

    return json_object_get(b->config, "model_type") &&
                   !json_object_get(b->config, key)
               ? gqa_family_default(b->family, b->config, key)
               : 0;
}

static enum gqa_status resolve_heads(uint64_t *n_heads, uint64_t *head_dim,
                                     const struct gqa_model_builder *b)
{
    const uint64_t length = gqa_query_length(&b->found[0], b->params.items);
    struct said heads = {0, NULL};
    struct said dim = {0, NULL};
    enum gqa_status st;

    if ((st = ask_shapes(&heads, &dim, b)) != GQA_OK ||
        (st = ask_config(&heads, &dim, b)) != GQA_OK)
        return st;
    if (!heads.value && !dim.value)
        heads = (struct said){usual_heads(b), "the default of its class"};
    if ((st = agree(&heads, "the number of heads", b->hints->n_heads,
                    "--n-heads")) != GQA_OK ||
        (st = agree(&dim, "head_dim", b->hints->head_dim, "--head-dim")) !=
            GQA_OK)
        return st;
    if (!heads.value && !dim.value)
        return gqa_fail(GQA_ERR_USAGE,
                        "the number of heads is not known: there is no "
                        "configuration that says it, and the shapes prove only "
                        "that all heads together have length %llu%s",
                        ULL(length), gqa_advice(GQA_ADVICE_HEADS));
    if (!heads.value)
        heads.value = length / dim.value;
    if (!dim.value && length % heads.value == 0)
        dim.value = length / heads.value;
    if (!dim.value || !heads.value || length / heads.value != dim.value ||
        length % heads.value != 0)
        return gqa_fail(
            GQA_ERR_FORMAT,
            "%llu heads%s%s do not fit the shapes: '%s' takes %llu inputs "
            "from all heads together%s",
            ULL(heads.value), heads.by ? " by " : "", heads.by ? heads.by : "",
            b->params.items[b->found[0].weight[3]].name, ULL(length),
            dim.value ? ", and head_dim is given" : "");
    if (heads.value > GQA_MAX_HEADS)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%llu heads are more than the %llu "
                        "that we take for possible",
                        ULL(heads.value), ULL(GQA_MAX_HEADS));
    gqa_info("%" PRIu64 " heads%s%s, each of %" PRIu64 "%s%s", heads.value,
             heads.by ? " by " : "", heads.by ? heads.by : "", dim.value,
             dim.by ? " by " : "", dim.by ? dim.by : "");
    *n_heads = heads.value;
    *head_dim = dim.value;
    return GQA_OK;
}

/* --- Positions ---------------------------------------------------------- */

static enum gqa_status position_of(struct gqa_position *position,
                                   const struct gqa_model_builder *b,
                                   const struct gqa_attention_rule *rule,
                                   uint64_t layer, uint64_t head_dim)
{
    const struct gqa_position_rule *said = &b->family->positions;
    uint64_t dims = 0;
    double share = 1;
    bool turns = true, alibi = false;
    enum gqa_status st = gqa_setting_flag(&alibi, &said->alibi, b->config);

    if (st != GQA_OK)
        return gqa_fail_prefix(st, "%s", b->config_path);
    *position =
        (struct gqa_position){.scheme = !rule->positions ? GQA_POSITION_NONE
                                        : alibi          ? GQA_POSITION_ALIBI
                                                         : said->scheme};
    if (position->scheme != GQA_POSITION_ROPE)
        return GQA_OK;
    st = gqa_layer_turns(&turns, &b->family->behaviours, b->config,
                         (size_t)layer);
    if (st == GQA_OK && !turns)
        position->scheme = GQA_POSITION_NONE;
    if (st == GQA_OK)
        st = gqa_setting_number(&share, &said->share, b->config);
    if (st == GQA_OK)
        st = gqa_setting_count(&dims, &said->dims, b->config);
    if (st == GQA_OK && dims > head_dim)
        st = gqa_fail(GQA_ERR_FORMAT,
                      "%llu elements of a head are rotated, and it has %llu",
                      ULL(dims), ULL(head_dim));
    if (st != GQA_OK)
        return gqa_fail_prefix(st, "%s",
                               b->config_path ? b->config_path : "the names");
    if (!turns)
        return GQA_OK;
    position->rotary_dim =
        dims ? dims : (uint64_t)floor((double)head_dim * share);
    position->interleaved = said->interleaved;
    return GQA_OK;
}

/* --- Checks against the configuration ----------------------------------- */

/* config.json's KV heads, one number or one for each layer, fit the shapes;
 * for an encoder-decoder they speak of the decoder. */
static enum gqa_status check_kv_heads(const struct gqa_model_builder *b,
                                      const struct gqa_attention *a)
{
    const char *key = gqa_config_key(b->config, b->family->keys.n_kv_heads);
    const json_t *value = key ? json_object_get(b->config, key) : NULL;
    uint64_t count = 0;

    if (!value || json_is_null(value) || a->stack != GQA_STACK_DECODER)
        return GQA_OK;
    if (json_is_array(value))
        value = json_array_get(value, (size_t)a->layer);
    if (json_is_integer(value) && json_integer_value(value) > 0)
        count = (uint64_t)json_integer_value(value);
    if (count != a->n_kv_heads)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: %s does not fit the shapes: the "
                        "%s has %llu KV heads of %llu",
                        b->config_path, key,
                        gqa_attention_label(a->stack, a->kind, a->layer),
                        ULL(a->n_kv_heads), ULL(a->head_dim));
    return GQA_OK;
}

/* A list of KV heads has one entry for each layer that it speaks of. */
static enum gqa_status check_kv_list(const struct gqa_model_builder *b,
                                     const struct gqa_model *m)
{
    const char *key = gqa_config_key(b->config, b->family->keys.n_kv_heads);
    const json_t *list = key ? json_object_get(b->config, key) : NULL;
    const uint64_t n_layers = gqa_family_is_encoder_decoder(b->family)
                                  ? m->n_decoder_layers
                                  : m->n_layers;

    if (!json_is_array(list) || json_array_size(list) == n_layers)
        return GQA_OK;
    return gqa_fail(GQA_ERR_FORMAT,
                    "%s: %s lists %zu layers, but the tensors have %llu",
                    b->config_path, key, json_array_size(list), ULL(n_layers));
}

static enum gqa_status check_layers(const struct gqa_model_builder *b,
                                    gqa_texts keys, uint64_t found)
{
    uint64_t said = 0;
    enum gqa_status st;

    if ((st = gqa_config_count(&said, b->config, keys, b->config_path)) !=
        GQA_OK)
        return st;
    if (said && found && said != found)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: %s is %llu, but the tensors have %llu layers%s",
                        b->config_path, gqa_config_key(b->config, keys),
                        ULL(said), ULL(found),
                        found < said ? ": an interrupted download, or the "
                                       "configuration of another model"
                                     : "");
    return GQA_OK;
}

/* --- Putting it together ------------------------------------------------ */

/* A decoder may have other heads than the encoder before it. */
static enum gqa_status decoder_heads(uint64_t *n_heads, uint64_t *head_dim,
                                     const struct gqa_model_builder *b,
                                     const struct gqa_found_attention *found)
{
    const gqa_texts keys = b->family->keys.n_decoder_heads;
    const uint64_t length = gqa_query_length(found, b->params.items);
    uint64_t said = 0;
    enum gqa_status st;

    if (found->rule->stack != GQA_STACK_DECODER)
        return GQA_OK;
    st = gqa_config_count(&said, b->config, keys, b->config_path);
    if (st == GQA_OK && !said && b->config)
        said = gqa_family_default(b->family, b->config,
                                  gqa_config_key(b->config, keys));
    if (st != GQA_OK || !said)
        return st;
    if (said > GQA_MAX_HEADS || length % said != 0)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: %s is %llu, which does not divide the %llu inputs "
                        "that '%s' takes from all heads together",
                        b->config_path, gqa_config_key(b->config, keys),
                        ULL(said), ULL(length),
                        b->params.items[found->weight[3]].name);
    *n_heads = said;
    *head_dim = length / said;
    return GQA_OK;
}

static enum gqa_status fill_attentions(struct gqa_model *m,
                                       const struct gqa_model_builder *b)
{
    uint64_t n_heads = 0;
    uint64_t head_dim = 0;
    enum gqa_status st;

    if ((st = resolve_heads(&n_heads, &head_dim, b)) != GQA_OK)
        return st;
    m->attentions = calloc(b->n_found, sizeof *m->attentions);
    if (!m->attentions)
        return gqa_fail_nomem();
    for (size_t i = 0; i < b->n_found; i++) {
        struct gqa_attention *a = &m->attentions[m->n_attentions];

        if ((st = decoder_heads(&n_heads, &head_dim, b, &b->found[i])) !=
                GQA_OK ||
            (st = gqa_place_heads(a, &b->found[i], b->params.items, n_heads,
                                  head_dim)) != GQA_OK)
            return st;
        if ((st = position_of(&a->position, b, b->found[i].rule, a->layer,
                              head_dim)) != GQA_OK ||
            (st = check_kv_heads(b, a)) != GQA_OK)
            return st;
        if (a->stack == GQA_STACK_DECODER &&
            gqa_family_is_encoder_decoder(b->family)) {
            m->n_decoder_layers = a->layer + 1;
        } else {
            m->n_layers = a->layer + 1;
        }
        m->n_attentions++;
    }
    if ((st = check_kv_list(b, m)) != GQA_OK)
        return st;
    if ((st = check_layers(b, b->family->keys.n_layers, m->n_layers)) != GQA_OK)
        return st;
    return check_layers(b, b->family->keys.n_decoder_layers,
                        m->n_decoder_layers);
}

static void fill_dimensions(struct gqa_model *m,
                            const struct gqa_model_builder *b)
{
    const struct gqa_param *o = &b->params.items[b->found[0].weight[3]];

    m->d_model = b->family->weights == GQA_WEIGHTS_IN_OUT ? o->cols : o->rows;
    for (gqa_texts prefix = b->family->names.prefixes; *prefix; prefix++) {
        char name[GQA_MAX_NAME];
        size_t index;

        snprintf(name, sizeof name, "%s%s.weight", *prefix,
                 gqa_written_embedding(b->family, b->config));
        if (gqa_params_find(&b->params, name, &index)) {
            m->vocab_size = b->params.items[index].rows;
            return;
        }
    }
}

static enum gqa_status fill_type(struct gqa_model *m,
                                 const struct gqa_model_builder *b)
{
    const char *type =
        json_string_value(json_object_get(b->config, "model_type"));

    if (b->nested)
        type = b->nested->model_type;
    if (!type)
        type = b->family->model_type;
    if (!type)
        return GQA_OK;
    m->model_type = strdup(type);
    return m->model_type ? GQA_OK : gqa_fail_nomem();
}

static void set_count(json_t *config, gqa_texts keys, uint64_t value)
{
    if (keys && value)
        json_object_set_new(config, keys[0], json_integer((json_int_t)value));
}

/* That of the whole, or its type where there is none. */
static json_t *outer_as_given(const struct gqa_model_builder *b)
{
    const json_t *given = gqa_checkpoint_config(b->checkpoint);

    return given && !json_object_get(given, "class_name")
               ? json_deep_copy(given)
               : json_pack("{s:s}", "model_type", b->nested->model_type);
}

/* A configuration of what is known without one. */
static enum gqa_status fill_config(struct gqa_model *m,
                                   struct gqa_model_builder *b)
{
    const struct gqa_config_keys *keys = &b->family->keys;
    const struct gqa_attention *a = &m->attentions[0];

    m->config_is_complete = b->config != NULL;
    m->config = b->config;
    b->config = NULL;
    if (b->nested) {
        m->within = b->nested->config;
        m->outer_config = b->outer;
        b->outer = NULL;
        if (!m->outer_config)
            m->outer_config = outer_as_given(b);
        if (!m->outer_config)
            return gqa_fail_nomem();
    }
    if (m->config)
        return GQA_OK;
    m->config = json_object();
    if (!m->config)
        return gqa_fail_nomem();
    if (m->model_type)
        json_object_set_new(m->config, "model_type",
                            json_string(m->model_type));
    set_count(m->config, keys->d_model, m->d_model);
    set_count(m->config, keys->n_layers, m->n_layers);
    set_count(m->config, keys->n_decoder_layers, m->n_decoder_layers);
    set_count(m->config, keys->n_heads, a->n_heads);
    set_count(m->config, keys->head_dim, a->head_dim);
    set_count(m->config, keys->vocab_size, m->vocab_size);
    return GQA_OK;
}

static enum gqa_status fill(struct gqa_model *m, struct gqa_model_builder *b)
{
    enum gqa_status st;

    if ((st = fill_attentions(m, b)) != GQA_OK)
        return st;
    fill_dimensions(m, b);
    if ((st = fill_type(m, b)) != GQA_OK || (st = fill_config(m, b)) != GQA_OK)
        return st;
    if (b->config_path && !(m->config_path = strdup(b->config_path)))
        return gqa_fail_nomem();
    m->params = b->params.items;
    m->n_params = b->params.n;
    memset(&b->params, 0, sizeof b->params);
    m->family = b->family;
    b->family = NULL;
    return GQA_OK;
}

enum gqa_status gqa_model_create(struct gqa_model **out,
                                 const struct gqa_checkpoint *checkpoint,
                                 const struct gqa_model_hints *hints)
{
    static const struct gqa_model_hints none = {0};
    struct gqa_model_builder b = {.checkpoint = checkpoint,
                                  .hints = hints ? hints : &none,
                                  .choice = {.library = &gqa_builtin_families}};
    struct gqa_model *m = calloc(1, sizeof *m);
    enum gqa_status st;

    if (!m)
        return gqa_fail_nomem();
    b.choice.own = b.hints->family;
    b.config_path = gqa_checkpoint_config_path(checkpoint);
    if ((st = gqa_find_family(&b)) != GQA_OK || (st = fill(m, &b)) != GQA_OK)
        goto done;
    gqa_say_model(m, checkpoint);
    *out = m;
    m = NULL;
done:
    gqa_model_free(m);
    gqa_params_free(&b.params);
    free(b.found);
    gqa_family_free(b.family);
    json_decref(b.config);
    json_decref(b.outer);
    return st;
}

void gqa_model_free(struct gqa_model *model)
{
    struct gqa_params params;

    if (!model)
        return;
    params = (struct gqa_params){model->params, model->n_params, 0};
    gqa_params_free(&params);
    gqa_family_free(model->family);
    free(model->attentions);
    free(model->model_type);
    free(model->config_path);
    json_decref(model->config);
    json_decref(model->outer_config);
    free(model);
}

json_t *gqa_model_put_config(const struct gqa_model *model, json_t *config)
{
    json_t *whole;

    if (!model->within)
        return config;
    whole = json_deep_copy(model->outer_config);
    json_object_set_new(whole, model->within, config);
    return whole;
}

const struct gqa_nested *gqa_model_nested(const struct gqa_model *model)
{
    return model->within ? gqa_nested_find(model->model_type) : NULL;
}

json_t *gqa_model_whole_config(const struct gqa_model *model)
{
    return model->within ? model->outer_config : model->config;
}

bool gqa_config_tells_class(const json_t *config)
{
    return json_string_length(json_object_get(config, "model_type")) > 0 ||
           json_is_object(json_object_get(config, "auto_map"));
}

const json_t *gqa_model_config_in(const struct gqa_model *model,
                                  const json_t *whole)
{
    return model->within ? json_object_get(whole, model->within) : whole;
}

const struct gqa_attention *gqa_grouped_by_key(const struct gqa_model *model)
{
    const struct gqa_attention *last = NULL, *grouped = NULL;

    for (size_t i = 0; i < model->n_attentions; i++) {
        const struct gqa_attention *a = &model->attentions[i];

        if (a->stack != GQA_STACK_DECODER)
            continue;
        if (last && last->layer == a->layer &&
            last->n_kv_heads != a->n_kv_heads)
            return NULL;
        if (!grouped && a->n_kv_heads != a->n_heads)
            grouped = a;
        last = a;
    }
    return grouped;
}

uint64_t gqa_model_n_heads(const struct gqa_model *model)
{
    uint64_t n_heads = 0;

    for (size_t i = 0; i < model->n_attentions; i++)
        if (n_heads == 0 || model->attentions[i].stack == GQA_STACK_DECODER)
            n_heads = model->attentions[i].n_heads;
    return n_heads;
}

uint64_t gqa_model_kv_heads(const struct gqa_model *model)
{
    uint64_t n = 0;

    for (size_t i = 0; i < model->n_attentions; i++) {
        const struct gqa_attention *a = &model->attentions[i];

        if (a->stack != GQA_STACK_DECODER)
            continue;
        if (n != 0 && n != a->n_kv_heads)
            return 0;
        n = a->n_kv_heads;
    }
    return n;
}
