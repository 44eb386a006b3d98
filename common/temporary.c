#include "common/temporary.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum gqa_status gqa_temporary_open(int *fd, uint64_t n_bytes, const char *what)
{
    const char *folder = getenv("TMPDIR");

    folder = folder && *folder ? folder : "/tmp";
    *fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (*fd < 0)
        return gqa_fail_errno("%s: no temporary file (TMPDIR names another "
                              "folder)",
                              folder);
    if (n_bytes > 0 && (errno = posix_fallocate(*fd, 0, (off_t)n_bytes)) != 0) {
        const enum gqa_status st = gqa_fail_errno(
            "%s: %llu bytes for %s (TMPDIR names another folder, fewer "
            "sequences need less)",
            folder, (unsigned long long)n_bytes, what);

        close(*fd);
        *fd = -1;
        return st;
    }
    return GQA_OK;
}

enum gqa_status gqa_temporary_write(int fd, const void *bytes, size_t n,
                                    uint64_t offset)
{
    const char *at = bytes;

    while (n > 0) {
        const ssize_t wrote = pwrite(fd, at, n, (off_t)offset);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return gqa_fail_errno("temporary file");
        at += wrote;
        n -= (size_t)wrote;
        offset += (uint64_t)wrote;
    }
    return GQA_OK;
}
