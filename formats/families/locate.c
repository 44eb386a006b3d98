#include "formats/families/locate.h"

#include <stdio.h>
#include <string.h>

/* A cursor in the text. */
struct scan {
    const char *at, *end;
};

static void skip_space(struct scan *s)
{
    while (s->at < s->end && strchr(" \t\r\n", *s->at))
        s->at++;
}

static void skip_string(struct scan *s)
{
    for (s->at++; s->at < s->end && *s->at != '"'; s->at++)
        if (*s->at == '\\')
            s->at++;
    s->at++;
}

static void skip_value(struct scan *s)
{
    size_t depth = 0;

    do {
        skip_space(s);
        if (s->at >= s->end)
            return;
        if (*s->at == '"') {
            skip_string(s);
        } else if (*s->at == '{' || *s->at == '[') {
            depth++;
            s->at++;
        } else if (*s->at == '}' || *s->at == ']') {
            depth--;
            s->at++;
        } else {
            s->at++;
            /* Numbers and words end where something else begins. */
            while (depth == 0 && s->at < s->end &&
                   !strchr(" \t\r\n,]}", *s->at))
                s->at++;
        }
    } while (depth > 0);
}

/* To the member of this key, of the object that begins here. A key that is
 * written with escapes is not found. */
static const char *enter_object(struct scan *s, const char *key)
{
    const size_t n = strlen(key);

    if (s->at >= s->end || *s->at != '{')
        return NULL;
    s->at++;
    for (;;) {
        const char *begin;
        size_t length;

        skip_space(s);
        if (s->at >= s->end || *s->at != '"')
            return NULL;
        begin = s->at;
        skip_string(s);
        length = (size_t)(s->at - begin) - 2;
        skip_space(s);
        s->at++; /* ':' */
        skip_space(s);
        if (length == n && memcmp(begin + 1, key, n) == 0)
            return begin;
        skip_value(s);
        skip_space(s);
        if (s->at >= s->end || *s->at++ != ',')
            return NULL;
    }
}

static const char *enter_array(struct scan *s, size_t index)
{
    if (s->at >= s->end || *s->at != '[')
        return NULL;
    s->at++;
    skip_space(s);
    for (size_t i = 0; s->at < s->end && *s->at != ']'; i++) {
        if (i == index)
            return s->at;
        skip_value(s);
        skip_space(s);
        if (s->at >= s->end || *s->at++ != ',')
            return NULL;
        skip_space(s);
    }
    return NULL;
}

/* Where the place's key or item begins; the cursor is at its value then. */
static const char *enter(struct scan *s, const struct gqa_place *place)
{
    if (!place) {
        skip_space(s);
        return s->at;
    }
    if (!enter(s, place->up))
        return NULL;
    return place->key ? enter_object(s, place->key)
                      : enter_array(s, place->index);
}

size_t gqa_locate(const char *text, size_t length,
                  const struct gqa_place *place)
{
    struct scan s = {text, text + length};
    const char *found = enter(&s, place);
    size_t line = 1;

    if (!found)
        return 0;
    for (const char *c = text; c < found; c++)
        line += *c == '\n';
    return line;
}

void gqa_place_text(char *out, size_t size, const struct gqa_place *place)
{
    size_t n;

    out[0] = '\0';
    if (!place)
        return;
    gqa_place_text(out, size, place->up);
    n = strlen(out);
    if (place->key)
        snprintf(out + n, size - n, "%s%s", n ? "." : "", place->key);
    else
        snprintf(out + n, size - n, "[%zu]", place->index);
}
