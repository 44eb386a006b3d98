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

/* What is looked for: a pattern or, if NULL, the ending of any format read. */
static bool is_wanted(const char *name, const char *pattern)
{
    if (pattern)
        return gqa_name_fits(name, pattern);
    for (size_t i = 0; i < gqa_n_formats; i++)
        for (const struct gqa_name_ending *e =
                 gqa_formats[i]->open ? gqa_formats[i]->endings : NULL;
             e && e->text; e++)
            if (gqa_name_ends(name, e->text))
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
                if (gqa_name_ends(*name, e->text))
                    return e->advice;
            }
    return NULL;
}

/* Whether the names of a format have all files with an ending. */
static bool names_ending(const struct gqa_format *f, const char *ending)
{
    for (const char *const *name = f->names; *name; name++)
        if (**name == '*' && strcmp(*name + 1, ending) == 0)
            return true;
    return false;
}

static bool is_index_name(const char *name)
{
    for (const struct gqa_name_ending *e = gqa_format_index.endings; e->text;
         e++)
        if (gqa_name_ends(name, e->text))
            return true;
    return false;
}

/* "model.safetensors, tf_model.h5, their indices, *.gqa and *.h5" */
static void list_names(FILE *out)
{
    const struct gqa_format *f = NULL;
    const char *held = NULL; /* the last so far, to come after "and" */

    while ((f = gqa_format_next_preferred(f)))
        for (const char *const *name = f->names; *name; name++)
            if (**name != '*' && !is_index_name(*name))
                fprintf(out, "%s, ", *name);
    fputs("their indices", out);
    while ((f = gqa_format_next_preferred(f)))
        for (const char *const *name = f->names; *name; name++)
            if (**name == '*')
                fprintf(out, ", %s", *name);
    while ((f = gqa_format_next_preferred(f)))
        for (const struct gqa_name_ending *e = f->endings; e && e->text; e++) {
            if (names_ending(f, e->text))
                continue;
            if (held)
                fprintf(out, ", *%s", held);
            held = e->text;
        }
    if (held)
        fprintf(out, " and *%s", held);
}

static enum gqa_status refuse_folder(const char *folder,
                                     const struct listing *list)
{
    enum gqa_status st;
    const char *name;
    const char *advice = find_advice(list, &name);
    char *looked_for = NULL;
    size_t n;
    FILE *out;

    if (advice)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: no checkpoint that we read; there is %s, but %s",
                        folder, name, advice);
    out = open_memstream(&looked_for, &n);
    if (out)
        list_names(out);
    if (!out || fclose(out) != 0)
        st = gqa_fail_nomem();
    else
        st = gqa_fail(GQA_ERR_UNSUPPORTED,
                      "%s: no checkpoint in this folder (looked for %s)",
                      folder, looked_for);
    free(looked_for);
    return st;
}

static enum gqa_status choose(const char **name, const char *folder,
                              const struct listing *list)
{
    const struct gqa_format *f = NULL;
    size_t n;

    while ((f = gqa_format_next_preferred(f)))
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

/* macOS keeps attributes beside files where a disk has none: "._" + name. */
static int is_no_attribute_file(const struct dirent *entry)
{
    return strncmp(entry->d_name, "._", 2) != 0;
}

static enum gqa_status list_folder(struct listing *list, const char *folder)
{
    const int n =
        scandir(folder, &list->entries, is_no_attribute_file, alphasort);

    if (n < 0)
        return gqa_fail_errno("%s", folder);
    list->n = (size_t)n;
    return GQA_OK;
}

static void clear_listing(struct listing *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->entries[i]);
    free(list->entries);
}

enum gqa_status gqa_folder_find(char **path, const char *folder)
{
    struct listing list = {0};
    const char *name = NULL;
    enum gqa_status st = list_folder(&list, folder);

    if (st == GQA_OK)
        st = choose(&name, folder, &list);
    if (st == GQA_OK) {
        *path = gqa_path_join(folder, name);
        if (!*path)
            st = gqa_fail_nomem();
    }
    clear_listing(&list);
    return st;
}

enum gqa_status gqa_folder_is_of(bool *alone, const char *folder,
                                 const char *name)
{
    struct listing list = {0};
    const enum gqa_status st = list_folder(&list, folder);

    *alone = true;
    for (size_t i = 0; i < list.n && *alone; i++)
        *alone = strcmp(list.entries[i]->d_name, name) == 0 ||
                 !is_wanted(list.entries[i]->d_name, NULL);
    clear_listing(&list);
    return st;
}
