#include "verify/subject.h"

#include <string.h>

#include "common/json.h"
#include "common/log.h"

enum gqa_status gqa_subject_open(struct gqa_subject *subject, const char *path,
                                 const struct gqa_checkpoint_options *options)
{
    *subject = (struct gqa_subject){0};
    return gqa_checkpoint_open(&subject->checkpoint, path, options);
}

/* The recipe in a file; *out stays NULL where there is none. */
static enum gqa_status read_recipe(json_t **out,
                                   const struct gqa_source *source)
{
    const char *text =
        json_string_value(json_object_get(source->metadata, "gqa.recipe"));
    enum gqa_status st;

    if (!text)
        return GQA_OK;
    st = gqa_json_parse(out, text, strlen(text), "gqa.recipe");
    return st == GQA_OK ? st : gqa_fail_prefix(st, "%s", source->path);
}

/* All shards that tell of a conversion tell of the same. */
static enum gqa_status load_recipe(struct gqa_subject *subject)
{
    const struct gqa_source *first = NULL;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0;
         i < gqa_checkpoint_n_sources(subject->checkpoint) && st == GQA_OK;
         i++) {
        const struct gqa_source *source =
            gqa_checkpoint_source(subject->checkpoint, i);
        json_t *recipe = NULL;

        st = read_recipe(&recipe, source);
        if (st == GQA_OK && recipe && !first) {
            gqa_info("%s: recipe of the conversion that made it", source->path);
            first = source;
            subject->recipe = json_incref(recipe);
        } else if (st == GQA_OK && recipe &&
                   !json_equal(recipe, subject->recipe)) {
            st = gqa_fail(GQA_ERR_FORMAT,
                          "%s and %s: their recipes tell of different "
                          "conversions",
                          first->path, source->path);
        }
        json_decref(recipe);
    }
    return st;
}

enum gqa_status gqa_subject_understand(struct gqa_subject *subject,
                                       const struct gqa_model_hints *hints)
{
    const char *path = gqa_checkpoint_path(subject->checkpoint);
    enum gqa_status st =
        gqa_model_create(&subject->model, subject->checkpoint, hints);

    if (st == GQA_OK)
        st = gqa_inventory_create(&subject->inventory, subject->model,
                                  subject->checkpoint);
    if (st == GQA_OK)
        return load_recipe(subject);
    if (strncmp(gqa_error_message(), path, strlen(path)) == 0)
        return st;
    return gqa_fail_prefix(st, "%s", path);
}

void gqa_subject_forget(struct gqa_subject *subject)
{
    gqa_inventory_free(subject->inventory);
    gqa_model_free(subject->model);
    subject->inventory = NULL;
    subject->model = NULL;
}

bool gqa_subject_keeps_dtype(const struct gqa_subject *subject, size_t param)
{
    return !gqa_role_is_converted(subject->inventory->roles[param]);
}

void gqa_subject_close(struct gqa_subject *subject)
{
    json_decref(subject->recipe);
    gqa_subject_forget(subject);
    gqa_checkpoint_close(subject->checkpoint);
    *subject = (struct gqa_subject){0};
}
