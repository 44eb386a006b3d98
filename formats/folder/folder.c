#include "formats/folder/folder.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/formats.h"

struct listing {
    struct dirent **entries; /* [n] sorted by name */
    size_t n;
};

char *gqa_path_join(const char *folder, const char *name)
{
    const size_t n = strlen(folder);
    const char *slash = n > 0 && folder[n - 1] == '/' ? "" : "/";
    char *path;

    return asprintf(&path, "%s%s%s", folder, slash, name) < 0 ? NULL : path;
}

char *gqa_path_folder(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return strdup(".");
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static bool ends_in(const char *name, size_t n, const char *ending)
{
    const size_t m = strlen(ending);

    return n > m && strcmp(name + n - m, ending) == 0;
}

static bool name_matches(const char *name, const char *pattern)
{
    return pattern[0] == '*' ? ends_in(name, strlen(name), pattern + 1)
                             : strcmp(name, pattern) == 0;
}

/* What is looked for: a pattern or, if NULL, the ending of any format read. */
static bool is_wanted(const char *name, const char *pattern)
{
    const size_t n = strlen(name);

    if (pattern)
        return name_matches(name, pattern);
    for (size_t i = 0; i < gqa_n_formats; i++)
        for (const struct gqa_name_ending *e =
                 gqa_formats[i]->open ? gqa_formats[i]->endings : NULL;
             e && e->text; e++)
            if (ends_in(name, n, e->text))
                return true;
    return false;
}

/* How many names are wanted, and the first of them. */
static size_t count_matches(const struct listing *list, const char **first,
                            const char *pattern)
{
    size_t n = 0;

    for (size_t i = 0; i < list->n; i++)
        if (is_wanted(list->entries[i]->d_name, pattern) && n++ == 0)
            *first = list->entries[i]->d_name;
    return n;
}

static enum gqa_status refuse_several(const char *folder,
                                      const struct listing *list,
                                      const char *pattern)
{
    char names[512] = "";
    size_t used = 0, shown = 0, n = 0;

    for (size_t i = 0; i < list->n; i++) {
        const char *name = list->entries[i]->d_name;

        if (!is_wanted(name, pattern))
            continue;
        if (used + strlen(name) + 3 < sizeof names) {
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s",
                                     n ? ", " : "", name);
            shown++;
        }
        n++;
    }
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "%s: %zu files of weights and no index; give one of them "
                    "by name: %s%s",
                    folder, n, names, shown < n ? ", ..." : "");
}

/* A file whose ending has an advice, the endings in their order. */
static const char *find_advice(const struct listing *list, const char **name)
{
    for (size_t f = 0; f < gqa_n_formats; f++)
        for (const struct gqa_name_ending *e = gqa_formats[f]->endings;
             e && e->text; e++)
            for (size_t i = 0; i < list->n && e->advice; i++) {
                *name = list->entries[i]->d_name;
                if (ends_in(*name, strlen(*name), e->text))
                    return e->advice;
            }
    return NULL;
}

static enum gqa_status refuse_folder(const char *folder,
                                     const struct listing *list)
{
    const char *name;
    const char *advice = find_advice(list, &name);

    if (advice)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: no checkpoint that we read; there is %s, but %s",
                        folder, name, advice);
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "%s: no checkpoint in this folder (looked for "
                    "model.safetensors, tf_model.h5, model.weights.h5, their "
                    "indices, *.gqa, *.safetensors and *.h5)",
                    folder);
}

/* The format that comes after `last` in order of preference, or NULL. */
static const struct gqa_format *next_preferred(const struct gqa_format *last)
{
    const struct gqa_format *next = NULL;

    for (size_t i = 0; i < gqa_n_formats; i++) {
        const struct gqa_format *f = gqa_formats[i];

        if (f->names && f->preference > (last ? last->preference : 0) &&
            (!next || f->preference < next->preference))
            next = f;
    }
    return next;
}

static enum gqa_status choose(const char **name, const char *folder,
                              const struct listing *list)
{
    const struct gqa_format *f = NULL;
    size_t n;

    while ((f = next_preferred(f)))
        for (const char *const *pattern = f->names; *pattern; pattern++) {
            n = count_matches(list, name, *pattern);
            if (n == 1)
                return GQA_OK;
            if (n > 1)
                return refuse_several(folder, list, *pattern);
        }
    n = count_matches(list, name, NULL);
    if (n > 1)
        return refuse_several(folder, list, NULL);
    return n == 1 ? GQA_OK : refuse_folder(folder, list);
}

enum gqa_status gqa_folder_find(char **path, const char *folder)
{
    struct listing list = {0};
    const char *name = NULL;
    enum gqa_status st;
    const int n = scandir(folder, &list.entries, NULL, alphasort);

    if (n < 0)
        return gqa_fail_errno("%s", folder);
    list.n = (size_t)n;
    st = choose(&name, folder, &list);
    if (st == GQA_OK) {
        *path = gqa_path_join(folder, name);
        if (!*path)
            st = gqa_fail_nomem();
    }
    for (size_t i = 0; i < list.n; i++)
        free(list.entries[i]);
    free(list.entries);
    return st;
}
