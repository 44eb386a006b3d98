#include "formats/recorded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "formats/safetensors/header.h"

const char *gqa_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash && slash[1] ? slash + 1 : path;
}

static enum gqa_status take_config(struct gqa_source *source,
                                   const json_t *text, const char *where)
{
    char what[64];
    enum gqa_status st;

    snprintf(what, sizeof what, "gqa.config in %s", where);
    st = gqa_json_parse(&source->config, json_string_value(text),
                        json_string_length(text), what);
    if (st == GQA_OK && !json_is_object(source->config))
        st = gqa_fail(GQA_ERR_FORMAT, "%s: not a JSON object", what);
    return st;
}

enum gqa_status gqa_recorded_take(struct gqa_source *source, json_t *metadata,
                                  const char *where)
{
    const json_t *config = json_object_get(metadata, "gqa.config");
    const char *version =
        json_string_value(json_object_get(metadata, "gqa.version"));
    enum gqa_status st = GQA_OK;

    if (version && strcmp(version, GQA_FORMAT_VERSION) != 0)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "gqa.version in %s is \"%.40s\"; this tool reads "
                        "version %s, so a newer one is needed",
                        where, version, GQA_FORMAT_VERSION);
    if (config)
        st = take_config(source, config, where);
    if (st == GQA_OK)
        source->metadata = json_incref(metadata);
    return st;
}

json_t *gqa_recorded_recipe(const struct gqa_checkpoint *checkpoint)
{
    for (size_t i = 0; i < gqa_checkpoint_n_sources(checkpoint); i++) {
        const char *text = json_string_value(json_object_get(
            gqa_checkpoint_source(checkpoint, i)->metadata, "gqa.recipe"));
        json_t *recipe;

        if (text &&
            gqa_json_parse(&recipe, text, strlen(text), "gqa.recipe") == GQA_OK)
            return recipe;
    }
    return NULL;
}

uint64_t gqa_recorded_steps(const struct gqa_checkpoint *checkpoint)
{
    json_t *recipe = gqa_recorded_recipe(checkpoint);
    uint64_t n = 0;

    for (const json_t *r = recipe; r; n++)
        r = json_object_get(json_object_get(r, "source"), "recipe");
    json_decref(recipe);
    return n;
}

json_t *gqa_record_source(const struct gqa_checkpoint *source, json_t *recipe)
{
    json_t *out =
        json_pack("{s:s, s:o}", "kind", gqa_checkpoint_kind(source), "name",
                  gqa_json_text(gqa_base_name(gqa_checkpoint_path(source))));

    if (recipe)
        json_object_set_new(out, "recipe", recipe);
    return out;
}

/* An object as a string, as __metadata__ wants it. */
static json_t *as_text(const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT);
    json_t *string = text ? json_string(text) : NULL;

    free(text);
    return string;
}

json_t *gqa_record_shards(const struct gqa_checkpoint *source,
                          const json_t *recipe)
{
    const json_t *old = gqa_checkpoint_source(source, 0)->metadata;
    json_t *metadata = old ? json_deep_copy(old) : json_object();

    json_object_set_new(metadata, "format", json_string("pt"));
    json_object_del(metadata, "gqa.config");
    if (!recipe)
        return metadata;
    json_object_set_new(metadata, "gqa.version", json_string("1"));
    json_object_set_new(metadata, "gqa.recipe", as_text(recipe));
    return metadata;
}

json_t *gqa_record_metadata(const struct gqa_checkpoint *source,
                            const json_t *config, const json_t *recipe)
{
    const json_t *old = gqa_checkpoint_source(source, 0)->metadata;
    json_t *metadata = old ? json_deep_copy(old) : json_object();

    json_object_set_new(metadata, "format", json_string("pt"));
    json_object_set_new(metadata, "gqa.version", json_string("1"));
    json_object_set_new(metadata, "gqa.config", as_text(config));
    json_object_set_new(metadata, "gqa.recipe", as_text(recipe));
    return metadata;
}
