#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum gqa_status gqa_file_open(int *out, uint64_t *size, const char *path)
{
    struct stat info;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return gqa_fail_errno("cannot open %s", path);
    if (fstat(fd, &info) != 0) {
        const enum gqa_status st = gqa_fail_errno("%s", path);

        close(fd);
        return st;
    }
    if (!S_ISREG(info.st_mode)) {
        close(fd);
        return gqa_fail(GQA_ERR_USAGE, "%s: not a regular file", path);
    }
    *out = fd;
    *size = (uint64_t)info.st_size;
    return GQA_OK;
}

enum gqa_status gqa_file_append(int *out, const char *path)
{
    struct stat info;
    const int fd = open(
        path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
        0666);

    if (fd < 0 && errno == ENXIO && stat(path, &info) == 0 &&
        S_ISFIFO(info.st_mode))
        return gqa_fail(GQA_ERR_USAGE,
                        "%s: a pipe that nobody reads: begin what reads it "
                        "first",
                        path);
    if (fd < 0)
        return gqa_fail_errno("%s", path);
    /* Only opening it must not wait. */
    if (fcntl(fd, F_SETFL, O_APPEND) != 0) {
        const enum gqa_status st = gqa_fail_errno("%s", path);

        close(fd);
        return st;
    }
    *out = fd;
    return GQA_OK;
}

enum gqa_status gqa_file_read(int fd, void *buf, size_t n, uint64_t offset)
{
    char *at = buf;

    while (n > 0) {
        const ssize_t got = pread(fd, at, n, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return gqa_fail_errno("reading %zu bytes at %llu", n,
                                  (unsigned long long)offset);
        if (got == 0)
            return gqa_fail(GQA_ERR_IO,
                            "the file shrank while it was read (it ends "
                            "before byte %llu)",
                            (unsigned long long)offset + n);
        at += got;
        n -= (size_t)got;
        offset += (uint64_t)got;
    }
    return GQA_OK;
}

bool gqa_file_write(int fd, const void *data, size_t n)
{
    const char *at = data;

    while (n > 0) {
        const ssize_t put = write(fd, at, n);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        at += put;
        n -= (size_t)put;
    }
    return true;
}
