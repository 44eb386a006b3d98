#include "formats/folder/folder.h"

#include <dirent.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "common/log.h"
#include "common/strings.h"
#include "formats/detect.h"
#include "formats/folder/index.h"
#include "formats/foreign/names.h"
#include "formats/foreign/words.h"
#include "formats/formats.h"
#include "formats/gguf/parts.h"
#include "formats/original/parts.h"

struct listing {
    const char *folder;
    struct dirent **entries; /* [n] sorted by name */
    size_t n;
    bool say; /* what is there too, and is not read */
    /* What models are made into to be run, where there is nothing else */
    bool wants_made;
    bool wants_adapters; /* likewise: what is added to a model is none */
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

static bool is_adapter(const char *name)
{
    return fnmatch("adapter_model.*", name, 0) == 0;
}

/* Whether a file, one of many that are called so, is of the format, and no
 * state of training or the like. What cannot be read is not. */
static bool is_of_format(const struct gqa_format *format, const char *folder,
                         const char *name)
{
    const struct gqa_foreign_name *foreign = gqa_foreign_name_find(name);
    const struct gqa_format *found = NULL;
    char path[PATH_MAX];
    uint64_t size;
    int fd;

    if ((gqa_foreign_name_is_made(name) && !is_adapter(name)) ||
        (foreign && foreign->decides) ||
        snprintf(path, sizeof path, "%s/%s", folder, name) >=
            (int)sizeof path ||
        gqa_file_open(&fd, &size, path) != GQA_OK)
        return false;
    if (gqa_file_detect(&found, fd, size) != GQA_OK)
        found = NULL;
    close(fd);
    return found == format;
}

/* The ending of any format read: of those that are looked for now. */
static bool has_wanted_ending(const struct listing *list, const char *name)
{
    for (size_t i = 0; i < gqa_n_formats; i++)
        for (const struct gqa_name_ending *e =
                 gqa_formats[i]->open ? gqa_formats[i]->endings : NULL;
             e && e->text; e++)
            if (gqa_has_ending(name, e->text) &&
                e->is_made == list->wants_made &&
                (!e->is_common ||
                 is_of_format(gqa_formats[i], list->folder, name)))
                return true;
    return false;
}

/* What llama.cpp reads beside a model: what sees for it, and what weights
 * matter for quantising it. */
static bool is_beside_gguf(const char *name)
{
    return fnmatch("*mmproj*.gguf", name, 0) == 0 ||
           fnmatch("*imatrix*.gguf", name, 0) == 0;
}

/* What is looked for: a pattern or, if NULL, the ending of any format read. */
static bool is_wanted(const struct listing *list, const char *name,
                      const char *pattern)
{
    unsigned number, count;

    /* Hidden ones are no candidates: macOS's "._" files, unfinished ones. Nor
     * are parts of a model whose first is read with them. */
    if (name[0] == '.' || is_beside_gguf(name) ||
        (is_adapter(name) && !list->wants_adapters) ||
        (gqa_gguf_part_find(name, &number, &count) && number > 1))
        return false;
    return pattern ? gqa_name_fits(name, pattern)
                   : has_wanted_ending(list, name);
}

/* How many names are wanted, and the first of them. */
static size_t count_matches(const struct listing *list, const char **first,
                            const char *pattern)
{
    size_t n = 0;

    for (size_t i = 0; i < list->n; i++)
        if (is_wanted(list, list->entries[i]->d_name, pattern) && n++ == 0)
            *first = list->entries[i]->d_name;
    return n;
}

static enum gqa_status refuse_several(const char *folder,
                                      const struct listing *list,
                                      const char *pattern)
{
    char names[512] = "";
    size_t used = 0, shown = 0, n = 0;
    bool has_shards = false, is_split = false;

    for (size_t i = 0; i < list->n; i++) {
        const char *name = list->entries[i]->d_name;

        unsigned number, count;

        if (!is_wanted(list, name, pattern))
            continue;
        if (gqa_gguf_part_find(name, &number, &count))
            is_split = true;
        else
            has_shards = has_shards || strstr(name, "-of-");
        if (used + strlen(name) + 3 < sizeof names) {
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s",
                                     n ? ", " : "", name);
            shown++;
        }
        n++;
    }
    if (strstr(names, "rank0.safetensors"))
        return gqa_fail(GQA_ERR_UNSUPPORTED, "%s: %s: " TENSORRT_LLM_WORDS,
                        folder, names);
    if (strstr(names, "consolidated.00.pth"))
        return gqa_fail(GQA_ERR_UNSUPPORTED, "%s: %s: " META_WORDS, folder,
                        names);
    if (list->wants_made)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: %zu models; give one of them by name%s: %s%s",
                        folder, n,
                        is_split ? ", one in several files by the first" : "",
                        names, shown < n ? ", ..." : "");
    if (has_shards)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: %zu shards and no index, which says what belongs "
                        "together; fetch it (*.index.json): %s%s",
                        folder, n, names, shown < n ? ", ..." : "");
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "%s: %zu files of weights and no index; give one of them "
                    "by name: %s%s",
                    folder, n, names, shown < n ? ", ..." : "");
}

/* The file that tells most of what is there instead; NULL: none does. */
static const struct gqa_foreign_name *find_foreign(const struct listing *list,
                                                   const char **name)
{
    for (size_t f = 0; f < gqa_n_foreign_names; f++)
        for (size_t i = 0; i < list->n; i++) {
            *name = list->entries[i]->d_name;
            if (fnmatch(gqa_foreign_names[f].pattern, *name, 0) == 0)
                return &gqa_foreign_names[f];
        }
    return NULL;
}

/* Whether the file begins as some format that is not read does, whose message
 * is left then. */
static enum gqa_status is_foreign(bool *is, const char *folder,
                                  const char *name)
{
    enum gqa_status st;
    const struct gqa_format *format;
    char *path = gqa_path_join(folder, name);
    uint64_t size;
    int fd;

    *is = false;
    if (!path)
        return gqa_fail_nomem();
    st = gqa_file_open(&fd, &size, path);
    if (st == GQA_OK) {
        st = gqa_file_detect(&format, fd, size);
        *is = st == GQA_ERR_UNSUPPORTED;
        close(fd);
    }
    free(path);
    return st == GQA_ERR_NOMEM ? st : GQA_OK;
}

/* What it is and what to do: by what it begins with, where that is known and
 * its name does not tell more. */
static enum gqa_status refuse_foreign(const char *folder, const char *name,
                                      const struct gqa_foreign_name *foreign)
{
    bool is_told = false;

    if (!foreign->decides) {
        const enum gqa_status st = is_foreign(&is_told, folder, name);

        if (st != GQA_OK)
            return st;
    }
    if (!is_told)
        gqa_fail(GQA_ERR_UNSUPPORTED, "%s", foreign->advice);
    return gqa_fail_prefix(GQA_ERR_UNSUPPORTED,
                           "%s: no checkpoint that we read; there is %s",
                           folder, name);
}

static bool has_any_ending(const char *name)
{
    for (size_t i = 0; i < gqa_n_formats; i++)
        for (const struct gqa_name_ending *e = gqa_formats[i]->endings;
             e && e->text; e++)
            if (gqa_has_ending(name, e->text))
                return true;
    return false;
}

/* What is called as checkpoints are, and begins as something else does; GQA_OK:
 * nothing. */
static enum gqa_status refuse_told(const char *folder,
                                   const struct listing *list)
{
    for (size_t i = 0; i < list->n; i++) {
        const char *name = list->entries[i]->d_name;
        bool is_told = false;
        enum gqa_status st;

        if (!has_any_ending(name))
            continue;
        st = is_foreign(&is_told, folder, name);
        if (st != GQA_OK)
            return st;
        if (is_told)
            return gqa_fail_prefix(
                GQA_ERR_UNSUPPORTED,
                "%s: no checkpoint that we read; there is %s", folder, name);
    }
    return GQA_OK;
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
        if (gqa_has_ending(name, e->text))
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

/* A part of a GGUF file whose first is not there; NULL: none is. */
static const char *find_later_part(const struct listing *list)
{
    unsigned number, count;

    for (size_t i = 0; i < list->n; i++)
        if (gqa_gguf_part_find(list->entries[i]->d_name, &number, &count))
            return list->entries[i]->d_name;
    return NULL;
}

static bool is_there(const struct listing *list, const char *name)
{
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->entries[i]->d_name, name) == 0)
            return true;
    return false;
}

/* What is there of a model whose weights are not; "": nothing. */
static void say_rest(char *out, size_t size, const struct listing *list)
{
    const char *part = find_later_part(list);

    *out = '\0';
    if (part)
        snprintf(out, size,
                 "; there is %s, and the first file of that model is missing",
                 part);
    else if (list->n == 2) /* "." and ".." */
        snprintf(out, size, ", which is empty");
    else if (is_there(list, "config.json"))
        snprintf(out, size,
                 "; there is config.json, and the weights that it "
                 "is of are missing");
}

static enum gqa_status refuse_folder(const char *folder,
                                     const struct listing *list)
{
    char rest[GQA_MAX_NAME + 80];
    enum gqa_status st;
    const char *name;
    const struct gqa_foreign_name *foreign = find_foreign(list, &name);
    char *looked_for = NULL;
    size_t n;
    FILE *out;

    if (foreign)
        return refuse_foreign(folder, name, foreign);
    /* That of a hub's client, where a model's folders lie by their commits. */
    if (is_there(list, "snapshots") && is_there(list, "blobs"))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: a cache of models from a hub; give the folder of "
                        "one in %s/snapshots",
                        folder, folder);
    /* A .mlpackage, whatever it is called. */
    if (is_there(list, "Manifest.json") && is_there(list, "Data"))
        return gqa_fail(GQA_ERR_UNSUPPORTED, "%s: " CORE_ML_WORDS, folder);
    if ((st = refuse_told(folder, list)) != GQA_OK)
        return st;
    say_rest(rest, sizeof rest, list);
    out = open_memstream(&looked_for, &n);
    if (out)
        list_names(out);
    if (!out || fclose(out) != 0)
        st = gqa_fail_nomem();
    else
        st = gqa_fail(GQA_ERR_UNSUPPORTED,
                      "%s: no checkpoint in this folder%s (looked for %s)",
                      folder, rest, looked_for);
    free(looked_for);
    return st;
}

/* --- The choice ----------------------------------------------------------- */

/* Open a safetensors file; *source is NULL for any other, and for one that
 * cannot be opened, which says so when it is read. Errors GQA_ERR_NOMEM. */
static enum gqa_status open_safetensors(struct gqa_source **source,
                                        const char *folder, const char *name)
{
    struct gqa_file_handle file = {.fd = -1};
    enum gqa_status st;
    char *path;

    *source = NULL;
    if (!gqa_has_ending(name, ".safetensors"))
        return GQA_OK;
    path = gqa_path_join(folder, name);
    if (!path)
        return gqa_fail_nomem();
    file.path = path;
    st = gqa_file_open(&file.fd, &file.size, path);
    if (st == GQA_OK)
        st = gqa_format_safetensors.open(source, &file);
    free(path);
    return st == GQA_ERR_NOMEM ? st : GQA_OK;
}

/* Whether gqa-convert wrote the file. */
static enum gqa_status is_converted_file(bool *is, const char *folder,
                                         const char *name)
{
    struct gqa_source *source = NULL;
    const enum gqa_status st = open_safetensors(&source, folder, name);

    *is = gqa_has_ending(name, ".gqa") ||
          (source && json_object_get(source->metadata, "gqa.recipe"));
    gqa_source_close(source);
    return st;
}

/* The same of the files of an index, where the first is like all of them. */
static enum gqa_status is_converted(bool *is, const char *folder,
                                    const char *name)
{
    struct gqa_index index = {0};
    enum gqa_status st;
    char *path;

    if (!is_index_name(name))
        return is_converted_file(is, folder, name);
    *is = false;
    path = gqa_path_join(folder, name);
    if (!path)
        return gqa_fail_nomem();
    st = gqa_index_load(&index, path);
    if (st == GQA_OK)
        st = is_converted_file(is, folder, index.files[0]);
    gqa_index_clear(&index);
    free(path);
    return st == GQA_ERR_NOMEM ? st : GQA_OK;
}

static bool has_tensor(const struct gqa_source *source, const char *name)
{
    for (size_t i = 0; i < source->n_tensors; i++)
        if (strcmp(source->tensors[i].name, name) == 0)
            return true;
    return false;
}

/* Whether two safetensors files, the first of a conversion, cannot have been
 * made of each other: names are kept. An adapter, or recorded logits. */
static enum gqa_status are_strangers(bool *are, const char *folder,
                                     const char *ours, const char *entry)
{
    struct gqa_source *output = NULL, *other = NULL;
    enum gqa_status st = open_safetensors(&output, folder, ours);

    if (st == GQA_OK && output && output->n_tensors > 0)
        st = open_safetensors(&other, folder, entry);
    *are = other && !has_tensor(other, output->tensors[0].name);
    gqa_source_close(output);
    gqa_source_close(other);
    return st;
}

/* Whether an entry, beside the output `ours` of a conversion, is what it may
 * have been made of: weights in any format, and no output themselves. */
static enum gqa_status may_be_source(bool *may, const struct listing *list,
                                     const char *entry, const char *ours)
{
    const char *folder = list->folder;
    const struct gqa_foreign_name *foreign;
    bool no = false;
    enum gqa_status st;

    *may = false;
    if (strcmp(entry, ours) == 0 || gqa_foreign_name_is_made(entry))
        return GQA_OK;
    if (is_wanted(list, entry, NULL) || is_index_name(entry)) {
        st = is_converted(&no, folder, entry);
        if (st == GQA_OK && !no)
            st = are_strangers(&no, folder, ours, entry);
        *may = !no;
        return st;
    }
    foreign = gqa_foreign_name_find(entry);
    *may = foreign && foreign->decides;
    return foreign && !*may ? is_foreign(may, folder, entry) : GQA_OK;
}

static const char beside_ours[] =
    ", and the first is the output of a conversion";

static enum gqa_status refuse_both(const char *folder, const char *a,
                                   const char *b, const char *why)
{
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "%s: both %s and %s are there%s; give one of them by name",
                    folder, a, b, why);
}

/* An output of a conversion is never read in place of a source, whatever that
 * is called. */
static enum gqa_status refuse_source_beside(const char *folder,
                                            const struct listing *list,
                                            const char *ours)
{
    const char *source = NULL;

    for (size_t i = 0; i < list->n; i++) {
        const char *entry = list->entries[i]->d_name;
        bool may = false;
        const enum gqa_status st = may_be_source(&may, list, entry, ours);

        if (st != GQA_OK)
            return st;
        /* An index says more than its first shard. */
        if (may && (!source || is_index_name(entry)))
            source = entry;
    }
    return source ? refuse_both(folder, ours, source, beside_ours) : GQA_OK;
}

/* The name that is there of those that loaders look for, from *format and
 * *pattern on, which move behind it; NULL: none. */
static const char *next_usual(const struct listing *list,
                              const struct gqa_format **format,
                              const char *const **pattern)
{
    while (*format) {
        for (; **pattern; ++*pattern)
            if (***pattern != '*' && is_there(list, **pattern))
                return *(*pattern)++;
        *format = gqa_format_next_preferred(*format);
        *pattern = *format ? (*format)->names : NULL;
    }
    return NULL;
}

/* A name that loaders look for decides as it does there: model.safetensors
 * before its index. NULL: there is none. */
static enum gqa_status choose_usual(const char **name, const char *folder,
                                    const struct listing *list)
{
    const struct gqa_format *format = gqa_format_next_preferred(NULL);
    const char *const *pattern = format->names;
    const struct gqa_format *of_other;
    const char *other;
    bool is_ours;
    enum gqa_status st;

    *name = next_usual(list, &format, &pattern);
    if (!*name)
        return GQA_OK;
    of_other = format;
    other = next_usual(list, &of_other, &pattern);
    if ((st = is_converted(&is_ours, folder, *name)) != GQA_OK)
        return st;
    if (!other)
        return is_ours ? refuse_source_beside(folder, list, *name) : GQA_OK;
    if (is_ours)
        return refuse_both(folder, *name, other, beside_ours);
    /* One that stands for the same in another framework is no rival. */
    if (of_other != format)
        return GQA_OK;
    if (!is_index_name(other))
        return refuse_both(folder, *name, other, "");
    if (list->say)
        gqa_warn(
            "%s: %s is read, as loaders do; %s, which is there too, is not",
            folder, *name, other);
    return GQA_OK;
}

/* The first of the parts of Meta's models, where nothing else is there. */
static bool find_parts(const char **name, const struct listing *list, size_t n)
{
    size_t n_parts = 0;

    for (size_t i = 0; i < list->n; i++) {
        const char *entry = list->entries[i]->d_name;

        if (!is_wanted(list, entry, NULL) ||
            fnmatch("consolidated.[0-9][0-9].*", entry, 0) != 0)
            continue;
        n_parts++;
        if (gqa_original_is_first_part(entry))
            *name = entry;
    }
    return n_parts == n && gqa_original_is_first_part(*name);
}

/* Among files of any name: the only one that no conversion wrote, or else the
 * only one. */
static enum gqa_status choose_any(const char **name, const char *folder,
                                  const struct listing *list)
{
    const char *ours = NULL;
    size_t n_ours = 0, n = 0;

    for (size_t i = 0; i < list->n; i++) {
        const char *entry = list->entries[i]->d_name;
        bool converted = false;
        enum gqa_status st;

        if (!is_wanted(list, entry, NULL))
            continue;
        if ((st = is_converted(&converted, folder, entry)) != GQA_OK)
            return st;
        if (converted) {
            n_ours++;
            ours = entry;
        } else if (n++ == 0) {
            *name = entry;
        }
    }
    if (n > 1 && n_ours == 0 && find_parts(name, list, n))
        return GQA_OK;
    if (n > 1 || (n == 0 && n_ours > 1))
        return refuse_several(folder, list, NULL);
    if (n == 1 && n_ours > 0 && list->say)
        gqa_warn("%s: %s is read; %s, the output of a conversion, is not",
                 folder, *name, ours);
    if (n == 1)
        return GQA_OK;
    *name = ours;
    return ours ? refuse_source_beside(folder, list, ours) : GQA_OK;
}

static enum gqa_status choose(const char **name, const char *folder,
                              struct listing *list)
{
    enum gqa_status st = choose_usual(name, folder, list);
    const char *gqa = NULL;

    if (st != GQA_OK)
        return st;
    if (!*name) {
        st = choose_any(name, folder, list);
        if (st != GQA_OK || *name)
            return st;
        list->wants_made = true;
        st = choose_any(name, folder, list);
        if (st != GQA_OK || *name)
            return st;
        list->wants_made = false;
        list->wants_adapters = true;
        st = choose_any(name, folder, list);
        return st != GQA_OK || *name ? st : refuse_folder(folder, list);
    }
    if (count_matches(list, &gqa, "*.gqa") > 0 && list->say)
        gqa_warn("%s: %s is read; %s, the output of a conversion, is not",
                 folder, *name, gqa);
    return GQA_OK;
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

    list->folder = folder;
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

/* A GGUF file of what sees is of no use without the model's own, which it
 * still fits when heads were grouped. */
static void tell_beside(const struct listing *list, const char *name)
{
    for (size_t i = 0; i < list->n && gqa_has_ending(name, ".gguf"); i++)
        if (fnmatch("*mmproj*.gguf", list->entries[i]->d_name, 0) == 0)
            gqa_warn("%s: %s is read; %s, which sees for it, is not, and goes "
                     "with what is written as it is",
                     list->folder, name, list->entries[i]->d_name);
}

enum gqa_status gqa_folder_find(char **path, const char *folder, bool say)
{
    struct listing list = {.say = say};
    const char *name = NULL;
    enum gqa_status st = list_folder(&list, folder);

    if (st == GQA_OK)
        st = choose(&name, folder, &list);
    if (st == GQA_OK) {
        if (say)
            tell_beside(&list, name);
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
                 !is_wanted(&list, list.entries[i]->d_name, NULL);
    clear_listing(&list);
    return st;
}
