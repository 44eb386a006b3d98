#include "common/whole_file.h"

#include <fcntl.h>
#include <unistd.h>

static FILE *open_stream(const struct gqa_atomic *atomic)
{
    const int fd = fcntl(gqa_atomic_fd(atomic), F_DUPFD_CLOEXEC, 0);
    FILE *stream = fd < 0 ? NULL : fdopen(fd, "w");

    if (!stream && fd >= 0)
        close(fd);
    return stream;
}

enum gqa_status gqa_whole_file_begin(struct gqa_whole_file *file,
                                     const char *path, bool force)
{
    enum gqa_status st;

    *file = (struct gqa_whole_file){.path = path};
    st = gqa_atomic_create_file(&file->atomic, path, force);
    if (st != GQA_OK || (file->stream = open_stream(file->atomic)))
        return st;
    st = gqa_fail_errno("%s: cannot be written", path);
    gqa_atomic_free(file->atomic);
    file->atomic = NULL;
    return st;
}

enum gqa_status gqa_whole_file_end(struct gqa_whole_file *file,
                                   enum gqa_status st)
{
    if (!file->stream)
        return st;
    if (st == GQA_OK && (fflush(file->stream) != 0 || ferror(file->stream) ||
                         fsync(fileno(file->stream)) != 0))
        st = gqa_fail_errno("%s: cannot be written", file->path);
    if (fclose(file->stream) != 0 && st == GQA_OK)
        st = gqa_fail_errno("%s: cannot be written", file->path);
    if (st == GQA_OK)
        st = gqa_atomic_commit(file->atomic);
    gqa_atomic_free(file->atomic);
    *file = (struct gqa_whole_file){0};
    return st;
}
