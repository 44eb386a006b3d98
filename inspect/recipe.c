#include "inspect/recipe.h"

#include <string.h>

#include "common/json.h"

static const char key[] = "gqa.recipe";

/* The recipe's text and the file it is in, or NULL. */
static const char *find_text(const struct gqa_checkpoint *checkpoint,
                             const char **path)
{
    for (size_t i = 0; i < gqa_checkpoint_n_sources(checkpoint); i++) {
        const struct gqa_source *source = gqa_checkpoint_source(checkpoint, i);
        const char *text =
            json_string_value(json_object_get(source->metadata, key));

        if (text) {
            *path = source->path;
            return text;
        }
    }
    return NULL;
}

bool gqa_recipe_exists(const struct gqa_checkpoint *checkpoint)
{
    const char *path;

    return find_text(checkpoint, &path) != NULL;
}

enum gqa_status gqa_recipe_load(json_t **out,
                                const struct gqa_checkpoint *checkpoint)
{
    const char *path;
    const char *text = find_text(checkpoint, &path);
    enum gqa_status st;

    if (!text)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: records no recipe; only a .gqa or .safetensors "
                        "written by gqa-convert does",
                        gqa_checkpoint_path(checkpoint));
    st = gqa_json_parse(out, text, strlen(text), key);
    if (st != GQA_OK)
        st = gqa_fail_prefix(st, "%s", path);
    return st;
}
