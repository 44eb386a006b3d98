#include "formats/write/apart.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* False where nothing is there. What cannot be told is an error, never "no". */
static enum gqa_status same_file(bool *same, const struct stat *a,
                                 const char *path)
{
    struct stat b;

    *same = false;
    if (stat(path, &b) != 0)
        return errno == ENOENT ? GQA_OK : gqa_fail_errno("%s", path);
    *same = a->st_dev == b.st_dev && a->st_ino == b.st_ino;
    return GQA_OK;
}

/* Where the file really lies: a link may lead into the output. */
static enum gqa_status lies_in(bool *lies, const struct stat *folder,
                               const char *path)
{
    char *real = realpath(path, NULL);
    enum gqa_status st;
    char *slash;

    *lies = false;
    if (!real)
        return errno == ENOENT ? GQA_OK : gqa_fail_errno("%s", path);
    slash = strrchr(real, '/');
    slash[slash == real ? 1 : 0] = '\0';
    st = same_file(lies, folder, real);
    free(real);
    return st;
}

static enum gqa_status is_read(bool *read, const struct stat *output,
                               const char *path)
{
    const enum gqa_status st = same_file(read, output, path);

    return st == GQA_OK && !*read ? lies_in(read, output, path) : st;
}

/* False where there is none yet. */
static enum gqa_status find_output(bool *is_there, struct stat *output,
                                   const char *path, bool to_stdout)
{
    *is_there = true;
    if (to_stdout && isatty(STDOUT_FILENO))
        return gqa_fail(GQA_ERR_USAGE,
                        "standard output is a terminal: send it into a file "
                        "or a pipe, or name OUTPUT");
    if ((to_stdout ? fstat(STDOUT_FILENO, output) : stat(path, output)) == 0)
        return GQA_OK;
    *is_there = false;
    return errno == ENOENT || errno == ENOTDIR ? GQA_OK
                                               : gqa_fail_errno("%s", path);
}

enum gqa_status gqa_output_check_apart(const char *path, bool to_stdout,
                                       const struct gqa_checkpoint *source,
                                       const char *other)
{
    const char *folder = gqa_checkpoint_folder(source);
    enum gqa_status st;
    struct stat output;
    bool is_there, same;

    st = find_output(&is_there, &output, path, to_stdout);
    if (st != GQA_OK || !is_there)
        return st;
    st = is_read(&same, &output, gqa_checkpoint_path(source));
    if (st == GQA_OK && !same && folder)
        st = same_file(&same, &output, folder);
    if (st == GQA_OK && !same && other)
        st = is_read(&same, &output, other);
    for (size_t i = 0;
         st == GQA_OK && !same && i < gqa_checkpoint_n_files(source); i++)
        st = is_read(&same, &output, gqa_checkpoint_file_read(source, i));
    if (st == GQA_OK && same)
        return gqa_fail(GQA_ERR_USAGE,
                        "%s: the output is the input; give another name", path);
    return st;
}

/* --- Places --------------------------------------------------------------- */

/* *place, owned: without links, and without a slash behind it; NULL: not even
 * its folder is there. */
static enum gqa_status place_of(char **place, const char *path)
{
    char *copy = strdup(path), *folder = NULL, *slash = NULL;
    enum gqa_status st = GQA_OK;

    *place = NULL;
    if (!copy)
        return gqa_fail_nomem();
    for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--)
        copy[n - 1] = '\0';
    *place = realpath(copy, NULL);
    if (!*place) {
        slash = strrchr(copy, '/');
        if (slash)
            *slash = '\0';
        folder = realpath(!slash ? "." : slash == copy ? "/" : copy, NULL);
    }
    if (folder &&
        asprintf(place, "%s/%s", folder, slash ? slash + 1 : copy) < 0) {
        *place = NULL;
        st = gqa_fail_nomem();
    }
    free(folder);
    free(copy);
    return st;
}

enum gqa_status gqa_output_is_place(bool *same, const char *a, const char *b)
{
    char *places[2] = {NULL, NULL};
    enum gqa_status st = place_of(&places[0], a);

    if (st == GQA_OK)
        st = place_of(&places[1], b);
    *same = st == GQA_OK && places[0] && places[1] &&
            strcmp(places[0], places[1]) == 0;
    free(places[0]);
    free(places[1]);
    return st;
}
