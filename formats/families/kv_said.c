#include "formats/families/kv_said.h"

#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "common/ull.h"

bool gqa_kv_said(const struct gqa_family *family)
{
    return family->keys.n_kv_heads_by.json != NULL;
}

/* The setting that decides: what others lead to it is the model's own. */
static const json_t *deciding(const struct gqa_family *family,
                              const json_t *config)
{
    return gqa_setting_last(&family->keys.n_kv_heads_by, config);
}

const char *gqa_kv_said_key(const struct gqa_family *family,
                            const json_t *config)
{
    return json_string_value(json_object_get(deciding(family, config), "key"));
}

/* A value of the description: a number, or "n_heads". */
static uint64_t meant(const json_t *value, uint64_t n_heads)
{
    return json_is_string(value) ? n_heads
                                 : (uint64_t)json_integer_value(value);
}

uint64_t gqa_kv_said_count(const struct gqa_family *family,
                           const json_t *config, uint64_t n_heads)
{
    const json_t *by = deciding(family, config);
    const json_t *value = NULL;

    if (gqa_setting_get(&value, NULL, &family->keys.n_kv_heads_by, config) !=
        GQA_OK)
        return 0;
    /* Of a map, only what it lists is a word of the family's. */
    if (json_object_get(by, "map") &&
        value == json_object_get(config, gqa_kv_said_key(family, config)))
        return 0;
    return meant(value, n_heads);
}

/* The word of a map that says the number; NULL: there is none. */
static const char *find_word(const json_t *map, uint64_t n_heads,
                             uint64_t n_kv_heads)
{
    const char *word;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)map, word, value)
    {
        if (meant(value, n_heads) == n_kv_heads)
            return word;
    }
    return NULL;
}

bool gqa_kv_said_can(const struct gqa_family *family, const json_t *config,
                     uint64_t n_heads, uint64_t n_kv_heads)
{
    const json_t *map = json_object_get(deciding(family, config), "map");

    return n_kv_heads > 0 &&
           (!map || find_word(map, n_heads, n_kv_heads) ||
            gqa_kv_said_count(family, config, n_heads) == n_kv_heads);
}

/* As maps write it: true is "true", 1 is "1", and other words are texts. */
static json_t *value_of(const char *word)
{
    json_t *value = gqa_json_own(word);

    return value ? value : json_string(word);
}

void gqa_kv_said_set(json_t *config, const struct gqa_family *family,
                     uint64_t n_heads, uint64_t n_kv_heads)
{
    const json_t *map = json_object_get(deciding(family, config), "map");

    if (gqa_kv_said_count(family, config, n_heads) == n_kv_heads)
        return;
    json_object_set_new(config, gqa_kv_said_key(family, config),
                        map ? value_of(find_word(map, n_heads, n_kv_heads))
                            : json_integer((json_int_t)n_kv_heads));
}

/* "1 or 8", of a map; "" where it leads to other settings, as it does only
 * from a value that it does not know. Texts that do not fit are left out. */
static void list_counts(char *out, size_t size, const json_t *map,
                        uint64_t n_heads)
{
    const char *word;
    json_t *value;
    size_t n = 0;

    out[0] = '\0';
    json_object_foreach((json_t *)(uintptr_t)map, word, value)
    {
        const int added =
            gqa_is_setting(value)
                ? 0
                : snprintf(out + n, size - n, "%s%llu", n ? " or " : "",
                           ULL(meant(value, n_heads)));

        if (added < 0 || (size_t)added >= size - n)
            return;
        n += (size_t)added;
    }
}

enum gqa_status gqa_kv_said_check(const struct gqa_family *family,
                                  const json_t *config, uint64_t n_heads,
                                  uint64_t n_kv_heads, const char *output,
                                  const char *ways)
{
    const char *key;
    char counts[128];

    if (!gqa_kv_said(family) ||
        gqa_kv_said_can(family, config, n_heads, n_kv_heads))
        return GQA_OK;
    key = gqa_kv_said_key(family, config);
    if (n_kv_heads == 0)
        return gqa_fail(GQA_ERR_USAGE,
                        "%s: its layers would differ in KV heads, and %s says "
                        "one number for all: write a .gqa%s",
                        output, key, ways);
    list_counts(counts, sizeof counts,
                json_object_get(deciding(family, config), "map"), n_heads);
    if (!counts[0])
        return gqa_fail(GQA_ERR_USAGE,
                        "%s: the value of %s is none that says how many KV "
                        "heads there are, and loaders of a folder go by it: "
                        "mend the configuration, or write a .gqa",
                        output, key);
    return gqa_fail(GQA_ERR_USAGE,
                    "%s: loaders of a folder take %s KV heads by %s of its "
                    "config.json, which cannot say %llu: keep %s, write a "
                    ".gqa%s",
                    output, counts, key, ULL(n_kv_heads), counts, ways);
}
