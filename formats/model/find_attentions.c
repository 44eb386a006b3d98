#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/model/attentions.h"
#include "formats/model/leftover.h"

struct finder {
    const struct gqa_family *family;
    const struct gqa_params *params;
    const char *prefix;
    struct gqa_found_attention *found;
    size_t n, capacity;
};

const char *gqa_attention_label(enum gqa_stack stack,
                                enum gqa_attention_kind kind, uint64_t layer)
{
    static _Thread_local char label[80];

    snprintf(label, sizeof label, "%s %s-attention of layer %llu",
             gqa_stack_name(stack), gqa_attention_kind_name(kind),
             (unsigned long long)layer);
    return label;
}

/* The attention of this rule and layer; parameters come sorted by name, so
 * it is mostly the last one. */
static struct gqa_found_attention *get(struct finder *in, size_t rule,
                                       uint64_t layer)
{
    struct gqa_found_attention *last = in->n ? &in->found[in->n - 1] : NULL;

    if (last && last->rule_index == rule && last->layer == layer)
        return last;
    if (in->n == in->capacity) {
        const size_t capacity = in->capacity ? 2 * in->capacity : 32;
        struct gqa_found_attention *grown =
            reallocarray(in->found, capacity, sizeof *grown);

        if (!grown)
            return NULL;
        in->found = grown;
        in->capacity = capacity;
    }
    last = &in->found[in->n++];
    last->rule = in->family->attentions[rule];
    last->rule_index = rule;
    last->layer = layer;
    last->input_major = in->family->weights == GQA_WEIGHTS_IN_OUT;
    last->proof = last->sinks = GQA_NO_PARAM;
    for (int i = 0; i < 4; i++)
        last->weight[i] = last->bias[i] = GQA_NO_PARAM;
    for (int i = 0; i < 2; i++)
        last->head_norm[i][0] = last->head_norm[i][1] = GQA_NO_PARAM;
    return last;
}

/* Does leaf name this projection's weight or bias? */
static bool is_projection(const char *leaf, const char *projection,
                          const char *what)
{
    const size_t n = strlen(projection);

    return strncmp(leaf, projection, n) == 0 && leaf[n] == '.' &&
           strcmp(leaf + n + 1, what) == 0;
}

static bool is_listed(const char *leaf, gqa_texts names)
{
    for (; names && *names; names++)
        if (strcmp(leaf, *names) == 0)
            return true;
    return false;
}

static enum gqa_status refuse_per_head(const struct gqa_param *param)
{
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "'%s' normalises each key head with weights of its "
                    "own: the mean of such heads is not what any one "
                    "norm makes of it, so they cannot be pooled",
                    param->name);
}

/* Something inside an attention that the family does not have. */
static enum gqa_status refuse_extra(const struct gqa_param *param,
                                    const char *leaf,
                                    const struct gqa_family *family)
{
    const char *cause;

    if (strncmp(leaf, "k_norm", 6) == 0 ||
        strncmp(leaf, "k_layernorm", 11) == 0 ||
        strncmp(leaf, "q_norm", 6) == 0 ||
        strncmp(leaf, "q_layernorm", 11) == 0) {
        if (strstr(leaf, ".norms.") || param->rank > 1)
            return refuse_per_head(param);
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "'%s' normalises queries or keys, which models of "
                        "family %s do not do: not a model we know",
                        param->name, family->name);
    }
    if (strstr(leaf, "scale") || strstr(leaf, "qweight") ||
        strstr(leaf, "qzeros") || strstr(leaf, "SCB") ||
        strstr(leaf, "absmax") || strstr(leaf, "quant"))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "'%s': quantised projections cannot be pooled; convert "
                        "the unquantised checkpoint, then quantise",
                        param->name);
    cause = gqa_leftover_cause(leaf);
    return gqa_fail(cause ? GQA_ERR_UNSUPPORTED : GQA_ERR_FORMAT,
                    "'%s' is no parameter that an attention of family %s "
                    "has%s%s",
                    param->name, family->name, cause ? ": " : "",
                    cause ? cause : "");
}

/* What stands behind the module of a norm of queries (0) or keys (1), or
 * NULL. */
static const char *in_head_norm(struct gqa_found_attention *found, int which,
                                const char *leaf)
{
    const struct gqa_setting *s = &found->rule->head_norms.module[which];
    const char *module;

    for (size_t i = 0; (module = gqa_setting_choice(s, i)); i++) {
        const size_t n = strlen(module);

        if (strncmp(leaf, module, n) != 0 || leaf[n] != '.')
            continue;
        found->head_norm_module[which] = module;
        return leaf + n + 1;
    }
    return NULL;
}

/* A parameter of such a norm; *known: it is one. */
static enum gqa_status take_head_norm(bool *known,
                                      struct gqa_found_attention *found,
                                      const struct gqa_param *param,
                                      const char *leaf, size_t index)
{
    for (int which = 0; which < 2; which++) {
        const char *part = in_head_norm(found, which, leaf);

        if (!part)
            continue;
        if (found->rule->head_norms.weights == GQA_HEAD_NORM_PER_HEAD)
            return refuse_per_head(param);
        *known = strcmp(part, "weight") == 0 || strcmp(part, "bias") == 0;
        if (*known)
            found->head_norm[which][part[0] == 'b'] = index;
    }
    return GQA_OK;
}

/* Whether it is of a norm of the sublayer, which BERT has in the attention's
 * module. leaf: behind that. */
static bool is_sublayer_norm(const struct gqa_attention_rule *rule,
                             const char *leaf)
{
    const struct gqa_setting *const norms[] = {
        &rule->norms.norm, &rule->norms.output_norm, &rule->norms.after_norm};
    const size_t n = strlen(rule->module);
    const char *name;

    for (size_t k = 0; k < sizeof norms / sizeof *norms; k++)
        for (size_t i = 0; (name = gqa_setting_choice(norms[k], i)); i++)
            if (strncmp(name, rule->module, n) == 0 && name[n] == '.' &&
                (is_projection(leaf, name + n + 1, "weight") ||
                 is_projection(leaf, name + n + 1, "bias")))
                return true;
    return false;
}

/* Whether it is the norm or the table of summaries. */
static bool is_of_summaries(const struct gqa_attention_rule *rule,
                            const char *leaf)
{
    const struct gqa_summaries_rule *s = &rule->summaries;
    const char *norm;

    if (!s->given)
        return false;
    for (size_t i = 0; (norm = gqa_setting_choice(&s->norm, i)); i++)
        if (is_projection(leaf, norm, "weight") ||
            is_projection(leaf, norm, "bias"))
            return true;
    return is_projection(leaf, s->table, "weight");
}

/* A parameter inside an attention: note which one it is. */
static enum gqa_status take(struct finder *in, size_t rule, uint64_t layer,
                            const char *leaf, size_t index)
{
    const struct gqa_attention_rule *r = in->family->attentions[rule];
    const struct gqa_family_names *names = &in->family->names;
    struct gqa_found_attention *found = get(in, rule, layer);
    bool known = false;
    enum gqa_status st;

    if (!found)
        return gqa_fail_nomem();
    st = take_head_norm(&known, found, &in->params->items[index], leaf, index);
    if (st != GQA_OK)
        return st;
    for (int i = 0; i < 4; i++) {
        if (is_projection(leaf, r->names[i], "weight")) {
            found->weight[i] = index;
            known = true;
        } else if (is_projection(leaf, r->names[i], "bias")) {
            found->bias[i] = index;
            known = true;
        }
    }
    if (names->heads_proof && strcmp(leaf, names->heads_proof) == 0) {
        found->proof = index;
        known = true;
    }
    if (r->sinks && strcmp(leaf, r->sinks) == 0) {
        found->sinks = index;
        known = true;
    }
    known = known || (r->output_bias && strcmp(leaf, r->output_bias) == 0);
    if (known || is_listed(leaf, names->ignored) || is_sublayer_norm(r, leaf) ||
        is_of_summaries(r, leaf))
        return GQA_OK;
    return refuse_extra(&in->params->items[index], leaf, in->family);
}

static int compare_found(const void *a, const void *b)
{
    const struct gqa_found_attention *x = a;
    const struct gqa_found_attention *y = b;

    if (x->rule->stack != y->rule->stack)
        return x->rule->stack < y->rule->stack ? -1 : 1;
    if (x->layer != y->layer)
        return x->layer < y->layer ? -1 : 1;
    return x->rule_index < y->rule_index   ? -1
           : x->rule_index > y->rule_index ? 1
                                           : 0;
}

/* what: of a module; NULL: it is none. */
static enum gqa_status missing(const struct finder *in,
                               const struct gqa_attention_rule *rule,
                               uint64_t layer, const char *projection,
                               const char *what)
{
    const size_t at = strcspn(rule->pattern, "%");

    return gqa_fail(GQA_ERR_FORMAT, "tensor '%s%.*s%llu%s.%s%s%s' is missing",
                    in->prefix, (int)at, rule->pattern,
                    (unsigned long long)layer, rule->pattern + at + 1,
                    projection, what ? "." : "", what ? what : "");
}

/* An attention that not every model of the family has: a layer has it where
 * another one does. */
static bool is_absent(const struct finder *in, size_t r)
{
    if (!in->family->attentions[r]->when.json)
        return false;
    for (size_t i = 0; i < in->n; i++)
        if (in->found[i].rule_index == r)
            return false;
    return true;
}

/* Every layer of a stack has each of the stack's attentions, whole. */
static enum gqa_status check_complete(const struct finder *in)
{
    size_t i = 0;

    for (int stack = 0; stack <= GQA_STACK_DECODER; stack++) {
        uint64_t layer = 0;

        for (; i < in->n && (int)in->found[i].rule->stack == stack; layer++)
            for (size_t r = 0; r < in->family->n_attentions; r++) {
                const struct gqa_attention_rule *rule =
                    in->family->attentions[r];
                const struct gqa_found_attention *found = &in->found[i];

                if ((int)rule->stack != stack || is_absent(in, r))
                    continue;
                if (i == in->n || found->rule_index != r ||
                    found->layer != layer)
                    return missing(in, rule, layer, rule->names[0], "weight");
                for (int p = 0; p < 4; p++)
                    if (found->weight[p] == GQA_NO_PARAM)
                        return missing(in, rule, layer, rule->names[p],
                                       "weight");
                if (rule->sinks && found->sinks == GQA_NO_PARAM)
                    return missing(in, rule, layer, rule->sinks, NULL);
                i++;
            }
    }
    return GQA_OK;
}

/* Whether some layer has the bias, or that of a projection among q, k and v
 * whose biases the same setting decides. */
static bool any_has(const struct finder *in, size_t r, int projection)
{
    const struct gqa_attention_rule *rule = in->family->attentions[r];

    for (size_t i = 0; i < in->n; i++) {
        const struct gqa_found_attention *found = &in->found[i];

        if (found->rule_index != r)
            continue;
        if (found->bias[projection] != GQA_NO_PARAM)
            return true;
        for (int p = 0; p < 3 && projection < 3; p++)
            if (found->bias[p] != GQA_NO_PARAM &&
                json_equal(rule->bias[p].json, rule->bias[projection].json))
                return true;
    }
    return false;
}

/* Biases are there in every layer or in none, and where the family says. */
static enum gqa_status check_bias(const struct finder *in, size_t r,
                                  int projection)
{
    const struct gqa_attention_rule *rule = in->family->attentions[r];
    const char *name = rule->names[projection];
    const enum gqa_part_presence said = gqa_bias_said(&rule->bias[projection]);
    const bool needed = said == GQA_PART_PRESENT || any_has(in, r, projection);

    for (size_t i = 0; i < in->n; i++) {
        const struct gqa_found_attention *found = &in->found[i];

        if (found->rule_index != r)
            continue;
        if (found->bias[projection] == GQA_NO_PARAM) {
            if (needed)
                return missing(in, rule, found->layer, name, "bias");
        } else if (said == GQA_PART_ABSENT) {
            return gqa_fail(GQA_ERR_FORMAT,
                            "'%s': models of %s %s have no such bias",
                            in->params->items[found->bias[projection]].name,
                            in->family->model_type ? "type" : "family",
                            in->family->model_type ? in->family->model_type
                                                   : in->family->name);
        }
    }
    return GQA_OK;
}

static enum gqa_status check_biases(const struct finder *in)
{
    enum gqa_status st = GQA_OK;

    for (size_t r = 0; r < in->family->n_attentions; r++)
        for (int p = 0; p < 4 && st == GQA_OK; p++)
            st = check_bias(in, r, p);
    return st;
}

/* Likewise the norms of heads. */
static enum gqa_status check_head_norm(const struct finder *in, size_t r,
                                       int which, int part)
{
    const char *module = NULL;

    for (size_t i = 0; i < in->n; i++)
        if (in->found[i].rule_index == r &&
            in->found[i].head_norm[which][part] != GQA_NO_PARAM)
            module = in->found[i].head_norm_module[which];
    for (size_t i = 0; i < in->n && module; i++)
        if (in->found[i].rule_index == r &&
            in->found[i].head_norm[which][part] == GQA_NO_PARAM)
            return missing(in, in->family->attentions[r], in->found[i].layer,
                           module, part ? "bias" : "weight");
    return GQA_OK;
}

static enum gqa_status check_head_norms(const struct finder *in)
{
    enum gqa_status st = GQA_OK;

    for (size_t r = 0; r < in->family->n_attentions; r++)
        for (int i = 0; i < 4 && st == GQA_OK; i++)
            st = check_head_norm(in, r, i / 2, i % 2);
    return st;
}

static enum gqa_status search(struct finder *in)
{
    const size_t n_prefix = strlen(in->prefix);
    enum gqa_status st;

    for (size_t i = 0; i < in->params->n; i++) {
        const char *name = in->params->items[i].name;

        if (strncmp(name, in->prefix, n_prefix) != 0)
            continue;
        for (size_t r = 0; r < in->family->n_attentions; r++) {
            uint64_t layer;
            const char *leaf;

            if (!gqa_pattern_match(in->family->attentions[r]->pattern,
                                   name + n_prefix, &layer, &leaf) ||
                *leaf != '.')
                continue;
            if ((st = take(in, r, layer, leaf + 1, i)) != GQA_OK)
                return st;
        }
    }
    if (in->n)
        qsort(in->found, in->n, sizeof *in->found, compare_found);
    if ((st = check_complete(in)) != GQA_OK ||
        (st = check_biases(in)) != GQA_OK)
        return st;
    return check_head_norms(in);
}

enum gqa_status gqa_find_attentions(struct gqa_found_attention **out, size_t *n,
                                    const struct gqa_family *family,
                                    const struct gqa_params *params)
{
    struct finder in = {.family = family, .params = params};
    enum gqa_status st = GQA_OK;

    *out = NULL;
    *n = 0;
    for (gqa_texts prefix = family->names.prefixes;
         *prefix && in.n == 0 && st == GQA_OK; prefix++) {
        in.prefix = *prefix;
        st = search(&in);
    }
    if (st != GQA_OK) {
        free(in.found);
        return st;
    }
    *out = in.found;
    *n = in.n;
    return GQA_OK;
}
