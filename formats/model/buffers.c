#include "formats/model/buffers.h"

#include <string.h>

#include "formats/families/family.h"

static bool is_ignored(const struct gqa_family *family, const char *leaf)
{
    for (gqa_texts name = family->names.ignored; name && *name; name++)
        if (strcmp(leaf, *name) == 0)
            return true;
    return false;
}

static bool is_in_attention(const struct gqa_family *family, const char *name)
{
    for (size_t r = 0; r < family->n_attentions; r++) {
        uint64_t layer;
        const char *leaf;

        if (gqa_pattern_match(family->attentions[r]->pattern, name, &layer,
                              &leaf) &&
            *leaf == '.' && is_ignored(family, leaf + 1))
            return true;
    }
    return false;
}

bool gqa_family_ignores(const struct gqa_family *family, const char *name)
{
    return is_ignored(family, name) || is_in_attention(family, name);
}

bool gqa_model_is_buffer(const struct gqa_model *model, const char *name)
{
    gqa_texts prefix = model->family->names.prefixes;

    for (; *prefix; prefix++) {
        const size_t n = strlen(*prefix);

        if (strncmp(name, *prefix, n) == 0 &&
            gqa_family_ignores(model->family, name + n))
            return true;
    }
    return false;
}
