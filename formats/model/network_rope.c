#include "formats/model/network_rope.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "formats/model/network_config.h"
#include "formats/model/rope.h"
#include "formats/model/rope_said.h"

/* What makes the frequencies. */
struct scaling {
    struct gqa_rope *rope;
    const json_t *config; /* of the model */
    json_t *said;         /* rope_parameters or rope_scaling, or NULL; owned */
    const struct gqa_position_rule *rule;
    double theta, dim;
    double factor, context; /* context: of the model before it was scaled */
};

static enum gqa_status need(const struct scaling *s, const char *kind,
                            const char *key, double *out)
{
    const enum gqa_status st = gqa_config_positive(out, s->said, key);

    if (st == GQA_OK && isnan(*out))
        return gqa_fail(GQA_ERR_FORMAT,
                        "configuration: RoPE of kind '%s' needs %s", kind, key);
    return st;
}

/* Of several lengths the last one read counts. */
static enum gqa_status find_context(struct scaling *s, const char *kind)
{
    static const char key[] = "original_max_position_embeddings";
    enum gqa_status st;

    if ((st = gqa_config_positive(&s->context, s->config,
                                  "max_position_embeddings")) != GQA_OK ||
        (st = gqa_config_positive(&s->context, s->said, key)) != GQA_OK ||
        (st = gqa_config_positive(&s->context, s->config, key)) != GQA_OK ||
        (st = gqa_setting_number(&s->context, &s->rule->original_context,
                                 s->config)) != GQA_OK)
        return st;
    return isnan(s->context)
               ? gqa_fail(GQA_ERR_FORMAT,
                          "configuration: RoPE of kind '%s' needs %s", kind,
                          key)
               : GQA_OK;
}

static enum gqa_status scale_linear(struct scaling *s)
{
    const enum gqa_status st = need(s, "linear", "factor", &s->factor);

    if (st != GQA_OK)
        return st;
    for (uint64_t j = 0; j < s->rope->n_pairs; j++)
        s->rope->frequency[j] /= s->factor;
    return GQA_OK;
}

/* Low frequencies are divided by the factor, high ones stay, and those
 * between are blended by the turns they make within the old context. */
static enum gqa_status scale_llama3(struct scaling *s)
{
    double low = NAN;
    double high = NAN;
    enum gqa_status st;

    if ((st = need(s, "llama3", "factor", &s->factor)) != GQA_OK ||
        (st = need(s, "llama3", "low_freq_factor", &low)) != GQA_OK ||
        (st = need(s, "llama3", "high_freq_factor", &high)) != GQA_OK ||
        (st = find_context(s, "llama3")) != GQA_OK)
        return st;
    if (high <= low)
        return gqa_fail(GQA_ERR_FORMAT,
                        "configuration: RoPE's high_freq_factor %g is not "
                        "above low_freq_factor %g",
                        high, low);
    for (uint64_t j = 0; j < s->rope->n_pairs; j++) {
        double *f = &s->rope->frequency[j];
        const double turns = s->context * *f / (2 * M_PI);
        const double blend = fmin(fmax((turns - low) / (high - low), 0), 1);

        *f *= blend + (1 - blend) / s->factor;
    }
    return GQA_OK;
}

/* The pair, as a real number, that makes this many turns in the context. */
static double yarn_pair(const struct scaling *s, double turns)
{
    return s->dim * log(s->context / (turns * 2 * M_PI)) / (2 * log(s->theta));
}

static enum gqa_status yarn_scale_magnitude(struct scaling *s)
{
    double one = NAN;
    double all = NAN;
    double *magnitude = &s->rope->magnitude;
    enum gqa_status st;

    *magnitude = NAN;
    if ((st = gqa_config_positive(magnitude, s->said, "attention_factor")) !=
            GQA_OK ||
        !isnan(*magnitude))
        return st;
    if (gqa_rope_said_mscales(s->said) &&
        ((st = gqa_config_positive(&one, s->said, "mscale")) != GQA_OK ||
         (st = gqa_config_positive(&all, s->said, "mscale_all_dim")) != GQA_OK))
        return st;
    *magnitude = isnan(all) || isnan(one)
                     ? gqa_rope_yarn_magnitude(s->factor, 1)
                     : gqa_rope_yarn_magnitude(s->factor, one) /
                           gqa_rope_yarn_magnitude(s->factor, all);
    return GQA_OK;
}

static enum gqa_status scale_yarn(struct scaling *s)
{
    double fast = 32;
    double slow = 1;
    double first, last;
    bool truncate = true;
    enum gqa_status st;

    if ((st = find_context(s, "yarn")) != GQA_OK ||
        (st = need(s, "yarn", "factor", &s->factor)) != GQA_OK ||
        (st = yarn_scale_magnitude(s)) != GQA_OK ||
        (st = gqa_config_positive(&fast, s->said, "beta_fast")) != GQA_OK ||
        (st = gqa_config_positive(&slow, s->said, "beta_slow")) != GQA_OK ||
        (st = gqa_config_flag(&truncate, s->said, "truncate")) != GQA_OK)
        return st;
    first = yarn_pair(s, fast);
    last = yarn_pair(s, slow);
    if (truncate) {
        first = floor(first);
        last = ceil(last);
    }
    first = fmax(first, 0);
    last = fmin(last, s->dim - 1);
    if (first == last)
        last += 0.001; /* as the source does against a division by 0 */
    for (uint64_t j = 0; j < s->rope->n_pairs; j++) {
        const double ramp =
            fmin(fmax(((double)j - first) / (last - first), 0), 1);

        s->rope->frequency[j] *= 1 - ramp + ramp / s->factor;
    }
    return GQA_OK;
}

/* out[j]: the frequency divided by the j-th number of a list. */
static enum gqa_status divide(double *out, const struct scaling *s,
                              const char *key)
{
    const json_t *list = json_object_get(s->said, key);
    const uint64_t n = s->rope->n_pairs;

    if (!json_is_array(list) || json_array_size(list) != n)
        return gqa_fail(GQA_ERR_FORMAT,
                        "configuration: RoPE of kind 'longrope' needs %s, a "
                        "list of %llu numbers",
                        key, (unsigned long long)n);
    for (uint64_t j = 0; j < n; j++) {
        const double by = json_number_value(json_array_get(list, j));

        if (!(by > 0))
            return gqa_fail(GQA_ERR_FORMAT,
                            "configuration: %s has something that is not a "
                            "number above 0, for pair %llu",
                            key, (unsigned long long)j);
        out[j] = s->rope->frequency[j] / by;
    }
    return GQA_OK;
}

/* A length that sequences are compared with. */
static enum gqa_status set_context(const struct scaling *s)
{
    if (s->context < 2 || s->context > (double)INT32_MAX)
        return gqa_fail(GQA_ERR_FORMAT,
                        "configuration: the length before scaling of RoPE is "
                        "%g, not a number from 2 to %d",
                        s->context, INT32_MAX);
    s->rope->context = (uint64_t)s->context;
    return GQA_OK;
}

/* What a family has of its own counts more (Phi-MoE). */
static enum gqa_status find_own_magnitude(const struct scaling *s)
{
    double *magnitude = &s->rope->magnitude;
    double longer = NAN;
    enum gqa_status st =
        gqa_setting_number(magnitude, &s->rule->magnitude, s->config);

    if (st == GQA_OK)
        st = gqa_setting_number(&longer, &s->rule->long_magnitude, s->config);
    if (st == GQA_OK && !isnan(longer) && longer != *magnitude)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "configuration: RoPE of kind 'longrope' whose sines "
                        "are times %g in short sequences and %g in long ones "
                        "cannot be run",
                        *magnitude, longer);
    return st;
}

/* Without a factor, that of the length of now to the one before. */
static enum gqa_status find_factor(struct scaling *s)
{
    double longest = NAN;
    enum gqa_status st;

    if ((st = gqa_config_positive(&s->factor, s->said, "factor")) != GQA_OK ||
        (st = gqa_config_positive(&longest, s->config,
                                  "max_position_embeddings")) != GQA_OK)
        return st;
    if (isnan(s->factor))
        s->factor = longest / s->context;
    return isnan(s->factor)
               ? gqa_fail(GQA_ERR_FORMAT,
                          "configuration: RoPE of kind 'longrope' needs factor")
               : GQA_OK;
}

/* Divisors for each pair, others for sequences that are longer than those of
 * the model before it was scaled. */
static enum gqa_status scale_longrope(struct scaling *s)
{
    struct gqa_rope *rope = s->rope;
    enum gqa_status st;

    if ((st = find_context(s, "longrope")) != GQA_OK ||
        (st = set_context(s)) != GQA_OK)
        return st;
    rope->magnitude = NAN;
    st = gqa_config_positive(&rope->magnitude, s->said, "attention_factor");
    if (st == GQA_OK)
        st = find_own_magnitude(s);
    if (st == GQA_OK && isnan(rope->magnitude)) {
        st = find_factor(s);
        rope->magnitude =
            s->factor > 1 ? sqrt(1 + log(s->factor) / log(s->context)) : 1;
    }
    if (st != GQA_OK)
        return st;
    rope->longer = calloc(rope->n_pairs, sizeof *rope->longer);
    if (!rope->longer)
        return gqa_fail_nomem();
    if ((st = divide(rope->longer, s, "long_factor")) != GQA_OK ||
        (st = divide(rope->frequency, s, "short_factor")) != GQA_OK)
        return st;
    /* Equal ones leave nothing to choose. */
    if (memcmp(rope->longer, rope->frequency,
               rope->n_pairs * sizeof *rope->longer) == 0)
        rope->context = 0;
    return GQA_OK;
}

/* NTK-aware: the base grows with sequences that are longer than the model
 * was made for, which is what max_position_embeddings says. */
static enum gqa_status scale_dynamic(struct scaling *s)
{
    const uint64_t n_pairs = s->rope->n_pairs;
    double alpha = 1;
    enum gqa_status st = gqa_setting_number(&alpha, &s->rule->alpha, s->config);

    if (st != GQA_OK)
        return st;
    if (!s->rule->alpha.json && json_object_get(s->said, "alpha"))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "configuration: RoPE of kind 'dynamic' with an alpha "
                        "cannot be run");
    if ((st = need(s, "dynamic", "factor", &s->factor)) != GQA_OK ||
        (st = gqa_config_positive(&s->context, s->config,
                                  "max_position_embeddings")) != GQA_OK)
        return st;
    if (isnan(s->context))
        return gqa_fail(GQA_ERR_FORMAT,
                        "configuration: RoPE of kind 'dynamic' needs "
                        "max_position_embeddings");
    if (n_pairs < 2)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "configuration: RoPE of kind 'dynamic' cannot be run "
                        "with one pair");
    /* Sequences that are longer are made for by the factor alone. */
    for (uint64_t j = 0; alpha != 1 && j < n_pairs; j++)
        s->rope->frequency[j] =
            pow(s->theta * pow(alpha, s->dim / (s->dim - 2)),
                -2 * (double)j / s->dim);
    s->rope->growth = s->factor;
    return set_context(s);
}

static enum gqa_status keep(struct scaling *s)
{
    (void)s;
    return GQA_OK;
}

/* The kind, which is one of those that the family's classes have. */
static enum gqa_status find_kind(const char **out, const struct scaling *s)
{
    const char *kind = gqa_rope_known_kind(s->rule, s->said);
    char known[128] = "";
    size_t n = 0;

    *out = kind;
    if (kind[0] == '\0')
        return gqa_fail(GQA_ERR_FORMAT,
                        "configuration: what names the kind of RoPE "
                        "(rope_type, once type) is no text");
    if (!s->rule->kinds || strcmp(kind, "default") == 0)
        return GQA_OK;
    for (gqa_texts k = s->rule->kinds; *k && n < sizeof known; k++) {
        if (strcmp(kind, *k) == 0)
            return GQA_OK;
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s",
                              n ? ", " : "", *k);
    }
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "configuration: RoPE of kind '%.40s' cannot be run: the "
                    "classes of such models have %s alone",
                    kind, known);
}

static enum gqa_status scale(struct scaling *s)
{
    static const struct {
        const char *name;
        enum gqa_status (*apply)(struct scaling *s);
        bool is_own; /* of families that say that they have it */
    } kinds[] = {
        {"default", keep, false},
        {"mrope", keep, true}, /* of text, whose places are alike in all
                                  sections */
        {"linear", scale_linear, false},
        {"llama3", scale_llama3, false},
        {"yarn", scale_yarn, false},
        {"longrope", scale_longrope, false},
        {"dynamic", scale_dynamic, false},
    };
    const char *kind;
    enum gqa_status st = find_kind(&kind, s);

    if (st != GQA_OK)
        return st;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kind, kinds[i].name) == 0 &&
            (s->rule->kinds || !kinds[i].is_own))
            return kinds[i].apply(s);
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "configuration: RoPE of kind '%.40s' cannot be run; known "
                    "are default, linear, llama3, yarn, longrope and dynamic",
                    kind);
}

static enum gqa_status check_objects(const json_t *config)
{
    static const char *const names[] = {"rope_scaling", "rope_parameters"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const json_t *said = json_object_get(config, names[i]);

        if (said && !json_is_null(said) && !json_is_object(said))
            return gqa_fail(GQA_ERR_FORMAT,
                            "configuration: %s is neither an object nor null",
                            names[i]);
    }
    return GQA_OK;
}

/* Of models whose layers differ in it, those that see everything may scale. */
static enum gqa_status check_other_layers(const json_t *config,
                                          const char *layers)
{
    const char *key;
    json_t *value;

    json_object_foreach(json_object_get(config, "rope_parameters"), key, value)
    {
        if (json_is_object(value) && strcmp(key, layers) != 0 &&
            strcmp(gqa_rope_said_kind(value), "default") != 0)
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "configuration: RoPE of another kind than "
                            "'default' in layers of kind '%.40s' cannot be run",
                            key);
    }
    return GQA_OK;
}

/* What the configuration says of RoPE, or NULL. */
static enum gqa_status find_said(struct scaling *s, const char *layers)
{
    enum gqa_status st = check_objects(s->config);

    if (st == GQA_OK && layers)
        st = check_other_layers(s->config, layers);
    if (st != GQA_OK)
        return st;
    s->said = layers ? gqa_rope_said_of(s->config, layers)
                     : json_deep_copy(gqa_rope_said(s->config));
    return gqa_rope_said_is_nested(s->said)
               ? gqa_fail(GQA_ERR_UNSUPPORTED,
                          "configuration: RoPE that differs by layer cannot "
                          "be run in models of this type")
               : gqa_json_check();
}

static enum gqa_status make_frequencies(struct scaling *s)
{
    struct gqa_rope *rope = s->rope;

    if (s->theta <= 1)
        return gqa_fail(GQA_ERR_FORMAT,
                        "configuration: the base of RoPE is %g, not above 1",
                        s->theta);
    rope->frequency = calloc(rope->n_pairs, sizeof *rope->frequency);
    if (!rope->frequency)
        return gqa_fail_nomem();
    for (uint64_t j = 0; j < rope->n_pairs; j++)
        rope->frequency[j] = pow(s->theta, -2.0 * (double)j / s->dim);
    return scale(s);
}

enum gqa_status gqa_rope_create(struct gqa_rope *out, const json_t *config,
                                double theta, const char *layers,
                                const struct gqa_position_rule *rule,
                                const struct gqa_position *position)
{
    struct gqa_rope rope = {.n_pairs = position->rotary_dim / 2,
                            .interleaved = position->interleaved,
                            .magnitude = 1,
                            .theta = theta};
    struct scaling s = {.rope = &rope,
                        .config = config,
                        .rule = rule,
                        .theta = theta,
                        .dim = (double)position->rotary_dim,
                        .factor = NAN,
                        .context = NAN};
    enum gqa_status st;

    if (position->rotary_dim == 0 || position->rotary_dim % 2 != 0)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "RoPE of %llu dimensions of a head cannot be run: "
                        "they go in pairs",
                        (unsigned long long)position->rotary_dim);
    st = find_said(&s, layers);
    if (st == GQA_OK)
        st = make_frequencies(&s);
    json_decref(s.said);
    if (st == GQA_OK)
        *out = rope;
    else
        gqa_rope_free(&rope);
    return st;
}

/* An attention that rotates; they all do so alike. */
static const struct gqa_attention *find_turning(const struct gqa_model *model)
{
    for (size_t i = 0; i < model->n_attentions; i++)
        if (model->attentions[i].position.scheme == GQA_POSITION_ROPE)
            return &model->attentions[i];
    return NULL;
}

enum gqa_status gqa_rope_theta(double *theta,
                               const struct gqa_position_rule *rule,
                               const json_t *config)
{
    double factor = 1;
    enum gqa_status st;

    *theta = 0;
    st = gqa_setting_number(theta, &rule->theta, config);
    if (st == GQA_OK)
        st = gqa_setting_number(&factor, &rule->theta_factor, config);
    *theta *= factor;
    return st;
}

/* Where each layer has a base, those that rotate have the one of all. */
static enum gqa_status check_bases(const struct gqa_model *model, double theta)
{
    const json_t *list = json_object_get(model->config, "layer_rope_theta");

    if (model->family->behaviours.rope_layers != GQA_ROPE_LAYER_THETA)
        return GQA_OK;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const double base = json_number_value(json_array_get(list, i));

        if (base != 0 && base != theta)
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "configuration: layer_rope_theta of layer %zu is "
                            "%g, and rope_theta %g: layers with bases of their "
                            "own cannot be run",
                            i, base, theta);
    }
    return GQA_OK;
}

enum gqa_status gqa_ropes_create(struct gqa_rope *out, struct gqa_rope *local,
                                 const struct gqa_model *model)
{
    const struct gqa_position_rule *rule = &model->family->positions;
    const struct gqa_attention *turning = find_turning(model);
    double theta, of_local = 0;
    enum gqa_status st;

    if (!turning)
        return GQA_OK;
    if ((st = gqa_rope_theta(&theta, rule, model->config)) != GQA_OK ||
        (st = check_bases(model, theta)) != GQA_OK ||
        (st = gqa_setting_number(&of_local, &rule->local_theta,
                                 model->config)) != GQA_OK ||
        (st = gqa_rope_create(out, model->config, theta,
                              of_local > 0 ? "full_attention" : NULL, rule,
                              &turning->position)) != GQA_OK)
        return st;
    if (of_local > 0)
        st = gqa_rope_create(local, NULL, of_local, NULL, rule,
                             &turning->position);
    if (rule->at_end)
        out->first = local->first =
            turning->head_dim - turning->position.rotary_dim;
    return st;
}

void gqa_rope_free(struct gqa_rope *rope)
{
    free(rope->frequency);
    free(rope->longer);
}
