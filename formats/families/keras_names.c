/*
 * KerasHub variables, turned into the parameters of the Hugging Face model
 * of the same family by the family's rules.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "formats/families/keras_paths.h"
#include "formats/families/keras_variables.h"
#include "formats/model/params.h"

/* As many as a description may have. */
enum { MAX_RULES = 256 };

/* Variables without a rule, from the first on, that tell that none has one. */
enum { ENOUGH = 256 };

/* One variable and the rule that explains it. */
struct match {
    const struct gqa_keras_rule *rule;
    uint64_t layer; /* as the file numbers them */
};

/* A family's reading of the file. */
struct reading {
    const struct gqa_checkpoint *checkpoint;
    bool legacy;  /* variable paths of a whole-model .h5 */
    char **paths; /* normalised, one a tensor; NULL: not a weight */
    size_t n;
    struct gqa_keras_prefixes prefixes;
    const struct gqa_keras_prefix *prefix; /* the one that is tried */
    /* What the configuration says that it is; NULL: nothing. */
    const char *class_name, *model_type;
};

/* The path below the prefix; NULL: it is not, or no weight. */
static const char *path_below(const struct reading *in, size_t i)
{
    const struct gqa_keras_prefix *prefix = in->prefix;
    const char *path = in->paths[i];

    /* A path that number_layers() has changed within the prefix is below none.
     */
    if (!path || strnlen(path, prefix->length) < prefix->length ||
        strncmp(path, in->paths[prefix->at], prefix->length) != 0)
        return NULL;
    return path + prefix->length;
}

/*
 * Does path match the rule's? A '%' in a .weights.h5 path stands for Keras'
 * suffix of repeated classes: nothing for 0, "_1" for 1, ...
 */
static bool path_matches(const char *pattern, const char *prefix,
                         const char *path, bool legacy, uint64_t *layer)
{
    char expanded[256];
    size_t n = 0;

    for (const char *p = pattern; *p && n < sizeof expanded - 1; p++) {
        if (*p == '$') {
            const int added =
                snprintf(expanded + n, sizeof expanded - n, "%s", prefix);

            n += (size_t)added < sizeof expanded - n ? (size_t)added : 0;
        } else {
            expanded[n++] = *p;
        }
    }
    expanded[n] = '\0';
    *layer = 0;
    if (!legacy && strchr(expanded, '%')) {
        char with_suffix[sizeof expanded + 1];
        const size_t at = strcspn(expanded, "%");

        /* The first of a class carries no number. */
        if (strncmp(path, expanded, at) == 0 &&
            strcmp(path + at, expanded + at + 1) == 0)
            return true;
        snprintf(with_suffix, sizeof with_suffix, "%.*s_%s", (int)at, expanded,
                 expanded + at);
        return gqa_pattern_match(with_suffix, path, layer, NULL);
    }
    return gqa_pattern_match(expanded, path, layer, NULL);
}

/* The component of a path that is this name, with a number behind it or
 * without. NULL: there is none, or it has its order already, for a family that
 * was tried before. end: receives what follows it. */
static const char *find_counted(const char *path, const char *name,
                                const char **end)
{
    const size_t n = strlen(name);

    for (const char *at = path; at; at = strchr(at, '/')) {
        at += *at == '/';
        if (strncmp(at, name, n) != 0)
            continue;
        *end = at + n;
        if (**end == '_')
            *end += 1 + strspn(*end + 1, "0123456789");
        if (**end == '/')
            return at;
    }
    return NULL;
}

/* Put the order of a layer into its place in a path. */
static enum gqa_status put_order(char **path, size_t at, const char *end,
                                 const char *name, size_t order)
{
    char *numbered;

    if (asprintf(&numbered, "%.*s%s.%zu%s", (int)at, *path, name, order, end) <
        0)
        return gqa_fail_nomem();
    free(*path);
    *path = numbered;
    return GQA_OK;
}

/*
 * A whole-model .h5 numbers T5's norms by a counter of the process that
 * made them ("t5_layer_norm_15"), so which is which is told by their order
 * in a layer alone: "t5_layer_norm.0" and so on.
 */
static enum gqa_status number_layers(struct reading *in, const char *name)
{
    char layer[256] = "", counted[256] = "";
    size_t order = 0;

    for (size_t i = 0; i < in->n; i++) {
        char is_layer[sizeof layer], is_counted[sizeof counted];
        const char *end;
        const char *at =
            in->paths[i] ? find_counted(in->paths[i], name, &end) : NULL;
        enum gqa_status st;

        if (!at)
            continue;
        snprintf(is_layer, sizeof is_layer, "%.*s", (int)(at - in->paths[i]),
                 in->paths[i]);
        snprintf(is_counted, sizeof is_counted, "%.*s", (int)(end - at), at);
        if (*counted == '\0' || strcmp(is_layer, layer) != 0)
            order = 0;
        else if (strcmp(is_counted, counted) != 0)
            order++;
        memcpy(layer, is_layer, sizeof layer);
        memcpy(counted, is_counted, sizeof counted);
        st = put_order(&in->paths[i], (size_t)(at - in->paths[i]), end, name,
                       order);
        if (st != GQA_OK)
            return st;
    }
    return GQA_OK;
}

static bool any_path_has(const struct reading *in, const char *component)
{
    for (size_t i = 0; i < in->n; i++)
        if (in->paths[i] && strstr(in->paths[i], component))
            return true;
    return false;
}

static bool rule_holds(const struct reading *in,
                       const struct gqa_keras_rule *rule)
{
    if (!rule->when)
        return true;
    return *rule->when == '!' ? !any_path_has(in, rule->when + 1)
                              : any_path_has(in, rule->when);
}

/* Does the rule stand for a parameter of this attention? */
static bool is_part_of(const struct gqa_keras_rule *rule,
                       const struct gqa_attention_rule *attention)
{
    return strstr(rule->is, attention->pattern) != NULL;
}

static bool is_of_decoder(const struct gqa_keras_rule *rule,
                          const struct gqa_family *family)
{
    return strstr(rule->is, family->stacks[GQA_STACK_DECODER].layers) != NULL;
}

/* First layer with cross-attention, where layers are numbered through. */
static uint64_t first_decoder_layer(const struct reading *in,
                                    const struct gqa_family *family,
                                    const char *prefix)
{
    const struct gqa_attention_rule *cross =
        &family->stacks[GQA_STACK_DECODER].cross;
    uint64_t first = UINT64_MAX;

    for (size_t r = 0; cross->given && r < family->keras.n_rules; r++) {
        const struct gqa_keras_rule *rule = &family->keras.rules[r];

        for (size_t i = 0; is_part_of(rule, cross) && i < in->n; i++) {
            const char *path = path_below(in, i);
            uint64_t layer;

            if (path && path_matches(rule->path, prefix, path, false, &layer) &&
                layer < first)
                first = layer;
        }
    }
    return first;
}

/* What all variables are held against. */
struct rules {
    const struct gqa_family *family;
    const char *layers; /* what '$' stands for */
    uint64_t first_decoder;
    bool holds[MAX_RULES];
};

static void begin_rules(struct rules *rules, const struct reading *in,
                        const struct gqa_family *family, const char *layers)
{
    *rules = (struct rules){.family = family, .layers = layers};
    if (family->keras.numbered_through)
        rules->first_decoder = first_decoder_layer(in, family, layers);
    for (size_t r = 0; r < family->keras.n_rules; r++)
        rules->holds[r] = rule_holds(in, &family->keras.rules[r]);
}

/* The rule for a variable; none: NULL. */
static void match_one(struct match *match, const struct rules *rules,
                      const char *path, bool legacy)
{
    const struct gqa_keras_names *names = &rules->family->keras;

    match->rule = NULL;
    for (size_t r = 0; r < names->n_rules && !match->rule; r++) {
        const struct gqa_keras_rule *rule = &names->rules[r];
        const char *pattern = legacy ? rule->whole : rule->path;
        uint64_t layer;

        if (!pattern || !rules->holds[r] ||
            !path_matches(pattern, rules->layers, path, legacy, &layer))
            continue;
        if (names->numbered_through && !legacy && strchr(pattern, '%')) {
            const bool decoder = is_of_decoder(rule, rules->family);

            if (decoder != (layer >= rules->first_decoder))
                continue;
            layer -= decoder ? rules->first_decoder : 0;
        }
        match->rule = rule;
        match->layer = layer;
    }
}

static bool are_alike(const struct gqa_tensor *a, const struct gqa_tensor *b)
{
    return a->dtype == b->dtype && a->rank == b->rank &&
           memcmp(a->shape, b->shape, a->rank * sizeof *a->shape) == 0;
}

/*
 * A whole-model .h5 lists a layer that a task and its backbone share (the
 * embedding, which makes the logits too) with both, and stores it twice. The
 * backbone's is read.
 */
static bool is_copy(const struct reading *in, const struct rules *rules,
                    const struct match *matches, size_t i)
{
    const char *layer = in->paths[i];
    struct match match;

    if (!in->legacy || path_below(in, i))
        return false;
    match_one(&match, rules, layer, true);
    /* The name of a layer that is a part of one begins with its own, and then
     * says whose part it is. */
    layer = strchr(layer, '/');
    if (!match.rule && layer)
        match_one(&match, rules, layer + 1, true);
    if (!match.rule || strchr(match.rule->is, '%'))
        return false;
    for (size_t of = 0; of < in->n; of++)
        if (matches[of].rule == match.rule)
            return are_alike(gqa_checkpoint_tensor(in->checkpoint, of),
                             gqa_checkpoint_tensor(in->checkpoint, i));
    return false;
}

/*
 * Find the rule for each variable. Returns how many have none;
 * `unexplained` is the first of them.
 */
static size_t match_all(struct match *matches, size_t *unexplained,
                        const struct reading *in,
                        const struct gqa_family *family, const char *layers)
{
    struct rules rules;
    size_t n_unexplained = 0;
    size_t n_below = 0;

    begin_rules(&rules, in, family, layers);
    for (size_t i = 0; i < in->n; i++) {
        const char *path = path_below(in, i);

        matches[i].rule = NULL;
        if (!path)
            continue;
        match_one(&matches[i], &rules, path, in->legacy);
        n_below++;
        n_unexplained += !matches[i].rule;
        /* Not what the model is wrapped in: all are named otherwise. */
        if (n_unexplained == n_below && n_below > ENOUGH)
            return SIZE_MAX;
    }
    n_unexplained = 0;
    for (size_t i = 0; i < in->n; i++)
        if (in->paths[i] && !matches[i].rule &&
            !is_copy(in, &rules, matches, i) && n_unexplained++ == 0)
            *unexplained = i;
    return n_unexplained;
}

/* The reading that explains most variables, which should be all; of several the
 * one of the configuration, and then the one that lacks the fewest attentions.
 */
struct best {
    struct gqa_family *family; /* owned */
    size_t number, backbone;
    const struct gqa_keras_prefix *prefix;
    size_t n_unexplained, unexplained;
    bool is_said;
    size_t n_lacking;
};

/* Whether rules are for this attention, and no variable has one of them. */
static bool is_lacking(const struct gqa_attention_rule *attention,
                       const struct match *matches, const struct reading *in,
                       const struct gqa_keras_names *names)
{
    bool is_there = false;

    for (size_t r = 0; r < names->n_rules && !is_there; r++)
        is_there = is_part_of(&names->rules[r], attention);
    for (size_t i = 0; i < in->n && is_there; i++)
        if (matches[i].rule && is_part_of(matches[i].rule, attention))
            return false;
    return is_there;
}

/* Layers of KerasHub's own are a part of BART and of GPT-2, and what else is
 * there tells which it is. */
static size_t count_lacking(const struct match *matches,
                            const struct reading *in,
                            const struct gqa_family *family)
{
    size_t n = 0;

    for (size_t i = 0; i < family->n_attentions; i++)
        n += is_lacking(family->attentions[i], matches, in, &family->keras);
    return n;
}

static bool is_said(const struct reading *in,
                    const struct gqa_keras_backbone *backbone)
{
    return (in->class_name &&
            strcmp(in->class_name, backbone->class_name) == 0) ||
           (in->model_type &&
            strcmp(in->model_type, backbone->model_type) == 0);
}

/* Whether some variable shows that this family may describe the file. */
static bool may_be(const struct reading *in,
                   const struct gqa_family_choice *choice, size_t number)
{
    for (size_t i = 0; i < in->n; i++)
        if (in->paths[i] &&
            gqa_family_may_name_keras(
                choice, number, gqa_checkpoint_tensor(in->checkpoint, i)->name))
            return true;
    return false;
}

/* Keep the family where it explains more than the best one. */
static void try_family(struct best *best, struct gqa_family *family,
                       size_t number, struct match *matches, struct reading *in)
{
    const size_t n_backbones = family->keras.n_backbones;
    bool better = false;

    for (size_t i = 0; i < n_backbones * in->prefixes.n; i++) {
        const size_t backbone = i % n_backbones;
        size_t first = 0;
        size_t n, n_lacking;
        bool said;

        in->prefix = &in->prefixes.items[i / n_backbones];
        n = match_all(matches, &first, in, family,
                      family->keras.backbones[backbone].layers);
        if (n == SIZE_MAX || n > best->n_unexplained)
            continue;
        said = is_said(in, &family->keras.backbones[backbone]);
        n_lacking = count_lacking(matches, in, family);
        if (n == best->n_unexplained &&
            (said != best->is_said ? best->is_said
                                   : n_lacking >= best->n_lacking))
            continue;
        if (!better)
            gqa_family_free(best->family);
        better = true;
        *best = (struct best){family, number, backbone, in->prefix,
                              n,      first,  said,     n_lacking};
    }
    if (!better)
        gqa_family_free(family);
}

/* All that a family says to be counted, where a file counts. */
static enum gqa_status number_all(struct reading *in,
                                  const struct gqa_keras_names *names)
{
    enum gqa_status st = GQA_OK;

    for (gqa_texts name = in->legacy ? names->counted : NULL;
         name && *name && st == GQA_OK; name++)
        st = number_layers(in, *name);
    return st;
}

static enum gqa_status try_families(struct best *best, struct match *matches,
                                    struct reading *in,
                                    const struct gqa_family_choice *choice)
{
    best->family = NULL;
    best->n_unexplained = SIZE_MAX;
    for (size_t i = 0; i < gqa_family_count(choice); i++) {
        struct gqa_family *family;
        enum gqa_status st;

        if (!may_be(in, choice, i))
            continue;
        if ((st = gqa_family_load(&family, choice, i, NULL)) != GQA_OK)
            return st;
        if ((st = number_all(in, &family->keras)) != GQA_OK) {
            gqa_family_free(family);
            return st;
        }
        try_family(best, family, i, matches, in);
    }
    return GQA_OK;
}

/* quantize() puts whole numbers into the place of a kernel, and their scale
 * behind them. */
static const struct gqa_tensor *find_quantised(const struct reading *in)
{
    for (size_t i = 0; i < in->n; i++) {
        const struct gqa_tensor *t = gqa_checkpoint_tensor(in->checkpoint, i);

        if (in->paths[i] && !gqa_dtype_is_float(t->dtype))
            return t;
    }
    return NULL;
}

static enum gqa_status refuse_unexplained(const struct best *best,
                                          const struct reading *in)
{
    const char *name =
        gqa_checkpoint_tensor(in->checkpoint, best->unexplained)->name;
    const struct gqa_tensor *quantised = find_quantised(in);

    if (quantised)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "variable '%s' is %s: quantised weights; convert the "
                        "model as it was before quantize(), then quantise",
                        quantised->name, gqa_dtype_name(quantised->dtype));
    if (path_below(in, best->unexplained))
        return gqa_fail(
            GQA_ERR_UNSUPPORTED,
            "looks like KerasHub's %s, but variable '%s' is no part of it",
            best->family->name, name);
    return gqa_fail(
        GQA_ERR_UNSUPPORTED,
        "KerasHub's %s is below '%.*s', but variable '%s' is no part of it; "
        "one backbone alone can be converted: save it with "
        "model.backbone.save_weights(\"model.weights.h5\")",
        best->family->name, (int)in->prefix->length, in->paths[in->prefix->at],
        name);
}

static enum gqa_status build(struct gqa_params *params, const struct best *best,
                             struct reading *in, struct match *matches)
{
    const struct gqa_keras_backbone *backbone;
    size_t n_weights = 0;
    size_t first;
    enum gqa_status st;

    for (size_t i = 0; i < in->n; i++)
        n_weights += in->paths[i] != NULL;
    if (!best->family || best->n_unexplained == n_weights)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a Keras model whose layers belong to no family we "
                        "know (its first variable is '%s')",
                        in->n ? gqa_checkpoint_tensor(in->checkpoint, 0)->name
                              : "none");
    in->prefix = best->prefix;
    if (best->n_unexplained > 0)
        return refuse_unexplained(best, in);
    backbone = &best->family->keras.backbones[best->backbone];
    match_all(matches, &first, in, best->family, backbone->layers);
    for (size_t i = 0; i < in->n; i++) {
        if (in->paths[i] && !matches[i].rule)
            gqa_info("%s: a layer that the backbone has too; left out",
                     gqa_checkpoint_tensor(in->checkpoint, i)->name);
        if (matches[i].rule && *matches[i].rule->is &&
            (st = gqa_keras_add_variable(
                 params, matches[i].rule, matches[i].layer,
                 gqa_checkpoint_tensor(in->checkpoint, i), i)) != GQA_OK)
            return st;
    }
    for (size_t i = 0; i < params->n; i++)
        if ((st = gqa_keras_finish_param(&params->items[i])) != GQA_OK)
            return st;
    return gqa_params_finish(params);
}

static void take_config(struct reading *in, const json_t *config)
{
    const json_t *backbone = config ? gqa_config_backbone(config, NULL) : NULL;

    in->class_name = backbone ? gqa_backbone_class(backbone) : NULL;
    in->model_type = json_string_value(json_object_get(config, "model_type"));
}

enum gqa_status gqa_params_from_keras(struct gqa_params *params, size_t *number,
                                      struct gqa_family **family,
                                      const char **backbone_type,
                                      const struct gqa_family_choice *choice,
                                      const struct gqa_checkpoint *checkpoint)
{
    struct reading in = {.checkpoint = checkpoint};
    struct match *matches = NULL;
    struct best best = {0};
    enum gqa_status st;

    in.n = gqa_checkpoint_n_tensors(checkpoint);
    take_config(&in, gqa_checkpoint_config(checkpoint));
    in.legacy = gqa_checkpoint_naming(checkpoint) == GQA_NAMES_KERAS_LEGACY;
    in.paths = calloc(in.n + 1, sizeof *in.paths);
    matches = calloc(in.n + 1, sizeof *matches);
    if (!in.paths || !matches) {
        st = gqa_fail_nomem();
        goto done;
    }
    for (size_t i = 0; i < in.n; i++) {
        const char *name = gqa_checkpoint_tensor(checkpoint, i)->name;

        if (gqa_keras_is_training_state(name))
            continue;
        in.paths[i] = gqa_keras_normal_path(name, in.legacy);
        if (!in.paths[i]) {
            st = gqa_fail_nomem();
            goto done;
        }
    }
    if (!gqa_keras_find_prefixes(&in.prefixes, in.paths, in.n)) {
        st = gqa_fail_nomem();
        goto done;
    }
    st = try_families(&best, matches, &in, choice);
    if (st == GQA_OK)
        st = build(params, &best, &in, matches);
    if (st == GQA_OK) {
        assert(best.family);
        *number = best.number;
        *family = best.family;
        /* Variable paths of whole models are the same for all backbones. */
        *backbone_type =
            in.legacy ? NULL
                      : best.family->keras.backbones[best.backbone].model_type;
        best.family = NULL;
    }
done:
    gqa_family_free(best.family);
    for (size_t i = 0; in.paths && i < in.n; i++)
        free(in.paths[i]);
    free(in.paths);
    free(matches);
    return st;
}
