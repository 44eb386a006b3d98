#include "verify/clauses.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"

enum { MAX_SHOWN = 60, ROOM_FOR_END = 32 };

bool gqa_clause_add(struct gqa_check *check, const char *clause)
{
    const size_t used = strlen(check->detail);

    if (used + strlen(clause) + 3 > sizeof check->detail - ROOM_FOR_END)
        return false;
    snprintf(check->detail + used, sizeof check->detail - used, "%s%s",
             used ? "; " : "", clause);
    return true;
}

void gqa_clause_end(struct gqa_check *check, size_t n_more)
{
    const size_t used = strlen(check->detail);

    if (n_more > 0)
        snprintf(check->detail + used, sizeof check->detail - used,
                 "; and %zu more", n_more);
}

/* "500000", "absent"; escaped, and cut to fit. */
static void value_text(char out[MAX_SHOWN], const json_t *value)
{
    char *text = NULL;

    snprintf(out, MAX_SHOWN, "absent");
    if (value && gqa_json_dump(&text, value,
                               JSON_ENCODE_ANY | JSON_COMPACT |
                                   JSON_ENSURE_ASCII | JSON_SORT_KEYS |
                                   gqa_json_real_flags(value)) == GQA_OK)
        snprintf(out, MAX_SHOWN, "%.*s%s", MAX_SHOWN - 4, text,
                 strlen(text) <= MAX_SHOWN - 4 ? "" : "...");
    free(text);
}

void gqa_clause_of(char out[GQA_CLAUSE_MAX], const json_t *difference,
                   const struct gqa_clause_words *words)
{
    const char *key = json_string_value(json_object_get(difference, "key"));
    char first[MAX_SHOWN], second[MAX_SHOWN];

    value_text(first, json_object_get(difference, "first"));
    value_text(second, json_object_get(difference, "second"));
    snprintf(out, GQA_CLAUSE_MAX, "%.100s: %s in %.200s, %s %.40s",
             key ? key : "?", first, words->in, second, words->here);
}

json_t *gqa_clause_json(const json_t *difference, const char *first_name)
{
    json_t *out = json_object();
    json_t *first = json_object_get(difference, "first");
    json_t *second = json_object_get(difference, "second");

    json_object_set(out, "key", json_object_get(difference, "key"));
    if (first)
        json_object_set(out, first_name, first);
    if (second)
        json_object_set(out, "converted", second);
    return out;
}
