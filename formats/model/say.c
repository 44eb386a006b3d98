#include "formats/model/say.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/units.h"
#include "formats/families/family.h"

static const char *naming(enum gqa_naming naming)
{
    static const char *const words[] = {
        [GQA_NAMES_TORCH] = "Hugging Face's",
        [GQA_NAMES_TF] = "TensorFlow's",
        [GQA_NAMES_KERAS] = "Keras's",
        [GQA_NAMES_KERAS_LEGACY] = "Keras's older ones",
    };

    return words[naming];
}

void gqa_say_checkpoint(const struct gqa_checkpoint *c)
{
    const char *path = gqa_checkpoint_path(c);
    const char *config = gqa_checkpoint_config_path(c);
    char size[GQA_UNITS_MAX];

    if (gqa_log_level() < GQA_LOG_INFO)
        return;
    gqa_info("%s: by its content %s; %zu tensors, names are %s", path,
             gqa_checkpoint_kind(c), gqa_checkpoint_n_tensors(c),
             naming(gqa_checkpoint_naming(c)));
    for (size_t i = 0; i < gqa_checkpoint_n_sources(c); i++) {
        const struct gqa_source *source = gqa_checkpoint_source(c, i);

        gqa_info("%s: read, %zu tensors in %s", source->path, source->n_tensors,
                 gqa_units_bytes(size, source->file_bytes));
    }
    if (config && strcmp(config, gqa_checkpoint_source(c, 0)->path) == 0)
        gqa_info("%s: holds its configuration", path);
    else if (config)
        gqa_info("%s: configuration of %s", config, path);
    else
        gqa_info("%s: no configuration is given, inside or beside it", path);
}

static bool same_slice(const struct gqa_model *m, const struct gqa_slice *a,
                       const struct gqa_slice *b)
{
    return a->axis == b->axis && a->n_heads == b->n_heads &&
           m->params[a->weight].dtype == m->params[b->weight].dtype &&
           (a->bias == GQA_NO_PARAM) == (b->bias == GQA_NO_PARAM);
}

/* Whether two attentions differ in their layer alone. */
static bool alike(const struct gqa_model *m, const struct gqa_attention *a,
                  const struct gqa_attention *b)
{
    return a->stack == b->stack && a->kind == b->kind &&
           a->n_heads == b->n_heads && a->n_kv_heads == b->n_kv_heads &&
           a->head_dim == b->head_dim && a->layout == b->layout &&
           a->position.scheme == b->position.scheme &&
           a->position.rotary_dim == b->position.rotary_dim &&
           a->position.interleaved == b->position.interleaved &&
           same_slice(m, &a->k, &b->k) && same_slice(m, &a->v, &b->v);
}

/* Among those from index i on that are alike, is the attention the first? */
static bool is_first(const struct gqa_model *m, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (alike(m, &m->attentions[j], &m->attentions[i]))
            return false;
    return true;
}

static void print_positions(char *out, size_t n, const struct gqa_attention *a)
{
    if (a->position.scheme == GQA_POSITION_ROPE)
        snprintf(out, n, "%s over %" PRIu64 " of %" PRIu64 "%s",
                 gqa_position_name(&a->position), a->position.rotary_dim,
                 a->head_dim, a->position.interleaved ? ", interleaved" : "");
    else
        snprintf(out, n, "%s", gqa_position_name(&a->position));
}

/* The attention at index i and those that are like it. */
static void say_attention(const struct gqa_model *m, size_t i)
{
    const struct gqa_attention *a = &m->attentions[i];
    uint64_t last = a->layer;
    size_t n = 0;
    char layers[64], positions[64];

    for (size_t j = i; j < m->n_attentions; j++)
        if (alike(m, a, &m->attentions[j])) {
            last = m->attentions[j].layer;
            n++;
        }
    if (n == 1)
        snprintf(layers, sizeof layers, "layer %" PRIu64, a->layer);
    else if (n == last - a->layer + 1)
        snprintf(layers, sizeof layers, "layers %" PRIu64 "-%" PRIu64, a->layer,
                 last);
    else
        snprintf(layers, sizeof layers, "%zu layers of %" PRIu64 "-%" PRIu64, n,
                 a->layer, last);
    print_positions(positions, sizeof positions, a);
    gqa_info("%s %s, %s: %" PRIu64 " heads, %" PRIu64 " KV heads, each of "
             "%" PRIu64 "; %s, in %s, %s%s; positions: %s",
             gqa_stack_name(a->stack), gqa_attention_kind_name(a->kind), layers,
             a->n_heads, a->n_kv_heads, a->head_dim,
             gqa_head_layout_name(a->layout),
             a->k.axis == 0 ? "rows" : "columns",
             gqa_dtype_name(m->params[a->k.weight].dtype),
             a->k.bias == GQA_NO_PARAM ? "" : " with a bias", positions);
}

void gqa_say_model(const struct gqa_model *m,
                   const struct gqa_checkpoint *checkpoint)
{
    const char *path = gqa_checkpoint_path(checkpoint);
    const json_t *config = gqa_checkpoint_config(checkpoint);
    const char *type = json_string_value(json_object_get(config, "model_type"));

    const enum gqa_naming names = gqa_checkpoint_naming(checkpoint);
    /* Keras's names tell it by themselves. */
    const bool by_type = names == GQA_NAMES_TORCH || names == GQA_NAMES_TF;

    if (gqa_log_level() < GQA_LOG_INFO)
        return;
    if (m->family->is_own)
        gqa_info("%s: read, a description of family %s", m->family->file,
                 m->family->name);
    if (type && by_type)
        gqa_info("%s: family %s, by model_type %s of its configuration", path,
                 m->family->name, type);
    else
        gqa_info("%s: family %s, by the names of its tensors", path,
                 m->family->name);
    if (!m->config_is_complete)
        gqa_info("%s: dimensions are those that the shapes prove", path);
    for (size_t i = 0; i < m->n_attentions; i++)
        if (is_first(m, i))
            say_attention(m, i);
}
