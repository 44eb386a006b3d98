#include "verify/whole_file.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char ending[] = ".partial-XXXXXX";

/*
 * Names of files that are not whole. A signal handler may read them at any
 * time, so that they are never freed, and in use before there is a file.
 */
static struct gqa_partial {
    atomic_bool is_used;
    char name[PATH_MAX];
} partials[GQA_WHOLE_FILES];

static struct gqa_partial *take_partial(const char *path)
{
    for (size_t i = 0; i < GQA_WHOLE_FILES; i++)
        if (!partials[i].is_used) {
            stpcpy(stpcpy(partials[i].name, path), ending);
            partials[i].is_used = true;
            return &partials[i];
        }
    return NULL;
}

bool gqa_whole_file_clean(void)
{
    for (size_t i = 0; i < GQA_WHOLE_FILES; i++)
        if (partials[i].is_used)
            unlink(partials[i].name);
    return true;
}

enum gqa_status gqa_whole_file_begin(struct gqa_whole_file *file,
                                     const char *path)
{
    enum gqa_status st;
    struct stat info;
    int fd;

    *file = (struct gqa_whole_file){.path = path};
    if (stat(path, &info) != 0) {
        if (errno != ENOENT)
            return gqa_fail_errno("%s: cannot be written", path);
    } else if (!S_ISREG(info.st_mode))
        return gqa_fail(GQA_ERR_USAGE, "%s: not a regular file", path);
    if (strlen(path) + sizeof ending > PATH_MAX)
        return gqa_fail(GQA_ERR_USAGE, "%s: the name is too long", path);
    file->partial = take_partial(path);
    if (!file->partial)
        return gqa_fail(GQA_ERR_IO, "%s: only %d files are written at a time",
                        path, GQA_WHOLE_FILES);
    fd = mkstemp(file->partial->name);
    if (fd >= 0 && (file->stream = fdopen(fd, "w")))
        return GQA_OK;
    st = gqa_fail_errno("%s: cannot be written", path);
    if (fd >= 0) {
        close(fd);
        unlink(file->partial->name);
    }
    file->partial->is_used = false;
    return st;
}

enum gqa_status gqa_whole_file_end(struct gqa_whole_file *file,
                                   enum gqa_status st)
{
    mode_t mask;

    if (!file->stream)
        return st;
    mask = umask(0);
    umask(mask);
    if (st == GQA_OK && (fflush(file->stream) != 0 || ferror(file->stream) ||
                         fchmod(fileno(file->stream), 0666 & ~mask) != 0 ||
                         fsync(fileno(file->stream)) != 0))
        st = gqa_fail_errno("%s: cannot be written", file->path);
    if (fclose(file->stream) != 0 && st == GQA_OK)
        st = gqa_fail_errno("%s: cannot be written", file->path);
    if (st == GQA_OK && rename(file->partial->name, file->path) != 0)
        st = gqa_fail_errno("%s: cannot be written", file->path);
    if (st != GQA_OK)
        unlink(file->partial->name);
    file->partial->is_used = false;
    return st;
}

enum gqa_status gqa_whole_file_try(const char *path)
{
    struct gqa_whole_file file;
    const enum gqa_status st = gqa_whole_file_begin(&file, path);

    if (st != GQA_OK)
        return st;
    fclose(file.stream);
    unlink(file.partial->name);
    file.partial->is_used = false;
    return GQA_OK;
}
