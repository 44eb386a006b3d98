/* Which keys of a configuration a description reads. */
#include <string.h>

#include "formats/families/description.h"

const char *const gqa_computing_parts[] = {"norm",   "embedding", "positions",
                                           "stacks", "logits",    NULL};

static bool names_key(const json_t *name, const char *key)
{
    const char *text = json_string_value(name);
    const size_t n = strlen(key);

    return text && strncmp(text, key, n) == 0 &&
           (text[n] == '\0' || text[n] == '.');
}

static bool setting_reads(const json_t *setting, const char *key)
{
    const json_t *keys = json_object_get(setting, "key");

    for (size_t i = 0; i < json_array_size(keys); i++)
        if (names_key(json_array_get(keys, i), key))
            return true;
    return names_key(keys, key);
}

static bool part_reads(const json_t *part, const char *key)
{
    const char *name;
    json_t *value;

    if (gqa_is_setting(part))
        return setting_reads(part, key);
    json_object_foreach((json_t *)(uintptr_t)part, name, value)
    {
        if (part_reads(value, key))
            return true;
    }
    return false;
}

bool gqa_family_reads(const struct gqa_family *family, const char *key)
{
    const json_t *root = family->description->root;

    for (gqa_texts t = family->keys.unread; t && *t; t++)
        if (strcmp(*t, key) == 0)
            return true;
    for (gqa_texts part = gqa_computing_parts; *part; part++)
        if (part_reads(json_object_get(root, *part), key))
            return true;
    return false;
}
