#include "formats/gguf/scaling.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "formats/families/family.h"
#include "formats/gguf/keys.h"
#include "formats/gguf/scaling_read.h"
#include "formats/model/network_rope.h"
#include "formats/model/rope.h"
#include "formats/model/rope_said.h"

const json_t *gqa_gguf_scaling_said(const json_t *config)
{
    const json_t *said = gqa_rope_said(config);
    const json_t *full = json_object_get(said, "full_attention");

    /* By kinds of layers: those without a window are the scaled ones. */
    return full ? full : said;
}

static json_t *flattened(const json_t *config)
{
    const json_t *kinds = json_object_get(config, "rope_parameters");
    json_t *full = json_object_get(kinds, "full_attention");
    const json_t *local = json_object_get(kinds, "sliding_attention");
    const char *kind = json_string_value(json_object_get(local, "rope_type"));
    json_t *flat = json_copy((json_t *)(uintptr_t)config);
    json_t *theta = json_object_get(local, "rope_theta");

    /* A scale of the others could not be said. */
    if (!flat || !full || !local || (kind && strcmp(kind, "default") != 0))
        return flat;
    json_object_del(flat, "rope_parameters");
    json_object_set_new(flat, "rope_scaling", json_deep_copy(full));
    json_object_set(flat, "rope_theta", json_object_get(full, "rope_theta"));
    json_object_del(json_object_get(flat, "rope_scaling"), "rope_theta");
    json_object_set(flat, "rope_local_base_freq", theta);
    return flat;
}

/* What YaRN multiplies with where it says so, by one number or by two. */
static bool find_attention(double *out, const json_t *said)
{
    const json_t *attention = json_object_get(said, "attention_factor");
    const double factor = json_number_value(json_object_get(said, "factor"));

    *out = json_number_value(attention);
    if (gqa_rope_said_mscales(said))
        *out = gqa_rope_yarn_magnitude(
                   factor, json_number_value(json_object_get(said, "mscale"))) /
               gqa_rope_yarn_magnitude(
                   factor,
                   json_number_value(json_object_get(said, "mscale_all_dim")));
    return *out > 0;
}

/* In the object of this name that number, and not what YaRN makes it of, or
 * does not read. */
static void put_attention(json_t *config, const char *name)
{
    json_t *said = json_object_get(config, name);
    double attention;

    if (strcmp(gqa_rope_said_kind(said), "yarn") != 0)
        return;
    said = json_copy(said);
    if (find_attention(&attention, said))
        json_object_set_new(said, "attention_factor", json_real(attention));
    json_object_del(said, "mscale");
    json_object_del(said, "mscale_all_dim");
    json_object_set_new(config, name, said);
}

/* The last of a setting's keys. */
static const char *key_of(const struct gqa_setting *setting)
{
    const json_t *keys = json_object_get(setting->json, "key");

    return json_string_value(
        json_is_array(keys) ? json_array_get(keys, json_array_size(keys) - 1)
                            : keys);
}

/* Of an attention that turns; they all do so alike. */
static const struct gqa_position *find_turning(const struct gqa_model *model)
{
    for (size_t i = 0; i < model->n_attentions; i++)
        if (model->attentions[i].position.scheme == GQA_POSITION_ROPE)
            return &model->attentions[i].position;
    return NULL;
}

/* What Hunyuan's base is times, within the context. */
static double alpha_of(const struct gqa_model *model, const json_t *config)
{
    const struct gqa_position_rule *rule = &model->family->positions;
    const struct gqa_position *position = find_turning(model);
    double alpha = 1, dim;

    if (!rule->alpha.json || !position || position->rotary_dim < 4 ||
        strcmp(gqa_rope_known_kind(rule, gqa_gguf_scaling_said(config)),
               "dynamic") != 0 ||
        gqa_setting_number(&alpha, &rule->alpha, config) != GQA_OK)
        return 1;
    dim = (double)position->rotary_dim;
    return pow(alpha, dim / (dim - 2));
}

json_t *gqa_gguf_scaling_folded(const struct gqa_model *model,
                                const json_t *config)
{
    const struct gqa_position_rule *rule = &model->family->positions;
    const double alpha = alpha_of(model, config);
    json_t *folded = json_copy((json_t *)(uintptr_t)config);
    double theta;

    if ((!rule->theta_factor.json && alpha == 1) ||
        gqa_rope_theta(&theta, rule, config) != GQA_OK)
        return folded;
    json_object_set_new(folded, key_of(&rule->theta), json_real(theta * alpha));
    if (rule->theta_factor.json)
        json_object_del(folded, key_of(&rule->theta_factor));
    /* What else is said counts for longer texts. */
    if (alpha != 1) {
        json_object_del(folded, "rope_scaling");
        json_object_del(folded, "rope_parameters");
    }
    return folded;
}

json_t *gqa_gguf_scaling_flat(const struct gqa_model *model,
                              const json_t *config)
{
    json_t *folded = gqa_gguf_scaling_folded(model, config);
    json_t *flat = flattened(folded);

    json_decref(folded);
    put_attention(flat, "rope_scaling");
    put_attention(flat, "rope_parameters");
    return flat;
}

/* What llama.cpp takes otherwise than transformers, or not at all. */
static void tell_yarn(struct gqa_gguf_draft *d, const json_t *said)
{
    const double magnitude = gqa_rope_yarn_magnitude(
        json_number_value(json_object_get(said, "factor")), 1);
    json_t *fast = json_object_get(said, "beta_fast");
    json_t *slow = json_object_get(said, "beta_slow");
    double attention;

    if (json_is_number(fast))
        gqa_gguf_key_set(d, "%.rope.scaling.yarn_beta_fast",
                         json_real(json_number_value(fast)));
    if (json_is_number(slow))
        gqa_gguf_key_set(d, "%.rope.scaling.yarn_beta_slow",
                         json_real(json_number_value(slow)));
    if (find_attention(&attention, said))
        gqa_gguf_key_set(d, "%.rope.scaling.attn_factor",
                         json_real(attention / magnitude));
}

static const char *kind_of(const struct gqa_output *output)
{
    return gqa_rope_known_kind(&output->options->model->family->positions,
                               gqa_gguf_scaling_said(output->options->config));
}

bool gqa_gguf_scaling_is_by_tensors(const struct gqa_output *output)
{
    const char *kind = kind_of(output);

    return strcmp(kind, "llama3") == 0 || strcmp(kind, "longrope") == 0;
}

/* Whether it is as it would be without a scale in all of the context. */
static bool grows(const struct gqa_output *output)
{
    const struct gqa_position_rule *rule =
        &output->options->model->family->positions;
    const json_t *said = gqa_gguf_scaling_said(output->options->config);

    return strcmp(kind_of(output), "dynamic") == 0 && !rule->kinds &&
           (rule->alpha.json || !json_object_get(said, "alpha"));
}

enum gqa_status gqa_gguf_scaling_keys(struct gqa_gguf_draft *d,
                                      const struct gqa_output *output)
{
    static const char context[] = "original_max_position_embeddings";
    const char *kind = kind_of(output);
    const json_t *said = gqa_gguf_scaling_said(output->options->config);
    const json_t *factor = json_object_get(said, "factor");
    uint64_t length;

    if (strcmp(kind, "default") == 0)
        return GQA_OK;
    if (grows(output)) {
        d->grows = true;
        return GQA_OK;
    }
    if (gqa_gguf_scaling_is_by_tensors(output))
        return d->architecture->has_factors ||
                       (d->architecture->has_frequencies &&
                        strcmp(kind, "llama3") == 0)
                   ? GQA_OK
                   : gqa_fail(GQA_ERR_UNSUPPORTED,
                              "RoPE of kind '%s' cannot be written as GGUF: "
                              "llama.cpp does not know it in the architecture "
                              "%s",
                              kind, d->architecture->name);
    if ((strcmp(kind, "linear") != 0 && strcmp(kind, "yarn") != 0) ||
        !json_is_number(factor))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "RoPE of kind '%.40s'%s cannot be written as GGUF",
                        kind, json_is_number(factor) ? "" : " with no factor");
    gqa_gguf_key_set(d, "%.rope.scaling.type", json_string(kind));
    gqa_gguf_key_set(d, "%.rope.scaling.factor",
                     json_real(json_number_value(factor)));
    if (strcmp(kind, "yarn") == 0)
        tell_yarn(d, said);
    if (gqa_json_u64(json_object_get(said, context), &length))
        gqa_gguf_key_set(d, "%.rope.scaling.original_context_length",
                         json_integer((json_int_t)length));
    return GQA_OK;
}

/* Plain frequencies over these: what llama.cpp divides by. */
static enum gqa_status add_divisors(struct gqa_gguf_draft *d, const char *name,
                                    const struct gqa_rope *rope,
                                    const double *frequencies)
{
    const struct gqa_gguf_tensor made = {
        .name = strdup(name),
        .rank = 1,
        .shape = {rope->n_pairs},
        .type = gqa_gguf_type_find(0),
        .n_elements = rope->n_pairs,
        .n_bytes = rope->n_pairs * sizeof(float),
        .offset = d->data_bytes,
    };
    struct gqa_gguf_piece *piece = &d->pieces[d->header.n];

    piece->values = calloc(rope->n_pairs, sizeof *piece->values);
    d->header.tensors[d->header.n++] = made;
    if (!made.name || !piece->values)
        return gqa_fail_nomem();
    for (uint64_t j = 0; j < rope->n_pairs; j++)
        piece->values[j] = (float)(gqa_rope_plain(rope, j) / frequencies[j]);
    d->data_bytes += gqa_gguf_padded(made.n_bytes);
    return GQA_OK;
}

static enum gqa_status add_tensors(struct gqa_gguf_draft *d,
                                   const struct gqa_rope *rope)
{
    enum gqa_status st;

    if (!rope->longer)
        return add_divisors(d, "rope_freqs.weight", rope, rope->frequency);
    st = add_divisors(d, "rope_factors_long.weight", rope, rope->longer);
    if (st == GQA_OK)
        st =
            add_divisors(d, "rope_factors_short.weight", rope, rope->frequency);
    gqa_gguf_key_set(d, "%.rope.scaling.type", json_string("longrope"));
    gqa_gguf_key_set(d, "%.rope.scaling.attn_factor",
                     json_real(rope->magnitude));
    if (rope->context > 0)
        gqa_gguf_key_set(d, "%.rope.scaling.original_context_length",
                         json_integer((json_int_t)rope->context));
    return st == GQA_OK ? gqa_json_check() : st;
}

enum gqa_status gqa_gguf_scaling_add(struct gqa_gguf_draft *d,
                                     const struct gqa_output *output)
{
    const json_t *config = output->options->config;
    const struct gqa_model *model = output->options->model;
    const struct gqa_position *position = find_turning(model);
    struct gqa_rope rope = {0};
    double theta;
    enum gqa_status st;

    if (!position || !gqa_gguf_scaling_is_by_tensors(output))
        return GQA_OK;
    st = gqa_rope_theta(&theta, &model->family->positions, config);
    if (st == GQA_OK)
        st = gqa_rope_create(&rope, config, theta, NULL,
                             &model->family->positions, position);
    if (st != GQA_OK)
        return st;
    st = add_tensors(d, &rope);
    free(rope.frequency);
    free(rope.longer);
    return st;
}
