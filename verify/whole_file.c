#include "verify/whole_file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum gqa_status gqa_whole_file_begin(struct gqa_whole_file *file,
                                     const char *path)
{
    static const char ending[] = ".partial-XXXXXX";
    enum gqa_status st;
    struct stat info;
    int fd;

    *file = (struct gqa_whole_file){.path = path};
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return gqa_fail(GQA_ERR_USAGE, "%s: not a regular file", path);
    file->name = malloc(strlen(path) + sizeof ending);
    if (!file->name)
        return gqa_fail_nomem();
    stpcpy(stpcpy(file->name, path), ending);
    fd = mkstemp(file->name);
    if (fd >= 0 && (file->stream = fdopen(fd, "w")))
        return GQA_OK;
    st = gqa_fail_errno("%s: cannot be written", path);
    if (fd >= 0) {
        close(fd);
        unlink(file->name);
    }
    free(file->name);
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
    if (st == GQA_OK && rename(file->name, file->path) != 0)
        st = gqa_fail_errno("%s: cannot be written", file->path);
    if (st != GQA_OK)
        unlink(file->name);
    free(file->name);
    return st;
}

enum gqa_status gqa_whole_file_try(const char *path)
{
    struct gqa_whole_file file;
    const enum gqa_status st = gqa_whole_file_begin(&file, path);

    if (st != GQA_OK)
        return st;
    fclose(file.stream);
    unlink(file.name);
    free(file.name);
    return GQA_OK;
}
