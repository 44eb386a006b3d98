#include "formats/model/network_params.h"

#include <stdio.h>
#include <string.h>

#include "common/ull.h"
#include "formats/model/params.h"

/* --- Names --------------------------------------------------------------- */

const char *gqa_prefix_of(const struct gqa_model *model)
{
    const struct gqa_family *family = model->family;
    const char *name = model->params[model->attentions[0].q.weight].name;

    for (gqa_texts prefix = family->names.prefixes; *prefix; prefix++) {
        const size_t n = strlen(*prefix);

        for (size_t r = 0; r < family->n_attentions; r++) {
            uint64_t layer;
            const char *leaf;

            if (strncmp(name, *prefix, n) == 0 &&
                gqa_pattern_match(family->attentions[r]->pattern, name + n,
                                  &layer, &leaf))
                return *prefix;
        }
    }
    return "";
}

const char *gqa_stem_of(struct gqa_stem *out,
                        const struct gqa_network_builder *b, const char *module)
{
    snprintf(out->text, sizeof out->text, "%s%s", b->prefix, module);
    return out->text;
}

const char *gqa_stem_in(struct gqa_stem *out,
                        const struct gqa_network_builder *b, const char *layers,
                        size_t layer, const char *module)
{
    const size_t at = strcspn(layers, "%");

    snprintf(out->text, sizeof out->text, "%s%.*s%zu%s.%s", b->prefix, (int)at,
             layers, layer, layers + at + 1, module);
    return out->text;
}

bool gqa_find_param(const struct gqa_network_builder *b, const char *name,
                    size_t *index)
{
    const struct gqa_params params = {b->model->params, b->model->n_params, 0};

    return gqa_params_find(&params, name, index);
}

/* "stem.what" */
static enum gqa_status take_part(size_t *out,
                                 const struct gqa_network_builder *b,
                                 const char *stem, const char *what,
                                 bool optional)
{
    char name[2 * GQA_MAX_NAME + 8];

    snprintf(name, sizeof name, "%s.%s", stem, what);
    return gqa_take_param(out, b, name, optional);
}

enum gqa_status gqa_take_param(size_t *out, const struct gqa_network_builder *b,
                               const char *name, bool optional)
{
    *out = GQA_NO_PARAM;
    if (!gqa_find_param(b, name, out))
        return optional ? GQA_OK
                        : gqa_fail(GQA_ERR_FORMAT,
                                   "'%s' is missing: a model of family %s "
                                   "cannot be run without it",
                                   name, b->family->name);
    if (b->model->params[*out].n_elements == 0)
        return gqa_fail(GQA_ERR_FORMAT, "'%s' is empty", name);
    if (!gqa_dtype_is_float(b->model->params[*out].dtype))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "'%s' is of type %s; only floats can be run", name,
                        gqa_dtype_name(b->model->params[*out].dtype));
    return GQA_OK;
}

/* --- Shapes -------------------------------------------------------------- */

enum gqa_status gqa_check_vector(const struct gqa_network_builder *b,
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

enum gqa_status gqa_check_matrix(const struct gqa_network_builder *b,
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

uint64_t gqa_linear_outputs(const struct gqa_network_builder *b,
                            const struct gqa_linear *l)
{
    const struct gqa_param *p = &b->model->params[l->weight];

    if (l->rows)
        return l->input_major ? l->cols : l->rows;
    return l->input_major ? p->cols : p->rows;
}

enum gqa_status gqa_linear_halves(struct gqa_linear *first,
                                  struct gqa_linear *second,
                                  const struct gqa_network_builder *b)
{
    const struct gqa_param *p = &b->model->params[first->weight];

    if (first->bias != GQA_NO_PARAM || first->input_major)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "'%s' holds two projections, which cannot be run with "
                        "a bias or with inputs in rows",
                        p->name);
    if (p->rank != 2 || p->rows % 2 != 0)
        return gqa_fail(GQA_ERR_FORMAT,
                        "'%s' has %llu rows, which are not two projections of "
                        "the same length",
                        p->name, ULL(p->rows));
    first->rows = second->rows = p->rows / 2;
    first->cols = second->cols = p->cols;
    second->offset = second->rows * second->cols;
    return GQA_OK;
}

enum gqa_status gqa_check_linear(const struct gqa_network_builder *b,
                                 const struct gqa_linear *l, uint64_t inputs,
                                 uint64_t outputs)
{
    const uint64_t rows = l->input_major ? inputs : outputs;
    const uint64_t cols = l->input_major ? outputs : inputs;
    enum gqa_status st;

    if (l->rows)
        return l->rows == rows && l->cols == cols
                   ? GQA_OK
                   : gqa_fail(GQA_ERR_FORMAT,
                              "'%s' has matrices of shape [%llu, %llu], not "
                              "the [%llu, %llu] that belong there",
                              b->model->params[l->weight].name, ULL(l->rows),
                              ULL(l->cols), ULL(rows), ULL(cols));
    st = gqa_check_matrix(b, l->weight, rows, cols);
    return st == GQA_OK ? gqa_check_vector(b, l->bias, outputs) : st;
}

/* --- Parts --------------------------------------------------------------- */

/* Stock loaders drop a bias that the configuration does not ask for. */
static enum gqa_status check_bias(const struct gqa_network_builder *b,
                                  const struct gqa_linear *linear,
                                  const struct gqa_setting *bias)
{
    const bool has = linear->bias != GQA_NO_PARAM;
    const char *name = b->model->params[linear->weight].name;
    const json_t *value;
    const char *key;
    enum gqa_status st;

    st = gqa_setting_get(&value, &key, bias, b->model->config);
    if (st != GQA_OK || !value || !json_is_boolean(value) ||
        json_is_true(value) == has)
        return st;
    /* A default is the key's too. */
    if (!key && gqa_is_setting(bias->json)) {
        const json_t *keys = json_object_get(bias->json, "key");

        key = json_string_value(json_is_array(keys) ? json_array_get(keys, 0)
                                                    : keys);
    }
    if (key)
        return gqa_fail(GQA_ERR_FORMAT,
                        "'%s' has %s bias, but the configuration (%s) asks "
                        "for %s",
                        name, has ? "a" : "no", key, has ? "none" : "one");
    return gqa_fail(GQA_ERR_FORMAT,
                    "'%s' has %s bias, but models of family %s have %s", name,
                    has ? "a" : "no", b->family->name, has ? "none" : "one");
}

enum gqa_status gqa_take_linear(struct gqa_linear *out,
                                const struct gqa_network_builder *b,
                                const char *stem,
                                const struct gqa_setting *bias)
{
    enum gqa_status st;

    out->input_major = b->family->weights == GQA_WEIGHTS_IN_OUT;
    if ((st = take_part(&out->weight, b, stem, "weight", false)) != GQA_OK ||
        (st = take_part(&out->bias, b, stem, "bias", true)) != GQA_OK)
        return st;
    return check_bias(b, out, bias);
}

/* A vector of a norm; a part that the family's norms have not, but that is
 * there, would be left out of what is computed. */
static enum gqa_status take_norm_part(size_t *out,
                                      const struct gqa_network_builder *b,
                                      const char *stem, const char *what,
                                      enum gqa_part_presence presence,
                                      uint64_t width)
{
    enum gqa_status st =
        take_part(out, b, stem, what, presence != GQA_PART_PRESENT);

    if (st != GQA_OK)
        return st;
    if (presence == GQA_PART_ABSENT && *out != GQA_NO_PARAM)
        return gqa_fail(GQA_ERR_FORMAT,
                        "'%s' is there, but norms of family %s have no %s",
                        b->model->params[*out].name, b->family->name, what);
    return gqa_check_vector(b, *out, width);
}

/* The norm of a module, as the rule says. */
static enum gqa_status take_norm(struct gqa_norm *out,
                                 const struct gqa_network_builder *b,
                                 const char *stem,
                                 const struct gqa_norm_rule *rule,
                                 uint64_t width)
{
    enum gqa_part_presence weight, bias;
    enum gqa_status st;

    out->kind = rule->kind;
    out->one_plus = rule->one_plus;
    if ((st = gqa_setting_number(&out->eps, &rule->eps, b->model->config)) !=
            GQA_OK ||
        (st = gqa_norm_parts(&weight, &bias, rule, b->model->config)) !=
            GQA_OK ||
        (st = take_norm_part(&out->weight, b, stem, "weight", weight, width)) !=
            GQA_OK)
        return st;
    return take_norm_part(&out->bias, b, stem, "bias", bias, width);
}

static const struct gqa_norm no_norm = {
    .kind = GQA_NORM_NONE, .weight = GQA_NO_PARAM, .bias = GQA_NO_PARAM};

enum gqa_status gqa_take_norm(struct gqa_norm *out,
                              const struct gqa_network_builder *b,
                              const char *layers, size_t layer,
                              const struct gqa_setting *module, uint64_t width)
{
    const char *name = NULL;
    struct gqa_stem stem = {""};
    enum gqa_status st;

    *out = no_norm;
    st = gqa_setting_text(&name, module, b->model->config);
    if (st != GQA_OK || !name)
        return st;
    if (layers)
        gqa_stem_in(&stem, b, layers, layer, name);
    else
        gqa_stem_of(&stem, b, name);
    return take_norm(out, b, stem.text, &b->family->norm, width);
}

enum gqa_status gqa_take_norm_at(struct gqa_norm *out,
                                 const struct gqa_network_builder *b,
                                 const char *stem, uint64_t width)
{
    *out = no_norm;
    return take_norm(out, b, stem, &b->family->norm, width);
}

const char *gqa_name_beside(char *room, size_t size, const char *name,
                            const char *leaf)
{
    const char *dot = strrchr(name, '.');

    snprintf(room, size, "%.*s%s", dot ? (int)(dot + 1 - name) : 0, name, leaf);
    return room;
}

enum gqa_status gqa_take_sublayer_norms(struct gqa_norm *before,
                                        struct gqa_norm *output,
                                        struct gqa_norm *after,
                                        const struct gqa_network_builder *b,
                                        const char *layers, size_t layer,
                                        const struct gqa_sublayer_norms *rule)
{
    enum gqa_status st;

    const uint64_t width = b->network->d_model;

    if ((st = gqa_take_norm(before, b, layers, layer, &rule->norm, width)) !=
            GQA_OK ||
        (st = gqa_take_norm(output, b, layers, layer, &rule->output_norm,
                            width)) != GQA_OK)
        return st;
    return gqa_take_norm(after, b, layers, layer, &rule->after_norm, width);
}

/* Stock loaders drop a norm that the configuration does not ask for. */
static enum gqa_status check_no_head_norm(const struct gqa_network_builder *b,
                                          const struct gqa_attention_rule *rule,
                                          const struct gqa_attention *heads,
                                          const struct gqa_setting *module)
{
    const char *choice;

    for (size_t i = 0; (choice = gqa_setting_choice(module, i)); i++) {
        struct gqa_stem stem = {""};
        size_t weight;
        enum gqa_status st;

        gqa_stem_in(&stem, b, rule->pattern, (size_t)heads->layer, choice);
        st = take_part(&weight, b, stem.text, "weight", true);
        if (st == GQA_OK && weight != GQA_NO_PARAM)
            st = gqa_fail(GQA_ERR_FORMAT,
                          "'%s' is there, but the configuration asks for no "
                          "such norm",
                          b->model->params[weight].name);
        if (st != GQA_OK)
            return st;
    }
    return GQA_OK;
}

enum gqa_status gqa_take_head_norm(struct gqa_norm *out,
                                   const struct gqa_network_builder *b,
                                   const struct gqa_attention_rule *rule,
                                   const struct gqa_attention *heads,
                                   const struct gqa_setting *module)
{
    const uint64_t n_heads = module == &rule->head_norms.module[1]
                                 ? heads->n_kv_heads
                                 : heads->n_heads;
    const uint64_t width = heads->head_dim * (heads->full_norms ? n_heads : 1);
    const char *name = NULL;
    struct gqa_stem stem = {""};
    enum gqa_status st;

    *out = no_norm;
    if ((st = gqa_setting_text(&name, module, b->model->config)) != GQA_OK)
        return st;
    if (!name)
        return check_no_head_norm(b, rule, heads, module);
    gqa_stem_in(&stem, b, rule->pattern, (size_t)heads->layer, name);
    return take_norm(out, b, stem.text, &rule->head_norms.norm, width);
}
