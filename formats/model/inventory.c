#include "formats/model/inventory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/strings.h"
#include "formats/model/buffers.h"
#include "formats/model/inventory_taking.h"
#include "formats/model/leftover.h"
#include "formats/model/network_refused.h"
#include "formats/model/tied.h"

/* --- What is left --------------------------------------------------------- */

/* Behind the family's prefix, the attention's parameter that this is; NULL:
 * none. */
static const char *leaf_in_attention(const struct gqa_taking *t,
                                     const char *name,
                                     enum gqa_attention_kind *kind)
{
    const size_t n = strlen(t->names.prefix);

    for (size_t r = 0; r < t->family->n_attentions; r++) {
        const struct gqa_attention_rule *rule = t->family->attentions[r];
        uint64_t layer;
        const char *leaf;

        if (strncmp(name, t->names.prefix, n) == 0 &&
            gqa_pattern_match(rule->pattern, name + n, &layer, &leaf) &&
            *leaf == '.') {
            *kind = rule->kind;
            return leaf + 1;
        }
    }
    return NULL;
}

static bool is_buffer(const struct gqa_taking *t, const char *name)
{
    const struct gqa_family_names *names = &t->family->names;
    const size_t n = strlen(t->names.prefix);
    enum gqa_attention_kind kind = GQA_ATTENTION_SELF;
    const char *leaf = leaf_in_attention(t, name, &kind);

    if (gqa_name_is_buffer(name) || (strncmp(name, t->names.prefix, n) == 0 &&
                                     gqa_family_ignores(t->family, name + n)))
        return true;
    /* T5's first checkpoints have a table where nothing reads it. */
    return leaf && names->heads_proof && kind == GQA_ATTENTION_CROSS &&
           strcmp(leaf, names->heads_proof) == 0;
}

static bool is_copy(const struct gqa_taking *t, const char *name)
{
    const size_t n = strlen(t->names.prefix);
    gqa_texts copy = t->family->names.copies;

    if (strncmp(name, t->names.prefix, n) != 0)
        return false;
    for (; copy && *copy; copy++) {
        const size_t m = strlen(*copy);

        if (strncmp(name + n, *copy, m) == 0 &&
            strcmp(name + n + m, ".weight") == 0)
            return true;
    }
    return false;
}

/* Is it the module, or in it? */
static bool is_within(const char *name, const char *module)
{
    const size_t n = strlen(module);

    return strncmp(name, module, n) == 0 && (name[n] == '.' || name[n] == '\0');
}

/* In a module that the family has beside its stacks: behind the prefix, or
 * outside of what has it. */
static bool is_beside(const struct gqa_taking *t, const char *name)
{
    const size_t n = strlen(t->names.prefix);
    const bool has_prefix = strncmp(name, t->names.prefix, n) == 0;
    gqa_texts module = t->family->names.beside;

    for (; module && *module; module++)
        if (is_within(name, *module) ||
            (has_prefix && is_within(name + n, *module)))
            return true;
    return false;
}

/* Of a weight of the network that is no plain float, beside it. */
static bool is_scale(const struct gqa_taking *t, const char *name)
{
    char weight[2 * GQA_MAX_NAME + 8];
    size_t index;

    /* "module.scales", "module.weight.absmax", "module.weight.a.b" */
    for (size_t n = strlen(name), dots = 0; n > 0 && dots < 3; n--) {
        if (name[n] != '.')
            continue;
        dots++;
        if (n > GQA_MAX_NAME || !gqa_name_is_scale(name, n))
            continue;
        snprintf(weight, sizeof weight, "%.*s.weight", (int)n, name);
        if (gqa_taking_find(t, weight, &index) &&
            t->out->roles[index] == GQA_ROLE_NETWORK &&
            !gqa_dtype_is_float(t->model->params[index].dtype))
            return true;
    }
    return false;
}

/* A class with a head of its own has it outside of what all classes have. */
static bool is_head(const struct gqa_taking *t, const char *name)
{
    const size_t n = strlen(t->names.prefix);

    if (!gqa_class_named(t->model, GQA_CLASS_TASK) ||
        gqa_name_is_attention(name) || gqa_leftover_cause(name))
        return false;
    return n == 0 ? !strstr(name, ".0.")
                  : strncmp(name, t->names.prefix, n) != 0;
}

static enum gqa_status sort_out(struct gqa_taking *t, size_t index)
{
    const struct gqa_param *p = &t->model->params[index];
    enum gqa_param_role *role = &t->out->roles[index];
    const char *cause = gqa_leftover_cause(p->name);
    enum gqa_fault_kind kind;

    if (*role != GQA_ROLE_EXTRA)
        return GQA_OK;
    if (is_buffer(t, p->name))
        *role = GQA_ROLE_BUFFER;
    else if (is_copy(t, p->name))
        *role = GQA_ROLE_COPY;
    else if (is_beside(t, p->name))
        *role = GQA_ROLE_BESIDE;
    else if (is_scale(t, p->name))
        *role = GQA_ROLE_SCALE;
    else if (is_head(t, p->name))
        *role = GQA_ROLE_HEAD;
    else if (t->model->within &&
             strncmp(p->name, t->names.prefix, strlen(t->names.prefix)) != 0)
        *role = GQA_ROLE_OUTER;
    if (*role == GQA_ROLE_COPY &&
        !gqa_shape_fits(p, 2, t->vocab_size, t->model->d_model)) {
        const uint64_t wanted[] = {t->vocab_size, t->model->d_model};
        struct gqa_shape_text found = {""}, expected = {""};

        return gqa_taking_fault(t, GQA_FAULT_SHAPE, p->name,
                                "'%s' is %s, not %s", p->name,
                                gqa_shape_text(&found, p->rank, p->shape),
                                gqa_shape_text(&expected, 2, wanted));
    }
    if (*role != GQA_ROLE_EXTRA)
        return GQA_OK;
    if (cause && !t->out->extra_cause) {
        t->out->extra_cause = cause;
        t->telling_name = p->name;
    }
    kind =
        gqa_name_is_attention(p->name) ? GQA_FAULT_ATTENTION : GQA_FAULT_EXTRA;
    return gqa_taking_fault(t, kind, p->name, "'%s'", p->name);
}

/* --- Causes --------------------------------------------------------------- */

/* "model-00001-of-00002.safetensors": its number and how many there are. */
static bool is_shard(const char *path, unsigned long *number, unsigned long *n)
{
    const char *base = strrchr(path, '/');
    const char *of = strstr(base ? base : path, "-of-");
    const char *at = of;
    char *end;

    while (at && at > path && at[-1] >= '0' && at[-1] <= '9')
        at--;
    if (!of || at == of)
        return false;
    *number = strtoul(at, NULL, 10);
    *n = strtoul(of + 4, &end, 10);
    return end != of + 4;
}

static bool lacks_unembedding_alone(const struct gqa_taking *t)
{
    const struct gqa_inventory *out = t->out;

    for (size_t i = 0; i < out->n_faults; i++)
        if (out->faults[i].kind == GQA_FAULT_MISSING &&
            !gqa_name_is_unembedding(t->model, out->faults[i].name))
            return false;
    return out->n_of[GQA_FAULT_MISSING] > 0;
}

/* What can be done about quantised weights. */
static const char of_others[] =
    "convert the unquantised checkpoint, then quantise";
/* Of what is published so there is no other. */
static const char of_mxfp4[] =
    "transformers makes floats of them, with "
    "quantization_config=Mxfp4Config(dequantize=True) and save_pretrained(); "
    "convert these";

static void find_cause(struct gqa_taking *t)
{
    const struct gqa_checkpoint *c = t->checkpoint;
    const char *path = gqa_checkpoint_source(c, 0)->path;
    const char *method = json_string_value(json_object_get(
        json_object_get(t->model->config, "quantization_config"),
        "quant_method"));
    char *out = t->out->missing_cause;
    const size_t size = sizeof t->out->missing_cause;
    const char *class = gqa_class_named(t->model, GQA_CLASS_LM);
    unsigned long number = 0, n = 0;
    char flag[256];

    if (is_shard(path, &number, &n) && gqa_checkpoint_n_sources(c) < n)
        snprintf(out, size,
                 "'%.200s' is shard %lu of %lu, and the others were not read: "
                 "fetch what is missing, and the index",
                 strrchr(path, '/') ? strrchr(path, '/') + 1 : path, number, n);
    else if (t->out->extra_cause)
        snprintf(out, size, "'%.200s' tells the cause: %s", t->telling_name,
                 t->out->extra_cause);
    else if (method)
        snprintf(out, size,
                 "the weights are quantised (quantization_config: %.40s): %s",
                 method, strcmp(method, "mxfp4") == 0 ? of_mxfp4 : of_others);
    else if (t->n_turned && t->n_turned == t->out->n_of[GQA_FAULT_SHAPE])
        snprintf(out, size,
                 "they lie transposed: matrices of family %s are [%s]",
                 t->family->name,
                 t->family->weights == GQA_WEIGHTS_IN_OUT ? "inputs, outputs"
                                                          : "outputs, inputs");
    else if (t->out->n_of[GQA_FAULT_MISSING] && class &&
             gqa_ends_with(class, "ForCausalLM") && t->model->n_layers == 0 &&
             gqa_model_is_encoder_decoder(t->model))
        snprintf(out, size,
                 "a %.80s is the decoder alone of such a model, which is not "
                 "handled: give the whole model",
                 class);
    else if (t->out->n_of[GQA_FAULT_MISSING] &&
             gqa_refused_flag(flag, sizeof flag, t->family, t->model->config))
        snprintf(out, size,
                 "%s, or an interrupted download, or a part of the model only",
                 flag);
    else if (lacks_unembedding_alone(t))
        snprintf(out, size,
                 "tie_word_embeddings does not say that the embedding makes "
                 "the logits, or an interrupted download");
    else if (t->out->n_of[GQA_FAULT_MISSING])
        snprintf(out, size,
                 "an interrupted download, or a part of the model only");
}

/* --- Taking it ------------------------------------------------------------ */

static int compare_kinds(const void *a, const void *b)
{
    const struct gqa_fault *x = a;
    const struct gqa_fault *y = b;

    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    return strcmp(x->name, y->name);
}

static enum gqa_status take(struct gqa_taking *t)
{
    enum gqa_status st;

    if ((st = gqa_take_config(t)) != GQA_OK ||
        (st = gqa_take_network(t)) != GQA_OK)
        return st;
    for (size_t i = 0; i < t->model->n_params; i++)
        if ((st = sort_out(t, i)) != GQA_OK)
            return st;
    if ((st = gqa_take_quantised(t)) != GQA_OK)
        return st;
    if (t->out->n_faults)
        qsort(t->out->faults, t->out->n_faults, sizeof *t->out->faults,
              compare_kinds);
    find_cause(t);
    return GQA_OK;
}

bool gqa_role_is_converted(enum gqa_param_role role)
{
    return role == GQA_ROLE_NETWORK || role == GQA_ROLE_COPY ||
           role == GQA_ROLE_HEAD || role == GQA_ROLE_OUTER ||
           role == GQA_ROLE_BESIDE;
}

bool gqa_role_is_needless(enum gqa_param_role role)
{
    return role == GQA_ROLE_COPY || role == GQA_ROLE_BUFFER;
}

enum gqa_status gqa_inventory_create(struct gqa_inventory **out,
                                     const struct gqa_model *model,
                                     const struct gqa_checkpoint *checkpoint)
{
    struct gqa_taking t = {
        .out = calloc(1, sizeof *t.out),
        .model = model,
        .family = model->family,
        .checkpoint = checkpoint,
        .is_known = model->config_is_complete && model->model_type,
        .names = {.family = model->family, .model = model},
    };
    enum gqa_status st;

    if (!t.out)
        return gqa_fail_nomem();
    t.names.prefix = gqa_prefix_of(t.model);
    t.out->roles = calloc(model->n_params + 1, sizeof *t.out->roles);
    st = t.out->roles ? take(&t) : gqa_fail_nomem();
    if (st == GQA_OK)
        *out = t.out;
    else
        gqa_inventory_free(t.out);
    return st;
}

void gqa_inventory_free(struct gqa_inventory *inventory)
{
    if (!inventory)
        return;
    for (size_t i = 0; i < inventory->n_faults; i++) {
        free(inventory->faults[i].name);
        free(inventory->faults[i].text);
    }
    free(inventory->faults);
    free(inventory->roles);
    free(inventory);
}
