/* Two meanings held against each other. */
#include "formats/families/meaning.h"

#include <stdio.h>

#include "common/json.h"

/* 10000 is 10000.0. */
static bool is_same(const json_t *a, const json_t *b)
{
    const char *key;
    json_t *value;

    if (json_is_number(a) && json_is_number(b))
        return json_is_integer(a) && json_is_integer(b)
                   ? json_integer_value(a) == json_integer_value(b)
                   : json_number_value(a) == json_number_value(b);
    if (!a || !b || json_typeof(a) != json_typeof(b) ||
        json_array_size(a) != json_array_size(b) ||
        json_object_size(a) != json_object_size(b))
        return (!a || json_is_null(a)) && (!b || json_is_null(b));
    if (!json_is_array(a) && !json_is_object(a))
        return json_equal(a, b);
    for (size_t i = 0; i < json_array_size(a); i++)
        if (!is_same(json_array_get(a, i), json_array_get(b, i)))
            return false;
    json_object_foreach((json_t *)(uintptr_t)a, key, value)
    {
        if (!is_same(value, json_object_get(b, key)))
            return false;
    }
    return true;
}

/* Several facts may be made of one key. */
static bool is_listed(const json_t *list, const json_t *difference)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_equal(json_array_get(list, i), difference))
            return true;
    return false;
}

/* "a", or "a / b" where they say it under two. */
static json_t *both_keys(const json_t *first, const json_t *second)
{
    json_t *a = json_object_get(first, "key");
    json_t *b = json_object_get(second, "key");
    char both[2 * GQA_MAX_NAME];

    if (!a || !b || json_equal(a, b))
        return json_incref(a ? a : b);
    snprintf(both, sizeof both, "%s / %s", json_string_value(a),
             json_string_value(b));
    return json_string(both);
}

static void add_difference(json_t *list, const json_t *first,
                           const json_t *second)
{
    json_t *difference = json_object();
    json_t *a = json_object_get(first, "shown");
    json_t *b = json_object_get(second, "shown");

    json_object_set_new(difference, "key", both_keys(first, second));
    if (a)
        json_object_set(difference, "first", a);
    if (b)
        json_object_set(difference, "second", b);
    /* Where one key means two things, it is said where it shows. */
    if (!is_same(a, b) && !is_listed(list, difference))
        json_array_append(list, difference);
    json_decref(difference);
}

static bool says_none(const json_t *fact)
{
    const json_t *value = json_object_get(fact, "value");

    return !value || json_is_null(value);
}

/* As good as no key at all, where it is not known what one stands for: newer
 * versions write what they have learned since. */
static bool is_nothing(const json_t *fact)
{
    const json_t *value = json_object_get(fact, "value");

    return says_none(fact) || json_is_false(value) ||
           (json_is_object(value) && json_object_size(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

static void compare_fact(json_t *list, const json_t *first,
                         const json_t *second)
{
    const bool aside =
        json_object_get(first, "aside") || json_object_get(second, "aside");
    const bool silent = json_is_true(json_object_get(first, "silent")) &&
                        json_is_true(json_object_get(second, "silent"));

    if ((aside && (says_none(first) || says_none(second))) || silent ||
        (!first && (is_nothing(second) ||
                    json_is_true(json_object_get(second, "additional")))) ||
        (!second && (is_nothing(first) ||
                     json_is_true(json_object_get(first, "silent")))) ||
        is_same(json_object_get(first, "value"),
                json_object_get(second, "value")))
        return;
    add_difference(list, first, second);
}

enum gqa_status gqa_meaning_compare(json_t **out, const json_t *first,
                                    const json_t *second)
{
    json_t *list = json_array();
    const char *of;
    json_t *fact;

    json_object_foreach((json_t *)(uintptr_t)first, of, fact)
    {
        compare_fact(list, fact, json_object_get(second, of));
    }
    json_object_foreach((json_t *)(uintptr_t)second, of, fact)
    {
        if (!json_object_get(first, of))
            compare_fact(list, NULL, fact);
    }
    *out = list;
    return list ? gqa_json_check() : gqa_fail_nomem();
}
