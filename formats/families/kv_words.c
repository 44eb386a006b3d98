#include "formats/families/kv_words.h"

#include <stdlib.h>
#include <string.h>

/* Files of others nest, but not deeper. */
enum { MAX_DEPTH = 32 };

static const char *const heads[] = {"num_key_value_heads",
                                    "num_key_value_heads_per_layer",
                                    "num_kv_heads",
                                    "num_kv_heads_per_layer",
                                    "n_kv_heads",
                                    "n_kv_head",
                                    "n_head_kv",
                                    "kv_heads",
                                    "kv_n_heads",
                                    "num_query_groups",
                                    "multi_query_group_num"};
enum { N_HEADS = sizeof heads / sizeof *heads };

enum gqa_kv_word gqa_kv_word(const char *key)
{
    for (size_t i = 0; i < N_HEADS; i++)
        if (strcmp(key, heads[i]) == 0)
            return GQA_KV_HEADS;
    return strcmp(key, "n_heads_in_group") == 0 ||
                   strcmp(key, "num_key_value_groups") == 0
               ? GQA_KV_SHARE
               : GQA_KV_NOTHING;
}

/* A number of KV heads, or those of all layers. */
static bool says_other(const json_t *value, uint64_t n_kv_heads)
{
    size_t i;
    json_t *element;

    if (json_is_integer(value))
        return (uint64_t)json_integer_value(value) != n_kv_heads;
    json_array_foreach((json_t *)(uintptr_t)value, i, element)
    {
        if (json_is_integer(element) && says_other(element, n_kv_heads))
            return true;
    }
    return false;
}

static bool differ(const json_t *value, uint64_t n_kv_heads, unsigned depth)
{
    const char *key;
    json_t *member;
    size_t i;

    if (depth == MAX_DEPTH)
        return false;
    json_array_foreach((json_t *)(uintptr_t)value, i, member)
    {
        if (differ(member, n_kv_heads, depth + 1))
            return true;
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        if (gqa_kv_word(key) == GQA_KV_HEADS
                ? says_other(member, n_kv_heads)
                : differ(member, n_kv_heads, depth + 1))
            return true;
    }
    return false;
}

bool gqa_kv_words_differ(const json_t *value, uint64_t n_kv_heads)
{
    return differ(value, n_kv_heads, 0);
}

/* The number behind a key and ':' or '=', be they quoted or in a list. */
static bool says_number(const char *text, uint64_t *number)
{
    static const char around[] = " \t\"'";

    text += strspn(text, around);
    if (*text != ':' && *text != '=')
        return false;
    text++;
    text += strspn(text, " \t\"'[");
    if (*text < '0' || *text > '9')
        return false;
    *number = strtoull(text, NULL, 10);
    return true;
}

static bool is_of_word(char c)
{
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
           (c >= 'a' && c <= 'z');
}

bool gqa_kv_words_differ_in_text(const char *text, uint64_t n_kv_heads)
{
    for (size_t i = 0; i < N_HEADS; i++) {
        const size_t n = strlen(heads[i]);

        for (const char *at = text; (at = strstr(at, heads[i])); at += n) {
            uint64_t number;

            if ((at == text || !is_of_word(at[-1])) && !is_of_word(at[n]) &&
                says_number(at + n, &number) && number != n_kv_heads)
                return true;
        }
    }
    return false;
}

/* However deep in value; 0: none is told. */
static uint64_t told(const json_t *value, uint64_t n_heads, unsigned depth)
{
    const char *key;
    json_t *member;
    uint64_t found = 0;
    size_t i;

    if (depth == MAX_DEPTH)
        return 0;
    json_array_foreach((json_t *)(uintptr_t)value, i, member)
    {
        if (!found)
            found = told(member, n_heads, depth + 1);
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        const enum gqa_kv_word word = gqa_kv_word(key);
        const json_int_t n = json_integer_value(member);

        if (found || (word != GQA_KV_NOTHING && n <= 0))
            continue;
        found = word == GQA_KV_HEADS   ? (uint64_t)n
                : word == GQA_KV_SHARE ? n_heads / (uint64_t)n
                                       : told(member, n_heads, depth + 1);
    }
    return found;
}

uint64_t gqa_kv_words_of_layer(const json_t *config, uint64_t layer,
                               uint64_t n_layers, uint64_t n_heads)
{
    const char *key;
    json_t *list;
    uint64_t found = 0;

    json_object_foreach((json_t *)(uintptr_t)config, key, list)
    {
        const json_t *own = json_array_size(list) == n_layers
                                ? json_array_get(list, (size_t)layer)
                                : NULL;

        if (found || !own)
            continue;
        if (gqa_kv_word(key) == GQA_KV_HEADS && json_integer_value(own) > 0)
            found = (uint64_t)json_integer_value(own);
        else
            found = told(own, n_heads, 0);
    }
    return found;
}

static json_t *hide(const json_t *value, bool is_number, unsigned depth)
{
    const char *key;
    json_t *member, *out;
    size_t i;

    if (is_number && (json_is_integer(value) || json_is_array(value)))
        return json_null();
    if (depth == MAX_DEPTH || !(json_is_object(value) || json_is_array(value)))
        return json_deep_copy(value);
    out = json_is_object(value) ? json_object() : json_array();
    json_array_foreach((json_t *)(uintptr_t)value, i, member)
    {
        json_array_append_new(out, hide(member, false, depth + 1));
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        json_object_set_new(
            out, key,
            hide(member, gqa_kv_word(key) != GQA_KV_NOTHING, depth + 1));
    }
    return out;
}

json_t *gqa_kv_words_hide(const char *key, const json_t *value)
{
    return hide(value, gqa_kv_word(key) != GQA_KV_NOTHING, 0);
}
