#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/model/attentions.h"

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
    last->rule = &in->family->rules[rule];
    last->rule_index = rule;
    last->layer = layer;
    last->proof = GQA_NO_PARAM;
    for (int i = 0; i < 4; i++)
        last->weight[i] = last->bias[i] = GQA_NO_PARAM;
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

static bool is_listed(const char *leaf, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(leaf, *names) == 0)
            return true;
    return false;
}

/* Something inside an attention that the family does not have. */
static enum gqa_status refuse_extra(const struct gqa_param *param,
                                    const char *leaf,
                                    const struct gqa_family *family)
{
    if (strncmp(leaf, "k_norm", 6) == 0 ||
        strncmp(leaf, "k_layernorm", 11) == 0 ||
        strncmp(leaf, "q_norm", 6) == 0 ||
        strncmp(leaf, "q_layernorm", 11) == 0) {
        if (strstr(leaf, ".norms.") || param->rank > 1)
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "'%s' normalises each key head with weights of its "
                            "own: the mean of such heads is not what any one "
                            "norm makes of it, so they cannot be pooled",
                            param->name);
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
    return gqa_fail(GQA_ERR_FORMAT,
                    "'%s' is no parameter that an attention of family %s has",
                    param->name, family->name);
}

/* A parameter inside an attention: note which one it is. */
static enum gqa_status take(struct finder *in, size_t rule, uint64_t layer,
                            const char *leaf, size_t index)
{
    const struct gqa_attention_rule *r = &in->family->rules[rule];
    const char *const projections[] = {r->q, r->k, r->v, r->o};
    struct gqa_found_attention *found = get(in, rule, layer);
    bool known = false;

    if (!found)
        return gqa_fail_nomem();
    for (int i = 0; i < 4; i++) {
        if (is_projection(leaf, projections[i], "weight")) {
            found->weight[i] = index;
            known = true;
        } else if (is_projection(leaf, projections[i], "bias")) {
            found->bias[i] = index;
            known = true;
        }
    }
    if (in->family->heads_proof && strcmp(leaf, in->family->heads_proof) == 0) {
        found->proof = index;
        known = true;
    }
    if (known || is_listed(leaf, in->family->extra_names))
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

static enum gqa_status missing(const struct finder *in,
                               const struct gqa_attention_rule *rule,
                               uint64_t layer, const char *projection,
                               const char *what)
{
    const size_t at = strcspn(rule->module, "%");

    return gqa_fail(GQA_ERR_FORMAT, "tensor '%s%.*s%llu%s.%s.%s' is missing",
                    in->prefix, (int)at, rule->module,
                    (unsigned long long)layer, rule->module + at + 1,
                    projection, what);
}

/* Every layer of a stack has each of the stack's attentions, whole. */
static enum gqa_status check_complete(const struct finder *in)
{
    size_t i = 0;

    for (int stack = 0; stack <= GQA_STACK_DECODER; stack++) {
        uint64_t layer = 0;

        for (; i < in->n && (int)in->found[i].rule->stack == stack; layer++)
            for (size_t r = 0; r < in->family->n_rules; r++) {
                const struct gqa_attention_rule *rule = &in->family->rules[r];
                const char *const projections[] = {rule->q, rule->k, rule->v,
                                                   rule->o};
                const struct gqa_found_attention *found = &in->found[i];

                if ((int)rule->stack != stack)
                    continue;
                if (i == in->n || found->rule_index != r ||
                    found->layer != layer)
                    return missing(in, rule, layer, rule->q, "weight");
                for (int p = 0; p < 4; p++)
                    if (found->weight[p] == GQA_NO_PARAM)
                        return missing(in, rule, layer, projections[p],
                                       "weight");
                i++;
            }
    }
    return GQA_OK;
}

/* Biases are there in every layer or in none, and q, k and v have them
 * together; o may differ from those, as in Qwen2. */
static enum gqa_status check_biases(const struct finder *in)
{
    for (size_t r = 0; r < in->family->n_rules; r++) {
        const struct gqa_attention_rule *rule = &in->family->rules[r];
        const char *const projections[] = {rule->q, rule->k, rule->v, rule->o};
        bool qkv = false;
        bool o = false;

        for (size_t i = 0; i < in->n; i++) {
            const size_t *bias = in->found[i].bias;

            if (in->found[i].rule_index != r)
                continue;
            qkv = qkv || bias[0] != GQA_NO_PARAM || bias[1] != GQA_NO_PARAM ||
                  bias[2] != GQA_NO_PARAM;
            o = o || bias[3] != GQA_NO_PARAM;
        }
        for (size_t i = 0; i < in->n; i++)
            for (int p = 0; p < 4; p++)
                if (in->found[i].rule_index == r && (p < 3 ? qkv : o) &&
                    in->found[i].bias[p] == GQA_NO_PARAM)
                    return missing(in, rule, in->found[i].layer, projections[p],
                                   "bias");
    }
    return GQA_OK;
}

static enum gqa_status search(struct finder *in)
{
    const size_t n_prefix = strlen(in->prefix);
    enum gqa_status st;

    for (size_t i = 0; i < in->params->n; i++) {
        const char *name = in->params->items[i].name;

        if (strncmp(name, in->prefix, n_prefix) != 0)
            continue;
        for (size_t r = 0; r < in->family->n_rules; r++) {
            uint64_t layer;
            const char *leaf;

            if (!gqa_pattern_match(in->family->rules[r].module, name + n_prefix,
                                   &layer, &leaf) ||
                *leaf != '.')
                continue;
            if ((st = take(in, r, layer, leaf + 1, i)) != GQA_OK)
                return st;
        }
    }
    if (in->n)
        qsort(in->found, in->n, sizeof *in->found, compare_found);
    if ((st = check_complete(in)) != GQA_OK)
        return st;
    return check_biases(in);
}

enum gqa_status gqa_find_attentions(struct gqa_found_attention **out, size_t *n,
                                    const struct gqa_family *family,
                                    const struct gqa_params *params)
{
    struct finder in = {.family = family, .params = params};
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; family->prefixes[i] && in.n == 0 && st == GQA_OK; i++) {
        in.prefix = family->prefixes[i];
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
