#include "formats/families/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "common/nearest.h"

/* No description is a tenth of this. */
#define MAX_BYTES ((uint64_t)1 << 20)

struct gqa_family_file {
    char *path, *text;
    size_t length;
    struct gqa_family *family; /* of all its model types */
};

/* --- A user's file ------------------------------------------------------- */

void gqa_family_file_free(struct gqa_family_file *file)
{
    if (!file)
        return;
    gqa_family_free(file->family);
    free(file->path);
    free(file->text);
    free(file);
}

const char *gqa_family_file_text(const struct gqa_family_file *file,
                                 size_t *length)
{
    *length = file->length;
    return file->text;
}

static enum gqa_status read_text(struct gqa_family_file *file)
{
    enum gqa_status st;
    uint64_t size;
    int fd;

    if ((st = gqa_file_open(&fd, &size, file->path)) != GQA_OK)
        return st;
    if (size > MAX_BYTES)
        st = gqa_fail(GQA_ERR_FORMAT,
                      "%s: %llu bytes are no family's description; at most "
                      "%llu are read",
                      file->path, (unsigned long long)size,
                      (unsigned long long)MAX_BYTES);
    else if (!(file->text = malloc((size_t)size + 1)))
        st = gqa_fail_nomem();
    else if ((st = gqa_file_read(fd, file->text, (size_t)size, 0)) != GQA_OK)
        st = gqa_fail_prefix(st, "%s", file->path);
    file->length = (size_t)size;
    close(fd);
    return st;
}

/* What it says of each model type must hold together too. */
static enum gqa_status check_types(const struct gqa_family_file *file)
{
    enum gqa_status st = GQA_OK;

    for (gqa_texts t = file->family->model_types; *t && st == GQA_OK; t++) {
        struct gqa_family *family;

        st = gqa_family_parse(&family, &gqa_builtin_families, file->path,
                              file->text, file->length, *t);
        gqa_family_free(family);
    }
    return st;
}

enum gqa_status gqa_family_file_open(struct gqa_family_file **out,
                                     const char *path)
{
    struct gqa_family_file *file = calloc(1, sizeof *file);
    enum gqa_status st;

    if (!file || !(file->path = strdup(path))) {
        free(file);
        return gqa_fail_nomem();
    }
    st = read_text(file);
    if (st == GQA_OK)
        st = gqa_family_parse(&file->family, &gqa_builtin_families, file->path,
                              file->text, file->length, NULL);
    if (st == GQA_OK)
        st = check_types(file);
    if (st == GQA_OK)
        *out = file;
    else
        gqa_family_file_free(file);
    return st;
}

/* --- Choosing ------------------------------------------------------------ */

size_t gqa_family_count(const struct gqa_family_choice *choice)
{
    return choice->library->n + (choice->own != NULL);
}

/* Number i of those that are built in; NULL: it is the user's. */
static const struct gqa_builtin_family *builtin_at(
    const struct gqa_family_choice *choice, size_t i)
{
    if (choice->own)
        return i == 0 ? NULL : &choice->library->items[i - 1];
    return &choice->library->items[i];
}

static gqa_texts types_at(const struct gqa_family_choice *choice, size_t i)
{
    const struct gqa_builtin_family *builtin = builtin_at(choice, i);

    return builtin ? builtin->model_types : choice->own->family->model_types;
}

bool gqa_family_has_type(const struct gqa_family_choice *choice, size_t i,
                         const char *model_type)
{
    for (gqa_texts t = types_at(choice, i); *t; t++)
        if (strcmp(*t, model_type) == 0)
            return true;
    return false;
}

/* Does the pattern begin at some component of the name and end at one? */
static bool holds_sign(const char *name, const char *sign)
{
    for (const char *at = name; at; at = strchr(at, '.')) {
        const char *tail;
        uint64_t layer;

        at += *at == '.';
        if (gqa_pattern_match(sign, at, &layer, &tail) && *tail == '.')
            return true;
    }
    return false;
}

bool gqa_family_may_name(const struct gqa_family_choice *choice, size_t i,
                         const char *name)
{
    const struct gqa_builtin_family *builtin = builtin_at(choice, i);

    if (!builtin)
        return true;
    for (gqa_texts sign = builtin->signs; *sign; sign++)
        if (holds_sign(name, *sign))
            return true;
    return false;
}

/* Does a component of the path begin so, behind underscores? */
static bool begins_component(const char *path, const char *sign)
{
    for (const char *at = path; at; at = strchr(at, '/')) {
        at += *at == '/';
        at += strspn(at, "_");
        if (strncmp(at, sign, strlen(sign)) == 0)
            return true;
    }
    return false;
}

bool gqa_family_may_name_keras(const struct gqa_family_choice *choice, size_t i,
                               const char *name)
{
    const struct gqa_builtin_family *builtin = builtin_at(choice, i);

    if (!builtin)
        return choice->own->family->keras.given;
    for (gqa_texts sign = builtin->keras_signs; *sign; sign++)
        if (begins_component(name, *sign))
            return true;
    return false;
}

enum gqa_status gqa_family_load(struct gqa_family **out,
                                const struct gqa_family_choice *choice,
                                size_t i, const char *model_type)
{
    const struct gqa_builtin_family *builtin = builtin_at(choice, i);
    gqa_texts types = types_at(choice, i);
    enum gqa_status st;

    if (!model_type && !types[1])
        model_type = types[0];
    if (builtin)
        return gqa_family_parse(out, choice->library, builtin->file,
                                builtin->text, builtin->length, model_type);
    st = gqa_family_parse(out, choice->library, choice->own->path,
                          choice->own->text, choice->own->length, model_type);
    if (st == GQA_OK)
        (*out)->is_own = true;
    return st;
}

void gqa_family_list_types(char *out, size_t size,
                           const struct gqa_family_choice *choice, size_t first,
                           size_t end)
{
    size_t n = 0;

    out[0] = '\0';
    for (size_t i = first; i < end; i++)
        for (gqa_texts t = types_at(choice, i); *t; t++) {
            const int added =
                snprintf(out + n, size - n, "%s%s", n ? ", " : "", *t);

            if (added < 0 || (size_t)added >= size - n)
                return;
            n += (size_t)added;
        }
}

const char *gqa_family_near_type(const struct gqa_family_choice *choice,
                                 const char *model_type)
{
    const char *best = NULL;
    size_t least = SIZE_MAX;

    for (size_t i = 0; i < gqa_family_count(choice); i++)
        for (gqa_texts t = types_at(choice, i); *t; t++) {
            const size_t distance = gqa_word_distance(model_type, *t);

            if (distance >= least ||
                !gqa_word_is_near(strlen(model_type), distance))
                continue;
            least = distance;
            best = *t;
        }
    return best;
}

const char *gqa_family_source(const struct gqa_family_choice *choice, size_t i)
{
    const struct gqa_builtin_family *builtin = builtin_at(choice, i);

    return builtin ? builtin->file : choice->own->path;
}
