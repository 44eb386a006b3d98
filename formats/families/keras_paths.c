#include "formats/families/keras_paths.h"

#include <stdlib.h>
#include <string.h>

bool gqa_keras_is_training_state(const char *path)
{
    return strstr(path, "optimizer/") || strstr(path, "optimizer_weights/") ||
           strstr(path, "seed_generator") || strstr(path, "/metrics/");
}

char *gqa_keras_normal_path(const char *name, bool legacy)
{
    char *path = malloc(strlen(name) + 1);
    char *to = path;

    if (!path)
        return NULL;
    while (*name == '/')
        name++;
    while (*name) {
        size_t n = strcspn(name, "/");

        if (!legacy && n == 4 && strncmp(name, "vars", n) == 0) {
            name += n + (name[n] == '/');
            continue;
        }
        while (!legacy && *name == '_') {
            name++;
            n--;
        }
        memcpy(to, name, n);
        to += n;
        name += n;
        if (*name == '/')
            *to++ = *name++;
    }
    *to = '\0';
    if (to - path > 2 && strcmp(to - 2, ":0") == 0)
        to[-2] = '\0';
    return path;
}

/* --- What a model is wrapped in ------------------------------------------- */

/* A path's next component, with its '/'. */
struct component {
    const char *text;
    size_t length, at;
};

static int compare_components(const void *a, const void *b)
{
    const struct component *x = a, *y = b;
    const size_t n = x->length < y->length ? x->length : y->length;
    const int order = memcmp(x->text, y->text, n);

    if (order != 0)
        return order;
    return (x->length > y->length) - (x->length < y->length);
}

/* The component that most have behind the prefix; false: none has one. */
static bool find_next(struct gqa_keras_prefix *next,
                      const struct gqa_keras_prefix *prefix, char *const *paths,
                      size_t n, struct component *room)
{
    size_t n_found = 0;
    size_t most = 0;

    for (size_t i = 0; i < n; i++) {
        const char *rest, *slash;

        if (!paths[i] ||
            strncmp(paths[i], paths[prefix->at], prefix->length) != 0)
            continue;
        rest = paths[i] + prefix->length;
        slash = strchr(rest, '/');
        if (slash)
            room[n_found++] =
                (struct component){rest, (size_t)(slash + 1 - rest), i};
    }
    qsort(room, n_found, sizeof *room, compare_components);
    for (size_t i = 0, first = 0; i < n_found; i++) {
        if (compare_components(&room[i], &room[first]) != 0)
            first = i;
        if (i - first + 1 <= most)
            continue;
        most = i - first + 1;
        *next = (struct gqa_keras_prefix){room[i].at,
                                          prefix->length + room[i].length};
    }
    return most > 0;
}

bool gqa_keras_find_prefixes(struct gqa_keras_prefixes *out, char *const *paths,
                             size_t n)
{
    struct component *room;
    size_t first = 0;

    memset(out, 0, sizeof *out);
    while (first < n && !paths[first])
        first++;
    if (first == n)
        return true;
    room = calloc(n, sizeof *room);
    if (!room)
        return false;
    out->items[out->n++] = (struct gqa_keras_prefix){first, 0};
    while (
        out->n < GQA_KERAS_MAX_PREFIXES &&
        find_next(&out->items[out->n], &out->items[out->n - 1], paths, n, room))
        out->n++;
    free(room);
    return true;
}
