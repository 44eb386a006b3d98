#include "formats/folder/folder.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct listing {
    struct dirent **entries; /* [n] sorted by name */
    size_t n;
};

/* In order of preference. A pattern is a whole name, or '*' and an ending. */
static const char *const wanted[] = {
    "model.safetensors.index.json",
    "model.safetensors",
    "*.gqa",
    "tf_model.h5.index.json",
    "tf_model.h5",
    "model.weights.json",
    "model.weights.h5",
};

/* What is left when none of these is there: any one file of weights. */
static const char *const any_weights[] = {"*.safetensors", "*.h5"};

static const struct {
    const char *pattern, *advice;
} foreign[] = {
    {"*.bin", "PyTorch .bin files are not read: save them as safetensors "
              "(transformers: save_pretrained)"},
    {"*.pt", "PyTorch .pt files are not read: save them as safetensors"},
    {"*.pth", "PyTorch .pth files are not read: save them as safetensors"},
    {"*.gguf",
     "GGUF files are not read: convert the checkpoint they were made from"},
    {"*.keras", "a .keras archive is not read: unpack it (unzip) and give its "
                "model.weights.h5"},
    {"*.zst", "compressed files are not read: decompress them (zstd -d)"},
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

static bool name_matches(const char *name, const char *pattern)
{
    const size_t n = strlen(name);
    size_t ending;

    if (pattern[0] != '*')
        return strcmp(name, pattern) == 0;
    ending = strlen(pattern + 1);
    return n > ending && strcmp(name + n - ending, pattern + 1) == 0;
}

/* How many names match any of the patterns, and the first of them. */
static size_t count_matches(const struct listing *list, const char **first,
                            const char *const *patterns, size_t n_patterns)
{
    size_t n = 0;

    for (size_t i = 0; i < list->n; i++)
        for (size_t p = 0; p < n_patterns; p++)
            if (name_matches(list->entries[i]->d_name, patterns[p])) {
                if (n++ == 0)
                    *first = list->entries[i]->d_name;
                break;
            }
    return n;
}

static enum gqa_status refuse_several(const char *folder,
                                      const struct listing *list,
                                      const char *const *patterns,
                                      size_t n_patterns)
{
    char names[512] = "";
    size_t used = 0, shown = 0, n = 0;

    for (size_t i = 0; i < list->n; i++)
        for (size_t p = 0; p < n_patterns; p++) {
            const char *name = list->entries[i]->d_name;

            if (!name_matches(name, patterns[p]))
                continue;
            if (used + strlen(name) + 3 < sizeof names) {
                used += (size_t)snprintf(names + used, sizeof names - used,
                                         "%s%s", n ? ", " : "", name);
                shown++;
            }
            n++;
            break;
        }
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "%s: %zu files of weights and no index; give one of them "
                    "by name: %s%s",
                    folder, n, names, shown < n ? ", ..." : "");
}

static enum gqa_status refuse_folder(const char *folder,
                                     const struct listing *list)
{
    for (size_t f = 0; f < sizeof foreign / sizeof *foreign; f++) {
        const char *first = NULL;

        if (count_matches(list, &first, &foreign[f].pattern, 1) > 0)
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "%s: no checkpoint that we read; there is %s, but "
                            "%s",
                            folder, first, foreign[f].advice);
    }
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "%s: no checkpoint in this folder (looked for "
                    "model.safetensors, tf_model.h5, model.weights.h5, their "
                    "indices, *.gqa, *.safetensors and *.h5)",
                    folder);
}

static enum gqa_status choose(const char **name, const char *folder,
                              const struct listing *list)
{
    const size_t n_any = sizeof any_weights / sizeof *any_weights;
    size_t n;

    for (size_t w = 0; w < sizeof wanted / sizeof *wanted; w++) {
        n = count_matches(list, name, &wanted[w], 1);
        if (n == 1)
            return GQA_OK;
        if (n > 1)
            return refuse_several(folder, list, &wanted[w], 1);
    }
    n = count_matches(list, name, any_weights, n_any);
    if (n > 1)
        return refuse_several(folder, list, any_weights, n_any);
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
